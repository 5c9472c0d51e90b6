/* Images at places between their pixels, on CPUs: bilinear sums of four neighbours. Neighbours outside of the image are 0.
 *
 *   image [N][C][H][W]     places px, py [N][POINTS], in pixels     result [N][C][POINTS]
 *
 *     (at, weight)  0: (y0, x0)      1: (y0, x0 + 1)               tx, ty: how far the place is behind (x0, y0)
 *                   2: (y0 + 1, x0)  3: (y0 + 1, x0 + 1)
 *
 *   sample          get_global_id(0): which BLOCK places, of all channels      get_global_id(1): n
 *   sample_places   the same; their gradients
 *   sample_image    get_global_id(0): which `channels_per_item` channels, whose gradients one work-item adds up in the order
 *                   of the places, get_global_id(1): n
 */
#ifndef REAL
#define REAL float
#endif
#define BLOCK 256
#include "types.clh"

typedef struct {
  int at[4][BLOCK]; /* -1: outside */
  REAL tx[BLOCK], ty[BLOCK], weight[4][BLOCK];
} block;

/* The neighbours of `count` places. */
static inline void find(block *b, __global const REAL *px, __global const REAL *py, int count, int height, int width) {
  for (int p = 0; p < count; p++) {
    const REAL x = floor(px[p]), y = floor(py[p]);
    const int left = x >= 0 && x < width, right = x >= -1 && x < width - 1;
    const int upper = y >= 0 && y < height, lower = y >= -1 && y < height - 1;
    const int column = left || right ? (int)x : 0, row = upper || lower ? (int)y : 0, first = row * width + column;
    const REAL tx = px[p] - x, ty = py[p] - y;
    b->tx[p] = tx;
    b->ty[p] = ty;
    b->at[0][p] = upper && left ? first : -1;
    b->at[1][p] = upper && right ? first + 1 : -1;
    b->at[2][p] = lower && left ? first + width : -1;
    b->at[3][p] = lower && right ? first + width + 1 : -1;
    b->weight[0][p] = (1 - tx) * (1 - ty);
    b->weight[1][p] = tx * (1 - ty);
    b->weight[2][p] = (1 - tx) * ty;
    b->weight[3][p] = tx * ty;
  }
}

#define PIXEL(k) (b.at[k][p] < 0 ? (REAL)0 : plane[max(b.at[k][p], 0)])

__kernel void sample(__global const REAL *image, __global const REAL *px, __global const REAL *py, __global REAL *out,
                     INDEX o_image, INDEX o_px, INDEX o_py, INDEX o_out, INDEX channels, INDEX points, int height, int width) {
  const INDEX begin = get_global_id(0) * BLOCK, n = get_global_id(1);
  const int count = (int)min((INDEX)BLOCK, points - begin);
  block b;
  find(&b, px + o_px + n * points + begin, py + o_py + n * points + begin, count, height, width);
  for (INDEX c = n * channels; c < (n + 1) * channels; c++) {
    __global const REAL *plane = image + o_image + c * height * width;
    __global REAL *restrict to = out + o_out + c * points + begin;
    for (int p = 0; p < count; p++)
      to[p] = PIXEL(0) * b.weight[0][p] + PIXEL(1) * b.weight[1][p] + PIXEL(2) * b.weight[2][p] + PIXEL(3) * b.weight[3][p];
  }
}

__kernel void sample_places(__global const REAL *grad, __global const REAL *image, __global const REAL *px,
                            __global const REAL *py, __global REAL *dx, __global REAL *dy, INDEX o_grad, INDEX o_image,
                            INDEX o_px, INDEX o_py, INDEX o_dx, INDEX o_dy, INDEX channels, INDEX points, int height,
                            int width) {
  const INDEX begin = get_global_id(0) * BLOCK, n = get_global_id(1), at = n * points + begin;
  const int count = (int)min((INDEX)BLOCK, points - begin);
  block b;
  REAL along_x[BLOCK], along_y[BLOCK];
  find(&b, px + o_px + at, py + o_py + at, count, height, width);
  for (int p = 0; p < count; p++) along_x[p] = along_y[p] = 0;
  for (INDEX c = n * channels; c < (n + 1) * channels; c++) {
    __global const REAL *plane = image + o_image + c * height * width;
    __global const REAL *g = grad + o_grad + c * points + begin;
    for (int p = 0; p < count; p++) {
      const REAL v0 = PIXEL(0), v1 = PIXEL(1), v2 = PIXEL(2), v3 = PIXEL(3);
      along_x[p] += g[p] * ((v1 - v0) * (1 - b.ty[p]) + (v3 - v2) * b.ty[p]);
      along_y[p] += g[p] * ((v2 - v0) * (1 - b.tx[p]) + (v3 - v1) * b.tx[p]);
    }
  }
  for (int p = 0; p < count; p++) {
    dx[o_dx + at + p] = along_x[p];
    dy[o_dy + at + p] = along_y[p];
  }
}

__kernel void sample_image(__global const REAL *grad, __global const REAL *px, __global const REAL *py, __global REAL *out,
                           INDEX o_grad, INDEX o_px, INDEX o_py, INDEX o_out, INDEX channels, INDEX points, int height,
                           int width, INDEX channels_per_item) {
  const INDEX n = get_global_id(1), first = get_global_id(0) * channels_per_item;
  const INDEX begin = n * channels + first, end = n * channels + min(first + channels_per_item, channels);
  const INDEX size = (INDEX)height * width;
  for (INDEX i = begin * size; i < end * size; i++) out[o_out + i] = 0;
  block b;
  for (INDEX start = 0; start < points; start += BLOCK) {
    const int count = (int)min((INDEX)BLOCK, points - start);
    find(&b, px + o_px + n * points + start, py + o_py + n * points + start, count, height, width);
    for (INDEX c = begin; c < end; c++) {
      __global REAL *plane = out + o_out + c * size;
      __global const REAL *g = grad + o_grad + c * points + start;
      for (int p = 0; p < count; p++)
        _Pragma("unroll") for (int k = 0; k < 4; k++)
          if (b.at[k][p] >= 0) plane[b.at[k][p]] += g[p] * b.weight[k][p];
    }
  }
}
