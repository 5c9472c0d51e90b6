/* 2-D convolution and the gradient of its input as a matrix product, for many channels; CPUs only.
 *
 *                    positions of a unit, NR at a time            Rows are output channels, columns the positions
 *                   +--------+--------+--------+----+             (image, row, column) of a unit, a block of images by a
 *   channels * taps | panel  | panel  | panel  |    |             band of rows; positions follow each other across rows
 *                   +--------+--------+--------+----+             and images, so that no lanes are lost at their ends.
 *   +-------------+ +--------+--------+--------+----+
 *   | weights     | | sums   |        |        |    |  outputs
 *   +-------------+ +--------+--------+--------+----+
 *
 * In slices of some channels: the slice's planes are made (conv_planes.clh), or read where they are; for each NR
 * positions a panel [channel * tap][NR] is filled from them by vectors, and multiplied with all rows of the weights,
 * MR at a time. The panel stays in the first-level cache meanwhile, the weights of the slice in the second. A panel's
 * runs of neighbouring positions are copied in ascending order, a run's last vector beyond its end: the next run
 * overwrites what was too much.
 *
 * Weights are read where they lie; those of 16 bits conv_pack_weights copies before, wider:
 *   packed [group][phase][output / MR][channel][tap of the phase][MR]
 * A table says where the weights of each (channel, tap) pair of a slice lie in an output's row.
 *
 * Kernels: conv_pack_weights, conv_panels
 */
#include "conv_planes.clh"

#define STEPS const __global int *steps
#define STEP(q) ((long)steps[q])
#include "conv_panel_tiles.clh"

/* Whether an output of the given phase has tap t. */
static inline int has_tap(int phase, int tap, int dilation, int padding, int to_step, int sign) {
  return (phase + sign * (tap * dilation - padding)) % to_step == 0;
}
#define HAS_TAP(phase, t)                                                                                           \
  (has_tap((phase) / to_step_w, (t) / kernel_w, dilation_h, padding_h, to_step_h, sign) &&                          \
   has_tap((phase) % to_step_w, (t) % kernel_w, dilation_w, padding_w, to_step_w, sign))

#define TAPS_AT_ONCE 32
#define TILES_AT_ONCE 8

/* Weights of one channel and some taps, of `rows` outputs, as lines of MR. */
static inline void pack_taps(const __global T *w, int w_row, int rows, const int *taps, int count, __global REAL *to) {
  for (int n = 0; n < count; n++, to += MR) {
    const __global T *tap = w + taps[n];
#if !WIDEN && MR > 1
    if (rows == MR && w_row == 1) {
      PASTE(vstore, MR)(PASTE(vload, MR)(0, tap), 0, to);
      continue;
    }
#endif
    if (rows == MR) UNROLL for (int r = 0; r < MR; r++) to[r] = LOAD_T(tap, r * w_row);
    else for (int r = 0; r < MR; r++) to[r] = r < rows ? LOAD_T(tap, r * w_row) : 0;
  }
}

/* A work-item packs TILES_AT_ONCE tiles of outputs at a time: for a gradient of the input a channel's weights of all of
 * them are neighbours, and each tile's panel grows from channel to channel. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_pack_weights(
    const __global T *w, __global REAL *packed, INDEX w_offset, GEOMETRY, int w_row, int w_channel) {
  int taps = kernel_h * kernel_w, tiles = (outputs + MR - 1) / MR, blocks = (tiles + TILES_AT_ONCE - 1) / TILES_AT_ONCE;
  for (int unit = get_global_id(0); unit < groups * blocks; unit += get_global_size(0)) {
    int group = unit / blocks, first_tile = unit % blocks * TILES_AT_ONCE;
    int last_tile = min(tiles, first_tile + TILES_AT_ONCE);
    const __global T *from = w + w_offset + (INDEX)group * outputs * channels * taps;
    __global REAL *to = packed + (INDEX)group * tiles * MR * channels * taps;
    for (int phase = 0; phase < to_step_h * to_step_w; phase++) {
      int present = 0;
      for (int t = 0; t < taps; t++) present += HAS_TAP(phase, t);
      for (int t = 0, done = 0; done < present;) {
        int listed[TAPS_AT_ONCE], count = 0;
        for (; t < taps && count < TAPS_AT_ONCE; t++)
          if (HAS_TAP(phase, t)) listed[count++] = t;
#define PACK(c, tile)                                                                                             \
  pack_taps(from + (INDEX)(c) * w_channel + (INDEX)(tile) * MR * w_row, w_row, min(MR, outputs - (tile) * MR), listed, \
            count, to + ((INDEX)((tile) * channels + (c)) * present + done) * MR)
        if (present == 1) /* lines are too short for several panels at a time */
          for (int tile = first_tile; tile < last_tile; tile++)
            for (int c = 0; c < channels; c++) PACK(c, tile);
        else
          for (int c = 0; c < channels; c++)
            for (int tile = first_tile; tile < last_tile; tile++) PACK(c, tile);
        done += count;
      }
      to += (INDEX)tiles * MR * channels * present;
    }
  }
}

