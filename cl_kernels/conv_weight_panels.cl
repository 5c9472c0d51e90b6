/* Gradients of a convolution's weights and bias as a matrix product, for many outputs; CPUs only.
 *
 *                             outputs, NR at a time
 *                             +--------+--------+----+
 *   positions of a unit       | panel  | panel  |    |   the gradient of y, transposed: [position][outputs]
 *                             +--------+--------+----+
 *   +-----------------------+ +--------+--------+----+
 *   | planes, shifted       | | sums   |        |    |   channel * tap, MR at a time
 *   +-----------------------+ +--------+--------+----+
 *
 * A unit is a block of images by a band of rows. The input of a (channel, tap) pair lies at a constant offset from that
 * of the position (conv_planes.clh): single elements of it are broadcast, so it needs no copy but the planes'. Each
 * panel stays in the first-level cache while all pairs pass it. There is nothing to sum over lanes.
 *
 * Work-items share the channels, or the units, or both: item = unit range * parts + channel range. With one range of
 * units the results are finished; else they are partial, and conv_sum of conv_weights.cl adds them up.
 *
 * Kernel: conv_weight_panels
 */
#include "conv_planes.clh"

#define STEPS const __global int *steps
#define STEP(q) ((long)steps[q])
#include "conv_panel_tiles.clh"
#include "conv_weight_sums.clh"

/* Operands and division of labour. A work-item has `channels` of a group from first_channel on. */
typedef struct {
  const __global T *x, *y;
  int bands, band_rows, block_images, first_channel, channels, has_bias;
  __global int *offsets, *positions; /* of the (channel, tap) pairs, of the unit's positions; in the planes */
  __global REAL *planes, *panel;
  __global REAL *sums, *bias_sums; /* [group][panel of outputs][tile of pairs][MR][NR]; [group][panel of outputs][NR] */
} Summation;

/* Adds the product of a panel with all pairs to their sums. */
static OUTLINED void multiply(const Summation *job, const __global REAL *source, int pairs, int depth, int vectors,
                              __global REAL *sums, int first) {
  for (int j = 0; j < pairs; j += MR, sums += MR * NR) {
    const __global REAL *rows[MR];
    for (int r = 0; r < MR; r++) rows[r] = source + job->offsets[min(j + r, pairs - 1)];
    multiply_tile(vectors, rows, job->positions, job->panel, depth, sums, first);
  }
}

/* Adds a unit's sums to those of the work-item, or sets them with the `first` unit. */
static OUTLINED void sum_unit(const Geometry *g, const Summation *job, int unit, int first) {
  int first_row = unit % job->bands * job->band_rows, height = min(job->band_rows, g->to_h - first_row);
  int first_image = unit / job->bands * job->block_images, images = min(job->block_images, g->images - first_image);
  int pairs = job->channels * g->kernel_h * g->kernel_w, tiles = (pairs + MR - 1) / MR;
  int from_plane = g->from_h * g->from_w, to_plane = g->to_h * g->to_w, panels = (g->outputs + NR - 1) / NR;
  int x_image = g->in_place ? g->groups * g->channels * from_plane
                            : job->channels * g->from_step_h * g->from_step_w * g->plane_step;
  int length = 0;
  for (int i = 0; i < images; i++)
    for (int row = 0; row < height; row++)
      for (int column = 0; column < g->to_w; column++)
        job->positions[length++] = i * x_image + row * g->row_step + column;
  for (int group = 0; group < g->groups; group++) {
    INDEX first_plane = (INDEX)first_image * g->groups + group;
    const __global T *x = job->x + (first_plane * g->channels + job->first_channel) * from_plane;
    const __global T *y = job->y + first_plane * g->outputs * to_plane + first_row * g->to_w;
    const __global REAL *source = job->planes;
    if (g->in_place) source = (const __global REAL *)(x + first_row * g->from_w);
    else
      for (int i = 0; i < images; i++)
        copy_planes(g, x + (INDEX)i * g->groups * g->channels * from_plane, job->channels, first_row + g->low_h,
                    job->bands > 1, job->planes + (INDEX)i * x_image);
    for (int panel = 0; panel < panels; panel++) {
      int o = panel_begin(panel, g->outputs), index = group * panels + panel, outputs = panel_outputs(panel, g->outputs);
      int vectors = (outputs + VW - 1) / VW, width = vectors * VW;
      for (int i = 0; i < images; i++)
        fill_panel(y + (INDEX)(i * g->groups * g->outputs + o) * to_plane, to_plane, outputs, width, height * g->to_w,
                   job->panel + i * height * g->to_w * width);
      multiply(job, source, pairs, length, vectors, job->sums + (INDEX)index * tiles * MR * NR, first);
      if (job->has_bias) sum_positions(job->panel, width, length, job->bias_sums + index * NR, first);
    }
  }
}

/* scratch: a slice for each work-item: tables, planes, panel, sums; behind the slices the partial results, for each
 * range of units the weights and then the biases. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_weight_panels(
    const __global T *x, const __global T *y, __global T *dw, __global T *db, __global REAL *scratch, INDEX x_offset,
    INDEX y_offset, INDEX dw_offset, INDEX db_offset, GEOMETRY, PLANES, int units, int units_per_item, INDEX slice,
    int positions, int planes, int panel, INDEX bias_at, INDEX partial, int bands, int band_rows, int block_images,
    int parts, int part_channels, int has_bias, int finished) {
  Geometry g = GATHER_GEOMETRY;
  int part = get_global_id(0) % parts, range = get_global_id(0) / parts, taps = kernel_h * kernel_w;
  int first_channel = part * part_channels;
  INDEX weights = (INDEX)groups * outputs * channels * taps;
  __global REAL *mine = scratch + (INDEX)get_global_id(0) * slice;
  Summation job = {x + x_offset, y + y_offset, bands, band_rows, block_images, first_channel,
                   min(part_channels, channels - first_channel), has_bias && part == 0, (__global int *)mine,
                   (__global int *)(mine + positions), mine + planes, mine + panel, mine + bias_at, 0};
  job.bias_sums = job.sums;
  job.sums += (INDEX)groups * ((outputs + NR - 1) / NR) * NR;
  for (int j = 0; j < job.channels * taps; j++) job.offsets[j] = step_offset(&g, 0, 0, j / taps, j % taps);
  for (int j = planes; j < panel; j++) mine[j] = 0;
  int first_unit = range * units_per_item;
  for (int unit = first_unit; unit < min(units, first_unit + units_per_item); unit++)
    sum_unit(&g, &job, unit, unit == first_unit);
  int panels = (outputs + NR - 1) / NR, pairs = job.channels * taps, tiles = (pairs + MR - 1) / MR;
  Destination to = {dw + dw_offset, db + db_offset, scratch + partial + range * (weights + groups * outputs),
                    first_channel, job.channels, job.has_bias, finished};
  for (int index = 0; index < groups * panels; index++)
    store_panel(&g, &to, index, job.sums + (INDEX)index * tiles * MR * NR, job.bias_sums + index * NR);
}
