/* p-norm distances between rows, and their gradient.
 *
 *   x [batch][m][d], y [batch][n][d]     out [batch][m][n]: |x_i - y_j|
 *   CONDENSED: y is x, n = m             out [m (m - 1) / 2]: those with i < j, row by row
 *
 *   gradient of x_i: the sum over j of g_ij * slope(x_i - y_j, out_ij) for each of the d numbers; that of y is the same with
 *   the two exchanged, where g and out are read across.
 *
 * On a CPU a work-item takes `chunk` rows of x; elsewhere one element of what it writes: get_global_id(0) is its place in a
 * row, get_global_id(1) the row.
 */
#ifndef REAL
#define REAL float
#endif
#define GENERAL 0 /* any other p */
#define COUNT 1   /* p = 0: differences that are not zero */
#define SUM 2     /* p = 1 */
#define SQUARES 3 /* p = 2 */
#define LARGEST 4 /* p = inf */
#ifndef KIND
#define KIND SQUARES
#endif
#ifndef CONDENSED
#define CONDENSED 0
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#ifndef VW
#define VW 8
#endif
#include "types.clh"
#define TILE 4 /* vectors of a gradient that are added up at once */

#if KIND == SQUARES
#define ADD(sum, v) ((sum) + (v) * (v))
#elif KIND == SUM
#define ADD(sum, v) ((sum) + fabs(v))
#elif KIND == COUNT
#define ADD(sum, v) ((sum) + (v == 0 ? 0 : v == v ? 1 : v))
#elif KIND == LARGEST
#define ADD(sum, v) (fabs(v) > sum || v != v ? fabs(v) : sum)
#else
#define ADD(sum, v) ((sum) + pow(fabs(v), p))
#endif

/* 1, -1 or 0. */
static inline REAL __attribute__((overloadable)) direction(REAL v) { return v > 0 ? 1 : v < 0 ? -1 : 0; }
#if VW > 1
static inline VEC(REAL) __attribute__((overloadable)) direction(VEC(REAL) v) {
  return v > 0 ? (VEC(REAL))(1) : v < 0 ? (VEC(REAL))(-1) : (VEC(REAL))(0);
}
#endif

static inline REAL finish(REAL sum, REAL p) {
#if KIND == SQUARES
  return sqrt(sum);
#elif KIND == GENERAL
  return pow(sum, 1 / p);
#else
  return sum;
#endif
}

static inline REAL distance_of(__global const REAL *a, __global const REAL *b, int d, REAL p) {
  REAL sum = 0;
  int k = 0;
#if DEVICE_CPU && (KIND == SQUARES || KIND == SUM)
  if (d >= VW) {
    VEC(REAL) sums = 0;
    for (; k + VW <= d; k += VW) {
      const VEC(REAL) v = VLOAD(a, k) - VLOAD(b, k);
      sums = ADD(sums, v);
    }
    REAL lanes[VW];
    VSTORE(lanes, 0, sums);
    _Pragma("unroll") for (int half_ = VW / 2; half_ > 0; half_ /= 2)
      _Pragma("unroll") for (int l = 0; l < half_; l++) lanes[l] += lanes[l + half_];
    sum = lanes[0];
  }
#endif
  for (; k < d; k++) {
    const REAL v = a[k] - b[k];
    sum = ADD(sum, v);
  }
  return finish(sum, p);
}

/* Where the distance of rows i and j of one batch stands. */
#define PAIR(i, j) ((INDEX)min(i, j) * m - (INDEX)min(i, j) * (min(i, j) + 1) / 2 + max(i, j) - min(i, j) - 1)