/* Operands and division of labour of conv_panels. */
typedef struct {
  const __global T *x, *bias;
  const __global REAL *weights; /* packed, or where they are */
  __global T *y;
  int packed, w_row, w_channel, block_images, bands, band_rows, parts, part_outputs, slice_channels, relu;
  __global int2 *taps;                  /* of a phase: offset in the planes, number of the tap */
  __global int *steps;                  /* of a slice's (channel, tap) pairs: where their weights lie */
  __global REAL *planes, *panel, *sums; /* sums: [panel][tile of outputs][MR][NR] */
} Product;

/* The part of a unit's results that one phase makes: rows of a band, columns, and where the first of them are. */
typedef struct {
  int images, height, width, x_image, y_image, first_row, phase_h, phase_w;
} Part;

/* Up to NR positions: where they are read, as copies into a panel's line, and where they are written. */
typedef struct {
  int count, vectors, singles;
  int to[NR], from[NR];               /* of whole vectors */
  int single_to[NR], single_from[NR]; /* of elements at the end of a run, where nothing may be read beyond it */
  int at[NR];
} Columns;

static OUTLINED void describe_columns(const Geometry *g, const Part *part, int first, Columns *columns) {
  int source[NR];
  int left = part->images * part->height * part->width - first;
  int count = left > NR && left <= NR + VW ? NR - VW : min(NR, left); /* two and two vectors, not three and one */
  int column = first % part->width, row = first / part->width % part->height, image = first / part->width / part->height;
  for (int k = 0; k < count; k++) {
    source[k] = image * part->x_image + row * g->row_step + column;
    columns->at[k] = image * part->y_image + ((part->first_row + row) * g->to_step_h + part->phase_h) * g->to_w +
                     column * g->to_step_w + part->phase_w;
    if (++column == part->width) {
      column = 0;
      if (++row == part->height) {
        row = 0;
        image++;
      }
    }
  }
  columns->count = count;
  columns->vectors = columns->singles = 0;
  for (int k = 0, run; k < count; k += run) {
    run = 1;
    while (k + run < count && source[k + run] == source[k] + run) run++;
    for (int j = 0; j < run; j += VW) {
      if (!g->in_place || j + VW <= run) {
        columns->to[columns->vectors] = k + j;
        columns->from[columns->vectors++] = source[k] + j;
        continue;
      }
      for (int l = j; l < run; l++) {
        columns->single_to[columns->singles] = k + l;
        columns->single_from[columns->singles++] = source[k] + l;
      }
    }
  }
}

static OUTLINED void fill_panel(const Geometry *g, const __global REAL *source, int channels,
                                const __global int2 *taps, int present, const Columns *columns, __global REAL *to) {
  int channel_step = g->from_step_h * g->from_step_w * g->plane_step, width = (columns->count + VW - 1) / VW * VW;
  for (int c = 0; c < channels; c++, source += channel_step)
    for (int t = 0; t < present; t++, to += width) {
      const __global REAL *from = source + taps[t].x;
      for (int e = 0; e < columns->vectors; e++) VSTORE(to, columns->to[e], VLOAD(from, columns->from[e]));
      for (int e = 0; e < columns->singles; e++) to[columns->single_to[e]] = from[columns->single_from[e]];
    }
}

