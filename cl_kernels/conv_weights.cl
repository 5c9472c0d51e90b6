/* Gradients of a convolution's weights and bias.
 *
 * CPU form: vectors run along the output positions. A unit is a block of images by a band of rows; its positions are a
 * list of vectors, the input of a (channel, tap) pair lies at a constant offset from them (conv_planes.clh):
 *
 *   dw(o, pair) = sum over vectors q, and over their lanes, of  dy(o, q) * planes(offset(pair) + q)
 *
 * Kernels (CPU): conv_weights          sums of the units of each work-item
 * Kernels (GPU): conv_weights_blocks   implicit matrix products in tiles of local memory
 * Both:          conv_sum              adds up what the work-items found
 */
#include "conv_planes.clh"

#if DEVICE_CPU

#include "lanes.clh"

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
        copy_planes(g, x + (INDEX)i * g->groups * g->channels * from_plane, g->channels, first_row + g->low_h,
                    job->bands > 1, job->planes + (INDEX)i * x_image);
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

#include "conv_blocks.clh"

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
