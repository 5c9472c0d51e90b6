/* One step of an optimizer for COUNT parameters at once.
 *
 * Each parameter is a dense run of elements with a gradient and up to three state tensors of the same layout. The
 * launcher writes a prelude with what depends on COUNT:
 *   POINTERS   the kernel's buffers: for each parameter k  p<k> (written), g<k> (read), a<k>, b<k>, c<k> (state)
 *   OFFSETS    where each parameter begins in each of its buffers, each followed by a comma; empty where all begin at 0
 *   LENGTHS    for each parameter  int end<k>: how many chunks this and the parameters before it have,
 *                                  INDEX n<k>: its elements
 *   SELECT     finds, from the chunk's number, its parameter: sets p, g, a, b, c, n and first (its first chunk)
 *
 *   parameters   | p0             | p1   | p2                    |
 *   chunks       [ 0 ][ 1 ][ 2 . ][ 3 . ][ 4 ][ 5 ][ 6 ][ 7 ][ 8 .]     get_global_id(0)
 *                                ^end0  ^end1                     ^end2
 *
 * A work-item takes one chunk of CHUNK elements: on a CPU a long one (a work-group of its own), on a GPU one vector, so
 * that neighbouring work-items touch neighbouring memory.
 */
#ifndef COUNT
#define COUNT 1 /* parameters in this launch */
#define CODE f32 /* dtype of parameters, gradients and state: f16 bf16 f32 f64 */
#define CALC float /* type of arithmetic */
#define CHUNK 8 /* elements of a chunk */
#define RULE_SGD 1 /* which optimizer: RULE_SGD, RULE_ADAM, RULE_RMSPROP or RULE_ADAGRAD */
#define POINTERS __global float *p0, __global const float *g0
#define OFFSETS
#define LENGTHS int end0, INDEX n0
#define SELECT p = p0; g = g0; n = n0;
#endif
#ifndef MAXIMIZE
#define MAXIMIZE 0 /* 1: steps go up the gradient */
#endif
#ifndef MOMENTUM
#define MOMENTUM 0 /* SGD, RMSprop: whether state a (RMSprop: c) holds a momentum */
#endif
#ifndef FIRST
#define FIRST 0 /* SGD: 1 where the momentum has no value yet and becomes the gradient */
#endif
#ifndef NESTEROV
#define NESTEROV 0 /* SGD: whether the step looks ahead along the momentum */
#endif
#ifndef AMSGRAD
#define AMSGRAD 0 /* Adam: whether state c holds the largest second moment so far */
#endif
#ifndef DECOUPLED
#define DECOUPLED 0 /* Adam: 1 where weight decay shrinks the parameter itself (AdamW) */
#endif
#ifndef CENTERED
#define CENTERED 0 /* RMSprop: whether state b holds the mean gradient */
#endif

#include "types.clh"

#define LOAD_CODE PASTE(LOAD_, CODE)
#define STORE_CODE PASTE(STORE_, CODE)
#define VLOAD_CODE PASTE(VLOAD_, CODE)
#define VSTORE_CODE PASTE(VSTORE_, CODE)
#define TYPE PASTE(T_, CODE)

#if MAXIMIZE
#define GRADIENT(LOAD) -LOAD(g, i)
#else
#define GRADIENT(LOAD) LOAD(g, i)
#endif

/* Each rule: x is the parameter's value, d its gradient; V the type of VW values or of one. */

#ifdef RULE_SGD
/* lr, decay (weight decay), s0 momentum, s1 1 - dampening */
#if MOMENTUM
#if FIRST
#define VELOCITY(V, LOAD) V m = d;
#else
#define VELOCITY(V, LOAD) V m = LOAD(a, i) * s0 + d * s1;
#endif
#if NESTEROV
#define RULE(V, LOAD, STORE) VELOCITY(V, LOAD) STORE(a, i, m); d = d + m * s0; x = x - d * lr;
#else
#define RULE(V, LOAD, STORE) VELOCITY(V, LOAD) STORE(a, i, m); x = x - m * lr;
#endif
#else
#define RULE(V, LOAD, STORE) x = x - d * lr;
#endif
#define DECAY d = d + x * decay;
#endif

