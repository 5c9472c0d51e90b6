// Running reductions along one dimension: cumsum, cumprod, cummax, cummin, logcumsumexp.
//
//   x[outer][n][inner] contiguous:  y[o][i][c] = x[o][0][c] + ... + x[o][i][c]
//                                    BACKWARDS:  y[o][i][c] = x[o][n - 1][c] + ... + x[o][i][c]
//
// CPU: a work-item takes STRIP neighbouring columns of one outer index and walks down n with their states in an array
// (inner == 1: whole rows, ROWS at a time). GPU, inner == 1: a group walks along a row in pieces of LOCAL
// elements, each scanned in log2(LOCAL) steps in local memory; inner > 1: one column a work-item.

#ifndef IN           // code of the input's dtype
#define IN f32
#endif
#ifndef OUT          // code of the output's dtype
#define OUT f32
#endif
#ifndef ACC          // type of the running state: double for floats where there is one, so that long sums stay exact
#define ACC float
#endif
#define SUM 0
#define PROD 1
#define EXTREME 2    // the best so far and its last index; REPLACES(b, a): the later b replaces a
#define LOGSUMEXP 3
#ifndef KIND
#define KIND SUM
#endif
#ifndef REPLACES
#define REPLACES(b, a) ((b) >= (a))
#endif
#ifdef BACKWARDS     // step i of a scan is at element PLACE(i)
#define PLACE(i) (n - 1 - (i))
#else
#define PLACE(i) (i)
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#include "types.clh"
#define STRIP 64
#define ROWS 8 // of which a work-item keeps the states at once
#ifndef LOCAL
#define LOCAL 256
#endif

#define T_IN PASTE(T_, IN)
#define T_OUT PASTE(T_, OUT)
#define LOAD_IN PASTE(LOAD_, IN)
#define STORE_OUT PASTE(STORE_, OUT)

typedef struct {
    ACC a;
#if KIND == EXTREME
    INDEX i;
#endif
} state;

// The state of s's elements followed by t's.
static inline state combine(state s, state t) {
#if KIND == SUM
    s.a += t.a;
#elif KIND == PROD
    s.a *= t.a;
#elif KIND == EXTREME
    if (REPLACES(t.a, s.a) || t.a != t.a) s = t;
#else
    // Equal infinities have the difference NaN; the larger one is the result.
    const ACC top = t.a > s.a || t.a != t.a ? t.a : s.a, low = t.a > s.a || t.a != t.a ? s.a : t.a;
    s.a = top == low && fabs(top) == INFINITY ? top : top + log1p(exp(low - top));
#endif
    return s;
}

static inline state load_state(global const T_IN *x, INDEX at, INDEX i) {
    state s;
    s.a = LOAD_IN(x, at);
#if KIND == EXTREME
    s.i = i;
#endif
    return s;
}

static inline void store_state(state s, global T_OUT *y, INDEX at, global long *indices, INDEX where) {
    STORE_OUT(y, at, s.a);
#if KIND == EXTREME
    indices[where] = s.i;
#endif
}

#if DEVICE_CPU

// Whole rows side by side: the next sum of a row waits for the one before, those of others need not.
static inline void scan_rows(const int rows, global const T_IN *x, global T_OUT *y, global long *indices, INDEX x_at,
                             INDEX y_at, INDEX indices_at, INDEX n) {
    state s[ROWS];
    _Pragma("unroll") for (int r = 0; r < rows; r++) {
        const INDEX at = r * n + PLACE(0);
        s[r] = load_state(x, x_at + at, 0);
        store_state(s[r], y, y_at + at, indices, indices_at + at);
    }
    for (INDEX i = 1; i < n; i++)
        _Pragma("unroll") for (int r = 0; r < rows; r++) {
            const INDEX at = r * n + PLACE(i);
            s[r] = combine(s[r], load_state(x, x_at + at, i));
            store_state(s[r], y, y_at + at, indices, indices_at + at);
        }
}

// Work-item (strip, outer chunk).
kernel void scan(global const T_IN *x, global T_OUT *y, global long *indices, INDEX x_offset, INDEX y_offset,
                 INDEX indices_offset, INDEX outer, INDEX outer_per_item, INDEX n, INDEX inner) {
    const INDEX first = get_global_id(1) * outer_per_item, last = min(first + outer_per_item, outer);
    const INDEX column = get_global_id(0) * STRIP;
    const int columns = (int)min((INDEX)STRIP, inner - column);
    for (INDEX o = first; o < last; o++) {
        const INDEX base = o * n * inner + column;
        if (inner == 1) {
            if (last - o >= ROWS) {
                scan_rows(ROWS, x, y, indices, x_offset + base, y_offset + base, indices_offset + base, n);
                o += ROWS - 1;
            } else {
                scan_rows(1, x, y, indices, x_offset + base, y_offset + base, indices_offset + base, n);
            }
            continue;
        }
        state strip[STRIP];
        const INDEX begin = base + PLACE(0) * inner;
        for (int c = 0; c < columns; c++) {
            strip[c] = load_state(x, x_offset + begin + c, 0);
            store_state(strip[c], y, y_offset + begin + c, indices, indices_offset + begin + c);
        }
        for (INDEX i = 1; i < n; i++) {
            const INDEX at = base + PLACE(i) * inner;
            for (int c = 0; c < columns; c++) {
                strip[c] = combine(strip[c], load_state(x, x_offset + at + c, i));
                store_state(strip[c], y, y_offset + at + c, indices, indices_offset + at + c);
            }
        }
    }
}

#else

kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void scan(global const T_IN *x, global T_OUT *y, global long *indices, INDEX x_offset, INDEX y_offset,
          INDEX indices_offset, INDEX outer, INDEX outer_per_item, INDEX n, INDEX inner) {
    local state piece[LOCAL];
    const int lane = get_local_id(0);
    const INDEX o = get_global_id(1), column = get_global_id(0);
    if (inner > 1) {
        if (column >= inner) return;
        state s;
        for (INDEX i = 0; i < n; i++) {
            const INDEX at = (o * n + PLACE(i)) * inner + column;
            const state t = load_state(x, x_offset + at, i);
            s = i ? combine(s, t) : t;
            store_state(s, y, y_offset + at, indices, indices_offset + at);
        }
        return;
    }
    state carry;
    for (INDEX start = 0; start < n; start += LOCAL) {
        const INDEX i = start + lane, at = o * n + PLACE(i);
        // Elements past the end repeat the last one; nothing before them depends on them.
        state s = load_state(x, x_offset + o * n + PLACE(min(i, n - 1)), i);
        for (int step = 1; step < LOCAL; step *= 2) {
            piece[lane] = s;
            barrier(CLK_LOCAL_MEM_FENCE);
            if (lane >= step) s = combine(piece[lane - step], s);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        if (start) s = combine(carry, s);
        if (i < n) store_state(s, y, y_offset + at, indices, indices_offset + at);
        piece[lane] = s;
        barrier(CLK_LOCAL_MEM_FENCE);
        carry = piece[LOCAL - 1];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}

#endif
