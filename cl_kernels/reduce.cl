// Reductions: sum, mean, prod, amax, amin, all, any, counts, norms, argmax and max with index, var, logsumexp.
//
// The launcher (clgrad/kernels/reduce.py) sorts the dimensions of a strided input into
//
//   output o   ->  offset by up to three kept dims     o = (o2 * k1 + o1) * k0 + o0,  o0*t0 + o1*t1 + o2*t2
//   run q      ->  offset by up to two reduced dims    q = q1 * r0 + q0,              q0*s0 + q1*s1
//   element i  ->  innermost reduced dim               i * stride, i < n
//
//   reduce_rows     kept | runs | n                one work-item: a part of one output's elements (stride 1: 16 lanes)
//   reduce_columns  kept | runs | n | inner        `inner` kept and contiguous: one work-item: COLUMNS outputs
//   reduce_merge    merges the states that several parts left in `states[part][output]`
//
// Elements of one output are cut into parts (runs_per_part runs x n_per_part elements) so that all compute units have
// work when outputs are few; with one part a kernel finishes and stores at once.
//
// On a CPU one work-item is one thread's share, with loops of its own. On a GPU `width` work-items of a group share
// one output's part and merge their states as a tree in local memory.

#ifndef VW
#define VW 16        // lanes of the vectors that a CPU loads
#endif
#include "types.clh"

#ifndef IN           // code of the input's dtype
#define IN f32
#endif
#ifndef OUT          // code of the output's dtype
#define OUT f32
#endif
#ifndef AUX          // code of the second output's dtype: the index (EXTREME) or the mean (MOMENTS)
#define AUX i64
#endif
#ifndef LOADED       // type that a load gives
#define LOADED float
#endif
#ifndef ACC          // type in which elements are combined, and its largest finite value
#define ACC float
#define ACC_MAX FLT_MAX
#endif
#ifndef POSITION     // integer as wide as ACC, for indices
#define POSITION int
#define POSITION_MAX INT_MAX
#endif
#define SIMPLE 0     // a = COMBINE(a, MAP(x)), starting from IDENTITY
#define EXTREME 1    // best value and its first index; NOT_BETTER(b, a): b does not replace a
#define MOMENTS 2    // mean and sum of squared deviations
#define LOGSUMEXP 3  // running maximum and sum of exponentials
#ifndef KIND
#define KIND SIMPLE
#endif
#ifndef READ         // element as loaded -> ACC: TO_ACC(v), or TRUTH(v) for v != 0
#define READ(v) TO_ACC(v)
#endif
#ifndef MAP
#define MAP(x) (x)
#define COMBINE(a, b) ((a) + (b))
#define IDENTITY 0
#endif
#ifndef FINISH       // result from the state s; `parameter` is the launcher's: n, n - correction, or p
#define FINISH(s) (s).a
#endif
// INDEX_ONLY: the value of an EXTREME is not stored.  MEAN: MOMENTS stores the mean as its second output.
#ifndef NOT_BETTER
#define NOT_BETTER(b, a) ((b) <= (a))
#endif
#ifndef DEVICE_CPU
#define DEVICE_CPU 1
#endif
#define BLOCK 64     // elements (a lane) that are combined directly
#define CASCADE 32   // blocks that are merged before they join the total
#define SPOT 256     // vectors that reduce_columns reads before it goes on: wide rows in few streams, narrow ones in long blocks
#define ROWS 16      // but as many rows at least where they are only added up: the fewer blocks, the smaller the error
#define SHORT 32     // below this many elements a row does not fill vectors of its own
#define TILES 32     // vectors of columns a work-item
#ifndef LOCAL
#define LOCAL 256    // GPU: work-items a group
#endif

#define LOAD_IN PASTE(LOAD_, IN)
#define VLOAD_IN PASTE(VLOAD_, IN)
#define T_IN PASTE(T_, IN)
#define T_OUT PASTE(T_, OUT)
#define T_AUX PASTE(T_, AUX)

#define LANES 1
#include "reduce_state.clh"
#if DEVICE_CPU
#define LANES 16
#include "reduce_state.clh"
#endif

