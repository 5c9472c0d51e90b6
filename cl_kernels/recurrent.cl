/* Recurrent layers over whole sequences in one launch, for CPUs: forward and backward.
 *
 * The rows of a batch do not depend on each other: a work-item takes some of them through all steps, so nothing has to
 * wait for anything between steps. KIND: 0 tanh, 1 relu, 2 LSTM, 3 GRU; a step has GATES * hidden columns.
 *
 *   given  [line][GATES * hidden]   products with the input            y  [step + 1][row][hidden]   hidden states, with
 *   acts   [line][KEPT * hidden]    what the gradients need of          c  (LSTM) the same of cells  the first one before
 *                                   the gates, if `keep`                                             (after, if reverse)
 *
 * A line is a row at a step: those of step s are starts[s] to starts[s + 1]. Rows are sorted by length, so the first ones
 * reach a step; the state of the others stays what it is. out gets the hidden states after each line, and where lengths
 * differ (`packed`), befores those before it; otherwise y holds them just so.
 *
 *   step:  own = h W^T + bias            register tiles of MR rows and PANEL columns; the weights lie in panels
 *          gates from given and own      [columns / PANEL][depth][PANEL], the last one filled up with zeros
 *
 * backward: dgiven and downs are the gradients of given and own (one tensor unless GRU); dh and dc, [row][hidden], begin
 * with the gradients of the last state, carry them from step to step, and end with those of the first state.
 */
#ifndef REAL
#define REAL float /* type of the elements and of arithmetic */
#endif
#ifndef KIND
#define KIND 2
#endif
#ifndef VW
#define VW 8 /* lanes of a vector */
#endif
#ifndef MR
#define MR 4 /* rows of a register tile */
#endif
#include "types.clh"

#define V VEC(REAL)
#define NV 3
#define PANEL (NV * VW)
#define UNROLL _Pragma("unroll")
#define GATES (KIND == 2 ? 4 : KIND == 3 ? 3 : 1)
#define KEPT (KIND == 2 ? 4 : KIND == 3 ? 4 : 0) /* LSTM: all gates; GRU: all gates, and the candidate's own product */
#define SIGMOID(x) (1 / (1 + exp(-(x))))

/* Item: one panel of a matrix whose element (d, column) is at w[d * by_depth + column * by_column]. */
__kernel void recurrent_pack(const __global REAL *w, __global REAL *panels, int w_offset, int by_depth, int by_column,
                             int depth, int columns) {
  const int first = get_global_id(0) * PANEL;
  panels += first * depth;
  w += w_offset + first * by_column;
  for (int d = 0; d < depth; d++)
    for (int j = 0; j < PANEL; j++)
      panels[d * PANEL + j] = first + j < columns ? w[d * by_depth + j * by_column] : 0;
}

/* dst[r][j] = start + sum over d of a[r][d] * panels[d][j]; start is dst itself (add), or bias[j], or 0. */
static inline void product(const __global REAL *a, int a_step, int rows, int depth, const __global REAL *panels,
                           int columns, __global REAL *dst, int dst_step, const __global REAL *bias, int add) {
  for (int j = 0; j < columns; j += PANEL, panels += depth * PANEL)
    for (int r = 0; r < rows; r += MR) {
      V acc[MR][NV];
      const __global REAL *row[MR];
      UNROLL for (int m = 0; m < MR; m++) {
        row[m] = a + min(r + m, rows - 1) * a_step;
        UNROLL for (int n = 0; n < NV; n++) acc[m][n] = (V)(0);
      }
      const __global REAL *panel = panels;
      for (int d = 0; d < depth; d++, panel += PANEL) {
        V right[NV];
        UNROLL for (int n = 0; n < NV; n++) right[n] = VLOAD(panel, n * VW);
        UNROLL for (int m = 0; m < MR; m++) {
          V left = (V)(row[m][d]);
          UNROLL for (int n = 0; n < NV; n++) acc[m][n] += left * right[n];
        }
      }
      UNROLL for (int m = 0; m < MR; m++)
        if (r + m < rows) {
          __global REAL *target = dst + (r + m) * dst_step + j;
          if (j + PANEL <= columns) {
            UNROLL for (int n = 0; n < NV; n++) {
              if (add) acc[m][n] += VLOAD(target, n * VW);
              if (bias) acc[m][n] += VLOAD(bias, j + n * VW);
              VSTORE(target, n * VW, acc[m][n]);
            }
          } else {
            REAL lanes[PANEL];
            UNROLL for (int n = 0; n < NV; n++) VSTORE(lanes, n * VW, acc[m][n]);
            for (int n = 0; n < columns - j; n++)
              target[n] = lanes[n] + (add ? target[n] : 0) + (bias ? bias[j + n] : 0);
          }
        }
    }
}

