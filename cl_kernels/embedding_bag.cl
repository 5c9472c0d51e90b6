/* Sums and means of bags of rows of a table; weighted sums, which are a matrix of compressed rows times the table.
 *
 *   indices [total], offsets [bags]     bag b: indices offsets[b] .. offsets[b + 1], the last one up to `total`; the last of
 *                                       BAGS_END + bags offsets ends it where BAGS_END is 1; with UNIFORM bag b has `length`
 *   table [rows][width]                 result [bags][width]
 *   factors [total]                     of the rows, where WEIGHTED is 1
 *
 *   a line of the result   | 4 * VW columns | ... | 2 * VW | VW | less than VW |   in registers, while all rows of the bag are read
 *
 * On a CPU a work-item takes `chunk` bags; elsewhere get_global_id(0) is a column, get_global_id(1) a bag. An index that is
 * out of range is skipped and sets *status, which the host looks at when it waits.
 */
#ifndef CODE
#define CODE f32 /* dtype codes of the table, the indices and the offsets */
#define INDEX_CODE i64
#define OFFSET_CODE i64
#endif
#ifndef REAL
#define REAL float
#endif
#ifndef MEAN
#define MEAN 0
#endif
#ifndef UNIFORM
#define UNIFORM 0
#endif
#ifndef BAGS_END
#define BAGS_END 0
#endif
#ifndef WEIGHTED
#define WEIGHTED 0
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#ifndef VW
#define VW 8
#endif
#include "types.clh"

#define T PASTE(T_, CODE)
#define LOAD(p, i) PASTE(LOAD_, CODE)(p, i)
#define STORE(p, i, v) PASTE(STORE_, CODE)(p, i, v)
#define LOAD_V(p, i) PASTE(VLOAD_, CODE)(p, i)
#define STORE_V(p, i, v) PASTE(VSTORE_, CODE)(p, i, v)
#define T_INDEX PASTE(T_, INDEX_CODE)
#define T_OFFSET PASTE(T_, OFFSET_CODE)

#if WEIGHTED
#define FACTOR LOAD(factors, i) *
#else
#define FACTOR
#endif

/* Runs the statement for each row of a bag. */
#define EACH_ROW(statement)                                      \
  for (INDEX i = begin; i < end; i++) {                          \
    const long row = indices[i];                                 \
    if (row < 0 || row >= rows) {                                \
      *status = 1;                                               \
      continue;                                                  \
    }                                                            \
    __global const T *from = table + o_table + row * width;      \
    statement                                                    \
  }

/* The next `tile` vectors of columns. */
#define COLUMNS(tile)                                                                                            \
  {                                                                                                              \
    VEC(REAL) sums[tile];                                                                                        \
    _Pragma("unroll") for (int t = 0; t < tile; t++) sums[t] = 0;                                                \
    EACH_ROW(_Pragma("unroll") for (int t = 0; t < tile; t++) sums[t] += FACTOR LOAD_V(from, c + t * VW);)       \
    _Pragma("unroll") for (int t = 0; t < tile; t++) STORE_V(to, c + t * VW, sums[t] / divisor);                 \
    c += tile * VW;                                                                                              \
  }

__kernel void embedding_bag(__global const T *table, __global const T_INDEX *indices, __global const T_OFFSET *offsets,
#if WEIGHTED
                            __global const T *factors,
#endif
                            __global T *out, __global int *status, INDEX o_table, INDEX o_indices, INDEX o_offsets,
#if WEIGHTED
                            INDEX o_factors,
#endif
                            INDEX o_out, INDEX bags, INDEX chunk, INDEX total, INDEX length, INDEX rows, INDEX width) {
  indices += o_indices;
  offsets += o_offsets;
#if WEIGHTED
  factors += o_factors;
#endif
#if DEVICE_CPU
  const INDEX first = get_global_id(0) * chunk, last = min(first + chunk, bags);
  for (INDEX b = first; b < last; b++) {
#else
  const INDEX column = get_global_id(0), b = get_global_id(1);
  if (column < width) {
#endif
#if UNIFORM
    const INDEX begin = b * length, end = begin + length;
#else
    const INDEX begin = clamp((long)offsets[b], 0L, (long)total);
    const INDEX end = BAGS_END || b + 1 < bags ? clamp((long)offsets[b + 1], 0L, (long)total) : total;
#endif
    const REAL divisor = MEAN ? (REAL)max(end - begin, (INDEX)1) : (REAL)1;
    __global T *to = out + o_out + b * width;
#if DEVICE_CPU
    INDEX c = 0;
    while (c + 4 * VW <= width) COLUMNS(4)
    if (c + 2 * VW <= width) COLUMNS(2)
    if (c + VW <= width) COLUMNS(1)
    if (c < width) {
      /* Vectors reach into the row after: of the last rows what is left is read by itself. */
      const int left = width - c;
      VEC(REAL) sum = 0;
      REAL lanes[VW];
      for (int l = 0; l < VW; l++) lanes[l] = 0;
      EACH_ROW(if (row * width + c + VW <= rows * width) {
        sum += FACTOR LOAD_V(from, c);
      } else {
        for (int l = 0; l < left; l++) lanes[l] = LOAD(from, c + l);
        sum += FACTOR VLOAD(lanes, 0);
      })
      VSTORE(lanes, 0, sum / divisor);
      for (int l = 0; l < left; l++) STORE(to, c + l, lanes[l]);
    }
#else
    REAL sum = 0;
    EACH_ROW(sum += FACTOR LOAD(from, column);)
    STORE(to, column, sum / divisor);
#endif
  }
}
