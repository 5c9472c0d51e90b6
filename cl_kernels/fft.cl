// Fourier transforms of sequences of complex numbers, pairs (real, imaginary) in memory, of any length with factors up to 13.
//
//   x[outer][n_in][inner] -> y[outer][n_out][inner],  y[k] = scale * sum over j of x[j] exp(-2 pi i j k / n)
//
// The transform is Stockham's: passes of radices R, R', .. over n = m * L numbers, from one half of the scratch memory to the
// other, and nothing has to be put in order at the end. A pass is made of vectors whose lanes are transforms of their own:
//
//   element e of a scratch row         | re 0 .. VW - 1 | im 0 .. VW - 1 |          |<----- 2 VW numbers ----->|
//   pass, p < m, q < s, k < R          to[p][k][q] = exp(-2 pi i p k / (R m)) * (transform of R numbers from[.][p][q])[k]
//
//   fft_lanes       lanes are VW sequences: neighbours in `inner`, or rows, which are turned when they are loaded and stored
//   fft_residues    lanes are the residues of a row's places modulo VW; the last pass, over blocks of VW places k of all
//                   residues, turns them and is a transform of length VW between lanes:
//
//                        x[j * VW + lane] -> z[k][lane] -> y[k + m * l]          (m = n / VW, k < m, l < VW)
//
//   fft_gather, fft_pass, fft_scatter    the parts of fft_residues, each as a launch of its own: few long rows; GPUs (VW 1)
//
// The inverse transform exchanges real and imaginary parts, of what it reads (swap_in) and of what it stores (swap_out).
// Real numbers of even length are taken two by two, so that the transform has half their length (HALVES, see fft_ends.clh).
// With BEFORE it multiplies what it reads by before[n_in] (after which come zeros up to n); with AFTER it multiplies the first
// n_out results by after[n_out]: so transforms of other lengths become two of these (Bluestein).
//
// table: for each pass cos and sin of R roots, then exp(-2 pi i p k / (R m)) for p < m, 0 < k < R; then, for residues,
// exp(-2 pi i k lane / n) for k < m as elements of a scratch row.

#ifndef CODE         // code of the dtype of real and imaginary parts
#define CODE f32
#define REAL float
#define NUMBER(x) x##f
#endif
#ifndef EACH_ODD     // what M makes of each odd radix that occurs
#define EACH_ODD(M)
#endif
#define FACTORS 1    // elements are multiplied
#define HALVES 2     // elements are folded: those of a half of a spectrum come in, or go out
#ifndef BEFORE
#define BEFORE 0
#define AFTER 0
#endif
#ifndef REAL_IN      // 1: x holds real numbers, 2: taken two by two
#define REAL_IN 0
#define REAL_OUT 0   // 1: of y only the real parts are stored, 2: y takes real numbers two by two
#endif
#include "types.clh"
#include "fft_butterflies.clh"
#if VW >= 8
#define LANE REAL
#include "transpose.clh"
#endif

static inline Pair get(global const REAL *p, INDEX e) { return (Pair){VLOAD(p, e * 2 * VW), VLOAD(p, e * 2 * VW + VW)}; }
static inline void put(global REAL *p, INDEX e, Pair v) {
    VSTORE(p, e * 2 * VW, v.re);
    VSTORE(p, e * 2 * VW + VW, v.im);
}

// One pass over the butterflies [first, last) of m * s: butterfly p * s + q.
#define PASS(RADIX, TRANSFORM)                                                                                       \
    static void pass_##RADIX(global const REAL *restrict from, global REAL *restrict to, global const REAL *restrict roots, \
                             INDEX m, INDEX s, INDEX first, INDEX last) {                                            \
        for (INDEX b = first; b < last;) {                                                                           \
            const INDEX p = b / s, stretch = min((p + 1) * s, last);                                                 \
            global const REAL *twiddles = roots + 2 * RADIX + p * (2 * RADIX - 2);                                   \
            for (INDEX q = b - p * s; b < stretch; b++, q++) {                                                       \
                Pair x[RADIX];                                                                                       \
                UNROLL for (int k = 0; k < RADIX; k++) x[k] = get(from, (k * m + p) * s + q);                        \
                TRANSFORM;                                                                                           \
                if (p)                                                                                               \
                    UNROLL for (int k = 1; k < RADIX; k++) x[k] = times(x[k], twiddles[2 * k - 2], twiddles[2 * k - 1]);\
                UNROLL for (int k = 0; k < RADIX; k++) put(to, (p * RADIX + k) * s + q, x[k]);                       \
            }                                                                                                        \
        }                                                                                                            \
    }
#define ODD_PASS(RADIX) PASS(RADIX, transform_odd(x, RADIX, roots))
PASS(2, transform_2(x))
PASS(4, transform_4(x))
PASS(8, transform_8(x))
EACH_ODD(ODD_PASS)

static inline void pass(int radix, global const REAL *from, global REAL *to, global const REAL *roots, INDEX m, INDEX s,
                        INDEX first, INDEX last) {
    switch (radix) {
        case 2: pass_2(from, to, roots, m, s, first, last); break;
        case 4: pass_4(from, to, roots, m, s, first, last); break;
        case 8: pass_8(from, to, roots, m, s, first, last); break;
#define ODD_CASE(RADIX) case RADIX: pass_##RADIX(from, to, roots, m, s, first, last); break;
        EACH_ODD(ODD_CASE)
    }
}

#include "reversed.clh"
#include "fft_ends.clh"

