/* 3x3 convolutions of stride 1, and gradients of their inputs, by Winograd's minimal filtering F(2x2, 3x3): 16 instead of
 * 36 multiplications for each 2x2 results (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016).
 *
 *   results(o) = A' ( sum over channels c of (G w(o, c) G') * (B' d(c) B) ) A          * element by element
 *
 * d is the 4x4 part of the input that a tile of 2x2 results sees. The sums are 16 matrix products, one for each element of
 * the 4x4:
 *
 *   planes with a border (conv_planes.clh) -> panel [16][channel][NR tiles]
 *                                               |  times weights [16][output][channel]
 *                                             sums [16][output][NR tiles] -> results
 *
 * The columns of panels are pieces of rows of tiles (conv_winograd_inputs.clh). What overlaps is stored twice.
 *
 * All numbers of B and A are 1 or -1, those of G 1 or 1/2, and sums are of a ninth of the terms: rounding errors are as
 * those of plain sums. A NaN or an infinity reaches all results of the tiles that see it.
 *
 * Kernels: winograd_weights   packed [group][16][output / MR][channel][MR]
 *          winograd           the rest; CPUs only
 */
#include "conv_planes.clh"
#include "conv_panel_tiles.clh"

#ifndef OUTPUTS_AT_ONCE
#define OUTPUTS_AT_ONCE 32 /* whose sums lie in the cache together; a panel is read once for all of them */
#endif
/* Of panels and sums, elements have a vector between them: they would else lie powers of two apart, and put each other out of
 * the cache. */
#define SUMS_STEP (OUTPUTS_AT_ONCE * NR + VW)
#include "conv_winograd_inputs.clh"

/* Results of half a vector of tiles. */
#if PIECES == 1
#define STORE_HALF(y, at, v) VSTORE_T(y, (at)[0], v)
#else
static inline void store_half(__global T *y, const int *at, V v) {
#if WIDEN
  REAL lanes[VW];
  VSTORE(lanes, 0, v);
  for (int l = 0; l < VW; l++) STORE_T(y, at[l / HALF] + l % HALF, lanes[l]);
#else
  PASTE(vstore, HALF)(v.lo, 0, y + at[0]);
  PASTE(vstore, HALF)(v.hi, 0, y + at[1]);
#endif
}
#define STORE_HALF(y, at, v) store_half(y, at, v)
#endif

/* A row of results of a vector of tiles. */
static inline void store_row(V left, V right, const int *at, __global T *y) {
  V first, second;
  first.even = left.lo, first.odd = right.lo, second.even = left.hi, second.odd = right.hi;
  STORE_HALF(y, at, first);
  STORE_HALF(y, at + PIECES, second);
}

/* A' m A of each tile, bias and relu, of `rows` outputs; element e of output r lies at sums + e * SUMS_STEP + r * NR. */
static OUTLINED void finish(const __global REAL *sums, int rows, const Columns *columns, const __global T *bias, int relu,
                            __global T *y, int plane, int row) {
  const INDEX step = SUMS_STEP;
  V least = (V)(relu ? 0 : -INFINITY);
  for (int r = 0; r < rows; r++, y += plane, sums += NR) {
    V shift = (V)(bias ? (REAL)LOAD_T(bias, r) : 0);
    for (int k = 0; k < columns->count; k += VECTOR_PIECES) {
      const int v = k * PIECE;
      V upper[4], lower[4];
      UNROLL for (int j = 0; j < 4; j++) {
        V a = VLOAD(sums, j * step + v), b = VLOAD(sums, (4 + j) * step + v), c = VLOAD(sums, (8 + j) * step + v);
        upper[j] = a + b + c;
        lower[j] = b - c - VLOAD(sums, (12 + j) * step + v);
      }
#define ENDED(value) ((value) < least ? least : (value))
#define STORE_ROW(m, to)                                                                                           \
  {                                                                                                                \
    V left = m[0] + m[1] + m[2] + shift, right = m[1] - m[2] - m[3] + shift;                                       \
    store_row(ENDED(left), ENDED(right), columns->at + k, to);                                                        \
  }
      STORE_ROW(upper, y)
      STORE_ROW(lower, y + row)
    }
  }
}

/* Operands and division of labour of winograd. */
typedef struct {
  const __global T *x, *bias;
  const __global REAL *weights;
  __global T *y;
  int block_images, bands, band_rows, relu;
  __global REAL *planes, *panel, *sums;
} Product;

