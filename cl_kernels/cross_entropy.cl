// Cross entropy of logits, and negative log likelihood, with class indices as targets.
//
//   x[N][C][inner], target[N][inner], weight[C] (optional); row r = (sample r / inner, column r % inner)
//
//   forward   row loss = (1 - smoothing) * w[t] * (lse - x[t]) + smoothing / C * sum_c w[c] * (lse - x[c])
//             lse[r] and the sum of w[t] are kept for the backward pass; rows with the target ignore_index count 0
//             reduction 0: one loss a row, 1: their sum over the sum of w[t], 2: their sum
//   backward  grad[c] = scale * ((1 - smoothing) * w[t] * (p[c] - (c == t)) + smoothing / C * (p[c] * sum w - w[c]))
//             with p = exp(x - lse); scale is read from the device: nothing waits for the host
//
// LOGITS 0: x holds log-probabilities already, lse is 0 and p is 0.
// A target outside [0, C) reads and writes nothing: it counts like ignore_index and sets *status to 1, which the
// caller looks at when it next waits for the device.
//
// Each work-item (CPU) or group (GPU) leaves the sum of its rows in `partial`, unless it is alone; then, else
// cross_entropy_merge, stores the result. So sums are taken in one order always.

#ifndef IN          // code of the dtype of x, weight, loss and gradients
#define IN f32
#endif
#ifndef REAL        // type of arithmetic
#define REAL float
#endif
#ifndef LOGITS
#define LOGITS 1
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
#define RUN 64      // rows whose losses are summed directly; the runs' sums are summed then

#define T PASTE(T_, IN)
#define LOAD_1 PASTE(LOAD_, IN)
#define STORE_1 PASTE(STORE_, IN)
#define LOAD_V PASTE(VLOAD_, IN)
#define STORE_V PASTE(VSTORE_, IN)
#define V VEC(REAL)
#define LARGER(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))
#define WEIGHT(c) (has_weight ? LOAD_1(weight, weight_offset + (c)) : (REAL)1)
#define REDUCE_NONE 0
#define REDUCE_MEAN 1

typedef struct { REAL loss, weight; } sums;

// The target of a row, or -1 where it is not to be counted.
static inline int read_target(long t, long ignore_index, int classes, global int *status) {
    if (t == ignore_index) return -1;
    if (t < 0 || t >= classes) {
        *status = 1;
        return -1;
    }
    return (int)t;
}

// The loss of a row whose elements are x[p + c * step] and whose log-sum-exp is known.
static inline sums row_loss(global const T *x, INDEX p, INDEX step, int classes, REAL lse, int t,
                            global const T *weight, INDEX weight_offset, int has_weight, REAL smoothing) {
    sums s = {0, 0};
    if (t < 0) return s;
    s.weight = WEIGHT(t);
    s.loss = s.weight * (lse - LOAD_1(x, p + t * step));
    if (smoothing != 0) {
        REAL rest = 0;
        for (int c = 0; c < classes; c++) rest += WEIGHT(c) * (lse - LOAD_1(x, p + c * step));
        s.loss = (1 - smoothing) * s.loss + smoothing / classes * rest;
    }
    return s;
}

static inline void store_result(sums s, int reduction, global T *loss, INDEX loss_offset, global REAL *total_weight) {
    STORE_1(loss, loss_offset, reduction == REDUCE_MEAN ? s.loss / s.weight : s.loss);
    *total_weight = s.weight;
}

static inline REAL row_lse(global const T *x, INDEX p, INDEX step, int classes) {
#if LOGITS
    REAL m = -INFINITY, sum = 0;
    for (int c = 0; c < classes; c++) {
        const REAL v = LOAD_1(x, p + c * step);
        m = LARGER(m, v);
    }
    for (int c = 0; c < classes; c++) sum += exp(LOAD_1(x, p + c * step) - m);
    return m + log(sum);
#else
    return 0;
#endif
}

#if DEVICE_CPU

