/* 2-D convolution (cross-correlation) of NCHW tensors: forward, gradient of the input, gradient of the weights.
 *
 * All operands are contiguous: x (images, groups * channels, height, width), w (groups * outputs, channels, kernel_h,
 * kernel_w), y (images, groups * outputs, out_h, out_w). No im2col: an output position is a position in the input plus
 * a constant offset for each (channel, tap), so a vector of VW neighbouring outputs needs VW neighbouring inputs.
 *
 *   input, copied once into planes with a border of zeros     output
 *   0 0 0 0 0 0 0 0 0 0 0 0                                   +--------------------+
 *   0 [ x . . . . . . . ] 0     vector at p + offset(c, tap)  | [vector at p     ] |
 *   0 [ . . . . . . . . ] 0   ----------------------------->  | [ ...            ] |   a row's last vector overlaps the
 *   0 0 0 0 0 0 0 0 0 0 0 0         times w(o, c, tap)        +--------------------+   one before it: no partial ones
 *   <-------- pitch ------>
 *
 * Stride s is a matter of which plane: the input is split by phase into s * s planes (every s-th row and column), and
 * the offset of a tap picks the plane. For the gradient of the input the roles are swapped: outputs are split by
 * phase, each phase has taps of its own (every s-th), and a vector of results is stored s elements apart. Both are one
 * kernel; SIGN is +1 or -1:
 *
 *   e = phase + SIGN * (tap * dilation - padding), only taps with e % to_step == 0;
 *   e / to_step = from_step * offset + plane
 *
 * A work-item takes a range of units (image, group, band of rows, part of the outputs), so that its planes stay in its cache.
 *
 * Kernels (CPU): conv_planes   forward (from x to y) and gradient of the input (from y to x)
 *                conv_weights  gradients of weights and bias: vectors run along the positions, sums over them at the end
 * Kernels (GPU): conv_blocks, conv_weights_blocks: implicit matrix products in tiles of local memory
 * Both:          conv_sum      adds up the weight gradients of the work-items
 */
#ifndef CODE
#define CODE f32 /* dtype code of the elements in memory */
#endif
#ifndef REAL
#define REAL float /* type of arithmetic */
#endif
#ifndef VW
#define VW 8 /* lanes of a vector of REAL */
#endif
#ifndef MR
#define MR 4 /* output channels of a register tile; 1 for depthwise convolutions */
#endif
#ifndef WIDEN
#define WIDEN 0 /* 1: elements in memory are narrower than REAL */
#endif
#ifndef GROUP
#define GROUP 16 /* GPU: a work-group is GROUP x GROUP work-items */
#endif
#ifndef PER_ITEM
#define PER_ITEM 4 /* GPU: a work-item computes PER_ITEM x PER_ITEM elements */
#endif
#ifndef DEPTH
#define DEPTH 16 /* GPU: terms of the sums that lie in local memory at a time */
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
/* A loop whose accumulators fill all registers is a function of its own: within the kernel they would compete with
 * whatever else the compiler keeps in registers, and be spilled; a third of the speed was lost so. */
#define OUTLINED __attribute__((noinline))
typedef VEC(REAL) V;

/* Of one group: channels that are read and outputs that are written; the tensors' planes; the taps. */
#define GEOMETRY                                                                                                    \
  int images, int groups, int channels, int outputs, int from_h, int from_w, int to_h, int to_w, int kernel_h,      \
      int kernel_w, int dilation_h, int dilation_w, int padding_h, int padding_w, int from_step_h, int from_step_w, \
      int to_step_h, int to_step_w, int sign

#if DEVICE_CPU

/* How the input lies: in planes of plane_h rows of `pitch` elements, of which row 0 and column 0 are those of the
 * lowest offset of a tap; or, in_place, where it is. A row begins row_step elements after the one above it, a plane
 * plane_step elements after the one before: sums over taps want all planes of a row close together (fewer pages), sums
 * over positions all rows of a plane (a dense stream). */
#define PLANES int low_h, int low_w, int plane_h, int pitch, int row_step, int plane_step, int in_place

