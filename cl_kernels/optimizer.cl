/* One step of an optimizer for COUNT parameters at once.
 *
 * Each parameter is a dense run of elements with a gradient and state tensors of the same layout. The launcher writes a
 * prelude with what depends on the optimizer's rule and on COUNT:
 *   POINTERS   the kernel's buffers: for each parameter k  p<k> (written), g<k> (read), then its states
 *   SCALARS    the rule's numbers, each followed by a comma
 *   OFFSETS    where each parameter begins in each of its buffers, each followed by a comma; empty where all begin at 0
 *   LENGTHS    for each parameter  int end<k>: how many chunks this and the parameters before it have,
 *                                  INDEX n<k>: its elements
 *   DECLARE    the pointers that SELECT sets
 *   SELECT     finds, from the chunk's number, its parameter: sets the pointers, n and first (its first chunk)
 *   NUMBERS    the numbers as vectors
 *   LOADS, PARTIAL_LOADS    VW elements of parameter, gradient and states; the same for the last, incomplete vector
 *   RULE       the statements of the rule
 *   STORES, PARTIAL_STORES
 *
 *   parameters   | p0             | p1   | p2                    |
 *   chunks       [ 0 ][ 1 ][ 2 . ][ 3 . ][ 4 ][ 5 ][ 6 ][ 7 ][ 8 .]     get_global_id(0)
 *                                ^end0  ^end1                     ^end2
 *
 * A work-item takes one chunk of CHUNK elements: on a CPU a long one (a work-group of its own), on a GPU one vector, so
 * that neighbouring work-items touch neighbouring memory.
 */
#ifndef COUNT
#define COUNT 1 /* parameters in this launch */
#define CALC float /* type of arithmetic: float or double */
#define MASK int /* type of a comparison of CALC vectors: int or long */
#define CHUNK 8 /* elements of a chunk */
#define POINTERS __global float *p0, __global const float *g0
#define SCALARS CALC s_lr,
#define OFFSETS
#define LENGTHS int end0, INDEX n0
#define DECLARE __global float *q_p; __global const float *q_g;
#define SELECT q_p = p0; q_g = g0; n = n0;
#define NUMBERS V lr = (V)(s_lr);
#define LOADS V p = VLOAD(q_p, i); V g = VLOAD(q_g, i);
#define PARTIAL_LOADS V p, g; PARTIAL(f32, p, q_p, 1) PARTIAL(f32, g, q_g, 1)
#define RULE p = p - g * lr;
#define STORES VSTORE(q_p, i, p);
#define PARTIAL_STORES PARTIAL_STORE(f32, CALC, q_p, 1, p)
#endif
#define CALC_FLOAT 1

#include "types.clh"
#include "math.clh"
#include "partial.clh"

__kernel void optimizer_step(POINTERS, SCALARS OFFSETS int chunks, LENGTHS) {
  int item = get_global_id(0);
  if (item >= chunks) return;
  DECLARE
  INDEX n;
  int first = 0;
  SELECT
  NUMBERS
  INDEX i = (INDEX)(item - first) * CHUNK;
  INDEX end = min(i + CHUNK, n);
  for (; i + VW <= end; i += VW) {
    LOADS
    RULE
    STORES
  }
#if VW > 1
  if (i < end) {
    int left = (int)(end - i);
    PARTIAL_LOADS
    RULE
    PARTIAL_STORES
  }
#endif
}
