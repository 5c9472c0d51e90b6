// Lines extended at their ends by a value or by elements of their own, along up to three dimensions, and the gradient.
//
//   x[outer][n2][n1][n0] -> y[outer][m2][m1][m0]       y[o][a][b][c] = x[o][map2[a]][map1[b]][map0[c]]
//                                                    `value` where one of the maps is negative
//
//   a line of y   | ends: map0 | first ... last: a run of x, at `shift` from there | ends: map0 |
//
// The gradient of an element of x is the sum of those of its places in y: along dimension k they are
// places_k[starts_k[i]] up to places_k[starts_k[i + 1]].
//
//   tables of pad            map0[m0], map1[m1], map2[m2]
//   tables of pad_gradient   map0[m0], then for each k: starts_k[n_k + 1], places_k[m_k]
//
// On a CPU a work-item takes `chunk` lines of what it writes; elsewhere it takes one element.

#ifndef CODE // code of the dtype
#define CODE f32
#endif
#ifndef REAL // type that a load gives, and in which gradients are added
#define REAL float
#endif
#ifndef VALUE // type of the value
#define VALUE float
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#ifndef VW
#define VW 8
#endif
#include "types.clh"

#define T PASTE(T_, CODE)
#define LOAD(p, i) PASTE(LOAD_, CODE)(p, i)
#define STORE(p, i, v) PASTE(STORE_, CODE)(p, i, v)
#define LOAD_V(p, i) PASTE(VLOAD_, CODE)(p, i)
#define STORE_V(p, i, v) PASTE(VSTORE_, CODE)(p, i, v)
#define END(c) ((c) < 0 ? (REAL)value : LOAD(in, max(c, 0)))
#define SIZES INDEX total, INDEX chunk, int n0, int n1, int n2, int m0, int m1, int m2, int first, int last, int shift

kernel void pad(global const T *x, global const int *tables, global T *y, INDEX o_x, INDEX o_tables, INDEX o_y, VALUE value,
                SIZES) {
    global const int *map0 = tables + o_tables, *map1 = map0 + m0, *map2 = map1 + m1;
#if DEVICE_CPU
    const INDEX begin = get_global_id(0) * chunk, end = min(begin + chunk, total);
    for (INDEX line = begin; line < end; line++) {
        const INDEX outer = line / m1 / m2;
        const int a = map2[line / m1 % m2], b = map1[line % m1];
        global const T *in = x + o_x + ((outer * n2 + max(a, 0)) * n1 + max(b, 0)) * n0;
        global T *out = y + o_y + line * m0;
        int c = 0;
        if (a < 0 || b < 0) {
            const VEC(REAL) values = (VEC(REAL))((REAL)value);
            for (; c + VW <= m0; c += VW) STORE_V(out, c, values);
            for (; c < m0; c++) STORE(out, c, value);
            continue;
        }
        for (; c < first; c++) STORE(out, c, END(map0[c]));
        for (; c + VW <= last; c += VW) STORE_V(out, c, LOAD_V(in, c + shift));
        for (; c < last; c++) STORE(out, c, LOAD(in, c + shift));
        for (; c < m0; c++) STORE(out, c, END(map0[c]));
    }
#else
    const INDEX p = get_global_id(0);
    if (p >= total * m0) return;
    const INDEX line = p / m0, outer = line / m1 / m2;
    const int a = map2[line / m1 % m2], b = map1[line % m1], c = map0[p % m0];
    global const T *in = x + o_x + ((outer * n2 + max(a, 0)) * n1 + max(b, 0)) * n0;
    STORE(y, o_y + p, a < 0 || b < 0 ? (REAL)value : END(c));
#endif
}

// Runs the statement for each line `from` of g that line (a, b) of x has a part in.
#define LINES(statement)                                                                          \
    for (int i = starts2[a]; i < starts2[a + 1]; i++)                                             \
        for (int j = starts1[b]; j < starts1[b + 1]; j++) {                                       \
            global const T *from = g + o_g + ((outer * m2 + places2[i]) * m1 + places1[j]) * m0;  \
            statement                                                                             \
        }

kernel void pad_gradient(global const T *g, global const int *tables, global T *y, INDEX o_g, INDEX o_tables, INDEX o_y,
                         SIZES) {
    global const int *map0 = tables + o_tables, *starts0 = map0 + m0, *places0 = starts0 + n0 + 1;
    global const int *starts1 = places0 + m0, *places1 = starts1 + n1 + 1;
    global const int *starts2 = places1 + m1, *places2 = starts2 + n2 + 1;
#if DEVICE_CPU
    const INDEX begin = get_global_id(0) * chunk, end = min(begin + chunk, total);
    for (INDEX line = begin; line < end; line++) {
        const INDEX outer = line / n1 / n2;
        const int a = line / n1 % n2, b = line % n1;
        global T *out = y + o_y + line * n0;
        int c = 0;
        for (; c < first + shift; c++) STORE(out, c, 0);
        for (; c + VW <= last + shift; c += VW) {
            VEC(REAL) sum = 0;
            LINES(sum += LOAD_V(from, c - shift);)
            STORE_V(out, c, sum);
        }
        for (; c < last + shift; c++) {
            REAL sum = 0;
            LINES(sum += LOAD(from, c - shift);)
            STORE(out, c, sum);
        }
        for (; c < n0; c++) STORE(out, c, 0);
        LINES({
            for (int e = 0; e < first; e++) STORE(out, map0[e], LOAD(out, map0[e]) + LOAD(from, e));
            for (int e = last; e < m0; e++) STORE(out, map0[e], LOAD(out, map0[e]) + LOAD(from, e));
        })
    }
#else
    const INDEX p = get_global_id(0);
    if (p >= total * n0) return;
    const INDEX line = p / n0, outer = line / n1 / n2;
    const int a = line / n1 % n2, b = line % n1, c = p % n0;
    REAL sum = 0;
    LINES(for (int k = starts0[c]; k < starts0[c + 1]; k++) sum += LOAD(from, places0[k]);)
    STORE(y, o_y + p, sum);
#endif
}