__kernel void distances(__global const REAL *x, __global const REAL *y, __global REAL *out, INDEX o_x, INDEX o_y, INDEX o_out,
                        INDEX rows, INDEX chunk, int m, int n, int d, REAL p) {
#if DEVICE_CPU
  const INDEX first = get_global_id(0) * chunk, last = min(first + chunk, rows);
  for (INDEX row = first; row < last; row++)
    for (int j = CONDENSED ? row % m + 1 : 0; j < n; j++) {
#else
  const INDEX row = get_global_id(1);
  const int j = get_global_id(0);
  if (j < n && (!CONDENSED || j > row)) {
#endif
      const INDEX at = CONDENSED ? PAIR((int)row, j) : row * n + j;
      out[o_out + at] = distance_of(x + o_x + row * d, y + o_y + (row / m * n + j) * d, d, p);
    }
}

/* What the gradient of a distance is multiplied with for all numbers of a row, and then for each difference v. */
static inline REAL factor_of(REAL g, REAL distance, REAL p) {
#if KIND == SQUARES
  return distance == 0 ? 0 : g / distance;
#elif KIND == GENERAL
  return distance == 0 ? 0 : g * pow(distance, 1 - p);
#else
  return g;
#endif
}

#if KIND == SQUARES
#define SLOPE(v) (v)
#elif KIND == SUM
#define SLOPE(v) direction(v)
#elif KIND == LARGEST
#define SLOPE(v) (fabs(v) == distance ? direction(v) : 0)
#elif KIND == COUNT
#define SLOPE(v) (REAL)0
#else
#define SLOPE(v) (v == 0 ? 0 : copysign(pow(fabs(v), p - 1), v))
#endif

/* Runs the statement for each row `b` of y that row i of x has a distance from. */
#define EACH_OTHER(statement)                                                                        \
  for (int j = 0; j < n; j++) {                                                                      \
    if (CONDENSED && j == i) continue;                                                               \
    const INDEX at = CONDENSED ? PAIR(i, j) : row / m * m * n + i * step_i + j * step_j;             \
    const REAL distance = out[o_out + at], factor = factor_of(g[o_g + at], distance, p);             \
    __global const REAL *b = y + o_y + (row / m * n + j) * d;                                        \
    statement                                                                                        \
  }

__kernel void distances_gradient(__global const REAL *g, __global const REAL *out, __global const REAL *x,
                                 __global const REAL *y, __global REAL *dx, INDEX o_g, INDEX o_out, INDEX o_x, INDEX o_y,
                                 INDEX o_dx, INDEX rows, INDEX chunk, int m, int n, int d, INDEX step_i, INDEX step_j,
                                 REAL p) {
#if DEVICE_CPU
  const INDEX first = get_global_id(0) * chunk, last = min(first + chunk, rows);
  for (INDEX row = first; row < last; row++) {
    const int i = row % m;
    __global const REAL *a = x + o_x + row * d;
    __global REAL *to = dx + o_dx + row * d;
    int k = 0;
#if KIND == SQUARES || KIND == SUM
    for (; k + TILE * VW <= d; k += TILE * VW) {
      VEC(REAL) sums[TILE];
      _Pragma("unroll") for (int t = 0; t < TILE; t++) sums[t] = 0;
      EACH_OTHER(_Pragma("unroll") for (int t = 0; t < TILE; t++) {
        const VEC(REAL) v = VLOAD(a, k + t * VW) - VLOAD(b, k + t * VW);
        sums[t] += factor * SLOPE(v);
      })
      _Pragma("unroll") for (int t = 0; t < TILE; t++) VSTORE(to, k + t * VW, sums[t]);
    }
#endif
    for (int c = k; c < d; c++) to[c] = 0;
    EACH_OTHER(for (int c = k; c < d; c++) {
      const REAL v = a[c] - b[c];
      to[c] += factor * SLOPE(v);
    })
  }
#else
  const INDEX row = get_global_id(1);
  const int i = row % m, c = get_global_id(0);
  if (c >= d) return;
  REAL sum = 0;
  EACH_OTHER({
    const REAL v = x[o_x + row * d + c] - b[c];
    sum += factor * SLOPE(v);
  })
  dx[o_dx + row * d + c] = sum;
#endif
}
