/* Matrix products: C[z] = act(alpha * A[z] B[z] + bias), or C[z] += ..., for matrices of any strides. In place of a bias
 * the sums of A's rows can be had: the bias' gradient beside the weight's; or a gate, a matrix where C is, which is what a
 * ReLU gave: C becomes 0 where the gate is not above 0, which is the ReLU's gradient.
 *
 *      n
 *     +------------+          A is m x k, B is k x n, C is m x n; a stride for batch, row and column of each, in
 *   k |     B      |          elements, so a transposed operand is a matter of strides, and batch stride 0 repeats one.
 *     +------------+
 *   k                         CPU form: work-group = work-item = a block of ITEM_ROWS x ITEM_COLUMNS of C, walked in
 *  +---+------------+         register tiles of MR x (NV * VW), in slices of block_depth along k:
 *  |   | item | item|
 * m| A |------+-----|           for each slice, for each block_columns: copy B's columns to panels   (if b_copied)
 *  |   |    C       |             for each block_rows: copy A's rows                               (if a_copied)
 *  +---+------------+               for each NV * VW columns, for each MR rows: multiply, add to C
 *
 * A panel of B stays in L1 while the rows of A pass it, a slice of A stays in L2. Rows of A that are dense along k are
 * read where they are: a broadcast load does not care, and the copy costs more than it gains.
 *
 * Kernels (CPU): gemm_tiles  all products
 *                gemm_dots   both operands dense along k and few rows: vectors run along k, nothing is copied
 * Kernels (GPU): gemm_blocks work-groups of GROUP x GROUP items, each PER_ITEM x PER_ITEM elements of a tile
 * Both:          gemm_sum    second stage of a product whose k was split among the batch index
 *
 * 16-bit floats are widened while they are copied, and accumulated in float over the whole of k.
 */
#ifndef CODE
#define CODE f32 /* dtype code of the elements in memory */
#endif
#ifndef REAL
#define REAL float /* type of arithmetic */
#endif
#ifndef SCALAR
#define SCALAR REAL /* type of the alpha argument */
#endif
#ifndef VW
#define VW 8 /* lanes of a vector of REAL: the device's native width */
#endif
#ifndef MR
#define MR 4 /* rows of a register tile: 4 x 3 accumulators fill AVX2's 16 registers, 8 x 3 AVX-512's 32; 1 for one row */
#endif
#ifndef NV
#define NV 3 /* vectors in a row of a register tile; 12 for one row, which then reads whole cache lines of B */
#endif
#ifndef WIDEN
#define WIDEN 0 /* 1: elements in memory are narrower than REAL, so operands have to pass through panels */
#endif
#ifndef FLOATING
#define FLOATING 1 /* whether REAL is a floating-point type */
#endif
#ifndef GROUP
#define GROUP 16 /* GPU: a work-group is GROUP x GROUP work-items */
#endif
#ifndef PER_ITEM
#define PER_ITEM 4 /* GPU: a work-item computes PER_ITEM x PER_ITEM elements */
#endif
#ifndef DEPTH
#define DEPTH 16 /* GPU: how much of k lies in local memory at a time */
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif

#include "types.clh"

#define T PASTE(T_, CODE)
#define LOAD_T(p, i) PASTE(LOAD_, CODE)(p, i)
#define STORE_T(p, i, v) PASTE(STORE_, CODE)(p, i, v)
#define VLOAD_T(p, i) PASTE(VLOAD_, CODE)(p, i)
#define VSTORE_T(p, i, v) PASTE(VSTORE_, CODE)(p, i, v)
#define UNROLL _Pragma("unroll")
#define SUMMED 64 /* elements of a row of A that are added up before they join its sum */
#if FLOATING
#define MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif
/* A tile is a function of its own, so that nothing else competes for its registers. */
#define OUTLINED __attribute__((noinline))
typedef VEC(REAL) V;

/* What becomes of a tile's sums on their way to C. */
typedef struct {
  int rows, columns;    /* how many of the tile's exist */
  INDEX c_row, c_column;
  REAL alpha;
  int add, relu, plain; /* whether C is added to; negative results become 0; neither bias, relu nor gaps between columns */
  const __global T *bias_row, *bias_column; /* at the tile's first row, column; or 0 */
  const __global T *gate, *first;           /* the gate, or 0, and the element of C where it begins */
} Finish;