static inline void finish(state_1 s, global T_OUT *out, global T_AUX *aux, long o, long aux_o, ACC parameter) {
#ifndef INDEX_ONLY
    PASTE(STORE_, OUT)(out, o, FINISH(s));
#endif
#if KIND == EXTREME
    aux[aux_o] = s.i == POSITION_MAX ? 0 : s.i;
#elif KIND == MOMENTS && defined(MEAN)
    PASTE(STORE_, AUX)(aux, aux_o, s.n == 0 ? (ACC)NAN : s.mean);
#endif
}

/* Most inputs have one kept dimension and one run, which cost no division. */
#define KEPT(o) ((o) < k0 ? (o) * t0 : (o) % k0 * t0 + (o) / k0 % k1 * t1 + (o) / k0 / k1 * t2)
#define RUN(q) ((q) < r0 ? (q) * s0 : (q) % r0 * s0 + (q) / r0 * s1)

// The state of `count` elements at p, p + pitch, ...: blocks in a cascade of two levels.
static inline state_1 reduce_run_1(global const T_IN *x, INDEX p, INDEX pitch, INDEX count, POSITION index, int step) {
    if (count <= BLOCK) return block_1(x, p, pitch, (int)count, index, step, 1);
    state_1 total = empty_1();
    for (INDEX i = 0; i < count;) {
        state_1 middle = empty_1();
        for (int j = 0; j < CASCADE && i < count; j++, i += BLOCK)
            middle = merge_1(middle, block_1(x, p + i * pitch, pitch, (int)min((INDEX)BLOCK, count - i),
                                             index + (POSITION)i * step, step, 1));
        total = merge_1(total, middle);
    }
    return total;
}

#if DEVICE_CPU

static inline state_1 lane_of(state_16 v, int lane) {
    state_1 s;
#if KIND == SIMPLE
    s.a = ((const ACC *)&v.a)[lane];
#elif KIND == EXTREME
    s.a = ((const ACC *)&v.a)[lane];
    s.i = ((const POSITION *)&v.i)[lane];
#elif KIND == MOMENTS
    s.mean = ((const ACC *)&v.mean)[lane];
    s.m2 = ((const ACC *)&v.m2)[lane];
    s.n = v.n;
#else
    s.m = ((const ACC *)&v.m)[lane];
    s.sum = ((const ACC *)&v.sum)[lane];
#endif
    return s;
}

#if KIND == SIMPLE
// Halves of halves, in registers.
#define HALVES(to, from) { const PASTE(ACC, to) a = from.lo, b = from.hi; half_##to = COMBINE(a, b); }
static inline state_1 merge_lanes(state_16 v) {
    PASTE(ACC, 8) half_8;
    PASTE(ACC, 4) half_4;
    PASTE(ACC, 2) half_2;
    HALVES(8, v.a)
    HALVES(4, half_8)
    HALVES(2, half_4)
    state_1 s;
    { const ACC a = half_2.x, b = half_2.y; s.a = COMBINE(a, b); }
    return s;
}
#undef HALVES
#else
static inline state_1 merge_lanes(state_16 v) {
    state_1 tree[8];
    for (int l = 0; l < 8; l++) tree[l] = merge_1(lane_of(v, l), lane_of(v, l + 8));
    for (int half_ = 4; half_ > 0; half_ /= 2)
        for (int l = 0; l < half_; l++) tree[l] = merge_1(tree[l], tree[l + half_]);
    return tree[0];
}
#endif

// The state of `count` vectors at p, p + pitch, ..., as reduce_run_1.
static inline state_16 reduce_run_16(global const T_IN *x, INDEX p, INDEX pitch, INDEX count, POSITION index,
                                     int step) {
    if (count <= BLOCK) return block_16(x, p, pitch, (int)count, index, step, 1);
    state_16 total = empty_16();
    for (INDEX i = 0; i < count;) {
        state_16 middle = empty_16();
        for (int j = 0; j < CASCADE && i < count; j++, i += BLOCK)
            middle = merge_16(middle, block_16(x, p + i * pitch, pitch, (int)min((INDEX)BLOCK, count - i),
                                               index + (POSITION)i * step, step, 1));
        total = merge_16(total, middle);
    }
    return total;
}

