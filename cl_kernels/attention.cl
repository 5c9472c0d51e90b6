/* Attention without the matrix of scores: out = softmax(q k^T * scale + mask) v, and its gradients.
 *
 * Operands are [batch, head, step, size] of any strides but 1 in the last dimension; D and DV are multiples of W. Keys
 * pass in blocks; each query keeps the largest score so far, the sum of exponentials and its sum of values, which are
 * scaled when a larger score comes (Milakov and Gimelshein 2018, Dao et al. 2022). What stays is the logarithm of each
 * query's sum, lse, from which the backward pass makes the weights again. A query that sees no key gives zeros and an
 * lse of +inf.
 *
 * CPU form: lanes are queries. Q lies transposed in private memory, so scores, their maxima and sums, and the sums of
 * values need no work across lanes, and elements of K and V are broadcast from where they are:
 *
 *            queries, TILES * W lanes ->
 *      d   +---------------------------+         forward: a work-item has TILES * W queries of one head
 *      |   | Q^T                       |
 *          +---------------------------+         backward: a work-item has one head of keys and values, with all
 *   +---+  +---------------------------+         queries of the heads that share it; it alone adds to their dk, dv
 *   | K |  | scores^T -> weights^T     |  BLOCK keys
 *   +---+  +---------------------------+
 *   | V |  | out^T += V^T weights^T    |
 *   +---+  +---------------------------+
 *
 * GPU form: a work-item has one query (forward, backward_query) or one key (backward_key).
 *
 * With DROPOUT weights are dropped after they were normalised. What is kept depends on the place in the matrix of scores
 * alone, so that the backward pass makes it again: the weights of keys 4 j .. 4 j + 3 take the four words of a counter of
 * the random stream (philox.clh), and are kept where 24 bits of theirs lie below a threshold:
 *
 *   counter of (pair, query, j) = first + (pair * steps + query) * ceil(keys / 4) + j
 */
#ifndef REAL
#define REAL float /* type of the elements and of arithmetic */
#endif
#ifndef D
#define D 64  /* size of queries and keys */
#define DV 64 /* size of values */
#endif
#ifndef MASK
#define MASK 0 /* 0: none; 1: bool, true where a query sees a key; 2: numbers that are added to the scores */
#endif
#ifndef DROPOUT
#define DROPOUT 0 /* 1: weights are dropped */
#endif
#ifndef VW
#define VW 8 /* lanes of a vector */
#endif
#ifndef TILES
#define TILES 2 /* strips of W queries of a block of queries */
#endif
#ifndef BLOCK
#define BLOCK 64 /* keys of a block */
#endif
#ifndef MR
#define MR 6 /* rows of a register tile */
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#include "types.clh"
#include "philox.clh"

#define V VEC(REAL)
#define NV 2
#define W (NV * VW)      /* columns of a register tile */
#define LANES (TILES * W) /* queries of a block */
#define UNROLL _Pragma("unroll")
#define LARGER(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))

#if MASK == 1
typedef uchar MASK_T;
#define MASKED(score, m) ((m) ? (score) : -(REAL)INFINITY)
#else
typedef REAL MASK_T;
#define MASKED(score, m) ((score) + (m))
#endif

/* The random stream's seed and first counter (meaningless without DROPOUT), and after each offset and size: what a kept
 * weight's bits are below, and its factor. */
typedef struct {
  ulong seed, first;
  INDEX quads; /* counters of a query */
  uint threshold;
  REAL factor;
} Stream;

#define STREAM ulong seed, ulong counter
#define THE_STREAM {seed, counter, (keys + 3) / 4, (uint)threshold, kept_factor}

/* Factors of the weights of four keys, the quad-th such, for VW queries, line and those after it. */
static inline void draw(const Stream *s, INDEX line, INDEX quad, V *factors) {
  const Words words = words_of(s->first + (ulong)line * s->quads + quad, s->quads, s->seed);
  factors[0] = CONVERT(REAL, ((words.w0 >> 8) < s->threshold) & 1) * s->factor;
  factors[1] = CONVERT(REAL, ((words.w1 >> 8) < s->threshold) & 1) * s->factor;
  factors[2] = CONVERT(REAL, ((words.w2 >> 8) < s->threshold) & 1) * s->factor;
  factors[3] = CONVERT(REAL, ((words.w3 >> 8) < s->threshold) & 1) * s->factor;
}

