// Normalisation of groups of elements by their own mean and variance, forward and backward: batch, layer, group, instance
// and root-mean-square norms. The form for CPUs; other devices compose these norms from reductions.
//
//   group q = `chunks` chunks of `length` neighbouring elements; chunk k begins at q * pitch + k * stride
//     layer    [rows][length]              chunks 1, pitch length
//     group    [samples * groups][K][S]    chunks K, length S, stride S, pitch K * S
//     batch    [N][C][S]                   chunks N, length S, stride C * S, pitch S
//
//   norm            y = (x - mean) * rstd * weight + bias; keeps mean and rstd of each group
//   norm_backward   dx = rstd * (h - average(h) - z * average(h * z)), h = g * weight, z = (x - mean) * rstd, and the
//                   sums of g * z and of g that are the gradients of weight and bias
//
// Weights belong to (AFFINE) 1: the element of a chunk, 2: the chunk of a group, 3: the group. Their gradients are written
// in P parts each: P is 1 for 3, the samples for 2, the work-items for 1; who adds the parts adds them in one order.
// A work-item takes groups [id * per_item, ...). Sums are taken over blocks of BLOCK elements in VW lanes, then over blocks.

#ifndef CODE  // code of the dtype of x, y, g and dx
#define CODE f32
#endif
#ifndef WCODE  // code of the dtype of weight, bias and running statistics
#define WCODE f32
#endif
#ifndef REAL  // type of arithmetic, of mean, rstd and parts
#define REAL float
#endif
#ifndef AFFINE
#define AFFINE 1
#endif
#ifndef HAS_WEIGHT
#define HAS_WEIGHT 1
#endif
#ifndef HAS_BIAS
#define HAS_BIAS 1
#endif
#ifndef RMS  // 1: the mean counts as 0
#define RMS 0
#endif
#ifndef GIVEN  // 1: mean and variance are the running ones
#define GIVEN 0
#endif
#ifndef TRACK  // 1: the running ones move towards the batch's
#define TRACK 0
#endif
#ifndef WANT_PARTS  // 1: norm_backward writes the gradients of weight and bias
#define WANT_PARTS 1
#endif
#ifndef VW
#define VW 8
#endif
#ifndef BLOCK
#define BLOCK 1024
#endif
#include "types.clh"

#define T PASTE(T_, CODE)
#define W PASTE(T_, WCODE)
#define V VEC(REAL)
#define LOAD(p, i) ((REAL)PASTE(LOAD_, CODE)(p, i))
#define STORE(p, i, v) PASTE(STORE_, CODE)(p, i, v)
#define LOAD_V(p, i) CONVERT(REAL, PASTE(VLOAD_, CODE)(p, i))
#define STORE_V(p, i, v) PASTE(VSTORE_, CODE)(p, i, v)
#define WEIGHT(i) (HAS_WEIGHT ? (REAL)PASTE(LOAD_, WCODE)(weight, i) : (REAL)1)
#define BIAS(i) (HAS_BIAS ? (REAL)PASTE(LOAD_, WCODE)(bias, i) : (REAL)0)
#define WEIGHT_V(i) (HAS_WEIGHT ? CONVERT(REAL, PASTE(VLOAD_, WCODE)(weight, i)) : (V)(1))
#define BIAS_V(i) (HAS_BIAS ? CONVERT(REAL, PASTE(VLOAD_, WCODE)(bias, i)) : (V)(0))
#define SIZES INDEX groups, INDEX per_item, INDEX chunks, INDEX length, INDEX stride, INDEX pitch, INDEX per_sample

static inline REAL total(V v) {
    const PASTE(REAL, 4) a = v.lo + v.hi;
    const PASTE(REAL, 2) b = a.lo + a.hi;
    return b.x + b.y;
}

