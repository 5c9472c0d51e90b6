/* Reading and writing at places that tensors of indices name: the one kernel of indexing, gather, scatter, embedding.
 *
 * Values v of any strides lie over the dimensions of the result; each stands for one element of x:
 *
 *   v[p]  <->  x[ sum over dims  p_d * xs_d   +  sum over index tensors k  wrap(index_k[p]) * step_k ]
 *
 * xs_d is 0 in a dimension in which only indices choose. Index tensors have strides of their own over p (0 where they are
 * broadcast). The launcher merges dimensions and writes a prelude:
 *   PARAMETERS    buffers x, v, b_0, b_1 ..., status; offsets; sizes; strides
 *   ROW_STARTS    x_row, v_row, r_0 ...: where the row of free position f and ordered position s begins
 *   LOCATE(i)     adds the indices' part to `at`; sets `out` where one is out of range
 *   AHEAD(n)      where the row of free position f + n begins in x, of a large x on a CPU, which cannot guess where that is
 *                 (4096 rows of 256 of 32,000: 71 to 58 us)
 *
 *            <-------------- N: innermost dimension ------------>
 *   f = 0    [ CHUNK ][ CHUNK ] ...                                 get_global_id(0): which chunk
 *     s = 0, 1, ... SEQUENCE - 1                                    walked in order by one work-item
 *   f = 1    ...                                                    get_global_id(1): which FREE_CHUNK positions
 *
 * Where several values may meet in one element of x, the dimensions with xs_d = 0 are the ordered ones: each element has one
 * writer, which adds in the order of p (and of values put in one place the last stays), the same in every run without
 * atomics. Where that leaves a GPU with few work-items, OWNERS of them walk the same line, and each takes the elements
 * whose first index is its own modulo OWNERS:                        get_global_id(2): which owner
 * An index that is out of range sets *status, which the host looks at when it waits.
 */
#ifndef OPERATION
#define OPERATION 0 /* READ: v = x. PUT: x = v. ADD, MULTIPLY, LARGER, SMALLER: x = x with v */
#endif
#define READ 0
#define PUT 1
#define ADD 2
#define MULTIPLY 3
#define LARGER 4
#define SMALLER 5
#ifndef CODE
#define CODE f32 /* dtype code of the elements; of what is only moved, that of an integer of its size */
#endif
#ifndef REAL
#define REAL float /* type of arithmetic */
#endif
#ifndef HOISTED
#define HOISTED 0 /* 1: no index changes within a row */
#endif
#ifndef WHOLE
#define WHOLE 0 /* 1: VW elements at a time can be moved, or computed with as they lie */
#endif
#ifndef EIGHTS
#define EIGHTS 0 /* 1: eight elements of a row at a time are read by indices alone, on a CPU */
#endif
#ifndef X_STEP
#define X_STEP 1 /* strides of x and v in the innermost dimension */
#define V_STEP 1
#define PARAMETERS ELEMENTS(x), ELEMENTS(v), STATUS, INDEX N, INDEX CHUNK, INDEX FREE, INDEX FREE_CHUNK, INDEX SEQUENCE
#define ROW_STARTS INDEX x_row = f * N, v_row = f * N;
#define LOCATE(i)
#endif

#include "types.clh"

#define ELEMENT PASTE(T_, CODE)
#define ELEMENTS(name) __global ELEMENT *restrict name /* x and v lie apart */
#define INDICES(code, name) __global const T_##code *restrict name
#define STATUS __global int *status
#define LOAD(p, i) PASTE(LOAD_, CODE)(p, i)
#define STORE(p, i, v) PASTE(STORE_, CODE)(p, i, v)

/* Adds place * step to `at`, where place counts from the end if it is negative and NEGATIVE is 1, and sets `out` where it is
 * out of range. What is read there is no matter, as an error follows: the first place is read, without a branch, unless EIGHTS
 * are looked at together. What is written is left out. By the first index of an element its owner is told: the others leave it
 * to that one. */
#define FIND(index, size, step, first)                                                       \
  {                                                                                          \
    long place = index;                                                                      \
    if (NEGATIVE && place < 0) place += size;                                                \
    if (first && OWNERS > 1 && (place & (OWNERS - 1)) != (long)get_global_id(2)) continue;   \
    const int outside = (ulong)place >= (ulong)(size);                                       \
    out |= outside;                                                                          \
    at += (PLACE)(READ_ANYWAY && outside ? 0 : place) * (step);                              \
  }