/* Where a head's matrices begin, and how far their rows are apart. */
#define HEADS                                                                                                     \
  INDEX heads, INDEX group, INDEX steps, INDEX keys, INDEX q_n, INDEX q_h, INDEX q_l, INDEX k_n, INDEX k_h,       \
      INDEX k_l, INDEX v_n, INDEX v_h, INDEX v_l, INDEX m_n, INDEX m_h, INDEX m_l, INDEX m_s, INDEX o_n,          \
      INDEX o_h, INDEX o_l
/* The same of the gradients. */
#define GRADIENTS \
  INDEX dq_n, INDEX dq_h, INDEX dq_l, INDEX dk_n, INDEX dk_h, INDEX dk_l, INDEX dv_n, INDEX dv_h, INDEX dv_l
#define RULE int causal, int threshold, REAL scale, REAL kept_factor

/* g: gradient of out, with its strides; delta: [batch, head, step], the sums of products of both, written where several
 * kernels need them. dq, dk and dv are written whole. */
#define BACKWARD_OPERANDS                                                                                         \
  const __global REAL *q, const __global REAL *k, const __global REAL *v, const __global MASK_T *mask,            \
      const __global REAL *g, const __global REAL *out, const __global REAL *lse, __global REAL *delta,           \
      __global REAL *dq, __global REAL *dk, __global REAL *dv, INDEX q_offset, INDEX k_offset, INDEX v_offset,    \
      INDEX m_offset, INDEX g_offset, INDEX o_offset, INDEX l_offset, INDEX delta_offset, INDEX dq_offset,        \
      INDEX dk_offset, INDEX dv_offset, STREAM, HEADS, GRADIENTS, RULE

#if DEVICE_CPU

typedef struct {
  const __global MASK_T *mask;
  INDEX row, column, step; /* its strides; how many queries there are */
  int causal;
} Seen;

/* The sum of products of a row of a gradient and of the result. */
static inline REAL product(const __global REAL *g, const __global REAL *out) {
  V sums = (V)(0);
  for (int d = 0; d < DV; d += VW) sums += VLOAD(g, d) * VLOAD(out, d);
  REAL parts[VW], sum = 0;
  VSTORE(parts, 0, sums);
  for (int d = 0; d < VW; d++) sum += parts[d];
  return sum;
}

/* dst[c][lane] = sum over d of a[c][d] * b[d][lane] for `count` rows of a, in one strip of W lanes. */
static inline void dots(const __global REAL *a, INDEX a_step, int count, int depth, const REAL *b, REAL *dst) {
  for (int c = 0; c < count; c += MR) {
    V acc[MR][NV];
    const __global REAL *rows[MR];
    UNROLL for (int m = 0; m < MR; m++) {
      rows[m] = a + (c + min(m, count - 1 - c)) * a_step;
      UNROLL for (int n = 0; n < NV; n++) acc[m][n] = (V)(0);
    }
    for (int d = 0; d < depth; d++) {
      V right[NV];
      UNROLL for (int n = 0; n < NV; n++) right[n] = VLOAD(b, d * LANES + n * VW);
      UNROLL for (int m = 0; m < MR; m++) {
        V left = (V)(rows[m][d]);
        UNROLL for (int n = 0; n < NV; n++) acc[m][n] += left * right[n];
      }
    }
    UNROLL for (int m = 0; m < MR; m++) UNROLL for (int n = 0; n < NV; n++)
      VSTORE(dst, (c + m) * LANES + n * VW, acc[m][n]);
  }
}

/* dst[j][lane] = dst[j][lane] * factor[lane] + sum over c of a[c][j] * p[c][lane], j < depth, in one strip. */
static inline void add_columns(const __global REAL *a, INDEX a_step, int count, int depth, const REAL *p, V *factor,
                               REAL *dst) {
  for (int j = 0; j < depth; j += MR) {
    V acc[MR][NV];
    int columns[MR];
    UNROLL for (int m = 0; m < MR; m++) {
      columns[m] = min(j + m, depth - 1);
      UNROLL for (int n = 0; n < NV; n++) acc[m][n] = VLOAD(dst, (j + m) * LANES + n * VW) * factor[n];
    }
    const __global REAL *row = a;
    for (int c = 0; c < count; c++, row += a_step) {
      V right[NV];
      UNROLL for (int n = 0; n < NV; n++) right[n] = VLOAD(p, c * LANES + n * VW);
      UNROLL for (int m = 0; m < MR; m++) {
        V left = (V)(row[columns[m]]);
        UNROLL for (int n = 0; n < NV; n++) acc[m][n] += left * right[n];
      }
    }
    UNROLL for (int m = 0; m < MR; m++) UNROLL for (int n = 0; n < NV; n++)
      VSTORE(dst, (j + m) * LANES + n * VW, acc[m][n]);
  }
}

