// Max and average pooling of contiguous planes, in one to three dimensions, forward and backward.
//
//   x[planes][D][H][W] -> y[planes][OD][OH][OW]       planes = N * C; missing dimensions have size and kernel 1
//
//   window of output o in a dimension:   o*S - P, + L, + 2L, ... K taps (S stride, P padding, L dilation), clipped
//   with ADAPTIVE:                       floor(o*I/O) up to ceil((o+1)*I/O)
//
//   pool            a CPU work-item takes rows of outputs; inside a row, where no tap is clipped, 8 outputs at a time
//   pool_backward   a CPU work-item takes whole planes and adds each output's share to its inputs (SCATTER: nobody
//                   else writes the plane); otherwise each work-item is one input that looks at its windows
//
// Max pooling keeps the flat index of the chosen input inside its plane. NaN wins, the last of several as in PyTorch. Where
// its inputs are a ReLU's results, its gradient may be theirs too: `gate` is what was pooled, and what is not above 0 of it
// hands nothing back.

#ifndef IN             // code of the dtype
#define IN f32
#endif
#ifndef REAL           // type of arithmetic, its lowest value, and the integer of that width
#define REAL float
#define LOWEST (-INFINITY)
#define MASK int
#endif
#ifndef IDX            // type of the indices: int or long
#define IDX long
#endif
#ifndef MAX_POOL       // 1: max, 0: average
#define MAX_POOL 1
#endif
#ifndef ADAPTIVE
#define ADAPTIVE 0
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#ifndef SCATTER        // form of the backward kernel; 16-bit gradients need the other one, which adds in REAL
#define SCATTER DEVICE_CPU
#endif
#ifndef VW
#define VW 8
#endif
#include "types.clh"

#define T PASTE(T_, IN)
#define LOAD_1 PASTE(LOAD_, IN)
#define STORE_1 PASTE(STORE_, IN)
#define LOAD_V PASTE(VLOAD_, IN)
#define STORE_V PASTE(VSTORE_, IN)
#define V VEC(REAL)
#define M VEC(MASK)

// Every kernel's sizes: input, output, kernel, stride, padding, dilation.
#define SIZES int D, int H, int W, int OD, int OH, int OW, int KD, int KH, int KW, int SD, int SH, int SW, \
    int PD, int PH, int PW, int LD, int LH, int LW, int include_pad, int divisor

// First tap inside [0, size) and the end of a window; taps are `dilation` apart.
typedef struct { int start, end, padded; } window;

static inline window window_of(int o, int size, int outputs, int k, int s, int p, int l) {
    window w;
#if ADAPTIVE
    w.start = (int)((long)o * size / outputs);
    w.end = (int)(((long)(o + 1) * size + outputs - 1) / outputs);
    w.padded = w.end - w.start;
#else
    const int from = o * s - p;
    w.start = from < 0 ? from + (-from + l - 1) / l * l : from;
    w.end = min(from + (k - 1) * l + 1, size);
    w.padded = min(from + k, size + p) - from;
#endif
    return w;
}

// Outputs [first, last) whose windows may contain the input i: exact without dilation, else to be checked.
static inline int2 outputs_of(int i, int size, int outputs, int k, int s, int p, int l) {
#if ADAPTIVE
    return (int2)((int)((long)i * outputs / size), min((int)(((long)(i + 1) * outputs + size - 1) / size), outputs));
#else
    const int from = i + p - (k - 1) * l;
    return (int2)(from <= 0 ? 0 : (from + s - 1) / s, min((i + p) / s + 1, outputs));
#endif
}

static inline REAL divisor_of(window d, window h, window w, int include_pad, int divisor) {
    if (divisor) return divisor;
    return include_pad ? (REAL)d.padded * h.padded * w.padded
                       : (REAL)(d.end - d.start) * (h.end - h.start) * (w.end - w.start);
}

// One output by its clipped windows. `at` gets the index of the maximum.
static inline REAL pool_one(global const T *x, INDEX plane, window d, window h, window w, int H, int W, int LD, int LH,
                            int LW, IDX *at) {
#if MAX_POOL
    REAL best = LOWEST;
    *at = ((IDX)d.start * H + h.start) * W + w.start;
#else
    REAL best = 0;
#endif
    for (int i = d.start; i < d.end; i += LD)
        for (int j = h.start; j < h.end; j += LH)
            for (int k = w.start; k < w.end; k += LW) {
                const IDX index = ((IDX)i * H + j) * W + k;
                const REAL v = LOAD_1(x, plane + index);
#if MAX_POOL
                if (v > best || v != v) { best = v; *at = index; }
#else
                best += v;
#endif
            }
    return best;
}