// The log-sum-exp of a contiguous row of at least one vector; the last vector overlaps its neighbour, masked.
static inline REAL contiguous_lse(global const T *x, INDEX p, int classes) {
    V m = (V)(-INFINITY), sum = (V)(0);
    REAL l[VW], top, total = 0;
    const int whole = classes / VW * VW;
    for (int c = 0; c < whole; c += VW) {
        const V v = LOAD_V(x, p + c);
        m = LARGER(m, v);
    }
    PASTE(vstore, VW)(m, 0, l);
    top = l[0];
    for (int i = 1; i < VW; i++) top = LARGER(top, l[i]);
    for (int i = 0; i < VW; i++) l[i] = -INFINITY;
    for (int c = whole; c < classes; c++) {
        l[c - whole] = LOAD_1(x, p + c);
        top = LARGER(top, l[c - whole]);
    }
    if (whole < classes) sum = exp(PASTE(vload, VW)(0, l) - top);
    for (int c = 0; c < whole; c += VW) sum += exp(LOAD_V(x, p + c) - top);
    PASTE(vstore, VW)(sum, 0, l);
    for (int i = 0; i < VW; i++) total += l[i];
    return top + log(total);
}

#include "short_rows.clh"

// The log-sum-exps of `count` short rows.
static inline V short_lse(global const T *x, INDEX p, int classes, int count) {
    REAL values[SHORT * VW];
    V m = (V)(-INFINITY), sum = (V)(0);
    turn(x + p, classes, count, values);
    for (int c = 0; c < classes; c++) {
        const V v = PASTE(vload, VW)(c, values);
        m = LARGER(m, v);
    }
    for (int c = 0; c < classes; c++) sum += exp(PASTE(vload, VW)(c, values) - m);
    return m + log(sum);
}

// The log-sum-exps of VW neighbouring columns.
static inline V columns_lse(global const T *x, INDEX p, INDEX step, int classes) {
    V m = (V)(-INFINITY), sum = (V)(0);
    for (int c = 0; c < classes; c++) {
        const V v = LOAD_V(x, p + c * step);
        m = LARGER(m, v);
    }
    for (int c = 0; c < classes; c++) sum += exp(LOAD_V(x, p + c * step) - m);
    return m + log(sum);
}

// Work-item: rows [id * rows_per_item, ...).
kernel void cross_entropy(global const T *x, global const long *target, global const T *weight, global T *loss,
                          global REAL *lse, global REAL *total_weight, global int *status, global sums *partial,
                          INDEX x_offset, INDEX target_offset, INDEX weight_offset, INDEX loss_offset,
                          INDEX rows, INDEX rows_per_item, int classes, INDEX inner, int width, int has_weight,
                          int reduction, long ignore_index, REAL smoothing) {
    const INDEX first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
    const INDEX next = inner == 1 ? classes : 1; // from a row's first element to its neighbour's
    sums all = {0, 0}, run = {0, 0};
    for (INDEX r = first; r < last;) {
        const INDEX column = r % inner, p = x_offset + r / inner * classes * inner + column;
        int count = 1;
#if LOGITS
        if (inner == 1 && classes <= SHORT) {
            REAL l[VW];
            count = min((INDEX)VW, last - r);
            PASTE(vstore, VW)(short_lse(x, p, classes, count), 0, l);
            for (int k = 0; k < count; k++) lse[r + k] = l[k];
        } else if (inner == 1)
            lse[r] = contiguous_lse(x, p, classes);
        else if (column + VW <= inner && r + VW <= last) {
            count = VW;
            PASTE(vstore, VW)(columns_lse(x, p, inner, classes), 0, lse + r);
        } else
            lse[r] = row_lse(x, p, inner, classes);
#endif
        for (int k = 0; k < count; k++) {
            const int t = read_target(target[target_offset + r + k], ignore_index, classes, status);
            const sums s = row_loss(x, p + k * next, inner, classes, LOGITS ? lse[r + k] : 0, t, weight, weight_offset,
                                    has_weight, smoothing);
            if (reduction == REDUCE_NONE) STORE_1(loss, loss_offset + r + k, s.loss);
            run.loss += s.loss;
            run.weight += s.weight;
        }
        r += count;
        if ((r - first) % RUN < count || r >= last) {
            all.loss += run.loss;
            all.weight += run.weight;
            run.loss = run.weight = 0;
        }
    }
    if (reduction == REDUCE_NONE) return;
    if (get_global_size(0) == 1)
        store_result(all, reduction, loss, loss_offset, total_weight);
    else
        partial[get_global_id(0)] = all;
}