typedef struct {
  int images, groups, channels, outputs, from_h, from_w, to_h, to_w, kernel_h, kernel_w, dilation_h, dilation_w;
  int padding_h, padding_w, from_step_h, from_step_w, to_step_h, to_step_w, sign; /* so far GEOMETRY */
  int low_h, low_w, plane_h, pitch, row_step, plane_step, in_place; /* PLANES */
} Geometry;

#define GATHER_GEOMETRY                                                                                             \
  {                                                                                                                 \
    images, groups, channels, outputs, from_h, from_w, to_h, to_w, kernel_h, kernel_w, dilation_h, dilation_w,      \
        padding_h, padding_w, from_step_h, from_step_w, to_step_h, to_step_w, sign, low_h, low_w, plane_h, pitch,   \
        row_step, plane_step, in_place                                                                              \
  }

static inline int floor_divide(int a, int b) { return (a >= 0 ? a : a - b + 1) / b; }

/* Elements that the planes of one image's group take. */
static inline int planes_size(const Geometry *g) {
  return g->channels * g->from_step_h * g->from_step_w * g->plane_h * g->pitch;
}

/* `count` elements, every step-th, of a row of the input. The last vector overlaps the one before it. */
static inline void copy_row(const __global T *from, int step, int count, __global REAL *to) {
#if !WIDEN
  if (step <= 2 && count >= VW) {
    for (int j = 0; j < count; j += VW) {
      int at = min(j, count - VW);
      const __global T *p = from + at * step;
      if (step == 1) VSTORE(to, at, VLOAD_T(p, 0));
      else VSTORE(to, at, (V)(VLOAD_T(p, 0).even, VLOAD_T(p, VW - 1).odd)); /* nothing beyond the last is read */
    }
    return;
  }
#endif
  for (int j = 0; j < count; j++) to[j] = LOAD_T(from, j * step);
}

/* Copies one image's group to planes [channel][phase row][phase column]; plane row 0 is row `top` of its phase. The
 * border is zero already; rows outside the input are zeroed again where `clear`. */
static OUTLINED void copy_planes(const Geometry *g, const __global T *from, int top, int clear, __global REAL *to) {
  int step_h = g->from_step_h, step_w = g->from_step_w;
  for (int c = 0; c < g->channels; c++, from += g->from_h * g->from_w)
    for (int phase_h = 0; phase_h < step_h; phase_h++)
      for (int phase_w = 0; phase_w < step_w; phase_w++, to += g->plane_step) {
        int first = g->low_w * step_w + phase_w; /* the input's column in plane column 0; then in the first that exists */
        int begin = first >= 0 ? 0 : (step_w - 1 - first) / step_w;
        int count = min(g->pitch - begin, floor_divide(g->from_w - 1 - first - begin * step_w, step_w) + 1);
        first += begin * step_w;
        for (int row = 0; row < g->plane_h; row++) {
          int source = (top + row) * step_h + phase_h;
          __global REAL *line = to + row * g->row_step;
          if (source >= 0 && source < g->from_h) copy_row(from + source * g->from_w + first, step_w, count, line + begin);
          else if (clear) for (int j = 0; j < g->pitch; j++) line[j] = 0;
        }
      }
}

/* Where a tap's input lies, along one dimension, relative to an output of the given phase: in which plane, and how far.
 * Returns 0 where the phase lacks the tap. */
static OUTLINED int tap_offset(int e, int to_step, int from_step, int low, int *plane, int *offset) {
  int quotient = floor_divide(e, to_step), far = floor_divide(quotient, from_step);
  *plane = quotient - far * from_step;
  *offset = far - low;
  return quotient * to_step == e;
}

/* Offset in the planes of tap t's input of channel c for an output of the given phase, or -1. */
static OUTLINED int step_offset(const Geometry *g, int phase_h, int phase_w, int c, int t) {
  int plane_row, plane_column, row, column;
  int e_h = phase_h + g->sign * (t / g->kernel_w * g->dilation_h - g->padding_h);
  int e_w = phase_w + g->sign * (t % g->kernel_w * g->dilation_w - g->padding_w);
  if (!tap_offset(e_h, g->to_step_h, g->from_step_h, g->low_h, &plane_row, &row)) return -1;
  if (!tap_offset(e_w, g->to_step_w, g->from_step_w, g->low_w, &plane_column, &column)) return -1;
  int plane = (c * g->from_step_h + plane_row) * g->from_step_w + plane_column;
  return plane * g->plane_step + row * g->row_step + column;
}

