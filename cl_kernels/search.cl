/* Places of values in sorted sequences, by bisection.
 *
 *   sequences [rows or 1][n], values [rows][m]  ->  out [rows][m]: how many elements of its sequence come before a value
 *
 * A work-item takes a run of `chunk` values, LANES at once, each by as many steps and without a branch: which half is next
 * cannot be guessed, and while one value waits for memory others go on (1M values in 1024: 30 to 3 ms). The middles are
 * PyTorch's, so that a sequence that is not sorted gives what it gives there. RIGHT counts equal elements too. Every
 * comparison with NaN says that the sequence's element comes before: NaN belongs at the end.
 */
#ifndef CODE
#define CODE f32   /* dtype code of sequences and values */
#endif
#ifndef VALUE
#define VALUE float /* type in which they are compared */
#endif
#ifndef LANES
#define LANES 32
#endif
#ifndef OUT
#define OUT i64    /* dtype code of the places */
#endif
#ifndef RIGHT
#define RIGHT 0
#endif
#include "types.clh"

#define T_CODE PASTE(T_, CODE)
#define LOAD PASTE(LOAD_, CODE)
#if RIGHT
#define BEFORE(element, value) (!((element) > (value)))
#else
#define BEFORE(element, value) (!((element) >= (value)))
#endif

kernel void search(global const T_CODE *sequences, global const T_CODE *values, global PASTE(T_, OUT) *out,
                   INDEX sequences_offset, INDEX values_offset, INDEX out_offset, INDEX total, INDEX chunk, INDEX n,
                   INDEX m, INDEX row_stride) {
    const INDEX begin = get_global_id(0) * chunk, end = min(begin + chunk, total);
    for (INDEX p = begin; p < end; p += LANES) {
        INDEX base[LANES], low[LANES], left[LANES]; // the place is low, or up to `left` behind it
        VALUE value[LANES];
        for (int l = 0; l < LANES; l++) {
            const INDEX at = min(p + l, end - 1);
            base[l] = sequences_offset + (row_stride ? at / m * row_stride : 0);
            value[l] = LOAD(values, values_offset + at);
            low[l] = 0;
            left[l] = n;
        }
        for (INDEX most = n; most > 0; most /= 2)
            for (int l = 0; l < LANES; l++) {
                const INDEX half_ = left[l] / 2, middle = min(low[l] + half_, n - 1);
                const int before = (left[l] > 0) & BEFORE(LOAD(sequences, base[l] + middle), value[l]);
                low[l] = before ? middle + 1 : low[l];
                left[l] = before ? left[l] - half_ - 1 : half_;
            }
        for (int l = 0; l < LANES && p + l < end; l++) out[out_offset + p + l] = low[l];
    }
}
