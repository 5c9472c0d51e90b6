/* Picking elements along a dimension by index, and its gradient.
 *
 * Tensors are contiguous and seen as [outer, n, inner]; the index as [outer, m, inner]:
 *   gather       out[o, j, i] = x[o, index[o, j, i], i]          a work-item a run of CHUNK elements of out
 *   scatter_add  out[o, index[o, j, i], i] += g[o, j, i]         a work-item a line (o, i), walking j in order
 *
 * Each line of scatter_add has one writer that adds in the order of j, so sums are the same in every run without
 * atomics. An index outside of [0, n) is skipped and sets *status, which the host looks at when it waits.
 */
#ifndef CODE
#define CODE f32   /* dtype code of the elements */
#define REAL float /* type of arithmetic */
#endif

#include "types.clh"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define LOAD(p, i) JOIN(LOAD_, CODE)(p, i)
#define STORE(p, i, v) JOIN(STORE_, CODE)(p, i, v)
typedef JOIN(T_, CODE) ELEMENT;

__kernel void gather(__global const ELEMENT *x, __global const long *index, __global ELEMENT *out, __global int *status,
                     INDEX o_x, INDEX o_index, INDEX o_out, INDEX total, INDEX chunk, INDEX n, INDEX m, INDEX inner) {
  INDEX begin = get_global_id(0) * chunk, end = min(begin + chunk, total);
  for (INDEX p = begin; p < end; p++) {
    long place = index[o_index + p];
    if (place < 0 || place >= n) {
      *status = 1;
      continue;
    }
    INDEX line = p % inner, outer = p / (inner * m);
    STORE(out, o_out + p, LOAD(x, o_x + (outer * n + (INDEX)place) * inner + line));
  }
}

__kernel void scatter_add(__global const ELEMENT *g, __global const long *index, __global ELEMENT *out,
                          __global int *status, INDEX o_g, INDEX o_index, INDEX o_out, INDEX lines, INDEX n, INDEX m,
                          INDEX inner) {
  INDEX line = get_global_id(0);
  if (line >= lines) return;
  INDEX outer = line / inner, i = line % inner;
  for (INDEX j = 0; j < m; j++) {
    INDEX p = (outer * m + j) * inner + i;
    long place = index[o_index + p];
    if (place < 0 || place >= n) {
      *status = 1;
      continue;
    }
    INDEX target = o_out + (outer * n + (INDEX)place) * inner + i;
    STORE(out, target, (REAL)LOAD(out, target) + (REAL)LOAD(g, o_g + p));
  }
}
