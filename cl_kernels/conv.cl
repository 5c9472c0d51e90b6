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
typedef VEC(REAL) V;

/* Of one group: channels that are read and outputs that are written; the tensors' planes; the taps. */
#define GEOMETRY                                                                                                    \
  int images, int groups, int channels, int outputs, int from_h, int from_w, int to_h, int to_w, int kernel_h,      \
      int kernel_w, int dilation_h, int dilation_w, int padding_h, int padding_w, int from_step_h, int from_step_w, \
      int to_step_h, int to_step_w, int sign

#if DEVICE_CPU

static inline int floor_divide(int a, int b) { return (a >= 0 ? a : a - b + 1) / b; }

/* One row of a plane: elements first, first + step, ... of a row of `width`, zeros outside it. */
static inline void copy_row(const __global T *from, int width, int first, int step, __global REAL *to, int length) {
  int begin = min(length, first >= 0 ? 0 : (step - 1 - first) / step);
  int end = max(begin, min(length, floor_divide(width - 1 - first, step) + 1));
  for (int j = 0; j < begin; j++) to[j] = 0;
  int j = begin;
  if (step == 1) {
    for (; j + VW <= end; j += VW) VSTORE(to, j, VLOAD_T(from, first + j));
#if !WIDEN
  } else if (step == 2) {
    for (; j + VW < end; j += VW) { /* <: the last lane of `high` may not exist in the row's last vector */
      V low = VLOAD_T(from, first + 2 * j), high = VLOAD_T(from, first + 2 * j + VW);
      VSTORE(to, j, (V)(low.even, high.even));
    }
#endif
  }
  for (; j < end; j++) to[j] = LOAD_T(from, first + j * step);
  for (j = end; j < length; j++) to[j] = 0;
}

/* The planes [channel][phase row][phase column][rows][pitch] of one image's group; plane row 0 is row `top` of its
 * phase, plane column 0 is column `left`. */
static inline void copy_planes(const __global T *from, int channels, int height, int width, int step_h, int step_w,
                               int top, int left, int rows, int pitch, __global REAL *to) {
  for (int c = 0; c < channels; c++, from += height * width)
    for (int phase_h = 0; phase_h < step_h; phase_h++)
      for (int phase_w = 0; phase_w < step_w; phase_w++)
        for (int row = 0; row < rows; row++, to += pitch) {
          int source = (top + row) * step_h + phase_h;
          if (source < 0 || source >= height)
            for (int j = 0; j < pitch; j++) to[j] = 0;
          else
            copy_row(from + source * width, width, left * step_w + phase_w, step_w, to, pitch);
        }
}

/* Where a tap's input lies in the planes relative to an output of the given phase; false: the phase lacks the tap. */
static inline int tap_offset(int e, int to_step, int from_step, int low, int *plane, int *offset) {
  int quotient = floor_divide(e, to_step);
  *offset = floor_divide(quotient, from_step) - low;
  *plane = quotient - (*offset + low) * from_step;
  return quotient * to_step == e;
}

/* Column of vector `block` of a row of `width` outputs. */
static inline int vector_column(int block, int width) { return max(0, min(block * VW, width - VW)); }

/* How a tile's results are stored. */
typedef struct {
  __global T *y;         /* at the tile's first channel */
  const __global T *bias; /* of the tile's first channel, or 0 */
  int rows, lanes;       /* channels and lanes that exist */
  int plane, step;       /* elements from channel to channel, from lane to lane */
  int relu;
} Ending;

#define VECTORS 3
#include "conv_tile.clh"
#define VECTORS 2
#include "conv_tile.clh"
#define VECTORS 1
#include "conv_tile.clh"