/* Stores `rows` of a tile's sums to channels that begin at y, `plane` elements apart. */
static OUTLINED void finish_tile(const __global REAL *sums, int rows, const Columns *columns, const __global T *bias,
                                 int relu, __global T *y, int plane) {
  V least = (V)(relu ? 0 : -INFINITY);
  for (int r = 0; r < rows; r++, y += plane, sums += NR) {
    V shift = (V)(bias ? (REAL)LOAD_T(bias, r) : 0);
    for (int v = 0; v < columns->count; v += VW) {
      V value = VLOAD(sums, v) + shift;
      value = value < least ? least : value;
      const int *at = columns->at + v;
      if (v + VW <= columns->count && at[VW - 1] == at[0] + VW - 1) {
        VSTORE_T(y, at[0], value);
        continue;
      }
      REAL lanes[VW];
      VSTORE(lanes, 0, value);
      for (int l = 0; l < min(VW, columns->count - v); l++) STORE_T(y, at[l], lanes[l]);
    }
  }
}

/* Where a panel's results go: those of output o at y + o * plane. */
typedef struct {
  const Columns *columns;
  const __global T *bias; /* of the first output, or 0 */
  __global T *y;
  int plane, relu;
} Ending;

/* Multiplies a panel with the weights of all outputs. Sums of an only slice pass through the place of one tile. */
static OUTLINED void multiply(const Product *job, const __global REAL *weights, INDEX row, int outputs, int depth,
                              __global REAL *sums, int first, int last, const Ending *ending) {
  int vectors = (ending->columns->count + VW - 1) / VW;
  for (int o = 0; o < outputs; o += MR, sums += first && last ? 0 : MR * NR) {
    const __global REAL *rows[MR];
    for (int r = 0; r < MR; r++) rows[r] = weights + (job->packed ? o * row + r : min(o + r, outputs - 1) * row);
    multiply_tile(vectors, rows, job->steps, job->panel, depth, sums, first);
    if (last)
      finish_tile(sums, min(MR, outputs - o), ending->columns, ending->bias ? ending->bias + o : 0, ending->relu,
                  ending->y + (INDEX)o * ending->plane, ending->plane);
  }
}

/* One phase of a unit; `weights` are the group's or, packed, the phase's, of which each output has channels * present. */
static OUTLINED void sum_phase(const Geometry *g, const Product *job, const Part *part, int present,
                               const __global T *x, const __global REAL *weights, int first_output, int outputs,
                               const __global T *bias, __global T *y) {
  int positions = part->images * part->height * part->width, from_plane = g->from_h * g->from_w;
  int tiles = (outputs + MR - 1) / MR;
  INDEX row = job->packed ? (INDEX)g->channels * present : job->w_row;
  INDEX channel = job->packed ? present * MR : job->w_channel;
  weights += first_output * row;
  for (int i = 0, q = 0; i < min(job->slice_channels, g->channels); i++)
    for (int t = 0; t < present; t++, q++) job->steps[q] = job->packed ? q * MR : i * job->w_channel + job->taps[t].y;
  int c = 0;
  do { /* once even without channels: the results are the bias */
    int channels = min(job->slice_channels, g->channels - c), last = c + job->slice_channels >= g->channels;
    const __global REAL *source = job->planes;
    if (g->in_place) source = (const __global REAL *)(x + (INDEX)c * from_plane + part->first_row * g->from_w);
    else
      for (int i = 0; i < part->images; i++)
        copy_planes(g, x + ((INDEX)i * g->groups * g->channels + c) * from_plane, channels,
                    part->first_row + g->low_h, job->bands > 1, job->planes + (INDEX)i * part->x_image);
    __global REAL *sums = job->sums;
    Columns columns;
    Ending ending = {&columns, bias, y, g->to_h * g->to_w, job->relu};
    for (int p = 0; p < positions; p += columns.count, sums += tiles * MR * NR) {
      describe_columns(g, part, p, &columns);
      fill_panel(g, source, channels, job->taps, present, &columns, job->panel);
      multiply(job, weights + c * channel, row, outputs, channels * present, sums, c == 0, last, &ending);
    }
    c += job->slice_channels;
  } while (c < g->channels);
}

