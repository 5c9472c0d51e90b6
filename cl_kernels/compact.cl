/* Stream compaction: the elements that are not zero, in order.
 *
 *   mask   [ CHUNK ][ CHUNK ] ... [ part ]      a work-item a chunk
 *   count      3        0     ...    2          marked elements of each chunk
 *   sums       3        3     ...    n          their running sum, made by scan.cl in between
 *   out    sums[c - 1] .. sums[c]               where chunk c writes: elements of x, or coordinates
 *
 * Coordinates: out[k * RANK + d] is the place in dimension d of the k-th marked element.
 */
#ifndef MASK
#define MASK b8 /* dtype code of the mask */
#endif
#ifndef CODE
#define CODE i32 /* of the elements: that of an integer of their size */
#endif
#ifndef RANK
#define RANK 1 /* dimensions of the mask, for coordinates */
#endif
#ifndef CHUNK
#define CHUNK 1024
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#include "types.clh"

#define MARKED(i) (PASTE(LOAD_, MASK)(mask, i) != 0)
#define T_MASK PASTE(T_, MASK)
#define ELEMENT PASTE(T_, CODE)

__kernel void count(__global const T_MASK *mask, __global long *counts, INDEX o_mask, INDEX o_counts, INDEX n) {
  const INDEX chunk = get_global_id(0), begin = chunk * CHUNK, end = min(begin + CHUNK, n);
  if (begin >= n) return;
  int found = 0;
  for (INDEX i = begin; i < end; i++) found += MARKED(o_mask + i);
  counts[o_counts + chunk] = found;
}

__kernel void values(__global const ELEMENT *x, __global const T_MASK *mask, __global const long *sums,
                     __global ELEMENT *out, INDEX o_x, INDEX o_mask, INDEX o_sums, INDEX o_out, INDEX n) {
  const INDEX chunk = get_global_id(0), begin = chunk * CHUNK, end = min(begin + CHUNK, n);
  if (begin >= n) return;
  const INDEX start = o_out + (chunk ? (INDEX)sums[o_sums + chunk - 1] : 0);
#if DEVICE_CPU
  /* Without a branch that no one can predict: written always, kept where it counts. */
  ELEMENT kept[CHUNK + 1];
  int found = 0;
  for (INDEX i = begin; i < end; i++) {
    kept[found] = x[o_x + i];
    found += MARKED(o_mask + i);
  }
  for (int k = 0; k < found; k++) out[start + k] = kept[k];
#else
  INDEX place = start;
  for (INDEX i = begin; i < end; i++)
    if (MARKED(o_mask + i)) out[place++] = x[o_x + i];
#endif
}

__kernel void places(__global const T_MASK *mask, __global const long *sums, __global long *out, INDEX o_mask,
                     INDEX o_sums, INDEX o_out, INDEX n, INDEX d1, INDEX d2, INDEX d3, INDEX d4, INDEX d5, INDEX d6,
                     INDEX d7) {
  const INDEX chunk = get_global_id(0), begin = chunk * CHUNK, end = min(begin + CHUNK, n);
  if (begin >= n) return;
  const INDEX sizes[] = {1, d1, d2, d3, d4, d5, d6, d7};
  int kept[CHUNK + 1];
  int found = 0;
  for (int i = 0; i < (int)(end - begin); i++) {
    kept[found] = i;
    found += MARKED(o_mask + begin + i);
  }
  INDEX place = o_out + (chunk ? (INDEX)sums[o_sums + chunk - 1] : 0) * RANK;
  for (int k = 0; k < found; k++, place += RANK) {
    INDEX rest = begin + kept[k];
    for (int d = RANK - 1; d > 0; d--) {
      out[place + d] = rest % sizes[d];
      rest /= sizes[d];
    }
    out[place] = rest;
  }
}
