/* Depthwise convolution (each channel has its own filter), the gradients of its input and of its weights; CPUs only.
 *
 * A unit is one plane of one image, whole; its border and its split by phase are made as conv_planes.clh says. What is
 * the same for every plane is found once by each work-item and kept in tables:
 *
 *   copies  rows of the input that a plane needs: where from, where to, how many
 *   lines   vectors of results: where their first tap's origin lies in the planes, where they are stored
 *   taps    of each phase: offset in the planes, number of the tap
 *
 *   results, LINES vectors at a time:   acc[line] = sum over taps of  w[tap] * vector at (planes + line + offset[tap])
 *   weights, TAPS of them at a time:    acc[tap] += dy at line * vector at (planes + line + offset[tap]),
 *                                       over all lines and images; lanes are added at the end
 *
 * A row's last vector overlaps the one before it. Results whose neighbours belong to other phases are collected in
 * scratch and interleaved afterwards.
 *
 * Kernels: conv_depthwise, conv_depthwise_weights
 */
#include "conv_planes.clh"

#define LINES 8
#define TAPS 9

/* The tables of a work-item and how many entries they have. */
typedef struct {
  __global int4 *copies; /* from, to, count */
  __global int2 *lines, *taps;
  __global int *first_line, *first_tap; /* of each phase; one more than there are phases */
  int copy_count, result_phase;         /* elements of scratch that a phase's results take */
} Tables;

/* Whether neighbouring results belong to different phases. */
#define INTERLEAVED(g) ((g)->to_step_w > 1)

static OUTLINED void list_copies(const Geometry *g, int width, Tables *tables) {
  int step_h = g->from_step_h, step_w = g->from_step_w;
  tables->copy_count = 0;
  for (int phase_h = 0; phase_h < step_h; phase_h++)
    for (int phase_w = 0; phase_w < step_w; phase_w++) {
      if (!reads_phase(g->kernel_h, g->dilation_h, g->padding_h, step_h, phase_h) ||
          !reads_phase(g->kernel_w, g->dilation_w, g->padding_w, step_w, phase_w))
        continue;
      int first = g->low_w * step_w + phase_w;
      int begin = first >= 0 ? 0 : (step_w - 1 - first) / step_w;
      int count = min(width - begin, floor_divide(g->from_w - 1 - first - begin * step_w, step_w) + 1);
      for (int row = 0; row < g->plane_h && count > 0; row++) {
        int source = (g->low_h + row) * step_h + phase_h;
        if (source < 0 || source >= g->from_h) continue;
        int to = (phase_h * step_w + phase_w) * g->plane_step + row * g->row_step + begin;
        tables->copies[tables->copy_count++] = (int4)(source * g->from_w + first + begin * step_w, to, count, 0);
      }
    }
}

static OUTLINED void list_lines(const Geometry *g, Tables *tables) {
  int phases = g->to_step_h * g->to_step_w, taps = g->kernel_h * g->kernel_w, lines = 0, found = 0;
  for (int phase = 0; phase < phases; phase++) {
    int phase_h = phase / g->to_step_w, phase_w = phase % g->to_step_w;
    int height = (g->to_h - phase_h + g->to_step_h - 1) / g->to_step_h;
    int width = (g->to_w - phase_w + g->to_step_w - 1) / g->to_step_w;
    tables->first_line[phase] = lines;
    tables->first_tap[phase] = found;
    for (int row = 0; row < height; row++)
      for (int v = 0; v * VW < width; v++) {
        int column = vector_column(v, width);
        int at = INTERLEAVED(g) ? phase * tables->result_phase + row * width
                                : (row * g->to_step_h + phase_h) * g->to_w;
        tables->lines[lines++] = (int2)(row * g->row_step + column, at + column);
      }
    for (int t = 0; t < taps; t++) {
      int offset = step_offset(g, phase_h, phase_w, 0, t);
      if (offset >= 0) tables->taps[found++] = (int2)(offset, t);
    }
  }
  tables->first_line[phases] = lines;
  tables->first_tap[phases] = found;
}