static OUTLINED void sum_unit(const Geometry *g, const Product *job, int unit) {
  int first_output = unit % job->parts * job->part_outputs, first_row = unit / job->parts % job->bands * job->band_rows;
  int group = unit / job->parts / job->bands % g->groups;
  int first_image = unit / job->parts / job->bands / g->groups * job->block_images;
  int taps = g->kernel_h * g->kernel_w, outputs = min(job->part_outputs, g->outputs - first_output);
  int to_plane = g->to_h * g->to_w, tiles = (g->outputs + MR - 1) / MR;
  INDEX first_plane = (INDEX)first_image * g->groups + group;
  const __global REAL *weights =
      job->weights + (INDEX)group * (job->packed ? tiles * MR : g->outputs) * g->channels * taps;
  Part part;
  part.images = min(job->block_images, g->images - first_image);
  part.first_row = first_row;
  part.x_image = g->in_place ? g->groups * g->channels * g->from_h * g->from_w
                             : job->slice_channels * g->from_step_h * g->from_step_w * g->plane_step;
  part.y_image = g->groups * g->outputs * to_plane;
  for (int phase = 0; phase < g->to_step_h * g->to_step_w; phase++) {
    part.phase_h = phase / g->to_step_w;
    part.phase_w = phase % g->to_step_w;
    part.height = min(job->band_rows, (g->to_h - part.phase_h + g->to_step_h - 1) / g->to_step_h - first_row);
    part.width = (g->to_w - part.phase_w + g->to_step_w - 1) / g->to_step_w;
    int present = 0;
    for (int t = 0; t < taps; t++) {
      int offset = step_offset(g, part.phase_h, part.phase_w, 0, t);
      if (offset >= 0) job->taps[present++] = (int2)(offset, t);
    }
    if (part.height > 0 && part.width > 0)
      sum_phase(g, job, &part, present, job->x + first_plane * g->channels * g->from_h * g->from_w, weights,
                first_output, outputs, job->bias ? job->bias + group * g->outputs + first_output : 0,
                job->y + (first_plane * g->outputs + first_output) * to_plane);
    if (job->packed) weights += (INDEX)tiles * MR * g->channels * present;
  }
}

/* scratch: packed weights (`skip` elements), then a slice for each work-item: taps and steps, planes, panel, sums. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_panels(
    const __global T *x, const __global T *w, const __global T *bias, __global T *y, __global REAL *scratch,
    INDEX x_offset, INDEX w_offset, INDEX bias_offset, INDEX y_offset, GEOMETRY, PLANES, INDEX skip, int units,
    int units_per_item, INDEX slice, int table, int planes, int panel, int packed, int w_row, int w_channel,
    int block_images, int bands, int band_rows, int parts, int part_outputs, int slice_channels, int has_bias, int relu) {
  Geometry g = GATHER_GEOMETRY;
  __global REAL *mine = scratch + skip + (INDEX)get_global_id(0) * slice;
  Product job = {x + x_offset, has_bias ? bias + bias_offset : 0,
                 packed ? (const __global REAL *)scratch : (const __global REAL *)(w + w_offset), y + y_offset, packed,
                 w_row, w_channel, block_images, bands, band_rows, parts, part_outputs, slice_channels, relu,
                 (__global int2 *)mine, (__global int *)mine + 2 * g.kernel_h * g.kernel_w, mine + table, mine + table + planes, mine + table + planes + panel};
  for (int j = 0; j < planes; j++) job.planes[j] = 0;
  int first_unit = get_global_id(0) * units_per_item;
  for (int unit = first_unit; unit < min(units, first_unit + units_per_item); unit++) sum_unit(&g, &job, unit);
}