// The sum of x - shift, or of its square.
static inline REAL chunk_sum(global const T *x, INDEX length, REAL shift, int squared) {
    REAL sum = 0;
    for (INDEX from = 0; from < length; from += BLOCK) {
        const INDEX end = min(from + BLOCK, length);
        V lanes = (V)(0);
        INDEX i = from;
        for (; i + VW <= end; i += VW) {
            const V d = LOAD_V(x, i) - shift;
            lanes += squared ? d * d : d;
        }
        REAL rest = 0;
        for (; i < end; i++) {
            const REAL d = LOAD(x, i) - shift;
            rest += squared ? d * d : d;
        }
        sum += total(lanes) + rest;
    }
    return sum;
}

static inline REAL group_sum(global const T *x, INDEX chunks, INDEX length, INDEX stride, REAL shift, int squared) {
    REAL sum = 0;
    for (INDEX k = 0; k < chunks; k++) sum += chunk_sum(x + k * stride, length, shift, squared);
    return sum;
}

kernel void norm(global const T *x, global const W *weight, global const W *bias, global T *y, global REAL *means,
                 global REAL *rstds, global W *running_mean, global W *running_var, INDEX o_x, INDEX o_weight,
                 INDEX o_bias, INDEX o_y, INDEX o_means, INDEX o_rstds, INDEX o_running_mean, INDEX o_running_var, SIZES,
                 REAL eps, REAL momentum) {
    weight += o_weight;
    bias += o_bias;
    running_mean += o_running_mean;
    running_var += o_running_var;
    const INDEX first = get_global_id(0) * per_item, last = min(first + per_item, groups);
    const REAL count = (REAL)chunks * length;
    for (INDEX q = first; q < last; q++) {
        global const T *in = x + o_x + q * pitch;
        global T *out = y + o_y + q * pitch;
#if GIVEN
        const REAL mean = PASTE(LOAD_, WCODE)(running_mean, q), var = PASTE(LOAD_, WCODE)(running_var, q);
#else
        const REAL mean = RMS ? 0 : group_sum(in, chunks, length, stride, 0, 0) / count;
        const REAL var = group_sum(in, chunks, length, stride, mean, 1) / count;
#endif
#if TRACK
        const REAL old_mean = PASTE(LOAD_, WCODE)(running_mean, q), old_var = PASTE(LOAD_, WCODE)(running_var, q);
        PASTE(STORE_, WCODE)(running_mean, q, old_mean * (1 - momentum) + mean * momentum);
        PASTE(STORE_, WCODE)(running_var, q, old_var * (1 - momentum) + var * (count / (count - 1)) * momentum);
#endif
        const REAL rstd = 1 / sqrt(var + eps);
        means[o_means + q] = mean;
        rstds[o_rstds + q] = rstd;
        for (INDEX k = 0; k < chunks; k++) {
            global const T *from = in + k * stride;
            global T *to = out + k * stride;
            INDEX i = 0;
#if AFFINE == 1
            for (; i + VW <= length; i += VW)
                STORE_V(to, i, (LOAD_V(from, i) - mean) * rstd * WEIGHT_V(i) + BIAS_V(i));
            for (; i < length; i++) STORE(to, i, (LOAD(from, i) - mean) * rstd * WEIGHT(i) + BIAS(i));
#else
            const INDEX c = AFFINE == 2 ? q % per_sample * chunks + k : q;
            const REAL factor = rstd * WEIGHT(c), shift = BIAS(c);
            for (; i + VW <= length; i += VW) STORE_V(to, i, (LOAD_V(from, i) - mean) * factor + shift);
            for (; i < length; i++) STORE(to, i, (LOAD(from, i) - mean) * factor + shift);
#endif
        }
    }
}