/* dst[c][j] += sum over the block's first `lanes` queries of p[c][lane] * b[lane][j], j < depth. */
static inline void add_rows(const REAL *p, int count, int lanes, int depth, const __global REAL *b, INDEX b_step,
                            __global REAL *dst, INDEX dst_step) {
  for (int j = 0; j < depth; j += W)
    for (int c = 0; c < count; c += MR) {
      V acc[MR][NV];
      UNROLL for (int m = 0; m < MR; m++) UNROLL for (int n = 0; n < NV; n++) acc[m][n] = (V)(0);
      const __global REAL *row = b + j;
      for (int lane = 0; lane < lanes; lane++, row += b_step) {
        V right[NV];
        UNROLL for (int n = 0; n < NV; n++) right[n] = VLOAD(row, n * VW);
        UNROLL for (int m = 0; m < MR; m++) {
          V left = (V)(p[(c + m) * LANES + lane]);
          UNROLL for (int n = 0; n < NV; n++) acc[m][n] += left * right[n];
        }
      }
      UNROLL for (int m = 0; m < MR; m++)
        if (c + m < count) {
          __global REAL *target = dst + (c + m) * dst_step + j;
          UNROLL for (int n = 0; n < NV; n++) VSTORE(target, n * VW, VLOAD(target, n * VW) + acc[m][n]);
        }
    }
}

/* Scores of `count` keys in one strip, whose first query is `query`: mask and causality. */
static inline void hide(REAL *scores, int count, INDEX query, INDEX key, const Seen *seen) {
#if MASK
  for (int lane = 0; lane < W; lane++) {
    const __global MASK_T *row = seen->mask + min(query + lane, seen->step - 1) * seen->row + key * seen->column;
    for (int c = 0; c < count; c++) {
      REAL score = scores[c * LANES + lane];
      scores[c * LANES + lane] = MASKED(score, row[c * seen->column]);
    }
  }
#endif
  if (seen->causal && key + count - 1 > query)
    for (int c = 0; c < count; c++)
      for (int lane = 0; lane < W && query + lane < key + c; lane++) scores[c * LANES + lane] = -INFINITY;
}

/* out[d][lane] = rows[lane][d] * factor; lanes beyond `count` are zero. */
static inline void turn(const __global REAL *rows, INDEX step, int count, int depth, REAL factor, REAL *out) {
  for (int lane = 0; lane < LANES; lane++)
    for (int d = 0; d < depth; d++) out[d * LANES + lane] = lane < count ? rows[lane * step + d] * factor : 0;
}

