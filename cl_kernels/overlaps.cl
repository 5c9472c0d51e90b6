/* Which boxes overlap better ones: bits, from which the host chooses those that stay.
 *
 *   boxes [count][4]: x1, y1, x2, y2      classes [count]      both in the order of the classes, in a class the best first
 *   out [count][words]                    bit b of word w in row i: box 32 w + b is of the class of i, comes after it, and what
 *                                         the two share is more than `threshold` of what they cover
 *
 *   row i    | 0 ... 0 | word of i | ... | last word of the class | 0 ... 0 |
 *
 * A work-item makes a row. Only the part of it that lies in the class is looked at.
 */
#ifndef REAL
#define REAL float
#endif
#include "types.clh"
#pragma OPENCL FP_CONTRACT OFF /* whether an overlap is more than the threshold must not depend on the compiler */
#define BITS 32

__kernel void overlaps(__global const REAL *boxes, __global const long *classes, __global int *out, INDEX o_boxes,
                       INDEX o_classes, INDEX o_out, INDEX count, INDEX words, REAL threshold) {
  const INDEX i = get_global_id(0);
  boxes += o_boxes;
  classes += o_classes;
  out += o_out + i * words;
  const REAL x1 = boxes[4 * i], y1 = boxes[4 * i + 1], x2 = boxes[4 * i + 2], y2 = boxes[4 * i + 3];
  const REAL area = (x2 - x1) * (y2 - y1);
  const long own = classes[i];
  INDEX w = 0;
  for (; w < i / BITS; w++) out[w] = 0;
  for (; w < words && classes[w * BITS] <= own; w++) {
    uint bits = 0;
    const INDEX first = w * BITS;
    const int last = (int)min((INDEX)BITS, count - first);
    for (int b = 0; b < last; b++) {
      const INDEX j = first + b;
      __global const REAL *other = boxes + 4 * j;
      const REAL width = max(min(x2, other[2]) - max(x1, other[0]), (REAL)0);
      const REAL height = max(min(y2, other[3]) - max(y1, other[1]), (REAL)0);
      const REAL both = width * height, covered = area + (other[2] - other[0]) * (other[3] - other[1]) - both;
      bits |= (uint)((both / covered > threshold) & (classes[j] == own) & (j > i)) << b;
    }
    out[w] = (int)bits;
  }
  for (; w < words; w++) out[w] = 0;
}