kernel void norm_backward(global const T *g, global const T *x, global const W *weight, global const REAL *means,
                          global const REAL *rstds, global T *dx, global REAL *dweight, global REAL *dbias,
                          INDEX o_g, INDEX o_x, INDEX o_weight, INDEX o_means, INDEX o_rstds, INDEX o_dx,
                          INDEX o_dweight, INDEX o_dbias, SIZES) {
    weight += o_weight;
    dweight += o_dweight;
    dbias += o_dbias;
    const INDEX first = get_global_id(0) * per_item, last = min(first + per_item, groups);
    const REAL count = (REAL)chunks * length;
#if AFFINE == 1 && WANT_PARTS
    dweight += get_global_id(0) * length;
    dbias += get_global_id(0) * length;
    for (INDEX i = 0; i < length; i++) dweight[i] = dbias[i] = 0;
#endif
    for (INDEX q = first; q < last; q++) {
        const REAL mean = means[o_means + q], rstd = rstds[o_rstds + q];
        REAL sum_h = 0, sum_hz = 0;
        for (INDEX k = 0; k < chunks; k++) {
            global const T *gs = g + o_g + q * pitch + k * stride, *xs = x + o_x + q * pitch + k * stride;
            REAL chunk_g = 0, chunk_gz = 0;
            for (INDEX from = 0; from < length; from += BLOCK) {
                const INDEX end = min(from + BLOCK, length);
                V lanes_g = (V)(0), lanes_gz = (V)(0);
                REAL rest_g = 0, rest_gz = 0;
                INDEX i = from;
                for (; i + VW <= end; i += VW) {
                    V h = LOAD_V(gs, i);
                    const V z = (LOAD_V(xs, i) - mean) * rstd;
#if AFFINE == 1
#if WANT_PARTS
                    PASTE(vstore, VW)(PASTE(vload, VW)(0, dweight + i) + h * z, 0, dweight + i);
                    PASTE(vstore, VW)(PASTE(vload, VW)(0, dbias + i) + h, 0, dbias + i);
#endif
                    h *= WEIGHT_V(i);
#endif
                    lanes_g += h;
                    lanes_gz += h * z;
                }
                for (; i < end; i++) {
                    REAL h = LOAD(gs, i);
                    const REAL z = (LOAD(xs, i) - mean) * rstd;
#if AFFINE == 1
#if WANT_PARTS
                    dweight[i] += h * z;
                    dbias[i] += h;
#endif
                    h *= WEIGHT(i);
#endif
                    rest_g += h;
                    rest_gz += h * z;
                }
                chunk_g += total(lanes_g) + rest_g;
                chunk_gz += total(lanes_gz) + rest_gz;
            }
#if AFFINE == 2
            const INDEX c = q % per_sample * chunks + k;
#if WANT_PARTS
            const INDEX place = q / per_sample * per_sample * chunks + c;
            dweight[place] = chunk_gz;
            dbias[place] = chunk_g;
#endif
            chunk_g *= WEIGHT(c);
            chunk_gz *= WEIGHT(c);
#endif
            sum_h += chunk_g;
            sum_hz += chunk_gz;
        }
#if AFFINE == 3
#if WANT_PARTS
        dweight[q] = sum_hz;
        dbias[q] = sum_h;
#endif
        sum_h *= WEIGHT(q);
        sum_hz *= WEIGHT(q);
#endif
        const REAL average_h = RMS || GIVEN ? 0 : sum_h / count, average_hz = GIVEN ? 0 : sum_hz / count;
        for (INDEX k = 0; k < chunks; k++) {
            const INDEX at = q * pitch + k * stride;
            global const T *gs = g + o_g + at, *xs = x + o_x + at;
            global T *out = dx + o_dx + at;
            INDEX i = 0;
#if AFFINE != 1
            const REAL factor = WEIGHT(AFFINE == 2 ? q % per_sample * chunks + k : q);
#endif
            for (; i + VW <= length; i += VW) {
                const V z = (LOAD_V(xs, i) - mean) * rstd;
#if AFFINE == 1
                const V h = LOAD_V(gs, i) * WEIGHT_V(i);
#else
                const V h = LOAD_V(gs, i) * factor;
#endif
                STORE_V(out, i, (h - average_h - z * average_hz) * rstd);
            }
            for (; i < length; i++) {
                const REAL z = (LOAD(xs, i) - mean) * rstd;
#if AFFINE == 1
                const REAL h = LOAD(gs, i) * WEIGHT(i);
#else
                const REAL h = LOAD(gs, i) * factor;
#endif
                STORE(out, i, (h - average_h - z * average_hz) * rstd);
            }
        }
    }
}
