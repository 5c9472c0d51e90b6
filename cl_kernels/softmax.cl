// Softmax and log-softmax along one dimension, forward and backward, each in one launch.
//
//   x[outer][n][inner], contiguous; the softmax runs over n
//
//        inner == 1: rows          |<--------- n --------->|       a CPU work-item takes whole rows, 16 lanes at a time
//        short rows                n <= SHORT                      lanes are rows
//        inner  > 1: columns       n lines, `inner` apart          lanes are neighbouring columns
//
// forward   y = exp(x - max) / sum(exp(x - max)), or with LOG y = x - max - log(sum)
// backward  grad_x = (g - sum(g * y)) * y,        or with LOG grad_x = g - exp(y) * sum(g)
//
// On a GPU a group of `width` work-items shares one row (rows), or each work-item has one column.
// A row of -inf gives NaN, and a NaN fills its row, as in PyTorch.

#ifndef IN          // code of the dtype of inputs and outputs
#define IN f32
#endif
#ifndef REAL        // type of arithmetic
#define REAL float
#endif
#ifndef LOG         // 1: log-softmax
#define LOG 0
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#ifndef VW
#define VW 16       // lanes of the vectors that a CPU uses
#endif
#include "types.clh"
#ifndef LOCAL
#define LOCAL 256   // GPU: work-items a group
#endif

#define T PASTE(T_, IN)
#define LOAD_1 PASTE(LOAD_, IN)
#define STORE_1 PASTE(STORE_, IN)
#define LOAD_V PASTE(VLOAD_, IN)
#define STORE_V PASTE(VSTORE_, IN)
#define V VEC(REAL)
// The larger of two, NaN before any number.
#define LARGER(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))

#if DEVICE_CPU

static inline REAL lanes_max(V v) {
    REAL l[VW], m;
    PASTE(vstore, VW)(v, 0, l);
    m = l[0];
    for (int i = 1; i < VW; i++) m = LARGER(m, l[i]);
    return m;
}

static inline REAL lanes_sum(V v) {
    REAL l[VW];
    PASTE(vstore, VW)(v, 0, l);
    for (int half_ = VW / 2; half_ > 0; half_ /= 2)
        for (int i = 0; i < half_; i++) l[i] += l[i + half_];
    return l[0];
}

// Loads `count` < VW elements; the other lanes are `fill`.
static inline V load_part(global const T *p, INDEX i, int count, REAL fill) {
    REAL l[VW];
    for (int k = 0; k < VW; k++) l[k] = k < count ? LOAD_1(p, i + k) : fill;
    return PASTE(vload, VW)(0, l);
}

static inline void store_part(global T *p, INDEX i, int count, V v) {
    REAL l[VW];
    PASTE(vstore, VW)(v, 0, l);
    for (int k = 0; k < count; k++) STORE_1(p, i + k, l[k]);
}

// Work-item: rows [id * rows_per_item, ...). With n = VW * whole + rest the rest is a padded vector of its own.
kernel void softmax_rows(global const T *x, global T *y, INDEX x_offset, INDEX y_offset, INDEX rows,
                         INDEX rows_per_item, INDEX n, int width) {
    const INDEX first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
    const int rest = n % VW;
    const INDEX whole = n - rest;
    for (INDEX row = first; row < last; row++) {
        const INDEX p = x_offset + row * n, q = y_offset + row * n;
        V m = (V)(-INFINITY), sum = (V)(0);
        for (INDEX i = 0; i < whole; i += VW) {
            const V v = LOAD_V(x, p + i);
            m = LARGER(m, v);
        }
        V tail = (V)(0);
        if (rest) {
            tail = load_part(x, p + whole, rest, -INFINITY);
            m = LARGER(m, tail);
        }
        const V top = (V)(lanes_max(m));
        // Without LOG, y holds the exponentials until the sum is known: they are not computed twice.
        for (INDEX i = 0; i < whole; i += VW) {
            const V e = exp(LOAD_V(x, p + i) - top);
            sum += e;
#if !LOG && EXACT_STORE
            STORE_V(y, q + i, e);
#endif
        }
        V e = (V)(0);
        if (rest) {
            e = exp(tail - top);
            sum += e;
        }
        const REAL total = lanes_sum(sum);
#if LOG
        const V shift = (V)(log(total));  // not added to top, which may be so large that it swallows it
        for (INDEX i = 0; i < whole; i += VW) {
            const V r = LOAD_V(x, p + i) - top - shift;
            STORE_V(y, q + i, r);
        }
        if (rest) store_part(y, q + whole, rest, tail - top - shift);
#else
        const V scale = (V)(1 / total);
        for (INDEX i = 0; i < whole; i += VW) {
#if EXACT_STORE
            const V r = LOAD_V(y, q + i) * scale;
#else
            const V r = exp(LOAD_V(x, p + i) - top) * scale;
#endif
            STORE_V(y, q + i, r);
        }
        if (rest) store_part(y, q + whole, rest, e * scale);
#endif
    }
}

