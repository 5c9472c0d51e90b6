/* Places of values in sorted sequences, by bisection.
 *
 *   sequences [rows or 1][n], values [rows][m]  ->  out [rows][m]: how many elements of its sequence come before a value
 *
 * A work-item takes a run of `chunk` values. RIGHT counts equal elements too. Every comparison with NaN says that the
 * sequence's element comes before: NaN belongs at the end.
 */
#ifndef CODE
#define CODE f32   /* dtype code of sequences and values */
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
    for (INDEX p = begin; p < end; p++) {
        const INDEX base = sequences_offset + p / m * row_stride;
        INDEX low = 0, high = n;
        while (low < high) {
            const INDEX middle = low + (high - low) / 2;
            if (BEFORE(LOAD(sequences, base + middle), LOAD(values, values_offset + p))) low = middle + 1;
            else high = middle;
        }
        out[out_offset + p] = low;
    }
}
