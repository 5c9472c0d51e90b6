// A sparse linear map along one axis: resizing, padding by repetition, taking windows, and the transpose of each.
//
//   x[outer][n][inner] -> y[outer][m][inner]
//
//   y[o][j][i] = sum of weights[t] * x[o][places[t]][i]   for t in [starts[j], starts[j + 1])
//
// The gradient is the same map with its taps sorted by place instead of by output, so sums have one writer and one
// order. On a CPU a work-item takes `chunk` lines of `inner` elements, VW at a time; elsewhere it takes one element.
//
// resample_rows is for the last axis (inner = 1) on CPUs, where most of the time above would go into short loops: every
// output has TAPS taps, places[TAPS][m] and weights[TAPS][m], of which those of weight 0 do not count, and a work-item
// takes rows, VW = 8 outputs at a time.

#ifndef CODE  // code of the dtype
#define CODE f32
#endif
#ifndef REAL  // type of arithmetic and of the weights
#define REAL float
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#ifndef VW  // lanes of a vector
#define VW 8
#endif
#ifndef TAPS  // of resample_rows; 0: the program holds the other kernel
#define TAPS 0
#endif
#include "types.clh"

#define T PASTE(T_, CODE)
#define LOAD(p, i) PASTE(LOAD_, CODE)(p, i)
#define STORE(p, i, v) PASTE(STORE_, CODE)(p, i, v)
#define LOAD_V(p, i) PASTE(VLOAD_, CODE)(p, i)
#define STORE_V(p, i, v) PASTE(VSTORE_, CODE)(p, i, v)

#if TAPS

kernel void resample_rows(global const T *x, global const int *places, global const REAL *weights, global T *y, INDEX o_x,
                          INDEX o_places, INDEX o_weights, INDEX o_y, INDEX rows, INDEX chunk, INDEX n, INDEX m) {
    places += o_places;
    weights += o_weights;
    const INDEX first = get_global_id(0) * chunk, last = min(first + chunk, rows);
    for (INDEX row = first; row < last; row++) {
        global const T *in = x + o_x + row * n;
        global T *out = y + o_y + row * m;
        INDEX j = 0;
        for (; j + VW <= m; j += VW) {
            VEC(REAL) sum = (VEC(REAL))(0);
            for (int t = 0; t < TAPS; t++) {
                global const int *p = places + t * m + j;
                const VEC(REAL) w = PASTE(vload, VW)(0, weights + t * m + j);
                const VEC(REAL) v = (VEC(REAL))(LOAD(in, p[0]), LOAD(in, p[1]), LOAD(in, p[2]), LOAD(in, p[3]),
                                                LOAD(in, p[4]), LOAD(in, p[5]), LOAD(in, p[6]), LOAD(in, p[7]));
                sum += w != 0 ? w * v : (VEC(REAL))(0);
            }
            STORE_V(out, j, sum);
        }
        for (; j < m; j++) {
            REAL sum = 0;
            for (int t = 0; t < TAPS; t++) {
                const REAL w = weights[t * m + j];
                if (w != 0) sum += w * LOAD(in, places[t * m + j]);
            }
            STORE(out, j, sum);
        }
    }
}

#else

static inline REAL one(global const T *x, global const int *places, global const REAL *weights, int begin, int end,
                       INDEX from, INDEX inner) {
    REAL sum = 0;
    for (int t = begin; t < end; t++) sum += weights[t] * LOAD(x, from + places[t] * inner);
    return sum;
}

kernel void resample(global const T *x, global const int *starts, global const int *places, global const REAL *weights,
                     global T *y, INDEX o_x, INDEX o_starts, INDEX o_places, INDEX o_weights, INDEX o_y, INDEX total,
                     INDEX chunk, INDEX n, INDEX m, INDEX inner) {
    starts += o_starts;
    places += o_places;
    weights += o_weights;
#if DEVICE_CPU
    const INDEX first = get_global_id(0) * chunk, last = min(first + chunk, total);
    INDEX outer = first / m, j = first % m;
    for (INDEX line = first; line < last; line++) {
        const int begin = starts[j], end = starts[j + 1];
        const INDEX from = o_x + outer * n * inner, to = o_y + line * inner;
        INDEX i = 0;
        for (; i + VW <= inner; i += VW) {
            VEC(REAL) sum = (VEC(REAL))(0);
            for (int t = begin; t < end; t++) sum += (VEC(REAL))(weights[t]) * LOAD_V(x, from + places[t] * inner + i);
            STORE_V(y, to + i, sum);
        }
        for (; i < inner; i++) STORE(y, to + i, one(x, places, weights, begin, end, from + i, inner));
        if (++j == m) { j = 0; outer++; }
    }
#else
    const INDEX p = get_global_id(0);
    if (p >= total * inner) return;
    const INDEX i = p % inner, line = p / inner, j = line % m, outer = line / m;
    STORE(y, o_y + p, one(x, places, weights, starts[j], starts[j + 1], o_x + outer * n * inner + i, inner));
#endif
}

#endif
