/* Sorting along one dimension, stably, with the places from which elements came.
 *
 *   x [outer][n][inner]  ->  values [outer][n][inner], indices (int64) of the same shape
 *
 * A row is the n elements of one (outer, inner): row r begins at (r / inner) * n * inner + r % inner, its elements
 * stand `inner` apart. Pairs of a row stand one after the other, in one of two buffers:
 *
 *   pairs [rows or work-items][2][n]
 *
 * CPU, many rows: sort_rows, a work-item sorts whole rows by radix (8 bits a pass, passes that change nothing are left
 * out). CPU, few long rows: radix_load, then radix_count, radix_starts, radix_scatter for each digit, then
 * radix_store; a work-item takes a chunk of a row, `parts` chunks a row, and counts[row][digit value][part] says where
 * its pairs of that digit value go. varying[row][part] has the bits in which keys of a chunk differ from the row's first
 * one: a pass whose digit all pairs share does nothing. sides[row][pass] tells in which of the two buffers the pairs are
 * before a pass.
 *
 * GPU: sort_blocks sorts BLOCK pairs a group in local memory; merge_runs, a pair a work-item, doubles the length of
 * the sorted runs: a pair's place is its own in its run plus its rank in the neighbouring run; store_pairs.
 */
#include "keys.clh"

#define ROW_BASE(r) ((r) / inner * n * inner + (r) % inner)

static inline void store(pair p, global const RAW *row, INDEX inner, global RAW *values, global long *indices,
                         INDEX v, INDEX i) {
    values[v] = element_of(p, row, inner);
    indices[i] = p.index;
}

#if DEVICE_CPU

// Work-item: rows_per_item rows, one after the other.
kernel void sort_rows(global const RAW *x, global RAW *values, global long *indices, global pair *pairs,
                      INDEX x_offset, INDEX values_offset, INDEX indices_offset, INDEX rows, INDEX rows_per_item,
                      INDEX n, INDEX inner) {
    const INDEX item = get_global_id(0), last = min((item + 1) * rows_per_item, rows);
    global pair *a = pairs + item * 2 * n;
    for (INDEX r = item * rows_per_item; r < last; r++) {
        const INDEX base = ROW_BASE(r);
        global const RAW *row = x + x_offset + base;
        const KEY one = key_of(row[0]);
        KEY varying = 0;
        for (INDEX i = 0; i < n; i++) {
            const pair p = make_pair(row[i * inner], i);
            varying |= p.key ^ one;
            a[i] = p;
        }
        global const pair *sorted = sort_pairs(a, a + n, n, varying);
        for (INDEX i = 0; i < n; i++)
            store(sorted[i], row, inner, values, indices, values_offset + base + i * inner,
                  indices_offset + base + i * inner);
    }
}

#define CHUNK_OF_ROW \
    const INDEX part = get_global_id(0), parts = get_global_size(0), r = get_global_id(1); \
    const INDEX first = part * chunk, last = min(first + chunk, n);

kernel void radix_load(global const RAW *x, global pair *pairs, global KEY *varying, INDEX x_offset, INDEX n, INDEX inner,
                       INDEX chunk) {
    CHUNK_OF_ROW
    global const RAW *row = x + x_offset + ROW_BASE(r);
    const KEY one = key_of(row[0]);
    KEY bits = 0;
    for (INDEX i = first; i < last; i++) {
        const pair p = make_pair(row[i * inner], i);
        bits |= p.key ^ one;
        pairs[r * 2 * n + i] = p;
    }
    varying[r * parts + part] = bits;
}

/* Whether a digit differs within a row. */
static inline bool varies(global const KEY *varying, INDEX r, int parts, int pass) {
    KEY bits = 0;
    for (int part = 0; part < parts; part++) bits |= varying[r * parts + part];
    return DIGIT(bits, pass);
}

kernel void radix_count(global const pair *pairs, global uint *counts, global const int *sides, global const KEY *varying,
                        int pass, INDEX n, INDEX chunk) {
    CHUNK_OF_ROW
    if (!varies(varying, r, parts, pass)) return;
    const int side = pass ? sides[r * (DIGITS + 1) + pass] : 0;
    global const pair *a = pairs + (r * 2 + side) * n;
    uint mine[256];
    for (int v = 0; v < 256; v++) mine[v] = 0;
    for (INDEX i = first; i < last; i++) mine[DIGIT(a[i].key, pass)]++;
    for (int v = 0; v < 256; v++) counts[(r * 256 + v) * parts + part] = mine[v];
}