/* A block of images by a band of rows of tiles, of one group. */
static OUTLINED void sum_unit(const Geometry *g, const Product *job, int unit) {
  int first_row = unit % job->bands * job->band_rows, group = unit / job->bands % g->groups;
  int first_image = unit / job->bands / g->groups * job->block_images, images = min(job->block_images, g->images - first_image);
  int rows = min(job->band_rows, g->to_h / 2 - first_row), row_pieces = (g->to_w / 2 + PIECE - 1) / PIECE;
  int from_plane = g->from_h * g->from_w, to_plane = g->to_h * g->to_w, tiles = (g->outputs + MR - 1) / MR;
  INDEX first_plane = (INDEX)first_image * g->groups + group;
  const __global T *x = job->x + first_plane * g->channels * from_plane;
  __global T *y = job->y + first_plane * g->outputs * to_plane;
  const __global T *bias = job->bias ? job->bias + group * g->outputs : 0;
  const __global REAL *weights = job->weights + (INDEX)group * 16 * tiles * MR * g->channels;
  for (int i = 0; i < images; i++)
    copy_planes(g, x + (INDEX)i * g->groups * g->channels * from_plane, g->channels, 2 * first_row + g->low_h, job->bands > 1,
                job->planes + i * g->channels * g->plane_step);
  int row = 0, piece = 0, image = 0;
  while (image < images) {
    Columns columns;
    for (columns.count = 0; columns.count < VECTOR_PIECES * NV && image < images; columns.count++) {
      int column = min(piece * PIECE, g->to_w / 2 - PIECE);
      columns.from[columns.count] = image * g->channels * g->plane_step + 2 * (row * g->row_step + column);
      columns.at[columns.count] = image * g->groups * g->outputs * to_plane + 2 * ((first_row + row) * g->to_w + column);
      if (++piece < row_pieces) continue;
      piece = 0;
      if (++row < rows) continue;
      row = 0;
      image++;
    }
    for (; columns.count % VECTOR_PIECES; columns.count++) { /* the last one again */
      columns.from[columns.count] = columns.from[columns.count - 1];
      columns.at[columns.count] = columns.at[columns.count - 1];
    }
    int vectors = columns.count / VECTOR_PIECES;
    INDEX element = (INDEX)g->channels * vectors * VW + VW;
    for (int c = 0; c < g->channels; c++)
      transform_inputs(job->planes + c * g->plane_step, g->row_step, &columns, job->panel + c * vectors * VW, element);
    for (int o = 0; o < g->outputs; o += OUTPUTS_AT_ONCE) {
      int outputs = min(OUTPUTS_AT_ONCE, g->outputs - o);
      for (int e = 0; e < 16; e++)
        for (int r = 0; r < outputs; r += MR) {
          const __global REAL *lines[MR], *first = weights + ((INDEX)e * tiles * MR + o + r) * g->channels;
          UNROLL for (int l = 0; l < MR; l++) lines[l] = first + l;
          multiply_tile(vectors, lines, MR, job->panel + e * element, g->channels,
                        job->sums + e * SUMS_STEP + r * NR, 1);
        }
      finish(job->sums, outputs, &columns, bias ? bias + o : 0, job->relu, y + (INDEX)o * to_plane, to_plane, g->to_w);
    }
  }
}

/* scratch: transformed weights (`skip` elements), then a slice for each work-item: planes, panel, sums. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void winograd(
    const __global T *x, const __global T *bias, __global T *y, __global REAL *scratch, INDEX x_offset, INDEX bias_offset,
    INDEX y_offset, GEOMETRY, PLANES, INDEX skip, int units, int units_per_item, INDEX slice, int planes, INDEX panel,
    int block_images, int bands, int band_rows, int has_bias, int relu) {
  Geometry g = GATHER_GEOMETRY;
  __global REAL *mine = scratch + skip + (INDEX)get_global_id(0) * slice;
  Product job = {x + x_offset, has_bias ? bias + bias_offset : 0, scratch, y + y_offset, block_images, bands, band_rows,
                 relu, mine, mine + planes, mine + planes + panel};
  for (int j = 0; j < planes; j++) job.planes[j] = 0;
  int first_unit = get_global_id(0) * units_per_item;
  for (int unit = first_unit; unit < min(units, first_unit + units_per_item); unit++) sum_unit(&g, &job, unit);
}

typedef PASTE(REAL, MR) Rows;

/* G w G' of all weights of a tile of outputs: tap t of channel c of output o is w[o * w_row + c * w_channel + t], or, for a
 * gradient of the input, the tap opposite. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void winograd_weights(
    const __global T *w, __global REAL *packed, INDEX w_offset, int groups, int channels, int outputs, int w_row,
    int w_channel, int opposite) {
  int tiles = (outputs + MR - 1) / MR;
  for (int unit = get_global_id(0); unit < groups * tiles; unit += get_global_size(0)) {
    int group = unit / tiles, tile = unit % tiles;
    const __global T *from = w + w_offset + (INDEX)group * outputs * channels * 9;
    __global REAL *to = packed + ((INDEX)group * 16 * tiles + tile) * channels * MR;
    INDEX step = (INDEX)tiles * channels * MR;
    int there = min(MR, outputs - tile * MR);
    from += (INDEX)tile * MR * w_row;
    for (int c = 0; c < channels; c++, to += MR, from += w_channel) {
      REAL read[9][MR];
      Rows taps[9], rows[4][3];
      for (int r = 0; r < MR; r++)
        UNROLL for (int t = 0; t < 9; t++) read[t][r] = r < there ? LOAD_T(from + r * w_row, opposite ? 8 - t : t) : 0;
      UNROLL for (int t = 0; t < 9; t++) taps[t] = PASTE(vload, MR)(0, read[t]);
      UNROLL for (int j = 0; j < 3; j++) {
        rows[0][j] = taps[j];
        rows[1][j] = (taps[j] + taps[3 + j] + taps[6 + j]) * (Rows)(0.5f);
        rows[2][j] = (taps[j] - taps[3 + j] + taps[6 + j]) * (Rows)(0.5f);
        rows[3][j] = taps[6 + j];
      }
      UNROLL for (int i = 0; i < 4; i++) {
        const Rows *row = rows[i];
        const Rows results[4] = {row[0], (row[0] + row[1] + row[2]) * (Rows)(0.5f), (row[0] - row[1] + row[2]) * (Rows)(0.5f),
                                 row[2]};
        UNROLL for (int j = 0; j < 4; j++) PASTE(vstore, MR)(results[j], 0, to + (i * 4 + j) * step);
      }
    }
  }
}
