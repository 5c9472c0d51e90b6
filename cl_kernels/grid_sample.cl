/* Images and volumes at places between their pixels, on CPUs: sums of neighbours, each with a weight. What is outside is 0.
 *
 *   image [N][C][D][H][W] (D = 1 with RANK 2)     grid [N][POINTS][RANK], (x, y[, z]) in [-1, 1]     result [N][C][POINTS]
 *
 *   along an axis, a place x has  NEAR 1: round(x)   2: floor(x) + 0, 1 (linear)   4: floor(x) - 1, 0, 1, 2 (cubic)
 *   as neighbours; a place has the NEAR^RANK that these span, and the products of their weights.
 *
 *   sample          get_global_id(0): which BLOCK places, of all channels      get_global_id(1): n
 *   sample_grid     the same; the gradient of the grid
 *   sample_image    get_global_id(0): which `channels_per_item` channels, whose gradients one work-item adds up in the order
 *                   of the places, get_global_id(1): n
 */
#ifndef REAL
#define REAL float
#endif
#ifndef RANK
#define RANK 2
#endif
#ifndef NEAR
#define NEAR 2
#endif
#define ZEROS 0
#define BORDER 1
#define REFLECTION 2
#ifndef PADDING
#define PADDING ZEROS
#endif
#ifndef ALIGN_CORNERS /* whether -1 and 1 are the centres of the pixels at the ends, instead of their outer edges */
#define ALIGN_CORNERS 0
#endif
#include "types.clh"
#if RANK == 2
#define TAPS (NEAR * NEAR)
#else
#define TAPS (NEAR * NEAR * NEAR)
#endif
#define BLOCK (TAPS == 1 ? 256 : 1024 / TAPS) /* as POINTS_OF in the launcher */
#define CUBIC (REAL)(-0.75)                   /* Keys 1981 */

typedef struct { /* neighbours along one axis; slope: derivatives of the weights by the grid */
  REAL at[NEAR][BLOCK], weight[NEAR][BLOCK], slope[NEAR][BLOCK];
} axis;

typedef struct {
  axis x, y, z;
  int at[TAPS][BLOCK]; /* -1: outside */
  REAL weight[TAPS][BLOCK];
} block;

/* A place moved into an axis as PADDING asks, and the factor of its derivative. A border passes none on. */
static inline REAL inside(REAL x, int size, REAL *factor) {
#if PADDING == ZEROS
  return x;
#else
#if PADDING == REFLECTION
  const REAL low = ALIGN_CORNERS ? 0 : (REAL)-0.5, span = ALIGN_CORNERS ? size - 1 : size;
  const REAL from = x - low, away = fabs(from), turns = span > 0 ? floor(away / span) : 0;
  const REAL rest = away - turns * span;
  const int odd = turns - 2 * floor(turns / 2) != 0;
  *factor *= (from < 0) != odd ? -1 : 1;
  x = span > 0 ? (odd ? low + span - rest : low + rest) : 0;
#endif
  const int kept = x > 0 && x < size - 1;
  *factor *= kept ? 1 : 0;
  return kept ? x : x >= size - 1 ? size - 1 : 0;
#endif
}

static inline REAL near_weight(REAL u) { return ((CUBIC + 2) * u - (CUBIC + 3)) * u * u + 1; }
static inline REAL near_slope(REAL u) { return (3 * (CUBIC + 2) * u - 2 * (CUBIC + 3)) * u; }
static inline REAL far_weight(REAL u) { return ((CUBIC * u - 5 * CUBIC) * u + 8 * CUBIC) * u - 4 * CUBIC; }
static inline REAL far_slope(REAL u) { return (3 * CUBIC * u - 10 * CUBIC) * u + 8 * CUBIC; }

/* The neighbours of `count` places along an axis; `grid` holds its coordinates, RANK apart. */
static inline void neighbours(axis *l, __global const REAL *grid, int size, int count) {
  for (int p = 0; p < count; p++) {
    REAL factor = ALIGN_CORNERS ? (size - 1) * (REAL)0.5 : size * (REAL)0.5;
    REAL x = ALIGN_CORNERS ? (grid[p * RANK] + 1) * factor : ((grid[p * RANK] + 1) * size - 1) * (REAL)0.5;
#if NEAR < 4
    x = inside(x, size, &factor);
#endif
#if NEAR == 1
    l->at[0][p] = rint(x);
    l->weight[0][p] = 1;
    l->slope[0][p] = 0;
#else
    const REAL base = floor(x), t = x - base;
#if NEAR == 2
    l->at[0][p] = base;
    l->at[1][p] = base + 1;
    l->weight[0][p] = 1 - t;
    l->weight[1][p] = t;
    l->slope[0][p] = -factor;
    l->slope[1][p] = factor;
#else
    _Pragma("unroll") for (int k = 0; k < 4; k++) {
      REAL ignored = 1;
      l->at[k][p] = rint(inside(base + k - 1, size, &ignored));
    }
    l->weight[0][p] = far_weight(t + 1);
    l->weight[1][p] = near_weight(t);
    l->weight[2][p] = near_weight(1 - t);
    l->weight[3][p] = far_weight(2 - t);
    l->slope[0][p] = factor * far_slope(t + 1);
    l->slope[1][p] = factor * near_slope(t);
    l->slope[2][p] = -factor * near_slope(1 - t);
    l->slope[3][p] = -factor * far_slope(2 - t);
#endif
#endif
  }
}