/* Column of vector `block` of a row of `width` outputs. */
static inline int vector_column(int block, int width) { return max(0, min(block * VW, width - VW)); }

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

#define VECTORS 3
#include "conv_tile.clh"
#define VECTORS 2
#include "conv_tile.clh"
#define VECTORS 1
#include "conv_tile.clh"

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
  for (int o = first_output; o < last_output; o += MR) {
    int row = 0, column = 0;
    ending.rows = min(MR, last_output - o);
    ending.y = y + o * ending.plane;
    ending.bias = bias ? bias + o : 0;
    for (int v = 0; v < total; v += 3) {
      const __global REAL *lines[3];
      int at[3];
      for (int s = 0; s < 3; s++) {
        int left = vector_column(column, width);
        lines[s] = source + row * g->row_step + left;
        at[s] = ((first_row + row) * g->to_step_h + phase_h) * g->to_w + left * g->to_step_w + phase_w;
        if (++column == per_row) {
          column = 0;
          row++;
        }
      }
      const __global T *tile = w + o * job->w_row;
      if (total - v >= 3) tile_3(tile, job->w_row, steps, depth, lines, at, &ending);
      else if (total - v == 2) tile_2(tile, job->w_row, steps, depth, lines, at, &ending);
      else tile_1(tile, job->w_row, steps, depth, lines, at, &ending);
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
  else copy_planes(g, x, first_row + g->low_h, job->bands > 1, planes);
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

#if VW == 16
#define LANES_SUM(v) sum_8((v).lo + (v).hi)
#elif VW == 8
#define LANES_SUM(v) sum_8(v)
#elif VW == 4
#define LANES_SUM(v) sum_4(v)
#endif
static inline REAL sum_4(PASTE(REAL, 4) v) { return (v.s0 + v.s2) + (v.s1 + v.s3); }
static inline REAL sum_8(PASTE(REAL, 8) v) { return sum_4(v.lo + v.hi); }

#define TAPS 3 /* (channel, tap) pairs of a tile of conv_weights, whose other side are MR output channels */

/* sums[r][s] = sum over the vectors q, and over their lanes, of  (rows[r] + q.y) * (source + offsets[s] + q.x). */
static OUTLINED void sum_products(const __global REAL *const *rows, const __global REAL *source,
                                  const __global int *offsets, int pairs, const __global int2 *vectors, int length,
                                  REAL (*sums)[TAPS]) {
  V acc[MR][TAPS];
  UNROLL for (int r = 0; r < MR; r++) UNROLL for (int s = 0; s < TAPS; s++) acc[r][s] = (V)(0);
  const __global REAL *inputs[TAPS], *lines[MR];
  UNROLL for (int s = 0; s < TAPS; s++) inputs[s] = source + offsets[min(s, pairs - 1)];
  UNROLL for (int r = 0; r < MR; r++) lines[r] = rows[r];
  for (int q = 0; q < length; q++) {
    long x_step = vectors[q].x, y_step = vectors[q].y; /* long: the offsets become addresses without a conversion */
    V input[TAPS];
    UNROLL for (int s = 0; s < TAPS; s++) input[s] = VLOAD(inputs[s], x_step);
    UNROLL for (int r = 0; r < MR; r++) {
      V g = VLOAD(lines[r], y_step);
      UNROLL for (int s = 0; s < TAPS; s++) acc[r][s] = fma(g, input[s], acc[r][s]);
    }
  }
  UNROLL for (int r = 0; r < MR; r++) UNROLL for (int s = 0; s < TAPS; s++) sums[r][s] = LANES_SUM(acc[r][s]);
}

/* Operands and division of labour of conv_weights. A unit is a block of images by a band of rows, long enough to make
 * the sums over lanes at its end cheap. */
typedef struct {
  const __global T *x, *y;
  __global REAL *sums_w, *sums_b; /* [output channel][channel * tap], [output channel] or 0 */
  int bands, band_rows, block_images, y_in_place;
  __global int *offsets;  /* of the (channel, tap) pairs */
  __global int2 *vectors; /* offsets of the unit's vectors in x and in y */
  __global REAL *y_rows, *planes;
} Summation;

/* Copies the gradient of y, with zeros in the lanes that a row's last vector shares with the one before it: they
 * count once. Only where rows are not whole vectors. */
static OUTLINED void copy_gradient(const Geometry *g, const __global T *from, int images, int height,
                                   __global REAL *to) {
  for (int i = 0; i < images; i++)
    for (int o = 0; o < g->outputs; o++)
      for (int row = 0; row < height; row++) {
        const __global T *line = from + (((INDEX)i * g->groups * g->outputs + o) * g->to_h + row) * g->to_w;
        for (int begin = 0; begin < g->to_w; begin += VW, to += VW) {
          int column = vector_column(begin / VW, g->to_w);
          if (begin + VW <= g->to_w) VSTORE(to, 0, VLOAD_T(line, begin));
          else
            for (int l = 0; l < VW; l++)
              to[l] = column + l >= begin && column + l < g->to_w ? LOAD_T(line, column + l) : 0;
        }
      }
}

/* Adds a unit's sums to those of the work-item, or sets them with the `first` unit. */
static OUTLINED void sum_unit(const Geometry *g, const Summation *job, int unit, int first) {
  int first_row = unit % job->bands * job->band_rows, height = min(job->band_rows, g->to_h - first_row);
  int first_image = unit / job->bands * job->block_images, images = min(job->block_images, g->images - first_image);
  int per_row = (g->to_w + VW - 1) / VW, all_outputs = g->groups * g->outputs, pairs = g->channels * g->kernel_h * g->kernel_w;
  int from_plane = g->from_h * g->from_w, to_plane = g->to_h * g->to_w;
  int x_image = g->in_place ? g->groups * g->channels * from_plane : planes_size(g);
  int y_plane = job->y_in_place ? to_plane : height * per_row * VW;
  int y_image = job->y_in_place ? all_outputs * to_plane : g->outputs * y_plane;
  int length = 0;
  for (int i = 0; i < images; i++)
    for (int row = 0; row < height; row++)
      for (int v = 0; v < per_row; v++)
        job->vectors[length++] = (int2)(i * x_image + row * g->row_step + vector_column(v, g->to_w),
                                        i * y_image + (row * per_row + v) * VW);
  for (int group = 0; group < g->groups; group++) {
    const __global T *x = job->x + (INDEX)(first_image * g->groups + group) * g->channels * from_plane;
    const __global T *y =
        job->y + (INDEX)(first_image * g->groups + group) * g->outputs * to_plane + first_row * g->to_w;
    const __global REAL *source = job->planes, *y_rows = job->y_rows;
    if (g->in_place) source = (const __global REAL *)(x + first_row * g->from_w);
    else
      for (int i = 0; i < images; i++)
        copy_planes(g, x + (INDEX)i * g->groups * g->channels * from_plane, first_row + g->low_h, job->bands > 1,
                    job->planes + (INDEX)i * x_image);
    if (job->y_in_place) y_rows = (const __global REAL *)y;
    else copy_gradient(g, y, images, height, job->y_rows);
    for (int o = 0; o < g->outputs; o += MR) {
      int tile_rows = min(MR, g->outputs - o), output = group * g->outputs + o;
      const __global REAL *rows[MR];
      for (int r = 0; r < MR; r++) rows[r] = y_rows + min(o + r, g->outputs - 1) * y_plane;
      for (int r = 0; job->sums_b && r < tile_rows; r++) {
        V sum = (V)(0);
        for (int q = 0; q < length; q++) sum += VLOAD(rows[r], job->vectors[q].y);
        job->sums_b[output + r] = (first ? 0 : job->sums_b[output + r]) + LANES_SUM(sum);
      }
      for (int j = 0; j < pairs; j += TAPS) {
        REAL sums[MR][TAPS];
        int tile_pairs = min(TAPS, pairs - j);
        sum_products(rows, source, job->offsets + j, tile_pairs, job->vectors, length, sums);
        for (int r = 0; r < tile_rows; r++)
          for (int s = 0; s < tile_pairs; s++) {
            __global REAL *sum = job->sums_w + (INDEX)(output + r) * pairs + j + s;
            *sum = (first ? 0 : *sum) + sums[r][s];
          }
      }
    }
  }
}

/* The work-items' sums over their units lie in scratch behind the slices, and conv_sum adds them up; the sums of an
 * only work-item are the result (`finished`). slice: scratch elements of a work-item: tables, rows of y, planes. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_weights(
    const __global T *x, const __global T *y, __global T *dw, __global T *db, __global REAL *scratch, INDEX x_offset,
    INDEX y_offset, INDEX dw_offset, INDEX db_offset, GEOMETRY, PLANES, int units, int units_per_item, int slice,
    int table, int y_space, int bands, int band_rows, int block_images, int y_in_place, int has_bias, int finished) {
  Geometry g = GATHER_GEOMETRY;
  int taps = kernel_h * kernel_w, pairs = channels * taps;
  INDEX weights = (INDEX)groups * outputs * pairs;
  __global REAL *mine = scratch + (INDEX)get_global_id(0) * slice;
  __global REAL *sums = scratch + (INDEX)get_global_size(0) * slice + get_global_id(0) * (weights + groups * outputs);
  Summation job = {x + x_offset, y + y_offset, sums, sums + weights, bands, band_rows, block_images, y_in_place,
                   (__global int *)mine, (__global int2 *)mine + (pairs + 1) / 2, mine + table,
                   mine + table + y_space};
#if !WIDEN
  if (finished) {
    job.sums_w = (__global REAL *)(dw + dw_offset);
    job.sums_b = (__global REAL *)(db + db_offset);
  }
#endif
  if (!has_bias) job.sums_b = 0;
  for (int j = 0; j < pairs; j++) job.offsets[j] = step_offset(&g, 0, 0, j / taps, j % taps);
  for (int j = table + y_space; j < slice; j++) mine[j] = 0;
  int first_unit = get_global_id(0) * units_per_item;
  for (int unit = first_unit; unit < min(units, first_unit + units_per_item); unit++)
    sum_unit(&g, &job, unit, unit == first_unit);
}

#else /* GPU */

/* forward and input gradient: rows of the product are output channels, columns the positions (image, row, column) of
 * the result, terms (channel, tap). */
#define TILE (GROUP * PER_ITEM)
#define ITEMS (GROUP * GROUP)
#define LOADS (TILE * DEPTH / ITEMS)

/* The sums of a TILE x TILE tile: LEFT(i, q) and RIGHT(q, j) fetch an operand's element (0 outside), CONSECUTIVE says
 * whether neighbouring items take neighbouring terms (1) or neighbouring rows or columns (0). */
#define BLOCK_PRODUCT(terms_begin, terms_end, LEFT, LEFT_CONSECUTIVE, RIGHT, RIGHT_CONSECUTIVE)                    \
  __local REAL left_tile[DEPTH][TILE + 1], right_tile[DEPTH][TILE + 1];                                            \
  int item = get_local_id(1) * GROUP + get_local_id(0);                                                            \
  REAL acc[PER_ITEM][PER_ITEM];                                                                                    \
  UNROLL for (int r = 0; r < PER_ITEM; r++) UNROLL for (int s = 0; s < PER_ITEM; s++) acc[r][s] = 0;               \
  for (int begin = terms_begin; begin < (terms_end); begin += DEPTH) {                                             \
    for (int f = 0; f < LOADS; f++) {                                                                              \
      int e = item + f * ITEMS;                                                                                    \
      int i = LEFT_CONSECUTIVE ? e / DEPTH : e % TILE, qi = LEFT_CONSECUTIVE ? e % DEPTH : e / TILE;               \
      int j = RIGHT_CONSECUTIVE ? e / DEPTH : e % TILE, qj = RIGHT_CONSECUTIVE ? e % DEPTH : e / TILE;             \
      left_tile[qi][i] = begin + qi < (terms_end) ? LEFT(first_row + i, begin + qi) : 0;                           \
      right_tile[qj][j] = begin + qj < (terms_end) ? RIGHT(begin + qj, first_column + j) : 0;                      \
    }                                                                                                              \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                                  \
    for (int q = 0; q < DEPTH; q++) {                                                                              \
      REAL left[PER_ITEM], right[PER_ITEM];                                                                        \
      UNROLL for (int r = 0; r < PER_ITEM; r++) left[r] = left_tile[q][get_local_id(1) + r * GROUP];               \
      UNROLL for (int s = 0; s < PER_ITEM; s++) right[s] = right_tile[q][get_local_id(0) + s * GROUP];             \
      UNROLL for (int r = 0; r < PER_ITEM; r++) UNROLL for (int s = 0; s < PER_ITEM; s++)                          \
        acc[r][s] = fma(left[r], right[s], acc[r][s]);                                                             \
    }                                                                                                              \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                                  \
  }

/* The element that a tap (kernel row and column) of output position (row, column) reads, or 0 in the border. */
static inline REAL tap_input(const __global T *plane, int row, int column, int tap_h, int tap_w, int from_h,
                             int from_w, int dilation_h, int dilation_w, int padding_h, int padding_w,
                             int from_step_h, int from_step_w, int to_step_h, int to_step_w, int sign) {
  int h = row * from_step_h + sign * (tap_h * dilation_h - padding_h);
  int w = column * from_step_w + sign * (tap_w * dilation_w - padding_w);
  if (h < 0 || w < 0 || h % to_step_h || w % to_step_w) return 0;
  h /= to_step_h;
  w /= to_step_w;
  return h < from_h && w < from_w ? LOAD_T(plane, h * from_w + w) : 0;
}
#define TAP_INPUT(plane, row, column, tap)                                                                          \
  tap_input(plane, row, column, (tap) / kernel_w, (tap) % kernel_w, from_h, from_w, dilation_h, dilation_w,         \
            padding_h, padding_w, from_step_h, from_step_w, to_step_h, to_step_w, sign)

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

/* Gradients of weights and bias: rows are output channels, columns (channel, tap) and, last, the bias; terms are the
 * positions (image, row, column), of which each third index of the NDRange sums `share`. */
__kernel __attribute__((reqd_work_group_size(GROUP, GROUP, 1))) void conv_weights_blocks(
    const __global T *x, const __global T *y, __global REAL *partial, INDEX x_offset, INDEX y_offset, GEOMETRY,
    int share) {
  int taps = kernel_h * kernel_w, pairs = channels * taps, to_plane = to_h * to_w, positions = images * to_plane;
  int group = get_global_id(2) % groups, part = get_global_id(2) / groups, all_outputs = groups * outputs;
  int first_row = get_group_id(1) * TILE, first_column = get_group_id(0) * TILE;
  int first_term = part * share, last_term = min(positions, first_term + share);
  x += x_offset + group * channels * from_h * from_w;
  y += y_offset + group * outputs * to_plane;
#define GRADIENT(o, p) \
  (o < outputs ? LOAD_T(y, ((INDEX)((p) / to_plane) * all_outputs + (o)) * to_plane + (p) % to_plane) : 0)
#define INPUT_OR_ONE(p, j)                                                                                          \
  ((j) < pairs ? TAP_INPUT(x + ((INDEX)((p) / to_plane) * groups * channels + (j) / taps) * from_h * from_w,        \
                           (p) % to_plane / to_w, (p) % to_w, (j) % taps)                                           \
               : (REAL)1)
  BLOCK_PRODUCT(first_term, last_term, GRADIENT, 1, INPUT_OR_ONE, 1)
  partial += (INDEX)part * all_outputs * (pairs + 1);
  UNROLL for (int r = 0; r < PER_ITEM; r++) UNROLL for (int s = 0; s < PER_ITEM; s++) {
    int o = first_row + get_local_id(1) + r * GROUP, j = first_column + get_local_id(0) + s * GROUP;
    int output = group * outputs + o;
    if (o < outputs && j <= pairs)
      partial[j < pairs ? (INDEX)output * pairs + j : (INDEX)all_outputs * pairs + output] = acc[r][s];
  }
}
#endif

/* Adds up `parts` partial results, each `weights` elements of dw followed by `biases` of db. */
__kernel void conv_sum(__global T *dw, __global T *db, const __global REAL *partial, INDEX dw_offset, INDEX db_offset,
                       INDEX skip, int parts, int stride, int weights, int biases) {
  partial += skip;
  for (int e = get_global_id(0); e < weights + biases; e += get_global_size(0)) {
    REAL sum = 0;
    for (int part = 0; part < parts; part++) sum += partial[(INDEX)part * stride + e];
    if (e < weights) STORE_T(dw, dw_offset + e, sum);
    else STORE_T(db, db_offset + e - weights, sum);
  }
}