static OUTLINED void finish_one(REAL sum, int row, int column, __global T *c, const Finish *finish) {
  INDEX at = row * finish->c_row + column * finish->c_column;
  REAL value = sum * finish->alpha;
  if (finish->add) value += LOAD_T(c, at);
  if (finish->bias_row) value += LOAD_T(finish->bias_row, row);
  if (finish->bias_column) value += LOAD_T(finish->bias_column, column);
  if (finish->gate && LOAD_T(finish->gate, c - finish->first + at) <= 0) value = 0;
  STORE_T(c, at, finish->relu && value < 0 ? 0 : value);
}

#define OPERANDS                                                                                                  \
  const __global T *a, const __global T *b, __global T *c, const __global T *bias, __global REAL *scratch,        \
      INDEX a_offset, INDEX b_offset, INDEX c_offset, INDEX bias_offset, int m, int n, int k, INDEX a_batch,      \
      INDEX a_row, INDEX a_column, INDEX b_batch, INDEX b_row, INDEX b_column, INDEX c_batch, INDEX c_row,        \
      INDEX c_column, int split, SCALAR alpha, int bias_kind, int relu, int accumulate
#define BIAS_ROW 1
#define BIAS_COLUMN 2
#define ROW_SUMS 3 /* `bias` is written: m sums, of the rows of A */
#define GATE 4
/* How the elements of C end, but for what belongs to a tile: its size and its part of the bias. */
#define BEGIN_FINISH                             \
  Finish finish;                                 \
  finish.c_row = c_row;                          \
  finish.c_column = c_column;                    \
  finish.alpha = (REAL)alpha;                    \
  finish.add = accumulate;                       \
  finish.relu = relu;                            \
  finish.gate = bias_kind == GATE ? bias : 0;    \
  finish.first = c;

/* Sums over k of A's row, in blocks, so that rounding does not grow with k. */
static OUTLINED REAL row_sum(const __global T *a, int k, INDEX a_column) {
  REAL total = 0;
  for (int begin = 0; begin < k; begin += SUMMED) {
    REAL part = 0;
    for (int q = begin; q < min(begin + SUMMED, k); q++) part += LOAD_T(a, q * a_column);
    total += part;
  }
  return total;
}

/* Moves a, b, c and bias to this batch element; a batch element of a split product is `split` of k. */
#define ENTER_BATCH(z)                          \
  a += a_offset + (INDEX)(z) * a_batch;         \
  b += b_offset + (INDEX)(z) * b_batch;         \
  c += c_offset + (INDEX)(z) * c_batch;         \
  bias += bias_offset + (bias_kind == GATE ? (INDEX)(z) * c_batch : 0); \
  if (split) k = min(split, k - (int)(z) * split);

#if DEVICE_CPU

#define NR (NV * VW)

#include "gemm_copy.clh"

/* Stores the sums of a tile, `vectors` in each row. */
static OUTLINED void finish_tile(const V *sums, int vectors, __global T *c, const Finish *finish) {
  for (int r = 0; r < finish->rows; r++)
    for (int v = 0; v < vectors; v++) {
      V value = sums[r * vectors + v];
      int column = v * VW, lanes = min(VW, finish->columns - column);
      if (lanes == VW && finish->c_column == 1) {
        INDEX at = r * finish->c_row + column;
        value *= (V)(finish->alpha);
        if (finish->add) value += VLOAD_T(c, at);
        if (finish->bias_row) value += (V)(LOAD_T(finish->bias_row, r));
        if (finish->bias_column) value += VLOAD_T(finish->bias_column, column);
        if (finish->gate) value = VLOAD_T(finish->gate, c - finish->first + at) <= (V)(0) ? (V)(0) : value;
        if (finish->relu) value = value < (V)(0) ? (V)(0) : value;
        VSTORE_T(c, at, value);
      } else {
        REAL edge[VW];
        VSTORE(edge, 0, value);
        for (int l = 0; l < lanes; l++) finish_one(edge[l], r, column + l, c, finish);
      }
    }
}

#if NV > 3
#define VECTORS NV
#include "gemm_tile.clh"
#endif
#define VECTORS 3
#include "gemm_tile.clh"
#define VECTORS 2
#include "gemm_tile.clh"
#define VECTORS 1
#include "gemm_tile.clh"

/* A slice of A and one of B as they lie in memory or in copies, and the block of C that their product is added to. */
typedef struct {
  int rows, columns, depth, b_copied;
  const __global REAL *a;
  INDEX a_row, a_step; /* from row to row, from column to column; in panels of MR rows a_row is 1 and a_step MR */
  INDEX a_tile;        /* from the first row of a tile to that of the next */
  const __global T *b;
  INDEX b_row, b_column;
  __global REAL *b_copy;
  const __global T *bias_row, *bias_column;
} Block;