#if DEVICE_CPU

#if !ADAPTIVE
// Elements p, p + s, ..., p + 7s.
static inline V load_strided(global const T *x, INDEX p, int s) {
    if (s == 1) return LOAD_V(x, p);
    if (s == 2) {
        const V a = LOAD_V(x, p), b = LOAD_V(x, p + 7);
        return (V)(a.s0, a.s2, a.s4, a.s6, b.s1, b.s3, b.s5, b.s7);
    }
    return (V)(LOAD_1(x, p), LOAD_1(x, p + s), LOAD_1(x, p + 2 * s), LOAD_1(x, p + 3 * s), LOAD_1(x, p + 4 * s),
               LOAD_1(x, p + 5 * s), LOAD_1(x, p + 6 * s), LOAD_1(x, p + 7 * s));
}

// The same of `count` < 8 elements; the other lanes repeat the last one.
static inline V load_few(global const T *x, INDEX p, int s, int count) {
    REAL lanes[VW];
    for (int i = 0; i < VW; i++) lanes[i] = LOAD_1(x, p + min(i, count - 1) * s);
    return PASTE(vload, VW)(0, lanes);
}
#endif

#if !ADAPTIVE
// A window's next tap v, the input at `index`.
#if MAX_POOL
#define TAP(take_type, v, index) \
    { const take_type take = (v > best) | (v != v); best = take ? v : best; at = take ? (index) : at; }
#else
#define TAP(take_type, v, index) best += v;
#endif
#define EVEN(a, b) (V)(a.s0, a.s2, a.s4, a.s6, b.s0, b.s2, b.s4, b.s6)
#define ODD(a, b) (V)(a.s1, a.s3, a.s5, a.s7, b.s1, b.s3, b.s5, b.s7)

// A row of windows of 2 x 2 that lie side by side, as most networks have them: `index` is its first input in the plane.
static inline void pool_pairs(global const T *x, global T *y, global IDX *chosen, int index, int W, int OW, REAL parts) {
    int ow = 0;
    while (OW >= VW && ow < OW) {
        ow = min(ow, OW - VW);
        const V a = LOAD_V(x, 2 * ow), b = LOAD_V(x, 2 * ow + VW), c = LOAD_V(x, W + 2 * ow), d = LOAD_V(x, W + 2 * ow + VW);
        const V v0 = EVEN(a, b), v1 = ODD(a, b), v2 = EVEN(c, d), v3 = ODD(c, d);
        const M from = (M)(index + 2 * ow) + (M)(0, 2, 4, 6, 8, 10, 12, 14);
        V best = (V)(MAX_POOL ? LOWEST : (REAL)0);
        M at = from;
        TAP(M, v0, from)
        TAP(M, v1, from + 1)
        TAP(M, v2, from + W)
        TAP(M, v3, from + W + 1)
        if (MAX_POOL) PASTE(vstore, VW)(PASTE(PASTE(convert_, IDX), VW)(at), 0, chosen + ow);
        STORE_V(y, ow, MAX_POOL ? best : best / parts);
        ow += VW;
    }
    for (; ow < OW; ow++) {
        const REAL v0 = LOAD_1(x, 2 * ow), v1 = LOAD_1(x, 2 * ow + 1), v2 = LOAD_1(x, W + 2 * ow), v3 = LOAD_1(x, W + 2 * ow + 1);
        const int from = index + 2 * ow;
        REAL best = MAX_POOL ? LOWEST : (REAL)0;
        int at = from;
        TAP(int, v0, from)
        TAP(int, v1, from + 1)
        TAP(int, v2, from + W)
        TAP(int, v3, from + W + 1)
        if (MAX_POOL) chosen[ow] = at;
        STORE_1(y, ow, MAX_POOL ? best : best / parts);
    }
}
#endif