/* low_h, low_w: the lowest offset of a tap; plane_h, pitch: size of a plane; slice: scratch elements of a work-item,
 * of which `table` are for the steps; in_place: x has no border and is dense, so it is read where it is;
 * block: how many vectors of positions pass before the next output channels are taken. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_planes(
    const __global T *x, const __global T *w, const __global T *bias, __global T *y, __global REAL *scratch,
    INDEX x_offset, INDEX w_offset, INDEX bias_offset, INDEX y_offset, GEOMETRY, int w_row, int w_channel, int parts,
    int part_outputs, int bands, int band_rows, int units, int units_per_item, int low_h, int low_w, int plane_h, int pitch, int slice, int table,
    int in_place, int block, int has_bias, int relu) {
  int taps = kernel_h * kernel_w, plane = plane_h * pitch;
  int from_plane = from_h * from_w, to_plane = to_h * to_w;
  __global int2 *steps = (__global int2 *)(scratch + (INDEX)get_global_id(0) * slice);
  __global REAL *planes = scratch + (INDEX)get_global_id(0) * slice + table;
  if (in_place) {
    plane = from_plane;
    pitch = from_w;
  }
  int filled = 0; /* the steps of all phases, one phase after the other */
  for (int phase_h = 0; phase_h < to_step_h; phase_h++)
    for (int phase_w = 0; phase_w < to_step_w; phase_w++)
      for (int c = 0; c < channels; c++)
        for (int t = 0; t < taps; t++) {
          int plane_row, plane_column, offset_h, offset_w;
          int has_row = tap_offset(phase_h + sign * (t / kernel_w * dilation_h - padding_h), to_step_h, from_step_h,
                                   low_h, &plane_row, &offset_h);
          int has_column = tap_offset(phase_w + sign * (t % kernel_w * dilation_w - padding_w), to_step_w,
                                      from_step_w, low_w, &plane_column, &offset_w);
          if (has_row && has_column) {
            int which = (c * from_step_h + plane_row) * from_step_w + plane_column;
            steps[filled++] = (int2)(which * plane + offset_h * pitch + offset_w, c * w_channel + t);
          }
        }
  Ending ending;
  ending.plane = to_plane;
  ending.step = to_step_w;
  ending.relu = relu;
  int last_unit = min(units, (int)(get_global_id(0) + 1) * units_per_item);
  for (int unit = get_global_id(0) * units_per_item; unit < last_unit; unit++) {
    int first_output = unit % parts * part_outputs, last_output = min(outputs, first_output + part_outputs);
    int first_row = unit / parts % bands * band_rows, image_group = unit / parts / bands, group = image_group % groups;
    const __global T *image = x + x_offset + (INDEX)image_group * channels * from_plane;
    __global T *result = y + y_offset + (INDEX)image_group * outputs * to_plane;
    const __global T *weights = w + w_offset + (INDEX)group * outputs * channels * taps;
    const __global REAL *source = (const __global REAL *)(image + first_row * from_w);
    if (!in_place) {
      copy_planes(image, channels, from_h, from_w, from_step_h, from_step_w, first_row + low_h, low_w, plane_h, pitch,
                  planes);
      source = planes;
    }
    int begin = 0;
    for (int phase_h = 0; phase_h < to_step_h; phase_h++)
      for (int phase_w = 0; phase_w < to_step_w; phase_w++) {
        int depth = 0; /* this phase's steps: taps with both coordinates in the phase */
        {
          int rows = 0, columns = 0;
          for (int t = 0; t < kernel_h; t++)
            rows += (phase_h + sign * (t * dilation_h - padding_h)) % to_step_h == 0;
          for (int t = 0; t < kernel_w; t++)
            columns += (phase_w + sign * (t * dilation_w - padding_w)) % to_step_w == 0;
          depth = channels * rows * columns;
        }
        int height = min(band_rows, (to_h - phase_h + to_step_h - 1) / to_step_h - first_row);
        int width = (to_w - phase_w + to_step_w - 1) / to_step_w;
        int per_row = (width + VW - 1) / VW, total = max(0, height) * per_row;
        ending.lanes = min(VW, width);
        for (int first = 0; first < total; first += block)
          for (int o = first_output; o < last_output; o += MR) {
            int row = first / per_row, column = first % per_row, end = min(total, first + block);
            ending.rows = min(MR, last_output - o);
            ending.y = result + o * to_plane;
            ending.bias = has_bias ? bias + bias_offset + group * outputs + o : 0;
            for (int v = first; v < end; v += 3) {
              const __global REAL *lines[3];
              int at[3];
              UNROLL for (int s = 0; s < 3; s++) {
                int left = vector_column(column, width);
                lines[s] = source + row * pitch + left;
                at[s] = ((first_row + row) * to_step_h + phase_h) * to_w + left * to_step_w + phase_w;
                if (++column == per_row) {
                  column = 0;
                  row++;
                }
              }
              const __global T *w_tile = weights + o * w_row;
              if (end - v >= 3) tile_3(w_tile, w_row, steps + begin, depth, lines, &ending, at);
              else if (end - v == 2) tile_2(w_tile, w_row, steps + begin, depth, lines, &ending, at);
              else tile_1(w_tile, w_row, steps + begin, depth, lines, &ending, at);
            }
          }
        begin += depth;
      }
  }
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

