/* Pointwise kernels: out[i] = VALUE(in0[i], in1[i], ..., scalars) over tensors of any strides.
 *
 * One skeleton for all pointwise operators. The launcher merges dimensions, puts the one in which the output is dense
 * innermost, and writes a prelude that defines, for the operator and the operands at hand:
 *   KERNEL_NAME       what profilers show
 *   PARAMETERS        the kernel's parameters: buffers, offsets, scalars, sizes, strides
 *   ROW_STARTS        pointers to where each operand's row (an inner line of N elements) begins
 *   LOADS, PARTIAL_LOADS     VW elements of each operand as vectors; the same for the last, incomplete vector
 *   CALCULATE         the operator's value from what was loaded
 *   BLOCKS, BLOCK_LOADS      as LOADS, of VW rows at once and then of each, with BLOCKED
 *   STORES, PARTIAL_STORES
 *   STORE_TOTAL       with SUMMED, where STORES adds the value up instead: stores the sum of a work-item over a divisor
 *
 *            <---------------- N = inner size ---------------->
 *   row 0    [ VW ][ VW ][ VW ] ... CHUNK ...][ VW ]...[ part ]     get_global_id(0): which chunk
 *   row 1    [ VW ][ VW ] ...                                       get_global_id(1): which ROWS rows
 *   ...                                                             get_global_id(2): index of the outer dimensions
 *
 * BLOCKED: an operand is dense across the rows. VW rows of VW elements are loaded along its own rows, and transposed.
 *
 * On a CPU a work-item is a loop over a long chunk (a work-group of its own: no barrier, no divergence); on a GPU it is
 * one vector, so that neighbouring work-items touch neighbouring memory.
 */
#ifndef CALC
#define CALC float /* type of arithmetic: float, double, int or long */
#define CALC_FLOAT 1 /* whether CALC is float or double */
#define MASK int     /* type of a comparison of CALC vectors: int, or long for 64-bit types */
#define PARAMETERS __global const float *in0, __global float *out0, INDEX N, INDEX CHUNK, INDEX ROWS, INDEX COUNT1
#define ROW_STARTS __global const float *p0 = in0 + row * N; __global float *q0 = out0 + row * N;
#define LOADS VEC(CALC) x = VLOAD(p0, i);
#define PARTIAL_LOADS VEC(CALC) x; PARTIAL(f32, x, p0, 1)
#define CALCULATE VEC(CALC) r0 = x;
#define KERNEL_NAME elementwise
#define STORES VSTORE(q0, i, r0);
#define PARTIAL_STORES PARTIAL_STORE(f32, CALC, q0, 1, r0)
#endif
#ifndef BLOCKED
#define BLOCKED 0
#endif
#ifndef SUMMED
#define SUMMED 0
#endif
#ifndef COMPLEX
#define COMPLEX 0 /* 1: values are complex numbers, whose parts are of type CALC */
#endif

#include "types.clh"
#include "math.clh"
#if COMPLEX
#include "complex.clh"
#endif
#include "partial.clh"
#if BLOCKED
#define LANE CALC
#include "transpose.clh"
#endif

#if SUMMED
/* Sums of SPAN vectors are added up: the error is that of so many numbers, and of so many sums. */
#define SPAN 64
#define ADD(v) { span += v; if (++added == SPAN) { total += span; span = 0; added = 0; } }
#define PARTIAL_ADD(v) { CALC lanes[VW]; VSTORE(lanes, 0, v); for (int l = 0; l < left; l++) ends += lanes[l]; }
#endif

__kernel void KERNEL_NAME(PARAMETERS) {
  const INDEX begin = get_global_id(0) * CHUNK;
  const INDEX end = min(begin + CHUNK, N);
  const INDEX last_row = min((INDEX)get_global_id(1) * ROWS + ROWS, COUNT1);
  const INDEX outer = get_global_id(2);
  INDEX row = get_global_id(1) * ROWS;
  INDEX first = begin; /* of a row, in the rows before `blocks_end` */
  INDEX blocks_end = row;
#if SUMMED
  V total = 0, span = 0;
  CALC ends = 0; /* of rows, where vectors are incomplete */
  int added = 0;
#endif
#if BLOCKED
  first += (end - begin) / VW * VW;
  for (; blocks_end + VW <= last_row; blocks_end += VW) {
    for (INDEX i = begin; i < first; i += VW) {
      row = blocks_end;
      ROW_STARTS
      BLOCKS
      for (int r = 0; r < VW; r++) {
        row = blocks_end + r;
        ROW_STARTS
        BLOCK_LOADS
        CALCULATE
        STORES
      }
    }
  }
  row = get_global_id(1) * ROWS;
#endif
  for (; row < last_row; row++) {
    ROW_STARTS
    INDEX i = row < blocks_end ? first : begin;
    for (; i + VW <= end; i += VW) {
      LOADS
      CALCULATE
      STORES
    }
#if VW > 1
    if (i < end) {
      int left = (int)(end - i);
      PARTIAL_LOADS
      CALCULATE
      PARTIAL_STORES
    }
#endif
  }
#if SUMMED
  total += span;
#if VW == 1
  ends += total;
#else
  CALC lanes[VW];
  VSTORE(lanes, 0, total);
  for (int half_ = VW / 2; half_ > 0; half_ /= 2)
    for (int l = 0; l < half_; l++) lanes[l] += lanes[l + half_];
  ends += lanes[0];
#endif
  STORE_TOTAL((get_global_id(2) * get_global_size(1) + get_global_id(1)) * get_global_size(0) + get_global_id(0), ends);
#endif
}