__kernel void attention_forward(const __global REAL *q, const __global REAL *k, const __global REAL *v,
                                const __global MASK_T *mask, __global REAL *out, __global REAL *lse, INDEX q_offset,
                                INDEX k_offset, INDEX v_offset, INDEX m_offset, INDEX o_offset, INDEX l_offset, STREAM,
                                HEADS, RULE) {
  const INDEX first = get_global_id(0) * LANES, pair = get_global_id(1), n = pair / heads, h = pair % heads;
  const int count = min((INDEX)LANES, steps - first);
  k += k_offset + n * k_n + h / group * k_h;
  v += v_offset + n * v_n + h / group * v_h;
  Seen seen;
  seen.mask = mask + m_offset + n * m_n + h * m_h;
  seen.row = m_l;
  seen.column = m_s;
  seen.step = steps;
  seen.causal = causal;
  const Stream stream = THE_STREAM;
  REAL turned[D * LANES], scores[(BLOCK + MR) * LANES], sums[(DV + MR) * LANES], top[LANES], total[LANES];
  turn(q + q_offset + n * q_n + h * q_h + first * q_l, q_l, count, D, scale, turned);
  for (int i = 0; i < (DV + MR) * LANES; i++) sums[i] = 0;
  for (int i = 0; i < LANES; i++) top[i] = -INFINITY, total[i] = 0;
  const INDEX end = causal ? min(keys, first + count) : keys;
  for (INDEX key = 0; key < end; key += BLOCK) {
    const int size = min((INDEX)BLOCK, end - key);
    for (int strip = 0; strip < count; strip += W) {
      if (causal && key > first + strip + W - 1) continue;
      REAL *own = scores + strip;
      dots(k + key * k_l, k_l, size, D, turned + strip, own);
      hide(own, size, first + strip, key, &seen);
      V factor[NV];
      UNROLL for (int n = 0; n < NV; n++) {
        const V before = VLOAD(top, strip + n * VW);
        V largest = before;
        for (int c = 0; c < size; c++) {
          const V score = VLOAD(own, c * LANES + n * VW);
          largest = LARGER(largest, score);
        }
        const V shift = largest == (V)(-INFINITY) ? (V)(0) : largest;
        V sum = (V)(0), kept[4];
        for (int c = 0; c < size; c++) {
          V weight = exp(VLOAD(own, c * LANES + n * VW) - shift);
          sum += weight;
          if (DROPOUT) {
            if (c % 4 == 0) draw(&stream, pair * steps + first + strip + n * VW, (key + c) / 4, kept);
            weight *= kept[c % 4];
          }
          VSTORE(own, c * LANES + n * VW, weight);
        }
        factor[n] = exp(before - shift);
        VSTORE(top, strip + n * VW, largest);
        VSTORE(total, strip + n * VW, VLOAD(total, strip + n * VW) * factor[n] + sum);
      }
      add_columns(v + key * v_l, v_l, size, DV, own, factor, sums + strip);
    }
  }
  out += o_offset + n * o_n + h * o_h + first * o_l;
  lse += l_offset + pair * steps + first;
  for (int lane = 0; lane < count; lane++) {
    const REAL sum = total[lane], inverse = sum == 0 ? 0 : 1 / sum;
    lse[lane] = sum == 0 ? INFINITY : top[lane] + log(sum);
    for (int d = 0; d < DV; d++) out[lane * o_l + d] = sums[d * LANES + lane] * inverse;
  }
}