// The state of n contiguous elements at p: 16 lanes, then what is left over.
static inline state_1 reduce_contiguous(global const T_IN *x, INDEX p, INDEX n, POSITION index) {
    const INDEX rest = n / 16 * 16;
    const state_1 s = merge_lanes(reduce_run_16(x, p, 16, n / 16, index, 16));
    return rest == n ? s : merge_1(s, block_1(x, p + rest, 1, (int)(n - rest), index + (POSITION)rest, 1, 1));
}

// Work-item (chunk, part): outputs [chunk * outputs_per_item, ...) of one part.
kernel void reduce_rows(global const T_IN *x, global T_OUT *out, global T_AUX *aux, global state_1 *states,
                        INDEX x_offset, INDEX out_offset, INDEX aux_offset, INDEX outputs,
                        INDEX outputs_per_item, INDEX runs, INDEX runs_per_part, INDEX n, INDEX n_per_part,
                        INDEX stride, INDEX k0, INDEX t0, INDEX k1, INDEX t1, INDEX t2, INDEX r0, INDEX s0, INDEX s1,
                        int width, ACC parameter) {
    const INDEX first = get_global_id(0) * outputs_per_item, last = min(first + outputs_per_item, outputs);
    const int part = get_global_id(1), parts = get_global_size(1);
    const int n_parts = (n + n_per_part - 1) / n_per_part;
    const INDEX run_first = part / n_parts * runs_per_part, run_last = min(run_first + runs_per_part, runs);
    const INDEX i_first = part % n_parts * n_per_part, count = min(n_per_part, n - i_first);
    for (INDEX o = first; o < last; o++) {
        const INDEX base = x_offset + KEPT(o) + i_first * stride;
        state_1 s = empty_1();
        if (count < SHORT && parts == 1 && o + 16 <= last && o % k0 + 16 <= k0) {
            // Short rows: 16 outputs side by side, each lane a row.
            state_16 rows = empty_16();
            for (INDEX q = run_first; q < run_last; q++)
                rows = merge_16(rows, block_16(x, base + RUN(q), stride, (int)count, (POSITION)q * n, 1, t0));
            for (int lane = 0; lane < 16; lane++)
                finish(lane_of(rows, lane), out, aux, out_offset + o + lane, aux_offset + o + lane, parameter);
            o += 15;
            continue;
        }
        for (INDEX q = run_first; q < run_last; q++) {
            const INDEX p = base + RUN(q);
            const POSITION index = (POSITION)q * n + i_first;
            const state_1 t = stride == 1 && count >= 16 ? reduce_contiguous(x, p, count, index)
                                                         : reduce_run_1(x, p, stride, count, index, 1);
            s = run_last - run_first == 1 ? t : merge_1(s, t);
        }
        if (parts == 1)
            finish(s, out, aux, out_offset + o, aux_offset + o, parameter);
        else
            states[part * outputs + o] = s;
    }
}