kernel void softmax_rows_backward(global const T *g, global const T *y, global T *grad, INDEX g_offset,
                                  INDEX y_offset, INDEX grad_offset, INDEX rows, INDEX rows_per_item, INDEX n,
                                  int width) {
    const INDEX first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
    const int rest = n % VW;
    const INDEX whole = n - rest;
    for (INDEX row = first; row < last; row++) {
        const INDEX a = g_offset + row * n, b = y_offset + row * n, c = grad_offset + row * n;
        V sum = (V)(0), g_tail = (V)(0), y_tail = (V)(0);
        for (INDEX i = 0; i < whole; i += VW) {
            const V gv = LOAD_V(g, a + i);
#if LOG
            sum += gv;
#else
            sum += gv * LOAD_V(y, b + i);
#endif
        }
        if (rest) {
            g_tail = load_part(g, a + whole, rest, 0);
            y_tail = load_part(y, b + whole, rest, 0);
            sum += LOG ? g_tail : g_tail * y_tail;
        }
        const V total = (V)(lanes_sum(sum));
        for (INDEX i = 0; i < whole; i += VW) {
            const V gv = LOAD_V(g, a + i), yv = LOAD_V(y, b + i);
            const V r = LOG ? gv - exp(yv) * total : (gv - total) * yv;
            STORE_V(grad, c + i, r);
        }
        if (rest) store_part(grad, c + whole, rest, LOG ? g_tail - exp(y_tail) * total : (g_tail - total) * y_tail);
    }
}

#if !LOG
#define FORWARD(v) (exp((v) - m) * scale)
#define TERM(gv, yv) ((gv) * (yv))
#define BACKWARD(gv, yv) (((gv) - total) * (yv))
#else
#define FORWARD(v) ((v) - m - scale)
#define TERM(gv, yv) (gv)
#define BACKWARD(gv, yv) ((gv) - exp(yv) * total)
#endif

#include "short_rows.clh"

// Work-item: rows_per_item rows of at most SHORT elements.
kernel void softmax_short(global const T *x, global T *y, INDEX x_offset, INDEX y_offset, INDEX rows,
                          INDEX rows_per_item, INDEX n) {
    const INDEX first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
    REAL values[SHORT * VW];
    for (INDEX row = first; row < last; row += VW) {
        const int count = min((INDEX)VW, last - row);
        turn(x + x_offset + row * n, n, count, values);
        V m = (V)(-INFINITY), sum = (V)(0);
        for (int i = 0; i < n; i++) {
            const V v = VLOAD(values, i * VW);
            m = LARGER(m, v);
        }
        for (int i = 0; i < n; i++) {
            const V v = VLOAD(values, i * VW) - m, e = exp(v);
            sum += e;
            VSTORE(values, i * VW, LOG ? v : e);
        }
        const V scale = LOG ? log(sum) : 1 / sum;
        for (int i = 0; i < n; i++) {
            const V v = VLOAD(values, i * VW);
            VSTORE(values, i * VW, LOG ? v - scale : v * scale);
        }
        turn_back(y + y_offset + row * n, n, count, values);
    }
}