// Work-item: output rows [id * rows_per_item, ...), a row being (plane, od, oh).
kernel void pool(global const T *x, global T *y, global IDX *indices, INDEX x_offset, INDEX y_offset,
                 INDEX indices_offset, INDEX planes, INDEX rows_per_item, SIZES) {
    const INDEX rows = planes * OD * OH;
    const INDEX first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
#if !ADAPTIVE
    if (D == 1 && KD == 1 && KH == 2 && KW == 2 && SH == 2 && SW == 2 && LH == 1 && LW == 1 && !(PD | PH | PW) &&
        2 * OH <= H && 2 * OW <= W) {
        INDEX plane = first / OH, oh = first % OH;
        for (INDEX row = first; row < last; row++) {
            pool_pairs(x + x_offset + (plane * H + 2 * oh) * W, y + y_offset + row * OW, indices + indices_offset + row * OW,
                       2 * oh * W, W, OW, divisor ? divisor : 4);
            if (++oh == OH) {
                oh = 0;
                plane++;
            }
        }
        return;
    }
    // Outputs [inside, outside) of a row have all their taps.
    const int inside = min((PW + SW - 1) / SW, OW);
    const int reach = W - 1 - (KW - 1) * LW + PW, outside = reach < 0 ? 0 : min(reach / SW + 1, OW);
#endif
    for (INDEX row = first; row < last; row++) {
        const INDEX plane = x_offset + row / OH / OD * D * H * W, out = y_offset + row * OW;
        const window d = window_of((int)(row / OH % OD), D, OD, KD, SD, PD, LD);
        const window h = window_of((int)(row % OH), H, OH, KH, SH, PH, LH);
        for (int ow = 0; ow < OW;) {
#if !ADAPTIVE
            // The last vector overlaps the one before it.
            if (ow > inside && ow < outside && outside - VW >= inside) ow = min(ow, outside - VW);
#endif
            const window w = window_of(ow, W, OW, KW, SW, PW, LW);
#if !ADAPTIVE
            if (ow >= inside && ow < outside) {
                const int count = min(VW, outside - ow);
                V best = (V)(MAX_POOL ? LOWEST : (REAL)0);
                M at = (M)((d.start * H + h.start) * W + w.start) + (M)(0, 1, 2, 3, 4, 5, 6, 7) * SW;
                for (int i = d.start; i < d.end; i += LD)
                    for (int j = h.start; j < h.end; j += LH)
                        for (int k = w.start; k < w.end; k += LW) {
                            const int index = (i * H + j) * W + k;
                            const V v = count == VW ? load_strided(x, plane + index, SW)
                                                    : load_few(x, plane + index, SW, count);
                            TAP(M, v, (M)(index) + (M)(0, 1, 2, 3, 4, 5, 6, 7) * SW)
                        }
                global IDX *chosen = indices + indices_offset + row * OW + ow;
#if !MAX_POOL
                best /= divisor_of(d, h, w, include_pad, divisor);
#endif
                if (count == VW) {
                    if (MAX_POOL) PASTE(vstore, VW)(PASTE(PASTE(convert_, IDX), VW)(at), 0, chosen);
                    STORE_V(y, out + ow, best);
                } else {
                    REAL values[VW];
                    MASK positions[VW];
                    PASTE(vstore, VW)(best, 0, values);
                    PASTE(vstore, VW)(at, 0, positions);
                    for (int i = 0; i < count; i++) {
                        if (MAX_POOL) chosen[i] = positions[i];
                        STORE_1(y, out + ow + i, values[i]);
                    }
                }
                ow += count;
                continue;
            }
#endif
            IDX at;
            const REAL v = pool_one(x, plane, d, h, w, H, W, LD, LH, LW, &at);
#if MAX_POOL
            indices[indices_offset + row * OW + ow] = at;
            STORE_1(y, out + ow, v);
#else
            STORE_1(y, out + ow, v / divisor_of(d, h, w, include_pad, divisor));
#endif
            ow++;
        }
    }
}

#else  // GPU: one output a work-item

kernel void pool(global const T *x, global T *y, global IDX *indices, INDEX x_offset, INDEX y_offset,
                 INDEX indices_offset, INDEX planes, INDEX rows_per_item, SIZES) {
    const INDEX o = get_global_id(0), row = o / OW;
    if (row >= planes * OD * OH) return;
    const window d = window_of((int)(row / OH % OD), D, OD, KD, SD, PD, LD);
    const window h = window_of((int)(row % OH), H, OH, KH, SH, PH, LH);
    const window w = window_of((int)(o % OW), W, OW, KW, SW, PW, LW);
    IDX at;
    const REAL v = pool_one(x, x_offset + row / OH / OD * D * H * W, d, h, w, H, W, LD, LH, LW, &at);
#if MAX_POOL
    indices[indices_offset + o] = at;
    STORE_1(y, y_offset + o, v);
#else
    STORE_1(y, y_offset + o, v / divisor_of(d, h, w, include_pad, divisor));
#endif
}

#endif

#if SCATTER

#if !MAX_POOL && !ADAPTIVE
// Windows that lie side by side: each element of a row of gradients, divided, KW times.
static inline void tile_row(global const T *g, global T *out, int count, int KW, REAL parts) {
    int o = 0;
    if (KW == 2)
        for (; o + VW <= count; o += VW) {
            const V share = LOAD_V(g, o) / parts;
            STORE_V(out, 2 * o, share.s00112233);
            STORE_V(out, 2 * o + VW, share.s44556677);
        }
    for (; o < count; o++) {
        const REAL share = LOAD_1(g, o) / parts;
        for (int k = 0; k < KW; k++) STORE_1(out, o * KW + k, share);
    }
}
#endif