/* A work-item's sums over its units: [output channel][channel * tap], then [output channel] for the bias. A unit is a
 * block of images by a band of rows, long enough to make the sums over lanes at its end cheap. Vectors of y that
 * overlap (in a row's last one) count once: y is copied with zeros in the lanes that came before, unless its rows are
 * whole vectors. With one work-item the sums are the result, which then needs no second launch. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_weights(
    const __global T *x, const __global T *y, __global T *dw, __global T *db, __global REAL *scratch, INDEX x_offset,
    INDEX y_offset, INDEX dw_offset, INDEX db_offset, GEOMETRY, int bands, int band_rows, int block_images, int units,
    int units_per_item, int low_h, int low_w, int plane_h, int pitch, int slice, int table, int y_space, int in_place,
    int y_in_place, int has_bias, int finished) {
  int taps = kernel_h * kernel_w, pairs = channels * taps, all_outputs = groups * outputs;
  int from_plane = from_h * from_w, to_plane = to_h * to_w, plane = plane_h * pitch;
  int per_row = (to_w + VW - 1) / VW;
  __global REAL *mine = scratch + (INDEX)get_global_id(0) * slice;
  __global int *offsets = (__global int *)mine; /* of the pairs, then of the unit's vectors, in x and y */
  __global int2 *vectors = (__global int2 *)(offsets + (pairs + 1) / 2 * 2);
  __global REAL *y_rows = mine + table, *planes = y_rows + y_space;
  int items = get_global_size(0);
  INDEX partial = (INDEX)all_outputs * (pairs + 1);
  __global REAL *sums_w = scratch + (INDEX)items * slice + (INDEX)get_global_id(0) * partial;
  __global REAL *sums_b = sums_w + (INDEX)all_outputs * pairs;
#if !WIDEN
  if (finished) {
    sums_w = (__global REAL *)(dw + dw_offset);
    sums_b = (__global REAL *)(db + db_offset);
  }
