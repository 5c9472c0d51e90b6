// One step of SGD or Adam for many parameters in one launch, in place.
//
// The launcher (clgrad/kernels/optimizer.py) writes a prelude for a number of parameters:
//
//   BUFFERS     global T *p0, global const T *g0, global T *a0, ..., one set a parameter (a, b, c: its state)
//   TABLE       INDEX end0, INDEX n0, INDEX po0, INDEX go0, ...     chunks up to this parameter's end, size, offsets
//   SELECT      picks p, g, a, b, c, n, po, go and the parameter's first chunk for `chunk`
//
//   chunks      |-- p0 --|- p1 -|---- p2 ----|     CHUNK elements each; the last of a parameter may be shorter
//               0       end0   end1         end2
//
// A CPU work-item takes one chunk, a GPU's group one chunk.
//
// SGD       g += decay * p;  a = first ? g : momentum * a + (1 - dampening) * g;  p -= lr * (a, or g + momentum * a)
// Adam      Kingma and Ba 2015; DECOUPLED: AdamW (Loshchilov and Hutter 2019); AMSGRAD: Reddi, Kale and Kumar 2018
//           a = m, b = v, c = largest v;  p -= step_size * m / (sqrt(v) * scale + eps), with the two bias corrections
//           in step_size = lr / (1 - beta1^t) and scale = 1 / sqrt(1 - beta2^t)

#ifndef IN           // code of the dtype of parameters, gradients and state
#define IN f32
#endif
#ifndef REAL         // type of arithmetic
#define REAL float
#endif
#ifndef ADAM         // 0: SGD
#define ADAM 0
#endif
#ifndef MOMENTUM     // SGD keeps a momentum buffer
#define MOMENTUM 1
#endif
#ifndef NESTEROV
#define NESTEROV 0
#endif
#ifndef AMSGRAD
#define AMSGRAD 0
#endif
#ifndef DECOUPLED    // weight decay acts on the parameter instead of the gradient
#define DECOUPLED 0
#endif
#ifndef CHUNK
#define CHUNK 4096
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#ifndef VW
#define VW 8
#endif
#include "types.clh"

#define T PASTE(T_, IN)
#define R VEC(REAL)
#define STATE_A (ADAM || MOMENTUM)

#ifndef BUFFERS      // the prelude for one parameter
#define BUFFERS global T *p0, global const T *g0, global T *a0
#define TABLE INDEX end0, INDEX n0, INDEX po0, INDEX go0
#define SELECT p = p0; g = g0; a = a0; n = n0; po = po0; go = go0; start = 0;
#endif

// One vector or scalar (type W) of a step at element i: LD and ST are its load and store.
#if ADAM
#define UPDATE(W, LD, ST) { \
    W w = LD(p, po + i), d = LD(g, go + i) * sign; \
    if (DECOUPLED) w *= 1 - lr * decay; else d += decay * w; \
    const W m = LD(a, i), moment = m + (d - m) * (1 - beta1); \
    const W v = LD(b, i) * beta2 + d * d * (1 - beta2); \
    ST(a, i, moment); \
    ST(b, i, v); \
    LARGEST(W, LD, ST) \
    w -= step_size * moment / (sqrt(top) * scale + eps); \
    ST(p, po + i, w); }
#if AMSGRAD
#define LARGEST(W, LD, ST) const W old = LD(c, i), top = v > old ? v : old; ST(c, i, top);
#else
#define LARGEST(W, LD, ST) const W top = v;
#endif
#define SCALARS REAL lr, REAL decay, REAL sign, REAL beta1, REAL beta2, REAL eps, REAL step_size, REAL scale
#else
#define UPDATE(W, LD, ST) { \
    W w = LD(p, po + i), d = LD(g, go + i) * sign + decay * w; \
    REMEMBER(W, LD, ST) \
    w -= lr * d; \
    ST(p, po + i, w); }
#if MOMENTUM
#define REMEMBER(W, LD, ST) \
    W kept = d; \
    if (!first) kept = momentum * LD(a, i) + damped * d; \
    ST(a, i, kept); \
    d = NESTEROV ? d + momentum * kept : kept;
#else
#define REMEMBER(W, LD, ST)
#endif
#define SCALARS REAL lr, REAL decay, REAL sign, REAL momentum, REAL damped, int first
#endif

kernel void optimizer_step(BUFFERS, SCALARS, TABLE) {
    const INDEX chunk = DEVICE_CPU ? get_global_id(0) : get_group_id(0);
    global T *p, *a, *b, *c;
    global const T *g;
    INDEX n, po, go, start;
    SELECT
    INDEX i = (chunk - start) * CHUNK;
    const INDEX last = min(i + CHUNK, n);
#if DEVICE_CPU
    for (; i + VW <= last; i += VW) UPDATE(R, PASTE(VLOAD_, IN), PASTE(VSTORE_, IN))
    for (; i < last; i++) UPDATE(REAL, PASTE(LOAD_, IN), PASTE(STORE_, IN))
#else
    for (i += get_local_id(0); i < last; i += get_local_size(0)) UPDATE(REAL, PASTE(LOAD_, IN), PASTE(STORE_, IN))
#endif
}