#ifdef RULE_ADAM
/* lr, decay (decoupled: 1 - lr * weight decay), s0 1 - beta1, s1 beta2, s2 1 - beta2, s3 eps, s4 lr / (1 - beta1^t),
   s5 sqrt(1 - beta2^t) */
#if AMSGRAD
#define SECOND(V, LOAD, STORE) V top = fmax(LOAD(c, i), v); STORE(c, i, top);
#else
#define SECOND(V, LOAD, STORE) V top = v;
#endif
#define RULE(V, LOAD, STORE)                                                           \
  V m = LOAD(a, i);                                                                    \
  m = m + (d - m) * s0;                                                                \
  V v = LOAD(b, i) * s1 + d * d * s2;                                                  \
  STORE(a, i, m);                                                                      \
  STORE(b, i, v);                                                                      \
  SECOND(V, LOAD, STORE)                                                               \
  x = x - m / (sqrt(top) / s5 + s3) * s4;
#if DECOUPLED
#define DECAY x = x * decay;
#else
#define DECAY d = d + x * decay;
#endif
#endif

#ifdef RULE_RMSPROP
/* lr, decay, s0 alpha, s1 1 - alpha, s2 eps, s3 momentum */
#if CENTERED
#define SPREAD(V, LOAD, STORE) V mean = LOAD(b, i); mean = mean + (d - mean) * s1; STORE(b, i, mean); \
  V spread = sqrt(v - mean * mean) + s2;
#else
#define SPREAD(V, LOAD, STORE) V spread = sqrt(v) + s2;
#endif
#if MOMENTUM
#define MOVE(V, LOAD, STORE) V m = LOAD(c, i) * s3 + d / spread; STORE(c, i, m); x = x - m * lr;
#else
#define MOVE(V, LOAD, STORE) x = x - d / spread * lr;
#endif
#define RULE(V, LOAD, STORE)                                                           \
  V v = LOAD(a, i) * s0 + d * d * s1;                                                  \
  STORE(a, i, v);                                                                      \
  SPREAD(V, LOAD, STORE)                                                               \
  MOVE(V, LOAD, STORE)
#define DECAY d = d + x * decay;
#endif

#ifdef RULE_ADAGRAD
/* lr (already decayed), decay, s0 eps */
#define RULE(V, LOAD, STORE)                                                           \
  V sum = LOAD(a, i) + d * d;                                                          \
  STORE(a, i, sum);                                                                    \
  x = x - d / (sqrt(sum) + s0) * lr;
#define DECAY d = d + x * decay;
#endif

#define STEP(V, LOAD, STORE)                                                           \
  {                                                                                    \
    V x = LOAD(p, i);                                                                  \
    V d = GRADIENT(LOAD);                                                              \
    DECAY                                                                              \
    RULE(V, LOAD, STORE)                                                               \
    STORE(p, i, x);                                                                    \
  }

__kernel void optimizer_step(POINTERS, CALC lr, CALC decay, CALC s0, CALC s1, CALC s2, CALC s3, CALC s4, CALC s5,
                             OFFSETS int chunks, LENGTHS) {
  int item = get_global_id(0);
  if (item >= chunks) return;
  __global TYPE *p, *a, *b, *c;
  __global const TYPE *g;
  INDEX n;
  int first = 0;
  SELECT
  INDEX i = (INDEX)(item - first) * CHUNK;
  INDEX end = min(i + CHUNK, n);
  for (; i + VW <= end; i += VW) STEP(VEC(CALC), VLOAD_CODE, VSTORE_CODE)
#if VW > 1
  for (; i < end; i++) STEP(CALC, LOAD_CODE, STORE_CODE)
#endif
}