static inline V lane_numbers(void) {
  REAL numbers[VW];
  for (int l = 0; l < VW; l++) numbers[l] = l;
  return VLOAD(numbers, 0);
}

/* Copies a plane; `left` elements of the tensor begin at it. A short row is read as a whole vector where there is one. */
static OUTLINED void copy_plane(const Geometry *g, const Tables *tables, const __global T *from, INDEX left,
                                __global REAL *to) {
  V numbers = lane_numbers();
  int step = g->from_step_w;
  for (int e = 0; e < tables->copy_count; e++) {
    int4 row = tables->copies[e];
    if (row.z >= VW || step > 2 || row.x + VW * step > left) {
      copy_rows(from + row.x, 0, step, 1, row.z, to + row.y, 0);
      continue;
    }
    const __global T *p = from + row.x;
    V values = step == 1 ? VLOAD_T(p, 0) : (V)(VLOAD_T(p, 0).even, VLOAD_T(p, VW).even);
    VSTORE(to, row.y, numbers < (V)(row.z) ? values : (V)(0));
  }
}

/* The sums of up to LINES vectors. Vectors may be stored beyond a row's end where the next row follows: up to `end`. */
#define SUM_LINES(name, type, vstore, store)                                                                        \
  static OUTLINED void name(const __global REAL *planes, const __global T *w, const __global int2 *taps, int present, \
                            const __global int2 *lines, int count, REAL bias, REAL lowest, int lanes, INDEX end,    \
                            __global type *y) {                                                                     \
    V acc[LINES];                                                                                                   \
    const __global REAL *sources[LINES];                                                                            \
    UNROLL for (int k = 0; k < LINES; k++) {                                                                        \
      acc[k] = (V)(bias);                                                                                           \
      sources[k] = planes + lines[min(k, count - 1)].x;                                                             \
    }                                                                                                               \
    for (int t = 0; t < present; t++) {                                                                             \
      long offset = taps[t].x;                                                                                      \
      V weight = (V)((REAL)LOAD_T(w, taps[t].y));                                                                   \
      UNROLL for (int k = 0; k < LINES; k++) acc[k] = fma(weight, VLOAD(sources[k], offset), acc[k]);               \
    }                                                                                                               \
    V least = (V)(lowest);                                                                                          \
    UNROLL for (int k = 0; k < LINES; k++) {                                                                        \
      if (k >= count) return;                                                                                       \
      V value = acc[k] < least ? least : acc[k];                                                                    \
      INDEX at = lines[k].y;                                                                                        \
      if (lanes == VW || at + VW <= end) {                                                                          \
        vstore(y, at, value);                                                                                       \
        continue;                                                                                                   \
      }                                                                                                             \
      REAL single[VW];                                                                                              \
      VSTORE(single, 0, value);                                                                                     \
      for (int l = 0; l < lanes; l++) store(y, at + l, single[l]);                                                  \
    }                                                                                                               \
  }
#define STORE_REAL(p, i, v) ((p)[i] = (v))
SUM_LINES(sum_lines, T, VSTORE_T, STORE_T)
SUM_LINES(sum_lines_apart, REAL, VSTORE, STORE_REAL)

/* Brings the results of all phases into their order. Vectors may be stored beyond a row's end where a row follows. */
static OUTLINED void interleave(const Geometry *g, const Tables *tables, const __global REAL *results, __global T *y) {
  int step = g->to_step_w, left = g->to_h * g->to_w;
  for (int row = 0; row < g->to_h; row++, y += g->to_w, left -= g->to_w) {
    const __global REAL *rows = results + row % g->to_step_h * step * tables->result_phase;
    int line = row / g->to_step_h, column = 0;
#if VW > 1
    if (step == 2) {
      const __global REAL *even = rows + line * ((g->to_w + 1) / 2);
      const __global REAL *odd = rows + tables->result_phase + line * (g->to_w / 2);
      for (; column < g->to_w && column + 2 * VW <= left; column += 2 * VW) {
        V a = VLOAD(even, column / 2), b = VLOAD(odd, column / 2), low, high;
        low.even = a.lo;
        low.odd = b.lo;
        high.even = a.hi;
        high.odd = b.hi;
        VSTORE_T(y, column, low);
        VSTORE_T(y, column + VW, high);
      }
    }
#endif
    for (; column < g->to_w; column++) {
      int phase = column % step, width = (g->to_w - phase + step - 1) / step;
      STORE_T(y, column, rows[phase * tables->result_phase + line * width + column / step]);
    }
  }
}