kernel void softmax_short_backward(global const T *g, global const T *y, global T *grad, INDEX g_offset,
                                   INDEX y_offset, INDEX grad_offset, INDEX rows, INDEX rows_per_item, INDEX n) {
    const INDEX first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
    REAL slopes[SHORT * VW], values[SHORT * VW];
    for (INDEX row = first; row < last; row += VW) {
        const int count = min((INDEX)VW, last - row);
        turn(g + g_offset + row * n, n, count, slopes);
        turn(y + y_offset + row * n, n, count, values);
        V total = (V)(0);
        for (int i = 0; i < n; i++) total += TERM(VLOAD(slopes, i * VW), VLOAD(values, i * VW));
        for (int i = 0; i < n; i++) {
            const V gv = VLOAD(slopes, i * VW), yv = VLOAD(values, i * VW);
            VSTORE(slopes, i * VW, BACKWARD(gv, yv));
        }
        turn_back(grad + grad_offset + row * n, n, count, slopes);
    }
}

// One strip of columns: W is a vector or a scalar type, LD and ST its load and store.
#define COLUMN_FORWARD(W, LD, ST) { \
    W m = (W)(-INFINITY), sum = (W)(0); \
    for (INDEX i = 0; i < n; i++) { const W v = LD(x, p + i * inner); m = LARGER(m, v); } \
    for (INDEX i = 0; i < n; i++) { sum += exp(LD(x, p + i * inner) - m); } \
    const W scale = LOG ? log(sum) : 1 / sum; \
    for (INDEX i = 0; i < n; i++) { const W v = LD(x, p + i * inner), r = FORWARD(v); ST(y, q + i * inner, r); } }
#define COLUMN_BACKWARD(W, LD, ST) { \
    W total = (W)(0); \
    for (INDEX i = 0; i < n; i++) { \
        const W gv = LD(g, a + i * inner), yv = LD(y, b + i * inner); total += TERM(gv, yv); } \
    for (INDEX i = 0; i < n; i++) { \
        const W gv = LD(g, a + i * inner), yv = LD(y, b + i * inner), r = BACKWARD(gv, yv); \
        ST(grad, c + i * inner, r); } }

// Work-item (strip, outer): `strip` neighbouring columns.
kernel void softmax_columns(global const T *x, global T *y, INDEX x_offset, INDEX y_offset, INDEX n, INDEX inner,
                            INDEX strip) {
    const INDEX first = get_global_id(0) * strip, last = min(first + strip, inner);
    INDEX column = first;
    const INDEX base = get_global_id(1) * n * inner;
    for (; column + VW <= last; column += VW) {
        const INDEX p = x_offset + base + column, q = y_offset + base + column;
        COLUMN_FORWARD(V, LOAD_V, STORE_V)
    }
    for (; column < last; column++) {
        const INDEX p = x_offset + base + column, q = y_offset + base + column;
        COLUMN_FORWARD(REAL, LOAD_1, STORE_1)
    }
}

kernel void softmax_columns_backward(global const T *g, global const T *y, global T *grad, INDEX g_offset,
                                     INDEX y_offset, INDEX grad_offset, INDEX n, INDEX inner, INDEX strip) {
    const INDEX first = get_global_id(0) * strip, last = min(first + strip, inner);
    const INDEX base = get_global_id(1) * n * inner;
    INDEX column = first;
    for (; column + VW <= last; column += VW) {
        const INDEX at = base + column, a = g_offset + at, b = y_offset + at, c = grad_offset + at;
        COLUMN_BACKWARD(V, LOAD_V, STORE_V)
    }
    for (; column < last; column++) {
        const INDEX at = base + column, a = g_offset + at, b = y_offset + at, c = grad_offset + at;
        COLUMN_BACKWARD(REAL, LOAD_1, STORE_1)
    }
}

#else  // GPU

// Combines the values of `width` neighbouring work-items (a power of two); all of them get the result.
#define GROUP_REDUCE(value, a, b, combined) { \
    local REAL *mine = tree + get_local_id(0); \
    barrier(CLK_LOCAL_MEM_FENCE); \
    *mine = value; \
    for (int half_ = width / 2; half_ > 0; half_ /= 2) { \
        barrier(CLK_LOCAL_MEM_FENCE); \
        if (lane < half_) { const REAL a = *mine, b = mine[half_]; *mine = combined; } \
    } \
    barrier(CLK_LOCAL_MEM_FENCE); \
    value = mine[-lane]; }