// Work-item (columns, part, kept): the contiguous outputs [columns * 16 * TILES, ...) of one kept index.
kernel void reduce_columns(global const T_IN *x, global T_OUT *out, global T_AUX *aux, global state_1 *states,
                           INDEX x_offset, INDEX out_offset, INDEX aux_offset, INDEX inner,
                           INDEX runs, INDEX runs_per_part, INDEX n, INDEX n_per_part, INDEX pitch,
                           INDEX k0, INDEX t0, INDEX k1, INDEX t1, INDEX t2, INDEX r0, INDEX s0, INDEX s1,
                           ACC parameter) {
    const INDEX column = get_global_id(0) * (16 * TILES), columns = min((INDEX)(16 * TILES), inner - column);
    const int part = get_global_id(1), parts = get_global_size(1);
    const INDEX o = get_global_id(2), outputs = get_global_size(2) * inner;
    const int n_parts = (n + n_per_part - 1) / n_per_part;
    const INDEX run_first = part / n_parts * runs_per_part, run_last = min(run_first + runs_per_part, runs);
    const INDEX i_first = part % n_parts * n_per_part, i_last = min(i_first + n_per_part, n);
    const INDEX base = x_offset + KEPT(o) + column;
    out_offset += o * inner + column;
    aux_offset += o * inner + column;
    states += part * outputs + o * inner + column;
    const int tiles = (columns + 15) / 16;
    const INDEX rows = clamp(SPOT / tiles, KIND == SIMPLE ? ROWS : 1, BLOCK);
    if (columns < 16) {
        // Vectors reach into the next line, whose lanes are ignored; the last lines, beyond which nothing is known
        // to be there, are read element by element.
        const INDEX lines = i_last - i_first, reach = (lines - 1) * pitch + columns - 16;
        const INDEX whole = reach < 0 || pitch <= 0 ? 0 : reach / pitch + 1;
        state_16 wide = empty_16();
        for (INDEX q = run_first; q < run_last && whole > 0; q++)
            wide = merge_16(wide, reduce_run_16(x, base + RUN(q) + i_first * pitch, pitch, whole,
                                                (POSITION)q * n + i_first, 1));
        for (int c = 0; c < columns; c++) {
            state_1 s = lane_of(wide, c);
            for (INDEX q = run_first; q < run_last && whole < lines; q++)
                s = merge_1(s, reduce_run_1(x, base + RUN(q) + (i_first + whole) * pitch + c, pitch, lines - whole,
                                            (POSITION)q * n + i_first + whole, 1));
            if (parts == 1)
                finish(s, out, aux, out_offset + c, aux_offset + c, parameter);
            else
                states[c] = s;
        }
        return;
    }
    state_16 tile[TILES];
    for (int t = 0; t < tiles; t++) tile[t] = empty_16();
    for (INDEX q = run_first; q < run_last; q++)
        for (INDEX i = i_first; i < i_last; i += rows) {
            const INDEX p = base + RUN(q) + i * pitch;
            const int count = min(rows, i_last - i);
            int t = 0;
#if KIND == SIMPLE
            // Four vectors side by side: a row's part is then whole pairs of cache lines.
            for (; (t + 4) * 16 <= columns; t += 4) {
                PASTE(ACC, 16) sums[4];
                _Pragma("unroll") for (int u = 0; u < 4; u++) sums[u] = empty_16().a;
                for (int r = 0; r < count; r++)
                    _Pragma("unroll") for (int u = 0; u < 4; u++) sums[u] = add_row(sums[u], x, p + r * pitch + (t + u) * 16);
                for (int u = 0; u < 4; u++) {
                    const PASTE(ACC, 16) a = tile[t + u].a, b = sums[u];
                    tile[t + u].a = COMBINE(a, b);
                }
            }
#endif
            // The last tile overlaps its neighbour where 16 does not divide the columns.
            for (; t < tiles; t++)
                tile[t] = merge_16(tile[t], block_16(x, p + min((INDEX)t * 16, columns - 16), pitch, count,
                                                     (POSITION)q * n + i, 1, 1));
        }
    for (int t = 0; t < tiles; t++)
        for (int lane = 0; lane < 16; lane++) {
            const INDEX c = min((INDEX)t * 16, columns - 16) + lane;
            const state_1 s = lane_of(tile[t], lane);
            if (parts == 1)
                finish(s, out, aux, out_offset + c, aux_offset + c, parameter);
            else
                states[c] = s;
        }
}

// Work-item: outputs_per_item outputs.
kernel void reduce_merge(global const state_1 *states, global T_OUT *out, global T_AUX *aux,
                         INDEX out_offset, INDEX aux_offset, int parts, INDEX outputs, INDEX outputs_per_item,
                         int width, ACC parameter) {
    const INDEX first = get_global_id(0) * outputs_per_item, last = min(first + outputs_per_item, outputs);
    for (INDEX o = first; o < last; o++) {
        state_1 s = empty_1();
        for (int part = 0; part < parts;) {
            state_1 middle = states[part * outputs + o];
            for (int j = 1; j < CASCADE && part + j < parts; j++)
                middle = merge_1(middle, states[(part + j) * outputs + o]);
            part += CASCADE;
            s = merge_1(s, middle);
        }
        finish(s, out, aux, out_offset + o, aux_offset + o, parameter);
    }
}

#else  // GPU

