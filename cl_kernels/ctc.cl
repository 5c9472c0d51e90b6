// Connectionist temporal classification (Graves et al. 2006): the loss of label sequences of unknown alignment.
//
//   lp[T][N][C]   log-probabilities;  targets[starts[n] .. + targets_n)  the labels of sample n
//   the extended sequence of a sample has 2 * labels + 1 places: blank, label, blank, ... , label, blank
//   alpha[N][T][S]   log of the probability of all beginnings that are at place s at time t (S = 2 * most labels + 1)
//   beta[N][2][S]    the same of all endings, two rows in turn
//
//   ctc           a work-item a sample: alpha, and loss[n] = -log of the sum over both last places
//   ctc_backward  a work-item a sample: beta backwards in time, and the gradient of lp, which is
//                 g * (exp(lp) - sum over places of a class of exp(alpha + beta - lp + loss)): that of scores before a
//                 log-softmax, as PyTorch's. It is zero after a sample's last time.
//
// A label outside of [0, C) counts as the blank and sets *status. Time is serial, so samples are the parallel axis.

#ifndef CODE  // f32 or f64
#define CODE f32
#endif
#ifndef REAL
#define REAL float
#endif
#include "types.clh"

#define T PASTE(T_, CODE)
#define SIZES INDEX times, INDEX samples, INDEX classes, INDEX places, int blank

static inline REAL log_add(REAL a, REAL b) {
    const REAL high = fmax(a, b), low = fmin(a, b);
    return high == -INFINITY ? high : high + log1p(exp(low - high));
}

// The class of place s.
static inline INDEX class_of(global const long *labels, INDEX s, INDEX classes, int blank, global int *status) {
    if (!(s & 1)) return blank;
    const long found = labels[s >> 1];
    if (found < 0 || found >= classes) {
        *status = 1;
        return blank;
    }
    return (INDEX)found;
}

// Whether the path may leave out the blank between places s - 2 and s.
static inline int skips(global const long *labels, INDEX s) {
    return (s & 1) && s > 1 && labels[s >> 1] != labels[(s >> 1) - 1];
}

kernel void ctc(global const T *lp, global const long *targets, global const long *lengths, global T *alpha,
                global T *loss, global int *status, INDEX o_lp, INDEX o_targets, INDEX o_lengths, INDEX o_alpha,
                INDEX o_loss, SIZES) {
    const INDEX n = get_global_id(0);
    if (n >= samples) return;
    // lengths[n]: first label, labels, times
    global const long *mine = lengths + o_lengths + 3 * n;
    global const long *labels = targets + o_targets + mine[0];
    const INDEX last = 2 * mine[1], steps = mine[2];
    const INDEX row = samples * classes;
    lp += o_lp + n * classes;
    alpha += o_alpha + n * times * places;
    for (INDEX t = 0; t < steps; t++) {
        global T *now = alpha + t * places, *before = now - places;
        for (INDEX s = 0; s <= last; s++) {
            REAL sum = -INFINITY;
            if (t == 0) {
                if (s < 2) sum = 0;
            } else {
                sum = before[s];
                if (s > 0) sum = log_add(sum, before[s - 1]);
                if (skips(labels, s)) sum = log_add(sum, before[s - 2]);
            }
            now[s] = sum + lp[t * row + class_of(labels, s, classes, blank, status)];
        }
    }
    REAL total = last ? -INFINITY : 0;
    if (steps) {
        global T *end = alpha + (steps - 1) * places;
        total = last ? log_add(end[last], end[last - 1]) : end[0];
    }
    loss[o_loss + n] = -total;
}

kernel void ctc_backward(global const T *g, global const T *lp, global const long *targets, global const long *lengths,
                         global const T *alpha, global const T *loss, global T *beta, global T *grad,
                         global int *status, INDEX o_g, INDEX o_lp, INDEX o_targets, INDEX o_lengths, INDEX o_alpha,
                         INDEX o_loss, INDEX o_beta, INDEX o_grad, SIZES, int zero_infinity) {
    const INDEX n = get_global_id(0);
    if (n >= samples) return;
    global const long *mine = lengths + o_lengths + 3 * n;
    global const long *labels = targets + o_targets + mine[0];
    const INDEX last = 2 * mine[1], steps = mine[2];
    const INDEX row = samples * classes;
    const REAL value = loss[o_loss + n], factor = g[o_g + n];
    lp += o_lp + n * classes;
    grad += o_grad + n * classes;
    alpha += o_alpha + n * times * places;
    beta += o_beta + n * 2 * places;
    const int skip_all = zero_infinity && value == INFINITY;
    for (INDEX t = times - 1; t >= 0; t--) {
        global T *out = grad + t * row;
        if (t >= steps || skip_all) {
            for (INDEX c = 0; c < classes; c++) out[c] = 0;
            continue;
        }
        global T *now = beta + (t & 1) * places, *after = beta + (~t & 1) * places;
        for (INDEX c = 0; c < classes; c++) out[c] = -INFINITY;
        for (INDEX s = last; s >= 0; s--) {
            REAL sum = -INFINITY;
            if (t == steps - 1) {
                if (s + 1 >= last) sum = 0;
            } else {
                sum = after[s];
                if (s < last) sum = log_add(sum, after[s + 1]);
                if (s + 2 <= last && skips(labels, s + 2)) sum = log_add(sum, after[s + 2]);
            }
            const INDEX c = class_of(labels, s, classes, blank, status);
            now[s] = sum + lp[t * row + c];
            out[c] = log_add(out[c], alpha[t * places + s] + now[s]);
        }
        for (INDEX c = 0; c < classes; c++) {
            const REAL p = lp[t * row + c];
            out[c] = (exp(p) - exp(out[c] + value - p)) * factor;
        }
    }
}