// Work-item: a row.
kernel void radix_starts(global uint *counts, global int *sides, global const KEY *varying, int pass, int parts) {
    const INDEX r = get_global_id(0);
    global int *side = sides + r * (DIGITS + 1) + pass;
    if (pass == 0) side[0] = 0;
    const bool moves = varies(varying, r, parts, pass);
    side[1] = side[0] ^ moves;
    if (!moves) return;
    uint sum = 0;
    global uint *mine = counts + r * 256 * parts;
    for (int i = 0; i < 256 * parts; i++) {
        const uint count = mine[i];
        mine[i] = sum;
        sum += count;
    }
}

kernel void radix_scatter(global pair *pairs, global const uint *counts, global const int *sides, int pass, INDEX n,
                          INDEX chunk) {
    CHUNK_OF_ROW
    const int side = sides[r * (DIGITS + 1) + pass];
    if (side == sides[r * (DIGITS + 1) + pass + 1]) return;
    global const pair *a = pairs + (r * 2 + side) * n;
    global pair *b = pairs + (r * 2 + !side) * n;
    uint places[256];
    for (int v = 0; v < 256; v++) places[v] = counts[(r * 256 + v) * parts + part];
    for (INDEX i = first; i < last; i++) {
        const pair p = a[i];
        b[places[DIGIT(p.key, pass)]++] = p;
    }
}

kernel void radix_store(global const RAW *x, global RAW *values, global long *indices, global const pair *pairs,
                        global const int *sides, INDEX x_offset, INDEX values_offset, INDEX indices_offset, INDEX n,
                        INDEX inner, INDEX chunk) {
    CHUNK_OF_ROW
    const INDEX base = ROW_BASE(r);
    global const pair *a = pairs + (r * 2 + sides[r * (DIGITS + 1) + DIGITS]) * n;
    for (INDEX i = first; i < last; i++)
        store(a[i], x + x_offset + base, inner, values, indices, values_offset + base + i * inner,
              indices_offset + base + i * inner);
}

#else

// Group (block, row).
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void sort_blocks(global const RAW *x, global pair *pairs, INDEX x_offset, INDEX n, INDEX inner) {
    local pair block[BLOCK];
    const INDEX first = get_group_id(0) * BLOCK, r = get_global_id(1);
    global const RAW *row = x + x_offset + ROW_BASE(r);
    for (int t = get_local_id(0); t < BLOCK; t += LOCAL) {
        const INDEX i = first + t;
        block[t] = i < n ? make_pair(row[i * inner], i) : padding();
    }
    sort_block(block);
    for (int t = get_local_id(0); t < BLOCK; t += LOCAL)
        if (first + t < n) pairs[r * 2 * n + first + t] = block[t];
}

// Work-item (pair, row): from buffer `side` to the other one.
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void merge_runs(global pair *pairs, int side, INDEX run, INDEX n) {
    const INDEX i = get_global_id(0), r = get_global_id(1);
    if (i >= n) return;
    global const pair *a = pairs + (r * 2 + side) * n;
    global pair *b = pairs + (r * 2 + !side) * n;
    const pair p = a[i];
    const INDEX start = i / run * run, other = i / run % 2 ? start - run : start + run;
    INDEX low = min(other, n), high = min(other + run, n);
    const INDEX first = low;
    while (low < high) {
        const INDEX middle = low + (high - low) / 2;
        if (after(p, a[middle])) low = middle + 1;
        else high = middle;
    }
    b[min(start, other) + (i - start) + (low - first)] = p;
}

// Work-item (pair, row).
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void store_pairs(global const RAW *x, global RAW *values, global long *indices, global const pair *pairs, int side,
                 INDEX x_offset, INDEX values_offset, INDEX indices_offset, INDEX n, INDEX inner) {
    const INDEX i = get_global_id(0), r = get_global_id(1);
    if (i >= n) return;
    const INDEX base = ROW_BASE(r);
    store(pairs[(r * 2 + side) * n + i], x + x_offset + base, inner, values, indices,
          values_offset + base + i * inner, indices_offset + base + i * inner);
}

#endif