// Work-item: rows [id * rows_per_item, ...).
kernel void cross_entropy_backward(global const T *grad_loss, global const T *x, global const long *target,
                                   global const T *weight, global const REAL *lse, global const REAL *total_weight,
                                   global T *grad, INDEX grad_loss_offset, INDEX x_offset, INDEX target_offset,
                                   INDEX weight_offset, INDEX lse_offset, INDEX total_offset, INDEX grad_offset,
                                   INDEX rows, INDEX rows_per_item, int classes, INDEX inner, int width,
                                   int has_weight, int reduction, long ignore_index, REAL smoothing) {
    const INDEX first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
    REAL all_weights = 0;
    for (int c = 0; c < classes && smoothing != 0; c++) all_weights += WEIGHT(c);
    for (INDEX r = first; r < last;) {
        const INDEX column = r % inner, at = r / inner * classes * inner + column;
        const INDEX p = x_offset + at, q = grad_offset + at;
        const int is_short = LOGITS && inner == 1 && classes <= SHORT;
        const int lanes = is_short ? min((INDEX)VW, last - r) : inner > 1 && column + VW <= inner && r + VW <= last ? VW : 1;
        REAL shift[VW] = {0}, hit[VW], even[VW] = {0}, uniform[VW] = {0};
        int t[VW];
        for (int k = 0; k < lanes; k++) {
            const long wanted = target[target_offset + r + k];
            t[k] = wanted == ignore_index || wanted < 0 || wanted >= classes ? -1 : (int)wanted;
            REAL g = LOAD_1(grad_loss, grad_loss_offset + (reduction == REDUCE_NONE ? r + k : 0));
            if (reduction == REDUCE_MEAN) g /= total_weight[total_offset];
            hit[k] = t[k] < 0 ? 0 : g * (1 - smoothing) * WEIGHT(t[k]);
            uniform[k] = t[k] < 0 ? 0 : g * smoothing / classes;
            even[k] = hit[k] + uniform[k] * all_weights;
            shift[k] = LOGITS ? lse[lse_offset + r + k] : 0;
        }
        if (is_short || lanes == VW) {
            const V s = PASTE(vload, VW)(0, shift), e = PASTE(vload, VW)(0, even), u = PASTE(vload, VW)(0, uniform);
            REAL values[SHORT * VW];
            if (is_short) turn(x + p, classes, lanes, values);
            for (int c = 0; c < classes; c++) {
                V v = -u * WEIGHT(c);
#if LOGITS
                if (smoothing == 0) v = (V)(0);
                const V logits = is_short ? PASTE(vload, VW)(c, values) : LOAD_V(x, p + c * inner);
                const V y = exp(logits - s) * e + v;
                v = e == (V)(0) ? v : y;
#endif
                if (is_short) PASTE(vstore, VW)(v, c, values);
                else STORE_V(grad, q + c * inner, v);
            }
            if (is_short) turn_back(grad + q, classes, lanes, values);
        } else {
            int c = 0;
            // A row that does not count has gradient 0, whatever its logits.
#if LOGITS
            for (; inner == 1 && t[0] >= 0 && !has_weight && c + VW <= classes; c += VW) {
                const V v = exp(LOAD_V(x, p + c) - shift[0]) * even[0] - uniform[0];
                STORE_V(grad, q + c, v);
            }
#endif
            for (; c < classes; c++) {
                REAL v = -uniform[0] * WEIGHT(c);
                if (LOGITS && t[0] >= 0) v += exp(LOAD_1(x, p + c * inner) - shift[0]) * even[0];
                STORE_1(grad, q + c * inner, t[0] < 0 ? 0 : v);
            }
        }
        for (int k = 0; k < lanes; k++)
            if (t[k] >= 0) {
                const INDEX i = t[k] * inner + k * (inner == 1 ? classes : 1);
                REAL v = -uniform[k] * WEIGHT(t[k]) - hit[k];
                if (LOGITS) v += exp(LOAD_1(x, p + i) - shift[k]) * even[k];
                STORE_1(grad, q + i, v);
            }
        r += lanes;
    }
}

#else  // GPU

// Combines the values of `width` neighbouring work-items (a power of two); all of them get the result.
#define GROUP_REDUCE(value, members, member, a, b, combined) { \
    local REAL *mine = tree + get_local_id(0); \
    barrier(CLK_LOCAL_MEM_FENCE); \
    *mine = value; \
    for (int half_ = (members) / 2; half_ > 0; half_ /= 2) { \
        barrier(CLK_LOCAL_MEM_FENCE); \
        if ((member) < half_) { const REAL a = *mine, b = mine[half_]; *mine = combined; } \
    } \
    barrier(CLK_LOCAL_MEM_FENCE); \
    value = mine[-(member)]; }