#define SCALAR_LOAD(p, i) ((p)[i])
#define SCALAR_STORE(p, i, v) ((p)[i] = (v))

/* One step's gates at j: T is a vector or a scalar type, LD and ST its load and store. */
#if KIND == 2
#define FORWARD(T, LD, ST) {                                                                                     \
    const T enter = SIGMOID(LD(x, j) + LD(own, j)), forget = SIGMOID(LD(x, j + hidden) + LD(own, j + hidden));   \
    const T candidate = tanh(LD(x, j + 2 * hidden) + LD(own, j + 2 * hidden));                                   \
    const T leave = SIGMOID(LD(x, j + 3 * hidden) + LD(own, j + 3 * hidden));                                    \
    const T cell = forget * LD(c_before, j) + enter * candidate, value = leave * tanh(cell);                     \
    ST(c_after, j, cell);                                                                                        \
    ST(after, j, value);                                                                                         \
    if (keep) {                                                                                                  \
      ST(act, j, enter);                                                                                         \
      ST(act, j + hidden, forget);                                                                               \
      ST(act, j + 2 * hidden, candidate);                                                                        \
      ST(act, j + 3 * hidden, leave);                                                                            \
    } }
#define BACKWARD(T, LD, ST) {                                                                                    \
    const T enter = LD(act, j), forget = LD(act, j + hidden), candidate = LD(act, j + 2 * hidden);               \
    const T leave = LD(act, j + 3 * hidden), squashed = tanh(LD(c_after, j)), grad = LD(g, j) + LD(dh_row, j);   \
    const T cell = LD(dc_row, j) + grad * leave * (1 - squashed * squashed);                                     \
    ST(dx, j, cell * candidate * enter * (1 - enter));                                                           \
    ST(dx, j + hidden, cell * LD(c_before, j) * forget * (1 - forget));                                          \
    ST(dx, j + 2 * hidden, cell * enter * (1 - candidate * candidate));                                          \
    ST(dx, j + 3 * hidden, grad * squashed * leave * (1 - leave));                                               \
    ST(dc_row, j, cell * forget); }
#elif KIND == 3
#define FORWARD(T, LD, ST) {                                                                                     \
    const T reset = SIGMOID(LD(x, j) + LD(own, j)), update = SIGMOID(LD(x, j + hidden) + LD(own, j + hidden));   \
    const T inner = LD(own, j + 2 * hidden), candidate = tanh(LD(x, j + 2 * hidden) + reset * inner);            \
    ST(after, j, (LD(before, j) - candidate) * update + candidate);                                              \
    if (keep) {                                                                                                  \
      ST(act, j, reset);                                                                                         \
      ST(act, j + hidden, update);                                                                               \
      ST(act, j + 2 * hidden, candidate);                                                                        \
      ST(act, j + 3 * hidden, inner);                                                                            \
    } }
#define BACKWARD(T, LD, ST) {                                                                                    \
    const T reset = LD(act, j), update = LD(act, j + hidden), candidate = LD(act, j + 2 * hidden);               \
    const T grad = LD(g, j) + LD(dh_row, j), inner = grad * (1 - update) * (1 - candidate * candidate);          \
    const T of_reset = inner * LD(act, j + 3 * hidden) * reset * (1 - reset);                                    \
    const T of_update = grad * (LD(before, j) - candidate) * update * (1 - update);                              \
    ST(dx, j, of_reset);                                                                                         \
    ST(dx, j + hidden, of_update);                                                                               \
    ST(dx, j + 2 * hidden, inner);                                                                               \
    ST(down, j, of_reset);                                                                                       \
    ST(down, j + hidden, of_update);                                                                             \
    ST(down, j + 2 * hidden, inner * reset);                                                                     \
    ST(dh_row, j, grad * update); }
#elif KIND == 1
#define FORWARD(T, LD, ST) {                                                                                     \
    const T value = LD(x, j) + LD(own, j);                                                                       \
    ST(after, j, value < 0 ? (T)(0) : value); }
#define BACKWARD(T, LD, ST) {                                                                                    \
    const T grad = LD(g, j) + LD(dh_row, j);                                                                     \
    ST(dx, j, LD(after, j) > 0 ? grad : (T)(0)); }
