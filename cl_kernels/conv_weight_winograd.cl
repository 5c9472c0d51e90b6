/* Gradients of the weights and the bias of 3x3 convolutions of stride 1, by Winograd's F(2x2, 3x3) turned round: 16 instead
 * of 36 multiplications for each 2x2 of the gradient of y.
 *
 *   dw(o, c) = G' ( sum over tiles t of (A dy(o, t) A') * (B' d(c, t) B) ) G           * element by element
 *
 * is what the forward form of conv_winograd.cl, which is linear in its weights, gives for them. The sums are 16 matrix
 * products, one for each element of the 4x4:
 *
 *                                    outputs, NR at a time
 *   y, transposed [position]         +--------+--------+
 *     -> A dy A'  [16][tile]         | panel  | panel  |
 *                                    +--------+--------+
 *   +------------------------------+ +--------+--------+
 *   | B' d B  [16][channel][tiles] | | sums   |        |    [16][channel, MR at a time] -> G' sums G [channel * tap]
 *   +------------------------------+ +--------+--------+
 *
 * A unit is a block of images by a band of rows of tiles. Where pieces overlap (conv_winograd_inputs.clh), the tiles that
 * were there before have the gradient 0. Work-items share the work as in conv_weight_panels.cl.
 *
 * Kernel: conv_weight_winograd; CPUs only
 */
#include "conv_planes.clh"
#include "conv_panel_tiles.clh"
#include "conv_weight_sums.clh"
#include "conv_winograd_inputs.clh"

/* Operands and division of labour. A work-item has `channels` of a group from first_channel on. */
typedef struct {
  const __global T *x, *y;
  int bands, band_rows, block_images, channels, has_bias;
  __global REAL *planes, *inputs, *gradients, *panel;
  __global REAL *sums, *bias_sums; /* [group][panel of outputs][16][channel][NR]; [group][panel of outputs][NR] */
} Summation;

/* The rows of sums of an element: of whole register tiles. */
#define SUM_ROWS(channels) (((channels) + MR - 1) / MR * MR)

/* A dy A' of the tiles of all pieces, of `width` outputs: lines of `width`, elements `step` apart. Of each piece the first
 * `repeated` tiles are zero; a row of positions has `row` of them. */
static OUTLINED void transform_gradients(const __global REAL *from, int width, int row, const Columns *columns,
                                         const int *repeated, __global REAL *to, INDEX step) {
  for (int k = 0; k < columns->count; k++)
    for (int t = 0; t < PIECE; t++, to += width) {
      const __global REAL *p = from + (columns->at[k] + 2 * t) * width;
      for (int v = 0; v < width; v += VW) {
        V d[4][2];
        UNROLL for (int j = 0; j < 2; j++) {
          const V upper = t < repeated[k] ? (V)(0) : VLOAD(p, j * width + v);
          const V lower = t < repeated[k] ? (V)(0) : VLOAD(p, (row + j) * width + v);
          d[0][j] = upper;
          d[1][j] = upper + lower;
          d[2][j] = upper - lower;
          d[3][j] = -lower;
        }
        UNROLL for (int i = 0; i < 4; i++) {
          __global REAL *line = to + i * 4 * step + v;
          VSTORE(line, 0, d[i][0]);
          VSTORE(line, step, d[i][0] + d[i][1]);
          VSTORE(line, 2 * step, d[i][0] - d[i][1]);
          VSTORE(line, 3 * step, -d[i][1]);
        }
      }
    }
}

/* G' sums G of all channels, of `outputs` lanes: lines of NR, the taps of a channel after each other. */
static OUTLINED void transform_sums(const __global REAL *sums, int channels, int outputs, __global REAL *to) {
  const INDEX step = (INDEX)SUM_ROWS(channels) * NR;
  for (int c = 0; c < channels; c++, sums += NR, to += 9 * NR)
    for (int v = 0; v < outputs; v += VW) {
      V rows[3][4];
      UNROLL for (int j = 0; j < 4; j++) {
        const V a = VLOAD(sums, j * step + v), b = VLOAD(sums, (4 + j) * step + v), c = VLOAD(sums, (8 + j) * step + v);
        const V d = VLOAD(sums, (12 + j) * step + v), half_sum = (b + c) * (V)(0.5f);
        rows[0][j] = a + half_sum;
        rows[1][j] = (b - c) * (V)(0.5f);
        rows[2][j] = half_sum + d;
      }
      UNROLL for (int i = 0; i < 3; i++) {
        const V half_sum = (rows[i][1] + rows[i][2]) * (V)(0.5f);
        VSTORE(to, i * 3 * NR + v, rows[i][0] + half_sum);
        VSTORE(to, (i * 3 + 1) * NR + v, (rows[i][1] - rows[i][2]) * (V)(0.5f));
        VSTORE(to, (i * 3 + 2) * NR + v, half_sum + rows[i][3]);
      }
    }
}