// Group: LOCAL / width rows.
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void cross_entropy(global const T *x, global const long *target, global const T *weight, global T *loss,
                   global REAL *lse, global REAL *total_weight, global int *status, global sums *partial,
                   INDEX x_offset, INDEX target_offset, INDEX weight_offset, INDEX loss_offset,
                   INDEX rows, INDEX rows_per_item, int classes, INDEX inner, int width, int has_weight,
                   int reduction, long ignore_index, REAL smoothing) {
    local REAL tree[LOCAL];
    const int lane = get_local_id(0) % width;
    const INDEX r = get_global_id(0) / width, p = x_offset + r / inner * classes * inner + r % inner;
    const int count = r < rows ? classes : 0;
    REAL shift = 0;
#if LOGITS
    REAL m = -INFINITY, sum = 0;
    for (int c = lane; c < count; c += width) {
        const REAL v = LOAD_1(x, p + c * inner);
        m = LARGER(m, v);
    }
    GROUP_REDUCE(m, width, lane, a, b, LARGER(a, b))
    for (int c = lane; c < count; c += width) sum += exp(LOAD_1(x, p + c * inner) - m);
    GROUP_REDUCE(sum, width, lane, a, b, a + b)
    shift = m + log(sum);
#endif
    sums s = {0, 0};
    if (lane == 0 && r < rows) {
        lse[LOGITS ? r : 0] = shift;
        const int t = read_target(target[target_offset + r], ignore_index, classes, status);
        s = row_loss(x, p, inner, classes, shift, t, weight, weight_offset, has_weight, smoothing);
        if (reduction == REDUCE_NONE) STORE_1(loss, loss_offset + r, s.loss);
    }
    const int me = get_local_id(0);
    GROUP_REDUCE(s.loss, LOCAL, me, a, b, a + b)
    GROUP_REDUCE(s.weight, LOCAL, me, a, b, a + b)
    if (me == 0 && reduction != REDUCE_NONE) {
        if (get_num_groups(0) == 1)
            store_result(s, reduction, loss, loss_offset, total_weight);
        else
            partial[get_group_id(0)] = s;
    }
}

// Group: LOCAL / width rows; each work-item writes the classes lane, lane + width, ... of its row.
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void cross_entropy_backward(global const T *grad_loss, global const T *x, global const long *target,
                            global const T *weight, global const REAL *lse, global const REAL *total_weight,
                            global T *grad, INDEX grad_loss_offset, INDEX x_offset, INDEX target_offset,
                            INDEX weight_offset, INDEX lse_offset, INDEX total_offset, INDEX grad_offset,
                            INDEX rows, INDEX rows_per_item, int classes, INDEX inner, int width,
                            int has_weight, int reduction, long ignore_index, REAL smoothing) {
    const int lane = get_local_id(0) % width;
    const INDEX r = get_global_id(0) / width, at = r / inner * classes * inner + r % inner;
    if (r >= rows) return;
    const long wanted = target[target_offset + r];
    const int t = wanted == ignore_index || wanted < 0 || wanted >= classes ? -1 : (int)wanted;
    REAL g = LOAD_1(grad_loss, grad_loss_offset + (reduction == REDUCE_NONE ? r : 0)), all_weights = 0;
    if (reduction == REDUCE_MEAN) g /= total_weight[total_offset];
    for (int c = 0; c < classes && smoothing != 0; c++) all_weights += WEIGHT(c);
    const REAL hit = t < 0 ? 0 : g * (1 - smoothing) * WEIGHT(t), uniform = g * smoothing / classes;
    const REAL even = hit + uniform * all_weights, shift = LOGITS ? lse[lse_offset + r] : 0;
    for (int c = lane; c < classes; c += width) {
        REAL v = -uniform * WEIGHT(c) - (c == t ? hit : 0);
        if (LOGITS) v += exp(LOAD_1(x, x_offset + at + c * inner) - shift) * even;
        STORE_1(grad, grad_offset + at + c * inner, t < 0 ? 0 : v);
    }
}

#endif

// One work-item: sums the partial sums in their order.
kernel void cross_entropy_merge(global const sums *partial, global T *loss, global REAL *total_weight,
                                INDEX loss_offset, int parts, int reduction) {
    sums all = {0, 0};
    for (int i = 0; i < parts;) {
        sums run = {0, 0};
        for (int j = 0; j < RUN && i < parts; j++, i++) {
            run.loss += partial[i].loss;
            run.weight += partial[i].weight;
        }
        all.loss += run.loss;
        all.weight += run.weight;
    }
    store_result(all, reduction, loss, loss_offset, total_weight);
}