#define TABLES                                                                                                      \
  {(__global int4 *)mine, (__global int2 *)(mine + lines_at), (__global int2 *)(mine + taps_at),                    \
   (__global int *)(mine + phases_at), (__global int *)(mine + phases_at) + to_step_h * to_step_w + 1, 0, result_phase}

/* slice: scratch elements of a work-item: copies, lines, taps, starts of phases, planes, results. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_depthwise(
    const __global T *x, const __global T *w, const __global T *bias, __global T *y, __global REAL *scratch,
    INDEX x_offset, INDEX w_offset, INDEX bias_offset, INDEX y_offset, GEOMETRY, PLANES, int units, int units_per_item,
    INDEX slice, int lines_at, int taps_at, int phases_at, int planes_at, int results_at, int result_phase,
    int has_bias, int relu) {
  Geometry g = GATHER_GEOMETRY;
  __global REAL *mine = scratch + (INDEX)get_global_id(0) * slice, *planes = mine + planes_at;
  Tables tables = TABLES;
  int columns = (to_w + to_step_w - 1) / to_step_w;
  list_copies(&g, pitch - max(0, VW - columns), &tables);
  list_lines(&g, &tables);
  int phases = to_step_h * to_step_w;
  /* Results too: vectors that put the phases in order read a little beyond a phase's last row. */
  int zeroed = results_at + (INTERLEAVED(&g) ? phases * result_phase + VW : 0);
  for (int j = planes_at; j < zeroed; j++) mine[j] = 0;
  int from_plane = from_h * from_w, to_plane = to_h * to_w;
  REAL least = relu ? 0 : -INFINITY;
  int first_unit = get_global_id(0) * units_per_item;
  for (int unit = first_unit; unit < min(units, first_unit + units_per_item); unit++) {
    int group = unit % groups;
    copy_plane(&g, &tables, x + x_offset + (INDEX)unit * from_plane, (INDEX)(units - unit) * from_plane, planes);
    const __global T *filter = w + w_offset + group * kernel_h * kernel_w;
    __global T *to = y + y_offset + (INDEX)unit * to_plane;
    REAL shift = has_bias ? (REAL)LOAD_T(bias, bias_offset + group) : 0;
    for (int phase = 0; phase < phases; phase++) {
      const __global int2 *taps = tables.taps + tables.first_tap[phase];
      int present = tables.first_tap[phase + 1] - tables.first_tap[phase];
      int lanes = min(VW, (to_w - phase % to_step_w + to_step_w - 1) / to_step_w);
      for (int k = tables.first_line[phase]; k < tables.first_line[phase + 1]; k += LINES) {
        int count = min(LINES, tables.first_line[phase + 1] - k);
        if (INTERLEAVED(&g))
          sum_lines_apart(planes, filter, taps, present, tables.lines + k, count, shift, least, lanes, 0,
                          mine + results_at);
        else
          sum_lines(planes, filter, taps, present, tables.lines + k, count, shift, least, lanes,
                    phases == 1 ? to_plane : 0, to);
      }
    }
    if (INTERLEAVED(&g)) interleave(&g, &tables, mine + results_at, to);
  }
}