/* Tap t: neighbours i, j, k along depth, rows and columns, of which at images only the last two vary. */
#define NEIGHBOURS(t) const int i = t / NEAR / NEAR, j = t / NEAR % NEAR, k = t % NEAR;
#if RANK == 2
#define DEPTH(field) 1
#else
#define DEPTH(field) b->z.field[i][p]
#endif
#define VALID(at, size) (((at) >= 0) & ((at) <= (size) - 1))

/* The neighbours of `count` places. */
static inline void find(block *b, __global const REAL *grid, int count, int depth, int height, int width) {
  neighbours(&b->x, grid, width, count);
  neighbours(&b->y, grid + 1, height, count);
#if RANK == 3
  neighbours(&b->z, grid + 2, depth, count);
#endif
  for (int t = 0; t < TAPS; t++) {
    NEIGHBOURS(t)
    for (int p = 0; p < count; p++) {
      const REAL column = b->x.at[k][p];
      REAL row = b->y.at[j][p];
      int valid = VALID(row, height) & VALID(column, width);
#if RANK == 3
      valid &= VALID(b->z.at[i][p], depth);
      row += b->z.at[i][p] * height;
#endif
      b->at[t][p] = valid ? (int)row * width + (int)column : -1;
      b->weight[t][p] = DEPTH(weight) * b->y.weight[j][p] * b->x.weight[k][p];
    }
  }
}

#define PIXEL(t) (found.at[t][p] < 0 ? (REAL)0 : plane[max(found.at[t][p], 0)])

__kernel void sample(__global const REAL *image, __global const REAL *grid, __global REAL *out, INDEX o_image, INDEX o_grid,
                     INDEX o_out, INDEX channels, INDEX points, int depth, int height, int width) {
  const INDEX begin = get_global_id(0) * BLOCK, n = get_global_id(1), size = (INDEX)depth * height * width;
  const int count = (int)min((INDEX)BLOCK, points - begin);
  block found;
  find(&found, grid + o_grid + (n * points + begin) * RANK, count, depth, height, width);
  for (INDEX c = n * channels; c < (n + 1) * channels; c++) {
    __global const REAL *plane = image + o_image + c * size;
    __global REAL *restrict to = out + o_out + c * points + begin;
    for (int p = 0; p < count; p++) {
      REAL sum = 0;
      _Pragma("unroll") for (int t = 0; t < TAPS; t++) sum += PIXEL(t) * found.weight[t][p];
      to[p] = sum;
    }
  }
}

/* The sums over channels of gradient times pixel are of each neighbour; the weights' derivatives are needed only once. */
__kernel void sample_grid(__global const REAL *grad, __global const REAL *image, __global const REAL *grid,
                          __global REAL *out, INDEX o_grad, INDEX o_image, INDEX o_grid, INDEX o_out, INDEX channels,
                          INDEX points, int depth, int height, int width) {
  const INDEX begin = get_global_id(0) * BLOCK, n = get_global_id(1), size = (INDEX)depth * height * width;
  const int count = (int)min((INDEX)BLOCK, points - begin);
  grid += o_grid + (n * points + begin) * RANK;
  out += o_out + (n * points + begin) * RANK;
  block found;
  find(&found, grid, count, depth, height, width);
  REAL sums[TAPS][BLOCK];
  for (int t = 0; t < TAPS; t++)
    for (int p = 0; p < count; p++) sums[t][p] = 0;
  for (INDEX c = n * channels; c < (n + 1) * channels; c++) {
    __global const REAL *plane = image + o_image + c * size;
    __global const REAL *g = grad + o_grad + c * points + begin;
    for (int p = 0; p < count; p++)
      _Pragma("unroll") for (int t = 0; t < TAPS; t++) sums[t][p] += g[p] * PIXEL(t);
  }
  for (int p = 0; p < count; p++) {
    const block *b = &found;
    REAL dx = 0, dy = 0, dz = 0;
    for (int t = 0; t < TAPS; t++) {
      NEIGHBOURS(t)
      dx += sums[t][p] * DEPTH(weight) * b->y.weight[j][p] * b->x.slope[k][p];
      dy += sums[t][p] * DEPTH(weight) * b->y.slope[j][p] * b->x.weight[k][p];
      dz += sums[t][p] * DEPTH(slope) * b->y.weight[j][p] * b->x.weight[k][p];
    }
    out[p * RANK] = dx;
    out[p * RANK + 1] = dy;
    if (RANK == 3) out[p * RANK + RANK - 1] = dz;
  }
}

__kernel void sample_image(__global const REAL *grad, __global const REAL *grid, __global REAL *out, INDEX o_grad,
                           INDEX o_grid, INDEX o_out, INDEX channels, INDEX points, int depth, int height, int width,
                           INDEX channels_per_item) {
  const INDEX n = get_global_id(1), first = get_global_id(0) * channels_per_item;
  const INDEX begin = n * channels + first, end = n * channels + min(first + channels_per_item, channels);
  const INDEX size = (INDEX)depth * height * width;
  for (INDEX i = begin * size; i < end * size; i++) out[o_out + i] = 0;
  block found;
  for (INDEX start = 0; start < points; start += BLOCK) {
    const int count = (int)min((INDEX)BLOCK, points - start);
    find(&found, grid + o_grid + (n * points + start) * RANK, count, depth, height, width);
    for (INDEX c = begin; c < end; c++) {
      __global REAL *plane = out + o_out + c * size;
      __global const REAL *g = grad + o_grad + c * points + start;
      for (int p = 0; p < count; p++)
        _Pragma("unroll") for (int t = 0; t < TAPS; t++)
          if (found.at[t][p] >= 0) plane[found.at[t][p]] += g[p] * found.weight[t][p];
    }
  }
}
