/* 2-D convolution (cross-correlation) of NCHW tensors, and the gradient of its input.
 *
 * A vector of VW neighbouring outputs is the sum, over (channel, tap), of VW neighbouring inputs times a weight:
 *
 *   planes (conv_planes.clh)                                  output
 *   0 0 0 0 0 0 0 0 0 0 0 0                                   +--------------------+
 *   0 [ x . . . . . . . ] 0     vector at p + offset(c, tap)  | [vector at p     ] |
 *   0 [ . . . . . . . . ] 0   ----------------------------->  | [ ...            ] |   a row's last vector overlaps the
 *   0 0 0 0 0 0 0 0 0 0 0 0         times w(o, c, tap)        +--------------------+   one before it: no partial ones
 *
 * A work-item takes a range of units (image, group, band of rows, part of the outputs), so that its planes stay in its
 * cache.
 *
 * Kernels (CPU): conv_planes   forward (from x to y) and gradient of the input (from y to x)
 * Kernels (GPU): conv_blocks   implicit matrix products in tiles of local memory
 */
#include "conv_planes.clh"

#if DEVICE_CPU

/* How a tile's results are stored. */
typedef struct {
  __global T *y;          /* at the tile's first channel */
  const __global T *bias; /* of the tile's first channel, or 0 */
  int rows, lanes;        /* channels and lanes that exist */
  int plane, step;        /* elements from channel to channel, from lane to lane */
  REAL least;             /* results below it become it: 0 for relu, else minus infinity; NaN stays */
} Ending;

/* Stores the sums of a tile that lacks channels or lanes, or whose lanes lie apart; vector v of a channel begins at[v]
 * elements from the tile's first channel. */
static OUTLINED void finish_tile(const V *sums, int vectors, const int *at, const Ending *ending) {
  for (int r = 0; r < ending->rows; r++) {
    REAL bias = ending->bias ? (REAL)LOAD_T(ending->bias, r) : 0;
    for (int v = 0; v < vectors; v++) {
      REAL lanes[VW];
      VSTORE(lanes, 0, sums[r * vectors + v] + (V)(bias));
      __global T *to = ending->y + r * ending->plane + at[v];
      for (int l = 0; l < ending->lanes; l++)
        STORE_T(to, l * ending->step, lanes[l] < ending->least ? ending->least : lanes[l]);
    }
  }
}

#define ROWS MR
#define VECTORS 3
#include "conv_tile.clh"
#define ROWS MR
#define VECTORS 2
#include "conv_tile.clh"
#define ROWS MR
#define VECTORS 1
#include "conv_tile.clh"
#if MR > 1 /* the last five or six outputs: 6 x 2 has as many accumulators as 4 x 3 and lacks fewer rows than two of 4 */
#define ROWS 6
#define VECTORS 2
#include "conv_tile.clh"
#define ROWS 6
#define VECTORS 1
#include "conv_tile.clh"
#endif
#define TILE_OF(rows, vectors) PASTE(PASTE(tile_, rows), PASTE(x, vectors))

/* Operands and division of labour of conv_planes. */
typedef struct {
  const __global T *x, *w, *bias;
  __global T *y;
  int w_row, w_channel; /* elements from output to output, from channel to channel of the weights */
  int parts, part_outputs, bands, band_rows;
  int relu;
} Correlation;

/* One phase of the outputs of a unit: rows first_row ... of the phase. */
static OUTLINED void correlate_phase(const Geometry *g, const Correlation *job, int phase_h, int phase_w, int first_row,
                                     int first_output, const __global T *w, const __global T *bias, __global T *y,
                                     const __global REAL *source, const __global int2 *steps, int depth) {
  int height = min(job->band_rows, (g->to_h - phase_h + g->to_step_h - 1) / g->to_step_h - first_row);
  int width = (g->to_w - phase_w + g->to_step_w - 1) / g->to_step_w, per_row = (width + VW - 1) / VW;
  int total = max(0, height) * per_row, last_output = min(g->outputs, first_output + job->part_outputs);
  Ending ending;
  ending.plane = g->to_h * g->to_w;
  ending.step = g->to_step_w;
  ending.lanes = min(VW, width);
  ending.least = job->relu ? 0 : -INFINITY;
  for (int o = first_output; o < last_output; o += ending.rows) {
    int left_over = last_output - o, wide = MR > 1 && (left_over == 5 || left_over == 6), together = wide ? 2 : 3;
    int row = 0, column = 0;
    const __global T *tile = w + o * job->w_row;
    ending.rows = wide ? left_over : min(MR, left_over);
    ending.y = y + o * ending.plane;
    ending.bias = bias ? bias + o : 0;
    for (int v = 0; v < total; v += together) {
      const __global REAL *lines[3];
      int at[3];
      for (int s = 0; s < together; s++) {
        int left = vector_column(column, width);
        lines[s] = source + row * g->row_step + left;
        at[s] = ((first_row + row) * g->to_step_h + phase_h) * g->to_w + left * g->to_step_w + phase_w;
        if (++column == per_row) {
          column = 0;
          row++;
        }
      }
#if MR > 1
      if (wide && total - v >= 2) TILE_OF(6, 2)(tile, job->w_row, steps, depth, lines, at, &ending);
      else if (wide) TILE_OF(6, 1)(tile, job->w_row, steps, depth, lines, at, &ending);
      else
#endif
      if (total - v >= 3) TILE_OF(MR, 3)(tile, job->w_row, steps, depth, lines, at, &ending);
      else if (total - v == 2) TILE_OF(MR, 2)(tile, job->w_row, steps, depth, lines, at, &ending);
      else TILE_OF(MR, 1)(tile, job->w_row, steps, depth, lines, at, &ending);
    }
  }
}