/* Adds a plane's products with the gradient's vectors to the sums, a vector each, of up to TAPS taps. */
static OUTLINED void sum_taps(const __global REAL *planes, const __global REAL *y_rows, const __global int2 *lines,
                              int count, const __global int2 *taps, int present, __global REAL *sums) {
  V acc[TAPS];
  const __global REAL *sources[TAPS];
  UNROLL for (int t = 0; t < TAPS; t++) {
    acc[t] = VLOAD(sums, t * VW);
    sources[t] = planes + taps[min(t, present - 1)].x;
  }
  for (int k = 0; k < count; k++) {
    long at = lines[k].x;
    V gradient = VLOAD(y_rows, k * VW);
    UNROLL for (int t = 0; t < TAPS; t++) acc[t] = fma(gradient, VLOAD(sources[t], at), acc[t]);
  }
  UNROLL for (int t = 0; t < TAPS; t++) VSTORE(sums, t * VW, acc[t]);
}

/* The gradient of y as one vector a line, zero in the lanes that a row's last vector shares with the one before it. */
static OUTLINED void copy_gradient(const __global T *from, int height, int width, INDEX left, __global REAL *to) {
  V numbers = lane_numbers();
  for (int row = 0; row < height; row++, from += width, left -= width)
    for (int begin = 0; begin < width; begin += VW, to += VW) {
      int column = vector_column(begin / VW, width);
      if (column + VW <= left) {
        V values = VLOAD_T(from, column);
        V inside = width < VW ? (V)(width) - numbers : numbers - (V)(begin - column - 1);
        VSTORE(to, 0, inside > (V)(0) ? values : (V)(0));
      } else
        for (int l = 0; l < VW; l++) to[l] = l < width ? LOAD_T(from, l) : 0;
    }
}

static inline REAL lanes_sum(const __global REAL *lanes) {
  REAL sums[VW];
  for (int l = 0; l < VW; l++) sums[l] = lanes[l];
  for (int gap = VW / 2; gap > 0; gap /= 2)
    for (int l = 0; l < gap; l++) sums[l] += sums[l + gap];
  return sums[0];
}

/* slice: scratch elements of a work-item: copies, lines, taps, starts of phases, planes, gradient of y, sums. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv_depthwise_weights(
    const __global T *x, const __global T *y, __global T *dw, __global T *db, __global REAL *scratch, INDEX x_offset,
    INDEX y_offset, INDEX dw_offset, INDEX db_offset, GEOMETRY, PLANES, int groups_per_item, INDEX slice, int lines_at,
    int taps_at, int phases_at, int planes_at, int y_at, int sums_at, int has_bias) {
  Geometry g = GATHER_GEOMETRY;
  int result_phase = 0, from_plane = from_h * from_w, to_plane = to_h * to_w, taps = kernel_h * kernel_w;
  __global REAL *mine = scratch + (INDEX)get_global_id(0) * slice, *sums = mine + sums_at;
  Tables tables = TABLES;
  list_copies(&g, pitch - max(0, VW - to_w), &tables);
  list_lines(&g, &tables);
  for (int j = planes_at; j < y_at; j++) mine[j] = 0;
  int first_group = get_global_id(0) * groups_per_item;
  for (int group = first_group; group < min(groups, first_group + groups_per_item); group++) {
    V total = (V)(0);
    for (int j = 0; j < (taps + TAPS) * VW; j++) sums[j] = 0;
    for (int image = 0; image < images; image++) {
      INDEX plane = (INDEX)image * groups + group, left = (INDEX)images * groups - plane;
      copy_plane(&g, &tables, x + x_offset + plane * from_plane, left * from_plane, mine + planes_at);
      copy_gradient(y + y_offset + plane * to_plane, to_h, to_w, left * to_plane, mine + y_at);
      int count = tables.first_line[1];
      for (int t = 0; t < taps; t += TAPS)
        sum_taps(mine + planes_at, mine + y_at, tables.lines, count, tables.taps + t, min(TAPS, taps - t), sums + t * VW);
      for (int k = 0; has_bias && k < count; k++) total += VLOAD(mine + y_at, k * VW);
    }
    for (int t = 0; t < taps; t++) STORE_T(dw, dw_offset + (INDEX)group * taps + t, lanes_sum(sums + t * VW));
    VSTORE(sums, 0, total);
    if (has_bias) STORE_T(db, db_offset + group, lanes_sum(sums));
  }
}