// Work-item: planes [id * planes_per_item, ...).
kernel void pool_backward(global const T *g, global T *grad, global const IDX *indices, global const T *gate,
                          INDEX g_offset, INDEX grad_offset, INDEX indices_offset, INDEX gate_offset, INDEX planes,
                          INDEX planes_per_item, SIZES, int gated) {
    const INDEX inputs = (INDEX)D * H * W, outputs = (INDEX)OD * OH * OW;
    const INDEX first = get_global_id(0) * planes_per_item, last = min(first + planes_per_item, planes);
#if !MAX_POOL && !ADAPTIVE
    if (KD == SD && KH == SH && KW == SW && D == OD * KD && H == OH * KH && W == OW * KW && !(PD | PH | PW)) {
        const REAL parts = divisor ? divisor : KD * KH * KW;
        for (INDEX row = first * D * H; row < last * D * H; row++)
            tile_row(g + g_offset + ((row / H / KD) * OH + row % H / KH) * OW, grad + grad_offset + row * W, OW, KW, parts);
        return;
    }
#endif
    for (INDEX plane = first; plane < last; plane++) {
        global T *mine = grad + grad_offset + plane * inputs;
        const INDEX from = g_offset + plane * outputs;
        for (INDEX i = 0; i < inputs; i++) mine[i] = 0;
#if MAX_POOL
        global const IDX *chosen = indices + indices_offset + plane * outputs;
        for (INDEX o = 0; o < outputs; o++) {
            // An index from outside (max_unpool's user) must not write outside the plane.
            const IDX i = chosen[o];
            if (i >= 0 && i < inputs && !(gated && gate[gate_offset + plane * outputs + o] <= 0)) mine[i] += g[from + o];
        }
#else
        for (int od = 0; od < OD; od++) {
            const window d = window_of(od, D, OD, KD, SD, PD, LD);
            for (int oh = 0; oh < OH; oh++) {
                const window h = window_of(oh, H, OH, KH, SH, PH, LH);
                for (int ow = 0; ow < OW; ow++) {
                    const window w = window_of(ow, W, OW, KW, SW, PW, LW);
                    const REAL share = g[from + ((INDEX)od * OH + oh) * OW + ow]
                        / divisor_of(d, h, w, include_pad, divisor);
                    for (int i = d.start; i < d.end; i++)
                        for (int j = h.start; j < h.end; j++)
                            for (int k = w.start; k < w.end; k++) mine[((INDEX)i * H + j) * W + k] += share;
                }
            }
        }
#endif
    }
}

#else

// One input a work-item: adds what the windows that contain it hand back.
kernel void pool_backward(global const T *g, global T *grad, global const IDX *indices, global const T *gate,
                          INDEX g_offset, INDEX grad_offset, INDEX indices_offset, INDEX gate_offset, INDEX planes,
                          INDEX planes_per_item, SIZES, int gated) {
    const INDEX inputs = (INDEX)D * H * W, id = get_global_id(0), plane = id / inputs;
    if (plane >= planes) return;
    const INDEX me = id % inputs;
    const int x = (int)(me % W), y = (int)(me / W % H), z = (int)(me / W / H);
    const int2 zs = outputs_of(z, D, OD, KD, SD, PD, LD), ys = outputs_of(y, H, OH, KH, SH, PH, LH);
    const int2 xs = outputs_of(x, W, OW, KW, SW, PW, LW);
    REAL sum = 0;
    for (int od = zs.x; od < zs.y; od++)
        for (int oh = ys.x; oh < ys.y; oh++)
            for (int ow = xs.x; ow < xs.y; ow++) {
                const INDEX o = ((plane * OD + od) * OH + oh) * OW + ow;
#if MAX_POOL
                if (indices[indices_offset + o] == me && !(gated && LOAD_1(gate, gate_offset + o) <= 0))
                    sum += LOAD_1(g, g_offset + o);
#else
                const window d = window_of(od, D, OD, KD, SD, PD, LD), h = window_of(oh, H, OH, KH, SH, PH, LH);
                const window w = window_of(ow, W, OW, KW, SW, PW, LW);
                sum += LOAD_1(g, g_offset + o) / divisor_of(d, h, w, include_pad, divisor);
#endif
            }
    STORE_1(grad, grad_offset + id, sum);
}

#endif