/* The sums of rows of A, side by side where they lie so. */
static OUTLINED void row_sums(const __global T *a, int rows, int k, INDEX a_row, INDEX a_column, __global T *sums) {
  int i = 0;
  for (; a_row == 1 && i + VW <= rows; i += VW) {
    V total = (V)(0);
    for (int begin = 0; begin < k; begin += SUMMED) {
      V part = (V)(0);
      for (int q = begin; q < min(begin + SUMMED, k); q++) part += VLOAD_T(a, i + q * a_column);
      total += part;
    }
    VSTORE_T(sums, i, total);
  }
  for (; i < rows; i++) STORE_T(sums, i, row_sum(a + i * a_row, k, a_column));
}

/* One panel of B stays in L1 while all rows of A's slice, which stays in L2, pass it. */
static OUTLINED void multiply_block(const Block *block, __global T *c, Finish *finish) {
  int depth = block->depth;
  for (int j = 0, width; j < block->columns; j += width) {
    width = tile_columns(block->columns - j);
    const __global T *b = block->b + j * block->b_column;
    const __global REAL *b_tile = (const __global REAL *)b;
    INDEX b_step = block->b_row;
    if (block->b_copied) {
      b_tile = block->b_copy + (INDEX)j * B_STEP(depth);
      b_step = WHOLE_VECTORS(width);
    } else if (width % VW) { /* nothing beyond B may be read */
      copy_b_tile(b, block->b_row, block->b_column, depth, width, block->b_copy);
      b_tile = block->b_copy;
      b_step = WHOLE_VECTORS(width);
    }
    finish->columns = width;
    finish->bias_column = block->bias_column ? block->bias_column + j : 0;
    for (int i = 0; i < block->rows; i += MR) {
      finish->rows = min(MR, block->rows - i);
      finish->bias_row = block->bias_row ? block->bias_row + i : 0;
      const __global REAL *a_tile = block->a + i / MR * block->a_tile;
      INDEX a_rows[MR], a_step = block->a_step;
      UNROLL for (int r = 0; r < MR; r++) a_rows[r] = min(r, finish->rows - 1) * block->a_row;
      __global T *c_tile = c + i * finish->c_row + j * finish->c_column;
#if NV > 3
      if (width == NR) PASTE(tile_, NV)(a_tile, a_rows, a_step, b_tile, b_step, depth, c_tile, finish);
      else
#endif
      if (width > 2 * VW) tile_3(a_tile, a_rows, a_step, b_tile, b_step, depth, c_tile, finish);
      else if (width > VW) tile_2(a_tile, a_rows, a_step, b_tile, b_step, depth, c_tile, finish);
      else tile_1(a_tile, a_rows, a_step, b_tile, b_step, depth, c_tile, finish);
    }
  }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void gemm_tiles(
    OPERANDS, int item_rows, int item_columns, int block_rows, int block_columns, int block_depth, int a_copied,
    int b_copied) {
  ENTER_BATCH(get_global_id(2))
  BEGIN_FINISH
  int first_row = get_global_id(1) * item_rows, first_column = get_global_id(0) * item_columns;
  int rows = min(item_rows, m - first_row), columns = min(item_columns, n - first_column);
  INDEX item = get_global_id(0) + get_global_size(0) * (get_global_id(1) + get_global_size(1) * get_global_id(2));
  INDEX a_size = a_copied ? (INDEX)block_rows * A_STEP(block_depth) : 0;
  INDEX b_size = (INDEX)(b_copied ? block_columns : NR) * B_STEP(block_depth); /* not copied: but a ragged tile is */
  __global REAL *b_copy = scratch + item * (a_size + b_size), *a_copy = b_copy + b_size;
  int by_column = !WIDEN && MR > 1 && a_row == 1 && a_column != 1;
  a += first_row * a_row;
  b += first_column * b_column;
  c += first_row * c_row + first_column * c_column;
  if (bias_kind == ROW_SUMS && first_column == 0) row_sums(a, rows, k, a_row, a_column, (__global T *)bias + first_row);
  Block block;
  block.b_row = b_row;
  block.b_column = b_column;
  block.b_copied = b_copied;
  block.b_copy = b_copy;
  int begin = 0;
  do { /* once even where k is 0: C becomes the bias */
    int depth = block.depth = min(block_depth, k - begin);
    int last = begin + depth >= k;
    finish.add = begin > 0 || accumulate;
    finish.relu = relu && last;
    finish.gate = last && bias_kind == GATE ? bias : 0;
    finish.plain = c_column == 1 && !(last && (relu || finish.gate || bias_kind == BIAS_ROW || bias_kind == BIAS_COLUMN));
    block.a_row = a_copied ? (by_column ? 1 : A_STEP(depth)) : a_row;
    block.a_step = a_copied ? (by_column ? MR : 1) : a_column;
    block.a_tile = MR * (a_copied ? A_STEP(depth) : a_row);
    for (int column = 0; column < columns; column += block_columns) {
      block.columns = min(block_columns, columns - column);
      block.b = b + begin * b_row + column * b_column;
      block.bias_column = last && bias_kind == BIAS_COLUMN ? bias + first_column + column : 0;
      if (b_copied) copy_b(block.b, b_row, b_column, depth, block.columns, b_copy);
      for (int row = 0; row < rows; row += block_rows) {
        block.rows = min(block_rows, rows - row);
        block.bias_row = last && bias_kind == BIAS_ROW ? bias + first_row + row : 0;
        const __global T *slice = a + row * a_row + begin * a_column;
        if (a_copied && (column == 0 || rows > block_rows))
          copy_a(slice, a_row, a_column, block.rows, depth, by_column, a_copy);
        block.a = a_copied ? a_copy : (const __global REAL *)slice;
        multiply_block(&block, c + row * c_row + column * c_column, &finish);
      }
    }
    begin += depth;
  } while (begin < k);
}

#include "lanes.clh"

#if MR == 1
#define DOT_ROWS 1
#define DOT_COLUMNS 6
#else
#define DOT_ROWS 4
#define DOT_COLUMNS 3
#endif

/* Products of rows of A with columns of B that are both dense along k, DOT_ROWS x DOT_COLUMNS at a time. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void gemm_dots(OPERANDS, int item_columns) {
  ENTER_BATCH(get_global_id(2))
  int first_column = get_global_id(0) * item_columns, end_column = min(first_column + item_columns, n);
  BEGIN_FINISH
  for (int j = first_column; j < end_column; j += DOT_COLUMNS) {
    const __global T *columns[DOT_COLUMNS];
    UNROLL for (int s = 0; s < DOT_COLUMNS; s++) columns[s] = b + min(j + s, end_column - 1) * b_column;
    for (int i = 0; i < m; i += DOT_ROWS) {
      const __global T *rows[DOT_ROWS];
      UNROLL for (int r = 0; r < DOT_ROWS; r++) rows[r] = a + min(i + r, m - 1) * a_row;
      V acc[DOT_ROWS][DOT_COLUMNS];
      UNROLL for (int r = 0; r < DOT_ROWS; r++) UNROLL for (int s = 0; s < DOT_COLUMNS; s++) acc[r][s] = (V)(0);
      int q = 0;
      for (; q + VW <= k; q += VW) {
        V right[DOT_COLUMNS];
        UNROLL for (int s = 0; s < DOT_COLUMNS; s++) right[s] = VLOAD_T(columns[s], q);
        UNROLL for (int r = 0; r < DOT_ROWS; r++) {
          V left = VLOAD_T(rows[r], q);
          UNROLL for (int s = 0; s < DOT_COLUMNS; s++) acc[r][s] = MULTIPLY_ADD(left, right[s], acc[r][s]);
        }
      }
      REAL sums[DOT_ROWS][DOT_COLUMNS];
      UNROLL for (int r = 0; r < DOT_ROWS; r++) UNROLL for (int s = 0; s < DOT_COLUMNS; s++)
        sums[r][s] = LANES_SUM(acc[r][s]);
      for (; q < k; q++)
        UNROLL for (int r = 0; r < DOT_ROWS; r++) UNROLL for (int s = 0; s < DOT_COLUMNS; s++)
          sums[r][s] = MULTIPLY_ADD((REAL)LOAD_T(rows[r], q), (REAL)LOAD_T(columns[s], q), sums[r][s]);
      finish.bias_row = bias_kind == BIAS_ROW ? bias + i : 0;
      finish.bias_column = bias_kind == BIAS_COLUMN ? bias + j : 0;
      __global T *c_tile = c + i * c_row + j * c_column;
      UNROLL for (int r = 0; r < DOT_ROWS; r++) UNROLL for (int s = 0; s < DOT_COLUMNS; s++)
        if (i + r < m && j + s < end_column) finish_one(sums[r][s], r, s, c_tile, &finish);
    }
  }
}

#else /* GPU */

#define TILE (GROUP * PER_ITEM)
#define ITEMS (GROUP * GROUP)

/* A work-group computes a TILE x TILE tile of C. DEPTH of k at a time lies in local memory, both operands as
 * [depth][TILE]; one column of padding keeps the stores of a transposing copy out of one bank. The next slice is
 * loaded into registers while this one is multiplied. */
__kernel __attribute__((reqd_work_group_size(GROUP, GROUP, 1))) void gemm_blocks(OPERANDS) {
  ENTER_BATCH(get_global_id(2))
  __local REAL a_tile[DEPTH][TILE + 1], b_tile[DEPTH][TILE + 1];
  int x = get_local_id(0), y = get_local_id(1), item = y * GROUP + x;
  int first_row = get_group_id(1) * TILE, first_column = get_group_id(0) * TILE;
  REAL acc[PER_ITEM][PER_ITEM], a_next[TILE * DEPTH / ITEMS], b_next[TILE * DEPTH / ITEMS];
  UNROLL for (int r = 0; r < PER_ITEM; r++) UNROLL for (int s = 0; s < PER_ITEM; s++) acc[r][s] = 0;
  /* Neighbouring items read neighbouring memory, whichever way the operand lies. */
  int a_by_row = a_row == 1, b_by_column = b_column == 1;
#define A_ROW(e) (a_by_row ? (e) % TILE : (e) / DEPTH)
#define A_DEPTH(e) (a_by_row ? (e) / TILE : (e) % DEPTH)
#define B_COLUMN(e) (b_by_column ? (e) % TILE : (e) / DEPTH)
#define B_DEPTH(e) (b_by_column ? (e) / TILE : (e) % DEPTH)
#define FETCH(begin)                                                                                \
  UNROLL for (int f = 0; f < TILE * DEPTH / ITEMS; f++) {                                           \
    int e = item + f * ITEMS;                                                                       \
    int i = first_row + A_ROW(e), j = first_column + B_COLUMN(e);                                   \
    int qa = (begin) + A_DEPTH(e), qb = (begin) + B_DEPTH(e);                                       \
    a_next[f] = i < m && qa < k ? LOAD_T(a, i * a_row + qa * a_column) : 0;                         \
    b_next[f] = j < n && qb < k ? LOAD_T(b, qb * b_row + j * b_column) : 0;                         \
  }
  if (bias_kind == ROW_SUMS && first_column == 0 && item < TILE && first_row + item < m)
    STORE_T((__global T *)bias, first_row + item, row_sum(a + (first_row + item) * a_row, k, a_column));
  FETCH(0)
  for (int begin = 0; begin < k; begin += DEPTH) {
    UNROLL for (int f = 0; f < TILE * DEPTH / ITEMS; f++) {
      int e = item + f * ITEMS;
      a_tile[A_DEPTH(e)][A_ROW(e)] = a_next[f];
      b_tile[B_DEPTH(e)][B_COLUMN(e)] = b_next[f];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    FETCH(begin + DEPTH)
    for (int q = 0; q < DEPTH; q++) {
      REAL left[PER_ITEM], right[PER_ITEM];
      UNROLL for (int r = 0; r < PER_ITEM; r++) left[r] = a_tile[q][y + r * GROUP];
      UNROLL for (int s = 0; s < PER_ITEM; s++) right[s] = b_tile[q][x + s * GROUP];
      UNROLL for (int r = 0; r < PER_ITEM; r++) UNROLL for (int s = 0; s < PER_ITEM; s++)
        acc[r][s] = MULTIPLY_ADD(left[r], right[s], acc[r][s]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  BEGIN_FINISH
  finish.bias_row = bias_kind == BIAS_ROW ? bias : 0;
  finish.bias_column = bias_kind == BIAS_COLUMN ? bias : 0;
  UNROLL for (int r = 0; r < PER_ITEM; r++) UNROLL for (int s = 0; s < PER_ITEM; s++) {
    int i = first_row + y + r * GROUP, j = first_column + x + s * GROUP;
    if (i < m && j < n) finish_one(acc[r][s], i, j, c, &finish);
  }
}
#endif

/* Second stage of a split product: `parts` partial products [part][m][n] in scratch are added up into C. */
__kernel void gemm_sum(__global T *c, const __global T *bias, const __global REAL *scratch, INDEX c_offset,
                       INDEX bias_offset, int parts, int m, int n, INDEX c_row, INDEX c_column, SCALAR alpha,
                       int bias_kind, int relu, int accumulate) {
  c += c_offset;
  bias += bias_offset;
  BEGIN_FINISH
  finish.bias_row = bias_kind == BIAS_ROW ? bias : 0;
  finish.bias_column = bias_kind == BIAS_COLUMN ? bias : 0;
  for (int e = get_global_id(0); e < m * n; e += get_global_size(0)) {
    REAL sum = 0;
    for (int part = 0; part < parts; part++) sum += scratch[(INDEX)part * m * n + e];
    finish_one(sum, e / n, e % n, c, &finish);
  }
}