/* All outputs of a unit. The steps are those of all phases, one phase after the other; starts[phase] of them come
 * before each. */
static OUTLINED void correlate_unit(const Geometry *g, const Correlation *job, int unit, const __global int2 *steps,
                                    const __global int *starts, __global REAL *planes) {
  int first_output = unit % job->parts * job->part_outputs, first_row = unit / job->parts % job->bands * job->band_rows;
  int image_group = unit / job->parts / job->bands, group = image_group % g->groups;
  const __global T *x = job->x + (INDEX)image_group * g->channels * g->from_h * g->from_w;
  const __global T *w = job->w + (INDEX)group * g->outputs * g->channels * g->kernel_h * g->kernel_w;
  const __global T *bias = job->bias ? job->bias + group * g->outputs : 0;
  __global T *y = job->y + (INDEX)image_group * g->outputs * g->to_h * g->to_w;
  const __global REAL *source = planes;
  if (g->in_place) source = (const __global REAL *)(x + first_row * g->from_w);
  else copy_planes(g, x, g->channels, first_row + g->low_h, job->bands > 1, planes);
  for (int phase = 0; phase < g->to_step_h * g->to_step_w; phase++)
    correlate_phase(g, job, phase / g->to_step_w, phase % g->to_step_w, first_row, first_output, w, bias, y, source,
                    steps + starts[phase], starts[phase + 1] - starts[phase]);
}

/* slice: scratch elements of a work-item, of which `table` hold the steps. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_planes(
    const __global T *x, const __global T *w, const __global T *bias, __global T *y, __global REAL *scratch,
    INDEX x_offset, INDEX w_offset, INDEX bias_offset, INDEX y_offset, GEOMETRY, PLANES, int units, int units_per_item,
    int slice, int table, int w_row, int w_channel, int parts, int part_outputs, int bands, int band_rows,
    int has_bias, int relu) {
  Geometry g = GATHER_GEOMETRY;
  Correlation job = {x + x_offset, w + w_offset, has_bias ? bias + bias_offset : 0, y + y_offset, w_row, w_channel,
                     parts, part_outputs, bands, band_rows, relu};
  __global REAL *planes = scratch + (INDEX)get_global_id(0) * slice + table;
  __global int2 *steps = (__global int2 *)(planes - table);
  int phases = to_step_h * to_step_w, taps = kernel_h * kernel_w, filled = 0;
  __global int *starts = (__global int *)(steps + channels * taps);
  for (int phase = 0; phase < phases; phase++) {
    starts[phase] = filled;
    for (int c = 0; c < channels; c++)
      for (int t = 0; t < taps; t++) {
        int offset = step_offset(&g, phase / to_step_w, phase % to_step_w, c, t);
        if (offset >= 0) steps[filled++] = (int2)(offset, c * w_channel + t);
      }
  }
  starts[phases] = filled;
  for (int j = 0; j < slice - table; j++) planes[j] = 0;
  int first_unit = get_global_id(0) * units_per_item;
  for (int unit = first_unit; unit < min(units, first_unit + units_per_item); unit++)
    correlate_unit(&g, &job, unit, steps, starts, planes);
}

#else /* GPU */

#include "conv_blocks.clh"

/* Rows of the product are output channels, columns the positions (image, row, column) of the result, terms
 * (channel, tap). */
__kernel __attribute__((reqd_work_group_size(GROUP, GROUP, 1))) void conv_blocks(
    const __global T *x, const __global T *w, const __global T *bias, __global T *y, INDEX x_offset, INDEX w_offset,
    INDEX bias_offset, INDEX y_offset, GEOMETRY, int w_row, int w_channel, int has_bias, int relu) {
  int taps = kernel_h * kernel_w, group = get_global_id(2), to_plane = to_h * to_w, positions = images * to_plane;
  int first_row = get_group_id(1) * TILE, first_column = get_group_id(0) * TILE;
  x += x_offset + group * channels * from_h * from_w;
  y += y_offset + group * outputs * to_plane;
  w += w_offset + group * outputs * channels * taps;
#define WEIGHT(o, q) (o < outputs ? LOAD_T(w, (o) * w_row + (q) / taps * w_channel + (q) % taps) : 0)
#define INPUT(q, p)                                                                                                 \
  ((p) < positions ? TAP_INPUT(x + ((INDEX)((p) / to_plane) * groups * channels + (q) / taps) * from_h * from_w,    \
                               (p) % to_plane / to_w, (p) % to_w, (q) % taps)                                       \
                   : 0)
  BLOCK_PRODUCT(0, channels * taps, WEIGHT, 1, INPUT, 0)
  UNROLL for (int r = 0; r < PER_ITEM; r++) UNROLL for (int s = 0; s < PER_ITEM; s++) {
    int o = first_row + get_local_id(1) + r * GROUP, p = first_column + get_local_id(0) + s * GROUP;
    if (o < outputs && p < positions) {
      REAL value = acc[r][s] + (has_bias ? (REAL)LOAD_T(bias, bias_offset + group * outputs + o) : 0);
      INDEX at = ((INDEX)(p / to_plane) * groups * outputs + o) * to_plane + p % to_plane;
      STORE_T(y, at, relu && value < 0 ? 0 : value);
    }
  }
}
#endif
