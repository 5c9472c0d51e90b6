/* Random numbers by Philox4x32-10 (philox.clh).
 *
 * A counter and a key give four 32-bit words, so each element's number depends on its position alone, never on the
 * device or the NDRange: element i of a tensor takes words from counter (first + i / PER), PER elements a counter.
 *
 *   counter   first          first + 1      first + 2
 *   words     w0 w1 w2 w3    w0 w1 w2 w3    ...
 *   elements  0  1  2  3     4  5  6  7     ...             PER = 4: one word an element
 *             0     1        2     3        ...             PER = 2: two words (doubles, 64-bit integers)
 *
 * A work-item handles CHUNK counters, VW at a time as vectors of words.
 */
#ifndef OUT
#define OUT f32 /* dtype code of the output */
#define CALC float /* what a number is computed in: float, double or long */
#define KIND UNIFORM
#define PER 4  /* elements a counter */
#define BITS 24 /* random bits of a uniform number */
#endif
#define UNIFORM 0 /* a + (b - a) * u, u in [0, 1) */
#define NORMAL 1  /* a + b * z, z standard normal (Box and Muller) */
#define INTEGER 2 /* a + an integer in [0, b) */
#define BERNOULLI 3 /* 1 with probability a */
#define DROPOUT 4 /* keeps with probability a, scaled by b: see random_dropout */

#include "types.clh"
#include "philox.clh"

#define PASTE3_(a, b) a##b
#define TYPE_OF(code) PASTE3_(T_, code)
#define STORE_OUT_(code, p, i, v) STORE_##code(p, i, v)
#define STORE_OUT(code, p, i, v) STORE_OUT_(code, p, i, v)
#define LOAD_OUT_(code, p, i) LOAD_##code(p, i)
#define LOAD_OUT(code, p, i) LOAD_OUT_(code, p, i)

typedef VEC(uint) W;
typedef VEC(CALC) V;

#if PER == 2
static inline VEC(ulong) wide(W low, W high) { return (CONVERT(ulong, high) << 32) | CONVERT(ulong, low); }
#endif

#if KIND != INTEGER
#if PER == 4
#define UNIT(low, high) (CONVERT(CALC, (low) >> (32 - BITS)) * (1.0f / (float)(1 << BITS)))
#define TINY 5.9604645e-08f /* 2^-24: keeps the logarithm's argument in (0, 1] */
#define TURN 6.2831853f
#else
#define UNIT(low, high) (CONVERT(CALC, wide(low, high) >> 11) * 1.1102230246251565e-16)
#define TINY 1.1102230246251565e-16
#define TURN 6.283185307179586
#endif
#endif

/* The PER numbers of each of VW counters, number by number. */
static inline void numbers(ulong counter, ulong seed, V *r, CALC a, CALC b) {
  Words c = words_of(counter, 1, seed);
#if KIND == INTEGER
  r[0] = a + CONVERT(CALC, mul_hi(wide(c.w0, c.w1), (VEC(ulong))((ulong)b)));
  r[1] = a + CONVERT(CALC, mul_hi(wide(c.w2, c.w3), (VEC(ulong))((ulong)b)));
#else
#if PER == 4
  V u[4] = {UNIT(c.w0, 0), UNIT(c.w1, 0), UNIT(c.w2, 0), UNIT(c.w3, 0)};
#else
  V u[2] = {UNIT(c.w0, c.w1), UNIT(c.w2, c.w3)};
#endif
#if KIND == NORMAL
  for (int k = 0; k < PER; k += 2) {
    V radius = b * sqrt((CALC)-2 * log((CALC)1 - u[k])), angle = (CALC)TURN * u[k + 1];
    r[k] = a + radius * cos(angle);
    r[k + 1] = a + radius * sin(angle);
  }
#elif KIND == UNIFORM
  for (int k = 0; k < PER; k++) r[k] = a + (b - a) * u[k];
#else
  for (int k = 0; k < PER; k++) r[k] = u[k] < a ? (V)(1) : (V)(0);
#endif
#endif
}

/* Numbers of VW counters in the order of the elements. */
static inline void spread(const V *r, CALC *lanes) {
  CALC one[VW];
  for (int k = 0; k < PER; k++) {
    VSTORE(one, 0, r[k]);
    for (int l = 0; l < VW; l++) lanes[l * PER + k] = one[l];
  }
}

#if KIND != DROPOUT
__kernel void random_fill(__global TYPE_OF(OUT) *out, INDEX o_out, ulong seed, ulong first, CALC a, CALC b, INDEX n,
                          INDEX chunk) {
  INDEX counter = get_global_id(0) * chunk;
  INDEX last = min(counter + chunk, (n + PER - 1) / PER);
  out += o_out;
  for (; counter < last; counter += VW) {
    V r[PER];
    CALC lanes[PER * VW];
    numbers(first + counter, seed, r, a, b);
    spread(r, lanes);
    INDEX begin = counter * PER;
    int count = (int)min((INDEX)(PER * VW), n - begin);
    for (int k = 0; k < count; k++) STORE_OUT(OUT, out, begin + k, lanes[k]);
  }
}
#else
/* y = x * b where a uniform number is below a, else 0; mask says where it was. One launch for dropout. */
__kernel void random_dropout(__global const TYPE_OF(OUT) *x, __global TYPE_OF(OUT) *y, __global uchar *mask, INDEX o_x,
                             INDEX o_y, INDEX o_mask, ulong seed, ulong first, CALC a, CALC b, INDEX n, INDEX chunk) {
  INDEX counter = get_global_id(0) * chunk;
  INDEX last = min(counter + chunk, (n + PER - 1) / PER);
  for (; counter < last; counter += VW) {
    V r[PER];
    CALC lanes[PER * VW];
    numbers(first + counter, seed, r, a, b);
    spread(r, lanes);
    INDEX begin = counter * PER;
    int count = (int)min((INDEX)(PER * VW), n - begin);
    for (int k = 0; k < count; k++) {
      mask[o_mask + begin + k] = lanes[k] != 0;
      STORE_OUT(OUT, y, o_y + begin + k, lanes[k] != 0 ? LOAD_OUT(OUT, x, o_x + begin + k) * b : 0);
    }
  }
}
#endif