#define OPERANDS                                                                                                \
    global const REAL *x, global const REAL *table, global const REAL *before, global const REAL *after, global REAL *y, \
    global REAL *scratch, INDEX x_at, INDEX table_at, INDEX before_at, INDEX after_at, INDEX y_at
#define SIZES INDEX sequences, INDEX n, INDEX n_in, INDEX n_out, INDEX inner_in, INDEX inner_out, INDEX swap_in, \
              INDEX swap_out, ulong radices, REAL scale
#define TO_OPERANDS()                                                                               \
    x += (REAL_IN ? 1 : 2) * x_at, table += table_at, before += before_at, after += after_at, \
    y += (REAL_OUT ? 1 : 2) * y_at

// All passes over a scratch row of n elements; where its numbers are then.
static inline global REAL *passes(global REAL *from, global REAL *to, global const REAL **table, INDEX n, ulong radices) {
    INDEX m = n, s = 1;
    for (; radices; radices >>= 4) {
        const int radix = radices & 15;
        m /= radix;
        pass(radix, from, to, *table, m, s, 0, m * s);
        *table += 2 * radix + 2 * m * (radix - 1);
        s *= radix;
        global REAL *filled = to;
        to = from, from = filled;
    }
    return from;
}

// Work-item: a share of the groups of VW neighbouring sequences; scratch[item][2][n + 1].
kernel void fft_lanes(OPERANDS, SIZES, INDEX groups, INDEX groups_per_item) {
    TO_OPERANDS();
    const INDEX item = get_global_id(0), last = min((item + 1) * groups_per_item, groups);
    const INDEX inner = max(inner_in, inner_out), together = inner == 1 ? sequences : inner;
    const INDEX groups_together = (together + VW - 1) / VW;
    global REAL *one = scratch + item * 4 * VW * (n + 1), *other = one + 2 * VW * (n + 1);
    for (INDEX group = item * groups_per_item; group < last; group++) {
        const INDEX o = group / groups_together, c = (group - o * groups_together) * VW, sequence = o * together + c;
        const int count = min((INDEX)VW, together - c);
        gather_lanes(x, place_of(sequence, n_in, inner_in, swap_in), count, n_in, n, before, one);
        global const REAL *rest = table;
        global REAL *done = passes(one, other, &rest, n, radices);
        scatter_lanes(done, after, y, place_of(sequence, n_out, inner_out, swap_out), count, n_out, scale);
    }
}

// Work-item: a share of the sequences; scratch[item][2][n / VW].
kernel void fft_residues(OPERANDS, SIZES, INDEX per_item) {
    TO_OPERANDS();
    const INDEX item = get_global_id(0), last = min((item + 1) * per_item, sequences), m = n / VW;
    global REAL *one = scratch + item * 4 * n, *other = one + 2 * n;
    for (INDEX sequence = item * per_item; sequence < last; sequence++) {
#if BEFORE == HALVES
        fold_row(x + 2 * sequence * n_in, other, before, n, false);
        gather_residues(other, place_of(0, n, 1, swap_in), n, before, one, 0, m);
#else
        gather_residues(x, place_of(sequence, n_in, inner_in, swap_in), n_in, before, one, 0, m);
#endif
        global const REAL *rest = table;
        global REAL *done = passes(one, other, &rest, m, radices);
        scatter_residues(done, rest, after, y, place_of(sequence, n_out, inner_out, swap_out), n_out, m, scale, 0, m);
#if AFTER == HALVES
        global REAL *row = y + 2 * sequence * n_out;
        fold_row(row, row, after, n, true);
#endif
    }
}

// The parts of fft_residues. Work-item: one of `shares` of a sequence's elements or butterflies, sequence after sequence in one
// dimension, as others may be short on GPUs; scratch[2][sequences][n / VW].
#define SHARES INDEX sequences, INDEX shares, INDEX per_item
#define TAKE_SHARE()                                                                         \
    const INDEX sequence = get_global_id(0) / shares;                                        \
    const INDEX first = ((INDEX)get_global_id(0) - sequence * shares) * per_item, m = n / VW; \
    if (sequence >= sequences) return

kernel void fft_gather(global const REAL *x, global const REAL *before, global REAL *scratch, INDEX x_at, INDEX before_at,
                       INDEX n, INDEX n_in, INDEX inner, INDEX swap, SHARES) {
    TAKE_SHARE();
    gather_residues(x + SIZE_IN * x_at, place_of(sequence, n_in, inner, swap), n_in, before + before_at,
                    scratch + sequence * 2 * n, first, min(first + per_item, m));
}

// s: the product of the radices of the passes before this one
kernel void fft_pass(global const REAL *table, global REAL *scratch, INDEX table_at, INDEX from, INDEX to, INDEX roots_at,
                     INDEX n, INDEX s, INDEX radix, SHARES) {
    TAKE_SHARE();
    const INDEX row = sequence * 2 * n, butterflies = m / radix;
    pass(radix, scratch + from + row, scratch + to + row, table + table_at + roots_at, butterflies / s, s, first,
         min(first + per_item, butterflies));
}

kernel void fft_scatter(global const REAL *table, global const REAL *after, global REAL *y, global const REAL *scratch,
                        INDEX table_at, INDEX after_at, INDEX y_at, INDEX from, INDEX twiddles_at, INDEX n, INDEX n_out,
                        INDEX inner, INDEX swap, SHARES, REAL scale) {
    TAKE_SHARE();
    scatter_residues(scratch + from + sequence * 2 * n, table + table_at + twiddles_at, after + after_at, y + SIZE_OUT * y_at,
                     place_of(sequence, n_out, inner, swap), n_out, m, scale, first, min(first + per_item, m));
}