#define READ_ANYWAY (OPERATION == READ && !EIGHTS)
#if READ_ANYWAY
#define LEAVE_OUT missing |= out;
#else
#define LEAVE_OUT  \
  if (out) {       \
    missing = 1;   \
    continue;      \
  }
#endif
#define ROWS_AHEAD 2 /* 1: 60 us */
#ifndef OWNERS
#define OWNERS 1 /* a power of two */
#endif
#ifndef NEGATIVE
#define NEGATIVE 0
#endif

#if EIGHTS
#define PLACE long
#define EIGHT_i32 int8
#define EIGHT_i64 long8
/* What the indices add to the place of element i + k, as at<k>. */
#define FOUND(k)       \
  PLACE at##k;         \
  {                    \
    PLACE at = 0;      \
    LOCATE(i + k)      \
    at##k = at;        \
  }
#else
#define PLACE INDEX
#endif

static inline void move(__global ELEMENT *x, PLACE at, __global ELEMENT *v, INDEX here) {
#if OPERATION == READ
  STORE(v, here, LOAD(x, at));
#elif OPERATION == PUT
  STORE(x, at, LOAD(v, here));
#else
  REAL a = LOAD(x, at), b = LOAD(v, here);
#if OPERATION == ADD
  STORE(x, at, a + b);
#elif OPERATION == MULTIPLY
  STORE(x, at, a * b);
#elif OPERATION == LARGER /* NaN stays and wins */
  STORE(x, at, b > a || b != b ? b : a);
#else
  STORE(x, at, b < a || b != b ? b : a);
#endif
#endif
}

#if WHOLE && VW > 1
#define REST _Pragma("clang loop vectorize(disable) unroll(disable)") /* few elements are left, which a compiler cannot know */
static inline void move_whole(__global ELEMENT *x, __global ELEMENT *v) {
#if OPERATION == READ
  VSTORE(v, 0, VLOAD(x, 0));
#elif OPERATION == PUT
  VSTORE(x, 0, VLOAD(v, 0));
#else
  VSTORE(x, 0, VLOAD(x, 0) + VLOAD(v, 0));
#endif
}
#endif

__kernel void indexed(PARAMETERS) {
  const INDEX begin = get_global_id(0) * CHUNK, end = min(begin + CHUNK, N);
  const INDEX first = get_global_id(1) * FREE_CHUNK, last = min(first + FREE_CHUNK, FREE);
  int missing = 0;
  for (INDEX f = first; f < last; f++)
    for (INDEX s = 0; s < SEQUENCE; s++) {
      ROW_STARTS
      INDEX i = begin;
#if HOISTED
      PLACE at = x_row;
      int out = 0;
      LOCATE(0)
      LEAVE_OUT
#if WHOLE && VW > 1 && X_STEP == 1 && V_STEP == 1
#ifdef AHEAD
      __global const ELEMENT *later = x + AHEAD(f + ROWS_AHEAD < last ? ROWS_AHEAD : 0);
      for (; i + VW <= end; i += VW) {
        __builtin_prefetch(later + i);
        move_whole(x + at + i, v + v_row + i);
      }
#else
      for (; i + VW <= end; i += VW) move_whole(x + at + i, v + v_row + i);
#endif
      REST
#endif
      for (; i < end; i++) move(x, at + i * X_STEP, v, v_row + i * V_STEP);
#else
#if EIGHTS
      __global const ELEMENT *line = x + x_row;
      for (; i + 8 <= end; i += 8) {
        int out = 0;
        FOUND(0) FOUND(1) FOUND(2) FOUND(3) FOUND(4) FOUND(5) FOUND(6) FOUND(7)
        LEAVE_OUT
        vstore8((PASTE(EIGHT_, CODE))(line[at0], line[at1], line[at2], line[at3], line[at4], line[at5], line[at6], line[at7]),
                0, v + v_row + i);
      }
#endif
      for (; i < end; i++) {
        PLACE at = x_row + i * X_STEP;
        int out = 0;
        LOCATE(i)
        LEAVE_OUT
        move(x, at, v, v_row + i * V_STEP);
      }
#endif
    }
  if (missing) *status = 1;
}