__kernel void attention_backward(BACKWARD_OPERANDS) {
  const INDEX pair = get_global_id(0), shared = heads / group, n = pair / shared, kv = pair % shared;
  k += k_offset + n * k_n + kv * k_h;
  v += v_offset + n * v_n + kv * v_h;
  dk += dk_offset + n * dk_n + kv * dk_h;
  dv += dv_offset + n * dv_n + kv * dv_h;
  for (INDEX key = 0; key < keys; key++) {
    for (int d = 0; d < D; d++) dk[key * dk_l + d] = 0;
    for (int d = 0; d < DV; d++) dv[key * dv_l + d] = 0;
  }
  Seen seen;
  seen.row = m_l;
  seen.column = m_s;
  seen.step = steps;
  seen.causal = causal;
  const Stream stream = THE_STREAM;
  REAL turned[D * LANES], turned_g[DV * LANES], weights[(BLOCK + MR) * LANES], slopes[(BLOCK + MR) * LANES],
      sums[(D + MR) * LANES], sum_log[LANES], mean[LANES];
  for (int i = 0; i < (BLOCK + MR) * LANES; i++) weights[i] = slopes[i] = 0;
  V one[NV];
  UNROLL for (int n = 0; n < NV; n++) one[n] = (V)(1);
  for (INDEX h = kv * group; h < (kv + 1) * group; h++)
    for (INDEX first = 0; first < steps; first += LANES) {
      const int count = min((INDEX)LANES, steps - first);
      const __global REAL *queries = q + q_offset + n * q_n + h * q_h + first * q_l;
      const INDEX result = n * o_n + h * o_h + first * o_l;
      const __global REAL *grads = g + g_offset + result, *results = out + o_offset + result;
      const INDEX line = (n * heads + h) * steps + first;
      seen.mask = mask + m_offset + n * m_n + h * m_h;
      turn(queries, q_l, count, D, scale, turned);
      turn(grads, o_l, count, DV, 1, turned_g);
      for (int i = 0; i < LANES; i++) {
        sum_log[i] = i < count ? lse[l_offset + line + i] : INFINITY;
        mean[i] = i < count ? product(grads + i * o_l, results + i * o_l) : 0;
      }
      for (int i = 0; i < (D + MR) * LANES; i++) sums[i] = 0;
      const INDEX end = causal ? min(keys, first + count) : keys;
      for (INDEX key = 0; key < end; key += BLOCK) {
        const int size = min((INDEX)BLOCK, end - key);
        for (int strip = 0; strip < LANES; strip += W) {
          REAL *own = weights + strip, *slope = slopes + strip;
          dots(k + key * k_l, k_l, size, D, turned + strip, own);
          hide(own, size, first + strip, key, &seen);
          dots(v + key * v_l, v_l, size, DV, turned_g + strip, slope);
          UNROLL for (int n = 0; n < NV; n++) {
            const V shift = VLOAD(sum_log, strip + n * VW), middle = VLOAD(mean, strip + n * VW);
            V kept[4];
            for (int c = 0; c < size; c++) {
              const V weight = exp(VLOAD(own, c * LANES + n * VW) - shift);
              V given = weight, along = VLOAD(slope, c * LANES + n * VW);
              if (DROPOUT) {
                if (c % 4 == 0) draw(&stream, line + strip + n * VW, (key + c) / 4, kept);
                given *= kept[c % 4];
                along *= kept[c % 4];
              }
              VSTORE(own, c * LANES + n * VW, given);
              VSTORE(slope, c * LANES + n * VW, weight * (along - middle) * scale);
            }
          }
          add_columns(k + key * k_l, k_l, size, D, slope, one, sums + strip);
        }
        add_rows(weights, size, count, DV, grads, o_l, dv + key * dv_l, dv_l);
        add_rows(slopes, size, count, D, queries, q_l, dk + key * dk_l, dk_l);
      }
      __global REAL *target = dq + dq_offset + n * dq_n + h * dq_h + first * dq_l;
      for (int lane = 0; lane < count; lane++)
        for (int d = 0; d < D; d++) target[lane * dq_l + d] = sums[d * LANES + lane];
    }
}

#else /* GPU */

/* The score of a query and a key, both given by their elements, with the mask. */
static inline REAL score_of(const REAL *query, const __global REAL *key, REAL scale, const __global MASK_T *mask) {
  REAL score = 0;
  for (int d = 0; d < D; d++) score += query[d] * key[d];
  score *= scale;
#if MASK
  score = MASKED(score, *mask);
#endif
  return score;
}

#define MASK_AT(step, key) (mask + m_offset + n * m_n + h * m_h + (step) * m_l + (key) * m_s)

__kernel void attention_forward(const __global REAL *q, const __global REAL *k, const __global REAL *v,
                                const __global MASK_T *mask, __global REAL *out, __global REAL *lse, INDEX q_offset,
                                INDEX k_offset, INDEX v_offset, INDEX m_offset, INDEX o_offset, INDEX l_offset, STREAM,
                                HEADS, RULE) {
  const INDEX step = get_global_id(0), pair = get_global_id(1), n = pair / heads, h = pair % heads;
  if (step >= steps) return;
  k += k_offset + n * k_n + h / group * k_h;
  v += v_offset + n * v_n + h / group * v_h;
  q += q_offset + n * q_n + h * q_h + step * q_l;
  REAL query[D], sums[DV], top = -INFINITY, total = 0;
  for (int d = 0; d < D; d++) query[d] = q[d];
  for (int d = 0; d < DV; d++) sums[d] = 0;
  const Stream stream = THE_STREAM;
  REAL kept[4];
  const INDEX end = causal ? min(keys, step + 1) : keys;
  for (INDEX key = 0; key < end; key++) {
    const REAL score = score_of(query, k + key * k_l, scale, MASK_AT(step, key));
    const REAL largest = LARGER(top, score), shift = largest == -INFINITY ? 0 : largest;
    const REAL factor = exp(top - shift);
    REAL weight = exp(score - shift);
    top = largest;
    total = total * factor + weight;
    if (DROPOUT) {
      if (key % 4 == 0) draw(&stream, pair * steps + step, key / 4, kept);
      weight *= kept[key % 4];
    }
    for (int d = 0; d < DV; d++) sums[d] = sums[d] * factor + weight * v[key * v_l + d];
  }
  lse[l_offset + pair * steps + step] = total == 0 ? INFINITY : top + log(total);
  for (int d = 0; d < DV; d++) out[o_offset + n * o_n + h * o_h + step * o_l + d] = total == 0 ? 0 : sums[d] / total;
}