// Group: LOCAL / width rows. Rows past the end take part in the barriers only.
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void softmax_rows(global const T *x, global T *y, INDEX x_offset, INDEX y_offset, INDEX rows, INDEX rows_per_item,
                  INDEX n, int width) {
    local REAL tree[LOCAL];
    const int lane = get_local_id(0) % width;
    const INDEX row = get_global_id(0) / width, p = x_offset + row * n, q = y_offset + row * n;
    const INDEX count = row < rows ? n : 0;
    REAL m = -INFINITY, sum = 0;
    for (INDEX i = lane; i < count; i += width) {
        const REAL v = LOAD_1(x, p + i);
        m = LARGER(m, v);
    }
    GROUP_REDUCE(m, a, b, LARGER(a, b))
    for (INDEX i = lane; i < count; i += width) sum += exp(LOAD_1(x, p + i) - m);
    GROUP_REDUCE(sum, a, b, a + b)
    const REAL scale = LOG ? log(sum) : 1 / sum;
    for (INDEX i = lane; i < count; i += width) {
        const REAL v = LOAD_1(x, p + i) - m;
        STORE_1(y, q + i, LOG ? v - scale : exp(v) * scale);
    }
}

kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void softmax_rows_backward(global const T *g, global const T *y, global T *grad, INDEX g_offset, INDEX y_offset,
                           INDEX grad_offset, INDEX rows, INDEX rows_per_item, INDEX n, int width) {
    local REAL tree[LOCAL];
    const int lane = get_local_id(0) % width;
    const INDEX row = get_global_id(0) / width, at = row * n, count = row < rows ? n : 0;
    REAL total = 0;
    for (INDEX i = lane; i < count; i += width) {
        const REAL gv = LOAD_1(g, g_offset + at + i);
        total += LOG ? gv : gv * LOAD_1(y, y_offset + at + i);
    }
    GROUP_REDUCE(total, a, b, a + b)
    for (INDEX i = lane; i < count; i += width) {
        const REAL gv = LOAD_1(g, g_offset + at + i), yv = LOAD_1(y, y_offset + at + i);
        STORE_1(grad, grad_offset + at + i, LOG ? gv - exp(yv) * total : (gv - total) * yv);
    }
}

// Work-item (column, outer).
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void softmax_columns(global const T *x, global T *y, INDEX x_offset, INDEX y_offset, INDEX n, INDEX inner,
                     INDEX strip) {
    const INDEX column = get_global_id(0);
    if (column >= inner) return;
    const INDEX base = get_global_id(1) * n * inner + column;
    REAL m = -INFINITY, sum = 0;
    for (INDEX i = 0; i < n; i++) {
        const REAL v = LOAD_1(x, x_offset + base + i * inner);
        m = LARGER(m, v);
    }
    for (INDEX i = 0; i < n; i++) sum += exp(LOAD_1(x, x_offset + base + i * inner) - m);
    const REAL scale = LOG ? log(sum) : 1 / sum;
    for (INDEX i = 0; i < n; i++) {
        const REAL v = LOAD_1(x, x_offset + base + i * inner) - m;
        STORE_1(y, y_offset + base + i * inner, LOG ? v - scale : exp(v) * scale);
    }
}

kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void softmax_columns_backward(global const T *g, global const T *y, global T *grad, INDEX g_offset, INDEX y_offset,
                              INDEX grad_offset, INDEX n, INDEX inner, INDEX strip) {
    const INDEX column = get_global_id(0);
    if (column >= inner) return;
    const INDEX base = get_global_id(1) * n * inner + column;
    REAL total = 0;
    for (INDEX i = 0; i < n; i++) {
        const REAL gv = LOAD_1(g, g_offset + base + i * inner);
        total += LOG ? gv : gv * LOAD_1(y, y_offset + base + i * inner);
    }
    for (INDEX i = 0; i < n; i++) {
        const REAL gv = LOAD_1(g, g_offset + base + i * inner), yv = LOAD_1(y, y_offset + base + i * inner);
        STORE_1(grad, grad_offset + base + i * inner, LOG ? gv - exp(yv) * total : (gv - total) * yv);
    }
}

#endif