// Merges the states of `width` neighbouring work-items (a power of two) into the first one's.
static inline state_1 merge_group(state_1 s, int lane, int width, local state_1 *tree) {
    local state_1 *mine = tree + get_local_id(0);
    *mine = s;
    for (int half_ = width / 2; half_ > 0; half_ /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_) *mine = merge_1(*mine, mine[half_]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return *mine;
}

// Group: LOCAL / width outputs of one part; work-item `lane` of an output takes elements lane, lane + width, ...
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void reduce_rows(global const T_IN *x, global T_OUT *out, global T_AUX *aux, global state_1 *states,
                 INDEX x_offset, INDEX out_offset, INDEX aux_offset, INDEX outputs,
                 INDEX outputs_per_item, INDEX runs, INDEX runs_per_part, INDEX n, INDEX n_per_part,
                 INDEX stride, INDEX k0, INDEX t0, INDEX k1, INDEX t1, INDEX t2, INDEX r0, INDEX s0, INDEX s1,
                 int width, ACC parameter) {
    local state_1 tree[LOCAL];
    const int lane = get_local_id(0) % width;
    const INDEX o = get_global_id(0) / width;
    const int part = get_global_id(1), parts = get_global_size(1);
    const int n_parts = (n + n_per_part - 1) / n_per_part;
    const INDEX run_first = part / n_parts * runs_per_part, run_last = min(run_first + runs_per_part, runs);
    const INDEX i_first = part % n_parts * n_per_part, count = min(n_per_part, n - i_first);
    state_1 s = empty_1();
    if (o < outputs && lane < count) {
        const INDEX base = x_offset + KEPT(o) + (i_first + lane) * stride, mine = (count - lane + width - 1) / width;
        for (INDEX q = run_first; q < run_last; q++)
            s = merge_1(s, reduce_run_1(x, base + RUN(q), stride * width, mine,
                                        (POSITION)q * n + i_first + lane, width));
    }
    s = merge_group(s, lane, width, tree);
    if (lane == 0 && o < outputs) {
        if (parts == 1)
            finish(s, out, aux, out_offset + o, aux_offset + o, parameter);
        else
            states[part * outputs + o] = s;
    }
}

// Work-item (column, part, kept): one output, neighbours read neighbours.
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void reduce_columns(global const T_IN *x, global T_OUT *out, global T_AUX *aux, global state_1 *states,
                    INDEX x_offset, INDEX out_offset, INDEX aux_offset, INDEX inner,
                    INDEX runs, INDEX runs_per_part, INDEX n, INDEX n_per_part, INDEX pitch,
                    INDEX k0, INDEX t0, INDEX k1, INDEX t1, INDEX t2, INDEX r0, INDEX s0, INDEX s1,
                    ACC parameter) {
    const INDEX column = get_global_id(0);
    const int part = get_global_id(1), parts = get_global_size(1);
    const INDEX o = get_global_id(2), outputs = get_global_size(2) * inner;
    if (column >= inner) return;
    const int n_parts = (n + n_per_part - 1) / n_per_part;
    const INDEX run_first = part / n_parts * runs_per_part, run_last = min(run_first + runs_per_part, runs);
    const INDEX i_first = part % n_parts * n_per_part, i_last = min(i_first + n_per_part, n);
    const INDEX base = x_offset + KEPT(o) + column + i_first * pitch;
    state_1 s = empty_1();
    for (INDEX q = run_first; q < run_last; q++)
        s = merge_1(s, reduce_run_1(x, base + RUN(q), pitch, i_last - i_first, (POSITION)q * n + i_first, 1));
    if (parts == 1)
        finish(s, out, aux, out_offset + o * inner + column, aux_offset + o * inner + column, parameter);
    else
        states[part * outputs + o * inner + column] = s;
}

// Group: LOCAL / width outputs.
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void reduce_merge(global const state_1 *states, global T_OUT *out, global T_AUX *aux,
                  INDEX out_offset, INDEX aux_offset, int parts, INDEX outputs, INDEX outputs_per_item,
                  int width, ACC parameter) {
    local state_1 tree[LOCAL];
    const int lane = get_local_id(0) % width;
    const INDEX o = get_global_id(0) / width;
    state_1 s = empty_1();
    if (o < outputs)
        for (int part = lane; part < parts; part += width) s = merge_1(s, states[part * outputs + o]);
    s = merge_group(s, lane, width, tree);
    if (lane == 0 && o < outputs) finish(s, out, aux, out_offset + o, aux_offset + o, parameter);
}

#endif