__kernel void attention_backward_query(BACKWARD_OPERANDS) {
  const INDEX step = get_global_id(0), pair = get_global_id(1), n = pair / heads, h = pair % heads;
  if (step >= steps) return;
  k += k_offset + n * k_n + h / group * k_h;
  v += v_offset + n * v_n + h / group * v_h;
  q += q_offset + n * q_n + h * q_h + step * q_l;
  g += g_offset + n * o_n + h * o_h + step * o_l;
  out += o_offset + n * o_n + h * o_h + step * o_l;
  dq += dq_offset + n * dq_n + h * dq_h + step * dq_l;
  REAL query[D], grad[DV], sums[D];
  for (int d = 0; d < D; d++) query[d] = q[d], sums[d] = 0;
  for (int d = 0; d < DV; d++) grad[d] = g[d];
  const REAL shift = lse[l_offset + pair * steps + step];
  REAL mean = 0;
  for (int d = 0; d < DV; d++) mean += grad[d] * out[d];
  delta[delta_offset + pair * steps + step] = mean;
  const Stream stream = THE_STREAM;
  REAL kept[4];
  const INDEX end = causal ? min(keys, step + 1) : keys;
  for (INDEX key = 0; key < end; key++) {
    const REAL weight = exp(score_of(query, k + key * k_l, scale, MASK_AT(step, key)) - shift);
    REAL slope = 0;
    for (int d = 0; d < DV; d++) slope += grad[d] * v[key * v_l + d];
    if (DROPOUT) {
      if (key % 4 == 0) draw(&stream, pair * steps + step, key / 4, kept);
      slope *= kept[key % 4];
    }
    slope = weight * (slope - mean) * scale;
    for (int d = 0; d < D; d++) sums[d] += slope * k[key * k_l + d];
  }
  for (int d = 0; d < D; d++) dq[d] = sums[d];
}

__kernel void attention_backward_key(BACKWARD_OPERANDS) {
  const INDEX key = get_global_id(0), pair = get_global_id(1), shared = heads / group, n = pair / shared;
  if (key >= keys) return;
  k += k_offset + n * k_n + pair % shared * k_h + key * k_l;
  v += v_offset + n * v_n + pair % shared * v_h + key * v_l;
  dk += dk_offset + n * dk_n + pair % shared * dk_h + key * dk_l;
  dv += dv_offset + n * dv_n + pair % shared * dv_h + key * dv_l;
  const Stream stream = THE_STREAM;
  REAL own[D], key_sums[D], value_sums[DV], kept[4];
  for (int d = 0; d < D; d++) own[d] = k[d], key_sums[d] = 0;
  for (int d = 0; d < DV; d++) value_sums[d] = 0;
  for (INDEX h = pair % shared * group; h < (pair % shared + 1) * group; h++)
    for (INDEX step = causal ? key : 0; step < steps; step++) {
      const __global REAL *query = q + q_offset + n * q_n + h * q_h + step * q_l;
      const __global REAL *grad = g + g_offset + n * o_n + h * o_h + step * o_l;
      const INDEX line = (n * heads + h) * steps + step;
      const REAL weight = exp(score_of(own, query, scale, MASK_AT(step, key)) - lse[l_offset + line]);
      REAL slope = 0, given = weight;
      for (int d = 0; d < DV; d++) slope += grad[d] * v[d];
      if (DROPOUT) {
        draw(&stream, line, key / 4, kept);
        slope *= kept[key % 4];
        given *= kept[key % 4];
      }
      for (int d = 0; d < DV; d++) value_sums[d] += given * grad[d];
      slope = weight * (slope - delta[delta_offset + line]) * scale;
      for (int d = 0; d < D; d++) key_sums[d] += slope * query[d];
    }
  for (int d = 0; d < D; d++) dk[d] = key_sums[d];
  for (int d = 0; d < DV; d++) dv[d] = value_sums[d];
}
#endif