/* Adds a unit's sums to those of the work-item, or sets them with the `first` unit. */
static OUTLINED void sum_unit(const Geometry *g, const Summation *job, int unit, int first) {
  int first_row = unit % job->bands * job->band_rows, rows = min(job->band_rows, g->to_h / 2 - first_row);
  int first_image = unit / job->bands * job->block_images, images = min(job->block_images, g->images - first_image);
  int from_plane = g->from_h * g->from_w, to_plane = g->to_h * g->to_w, panels = (g->outputs + NR - 1) / NR;
  int row_pieces = (g->to_w / 2 + PIECE - 1) / PIECE, positions = 2 * rows * g->to_w, sum_rows = SUM_ROWS(job->channels);
  INDEX x_image = (INDEX)job->channels * g->plane_step;
  Columns columns;
  int repeated[VECTOR_PIECES * COLUMN_VECTORS];
  columns.count = 0;
  for (int i = 0; i < images; i++)
    for (int row = 0; row < rows; row++)
      for (int piece = 0; piece < row_pieces; piece++, columns.count++) {
        int column = min(piece * PIECE, g->to_w / 2 - PIECE);
        columns.from[columns.count] = i * x_image + 2 * (row * g->row_step + column);
        columns.at[columns.count] = i * positions + 2 * (row * g->to_w + column);
        repeated[columns.count] = piece * PIECE - column;
      }
  for (; columns.count % VECTOR_PIECES; columns.count++) { /* the last one again */
    columns.from[columns.count] = columns.from[columns.count - 1];
    columns.at[columns.count] = columns.at[columns.count - 1];
    repeated[columns.count] = PIECE;
  }
  int tiles = columns.count * PIECE;
  /* A vector between the elements, which would else lie powers of two apart and put each other out of the cache. */
  const INDEX element = (INDEX)job->channels * tiles + VW;
  for (int group = 0; group < g->groups; group++) {
    INDEX first_plane = (INDEX)first_image * g->groups + group;
    const __global T *x = job->x + first_plane * g->channels * from_plane;
    const __global T *y = job->y + first_plane * g->outputs * to_plane + 2 * first_row * g->to_w;
    for (int i = 0; i < images; i++)
      copy_planes(g, x + (INDEX)i * g->groups * g->channels * from_plane, job->channels, 2 * first_row + g->low_h,
                  job->bands > 1, job->planes + i * x_image);
    for (int c = 0; c < job->channels; c++)
      transform_inputs(job->planes + (INDEX)c * g->plane_step, g->row_step, &columns, job->inputs + (INDEX)c * tiles, element);
    for (int panel = 0; panel < panels; panel++) {
      int o = panel_begin(panel, g->outputs), index = group * panels + panel, outputs = panel_outputs(panel, g->outputs);
      int vectors = (outputs + VW - 1) / VW, width = vectors * VW;
      for (int i = 0; i < images; i++)
        fill_panel(y + (INDEX)(i * g->groups * g->outputs + o) * to_plane, to_plane, outputs, width, positions,
                   job->gradients + i * positions * width);
      if (job->has_bias) sum_positions(job->gradients, width, images * positions, job->bias_sums + index * NR, first);
      const INDEX line = (INDEX)tiles * width + VW;
      transform_gradients(job->gradients, width, g->to_w, &columns, repeated, job->panel, line);
      __global REAL *sums = job->sums + (INDEX)index * 16 * sum_rows * NR;
      for (int e = 0; e < 16; e++)
        for (int c = 0; c < job->channels; c += MR) {
          const __global REAL *lines[MR];
          UNROLL for (int r = 0; r < MR; r++)
            lines[r] = job->inputs + e * element + (INDEX)min(c + r, job->channels - 1) * tiles;
          multiply_tile(vectors, lines, 1, job->panel + e * line, tiles, sums + (INDEX)(e * sum_rows + c) * NR, first);
        }
    }
  }
}

/* scratch: a slice for each work-item: planes, inputs, gradients, panel, sums; behind the slices the partial results, for
 * each range of units the weights and then the biases. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_weight_winograd(
    const __global T *x, const __global T *y, __global T *dw, __global T *db, __global REAL *scratch, INDEX x_offset,
    INDEX y_offset, INDEX dw_offset, INDEX db_offset, GEOMETRY, PLANES, int units, int units_per_item, INDEX slice,
    int inputs, int gradients, int panel, INDEX bias_at, INDEX partial, int bands, int band_rows, int block_images, int parts,
    int part_channels, int has_bias, int finished) {
  Geometry g = GATHER_GEOMETRY;
  int part = get_global_id(0) % parts, range = get_global_id(0) / parts, first_channel = part * part_channels;
  int panels = groups * ((outputs + NR - 1) / NR);
  INDEX weights = (INDEX)groups * outputs * channels * 9;
  __global REAL *mine = scratch + (INDEX)get_global_id(0) * slice;
  Summation job = {x + x_offset + (INDEX)first_channel * from_h * from_w, y + y_offset, bands, band_rows, block_images,
                   min(part_channels, channels - first_channel), has_bias && part == 0, mine, mine + inputs,
                   mine + gradients, mine + panel, mine + bias_at + panels * NR, mine + bias_at};
  for (int j = 0; j < inputs; j++) mine[j] = 0;
  int first_unit = range * units_per_item;
  for (int unit = first_unit; unit < min(units, first_unit + units_per_item); unit++)
    sum_unit(&g, &job, unit, unit == first_unit);
  Destination to = {dw + dw_offset, db + db_offset, scratch + partial + range * (weights + groups * outputs),
                    first_channel, job.channels, job.has_bias, finished};
  for (int index = 0; index < panels; index++) {
    int count = panel_outputs(index % (panels / groups), outputs);
    transform_sums(job.sums + (INDEX)index * 16 * SUM_ROWS(job.channels) * NR, job.channels, count, job.inputs);
    store_panel(&g, &to, index, job.inputs, job.bias_sums + index * NR);
  }
}