#endif
  int image_size = channels * from_step_h * from_step_w * plane;
  if (in_place) {
    plane = from_plane;
    pitch = from_w;
    image_size = groups * channels * from_plane;
  }
  for (int j = 0; j < pairs; j++) {
    int t = j % taps, plane_row, plane_column, offset_h, offset_w;
    tap_offset(t / kernel_w * dilation_h - padding_h, 1, from_step_h, low_h, &plane_row, &offset_h);
    tap_offset(t % kernel_w * dilation_w - padding_w, 1, from_step_w, low_w, &plane_column, &offset_w);
    int which = (j / taps * from_step_h + plane_row) * from_step_w + plane_column;
    offsets[j] = which * plane + offset_h * pitch + offset_w;
  }
  int first_unit = get_global_id(0) * units_per_item, last_unit = min(units, first_unit + units_per_item);
  for (int unit = first_unit; unit < last_unit; unit++) {
    int first_row = unit % bands * band_rows, height = min(band_rows, to_h - first_row);
    int first_image = unit / bands * block_images, count = min(block_images, images - first_image);
    int y_image = y_in_place ? all_outputs * to_plane : outputs * height * per_row * VW;
    int y_plane = y_in_place ? to_plane : height * per_row * VW;
    int length = 0;
    for (int i = 0; i < count; i++)
      for (int row = 0; row < height; row++)
        for (int v = 0; v < per_row; v++)
          vectors[length++] = (int2)(i * image_size + row * pitch + vector_column(v, to_w),
                                     i * y_image + (row * per_row + v) * VW);
    for (int group = 0; group < groups; group++) {
      const __global T *image = x + x_offset + (INDEX)(first_image * groups + group) * channels * from_plane;
      const __global T *gradient =
          y + y_offset + (INDEX)(first_image * groups + group) * outputs * to_plane + first_row * to_w;
      const __global REAL *source = (const __global REAL *)(image + first_row * from_w);
      const __global REAL *rows_y = (const __global REAL *)gradient;
      if (!in_place) {
        for (int i = 0; i < count; i++)
          copy_planes(image + (INDEX)i * groups * channels * from_plane, channels, from_h, from_w, from_step_h,
                      from_step_w, first_row + low_h, low_w, plane_h, pitch, planes + (INDEX)i * image_size);
        source = planes;
      }
      if (!y_in_place) {
        __global REAL *to = y_rows;
        for (int i = 0; i < count; i++)
          for (int o = 0; o < outputs; o++)
            for (int row = 0; row < height; row++) {
              const __global T *from = gradient + ((INDEX)i * all_outputs + o) * to_plane + row * to_w;
              for (int v = 0; v < per_row; v++, to += VW) {
                int column = vector_column(v, to_w);
                if (column == v * VW && column + VW <= to_w) {
                  VSTORE(to, 0, VLOAD_T(from, column));
                } else {
                  for (int l = 0; l < VW; l++)
                    to[l] = column + l >= v * VW && column + l < to_w ? LOAD_T(from, column + l) : 0;
                }
              }
            }
        rows_y = y_rows;
      }
      for (int o = 0; o < outputs; o += MR) {
        int tile_rows = min(MR, outputs - o), output = group * outputs + o;
        const __global REAL *rows[MR];
        UNROLL for (int r = 0; r < MR; r++) rows[r] = rows_y + min(o + r, outputs - 1) * y_plane;
        if (has_bias) {
          V acc[MR];
          UNROLL for (int r = 0; r < MR; r++) acc[r] = (V)(0);
          for (int q = 0; q < length; q++)
            UNROLL for (int r = 0; r < MR; r++) acc[r] += VLOAD(rows[r], vectors[q].y);
          UNROLL for (int r = 0; r < MR; r++) if (r < tile_rows)
            sums_b[output + r] = (unit > first_unit ? sums_b[output + r] : 0) + LANES_SUM(acc[r]);
        }
        for (int j = 0; j < pairs; j += TAPS) {
          V acc[MR][TAPS];
          UNROLL for (int r = 0; r < MR; r++) UNROLL for (int s = 0; s < TAPS; s++) acc[r][s] = (V)(0);
          const __global REAL *inputs[TAPS];
          UNROLL for (int s = 0; s < TAPS; s++) inputs[s] = source + offsets[min(j + s, pairs - 1)];
          for (int q = 0; q < length; q++) {
            long x_step = vectors[q].x, y_step = vectors[q].y;
            V input[TAPS];
            UNROLL for (int s = 0; s < TAPS; s++) input[s] = VLOAD(inputs[s], x_step);
            UNROLL for (int r = 0; r < MR; r++) {
              V g = VLOAD(rows[r], y_step);
              UNROLL for (int s = 0; s < TAPS; s++) acc[r][s] = fma(g, input[s], acc[r][s]);
            }
          }
          UNROLL for (int r = 0; r < MR; r++) UNROLL for (int s = 0; s < TAPS; s++)
            if (r < tile_rows && j + s < pairs) {
              __global REAL *sum = sums_w + (INDEX)(output + r) * pairs + j + s;
              *sum = (unit > first_unit ? *sum : 0) + LANES_SUM(acc[r][s]);
            }
        }
      }
    }
  }
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