#else
#define FORWARD(T, LD, ST) ST(after, j, tanh(LD(x, j) + LD(own, j)));
#define BACKWARD(T, LD, ST) {                                                                                    \
    const T value = LD(after, j);                                                                                \
    ST(dx, j, (LD(g, j) + LD(dh_row, j)) * (1 - value * value)); }
#endif

#define ALL(BODY)                                                                                                \
  int j = 0;                                                                                                     \
  for (; j + VW <= hidden; j += VW) BODY(V, VLOAD, VSTORE)                                                       \
  for (; j < hidden; j++) BODY(REAL, SCALAR_LOAD, SCALAR_STORE)

/* Where a step's state before and after it stands, in blocks of y and c. */
#define BEFORE (reverse ? step + 1 : step)
#define AFTER (reverse ? step : step + 1)

__kernel void recurrent_forward(const __global REAL *given, const __global REAL *bias, const __global int *starts,
                                const __global REAL *panels, __global REAL *y, __global REAL *c, __global REAL *acts,
                                __global REAL *out, __global REAL *befores, __global REAL *scratch, int given_offset,
                                int bias_offset, int steps, int batch, int hidden, int share, int reverse, int biased,
                                int keep, int packed) {
  const int first = get_global_id(0) * share, rows = min(share, batch - first), width = GATES * hidden;
  given += given_offset;
  scratch += first * width;
  for (int number = 0; number < steps; number++) {
    const int step = reverse ? steps - 1 - number : number, line = starts[step] + first;
    const int reached = clamp(starts[step + 1] - line, 0, rows);
    product(y + (BEFORE * batch + first) * hidden, hidden, reached, hidden, panels, width, scratch, width,
            biased ? bias + bias_offset : 0, 0);
    for (int r = 0; r < rows; r++) {
      const __global REAL *before = y + (BEFORE * batch + first + r) * hidden;
      const __global REAL *c_before = c + (BEFORE * batch + first + r) * hidden;
      __global REAL *after = y + (AFTER * batch + first + r) * hidden;
      __global REAL *c_after = c + (AFTER * batch + first + r) * hidden;
      if (r < reached) {
        const __global REAL *x = given + (line + r) * width, *own = scratch + r * width;
        __global REAL *act = acts + (line + r) * (KEPT * hidden);
        ALL(FORWARD)
      } else {
        for (int j = 0; j < hidden; j++) after[j] = before[j];
        if (KIND == 2)
          for (int j = 0; j < hidden; j++) c_after[j] = c_before[j];
      }
      if (r < reached)
        for (int j = 0; j < hidden; j++) out[(line + r) * hidden + j] = after[j];
      if (packed && r < reached)
        for (int j = 0; j < hidden; j++) befores[(line + r) * hidden + j] = before[j];
    }
  }
}

__kernel void recurrent_backward(const __global REAL *grad_y, const __global int *starts, const __global REAL *y,
                                 const __global REAL *c, const __global REAL *acts, const __global REAL *panels,
                                 __global REAL *dgiven, __global REAL *downs, __global REAL *dh, __global REAL *dc,
                                 int grad_offset, int steps, int batch, int hidden, int share, int reverse) {
  const int first = get_global_id(0) * share, rows = min(share, batch - first), width = GATES * hidden;
  grad_y += grad_offset;
  for (int number = 0; number < steps; number++) {
    const int step = reverse ? number : steps - 1 - number, line = starts[step] + first;
    const int reached = clamp(starts[step + 1] - line, 0, rows);
    for (int r = 0; r < reached; r++) {
      const __global REAL *g = grad_y + (line + r) * hidden, *act = acts + (line + r) * (KEPT * hidden);
      const __global REAL *before = y + (BEFORE * batch + first + r) * hidden;
      const __global REAL *c_before = c + (BEFORE * batch + first + r) * hidden;
      const __global REAL *after = y + (AFTER * batch + first + r) * hidden;
      const __global REAL *c_after = c + (AFTER * batch + first + r) * hidden;
      __global REAL *dx = dgiven + (line + r) * width, *down = downs + (line + r) * width;
      __global REAL *dh_row = dh + (first + r) * hidden, *dc_row = dc + (first + r) * hidden;
      ALL(BACKWARD)
    }
    product((KIND == 3 ? downs : dgiven) + line * width, width, reached, width, panels, hidden, dh + first * hidden,
            hidden, 0, KIND == 3);
  }
}
