/* The first k of each row in sorted order, without sorting the row.
 *
 *   x [outer][n][inner]  ->  values [outer][k][inner], indices (int64) of the same shape       (rows as in sort.cl)
 *
 * CPU: topk_parts, a work-item a chunk of a row. It gathers elements that come before a threshold in a buffer; when
 * that is full, its first k are kept and the k-th becomes the threshold: most elements are only compared, VW at once.
 * A capacity of k means that each such element is put into its place among the first k at once, which suits a small k.
 *
 *   candidates [row][part][k],   buffers [part of row][2][capacity]
 *
 * topk_merge, a work-item a row, sorts the parts' candidates and stores the first k.
 *
 * GPU: topk_blocks sorts BLOCK pairs a group in local memory and keeps the first k of each; it reads x first and then,
 * until one block is left, its own results. topk_store writes the result.
 */
#include "keys.clh"

#define ROW_BASE(r) ((r) / inner * n * inner + (r) % inner)

static inline void store(pair p, global const RAW *row, global RAW *values, global long *indices, INDEX values_offset,
                         INDEX indices_offset, INDEX r, INDEX place, INDEX k, INDEX inner) {
    const INDEX at = r / inner * k * inner + r % inner + place * inner;
    values[values_offset + at] = element_of(p, row, inner);
    indices[indices_offset + at] = p.index;
}

#if DEVICE_CPU

#define KEYS VEC(RAW)
// Whether one of VW elements, which stand side by side, comes before the threshold.
static inline bool some_before(global const RAW *x, RAW threshold) {
    const KEYS v = VLOAD(x, 0);
    KEYS key = v;
#if INFINITY_BITS
    const KEYS magnitude = v & (KEYS)((RAW)(SIGN - 1));
    key = (v & (KEYS)(SIGN)) != (KEYS)(0) ? ~v : v | (KEYS)(SIGN);
    key = magnitude == (KEYS)(0) ? (KEYS)(SIGN) : key;
    key = magnitude > (KEYS)((RAW)INFINITY_BITS) ? (KEYS)((RAW)~(RAW)0) : key;
#elif SIGNED
    key ^= (KEYS)(SIGN);
#endif
    if (DESCENDING) key = ~key;
    return any(key < (KEYS)(threshold));
}

// The first k pairs of a buffer, sorted, at its beginning.
static void keep_first(global pair *buffer, uint count, uint capacity, uint k) {
    global const pair *sorted = sort_pairs(buffer, buffer + capacity, count, differing(buffer, count));
    if (sorted != buffer)
        for (uint i = 0; i < k; i++) buffer[i] = sorted[i];
}

// Work-item (part, row chunk).
kernel void topk_parts(global const RAW *x, global pair *candidates, global pair *buffers, INDEX x_offset, INDEX rows,
                       INDEX rows_per_item, INDEX n, INDEX inner, INDEX chunk, int k, int capacity) {
    const INDEX part = get_global_id(0), parts = get_global_size(0), item = get_global_id(1);
    const INDEX first = part * chunk, end = min(first + chunk, n), last = min((item + 1) * rows_per_item, rows);
    global pair *buffer = buffers + (item * parts + part) * 2 * capacity;
    for (INDEX r = item * rows_per_item; r < last; r++) {
        global const RAW *row = x + x_offset + ROW_BASE(r);
        uint count = min(end - first, (INDEX)capacity);
        for (uint i = 0; i < count; i++) buffer[i] = make_pair(row[(first + i) * inner], first + i);
        INDEX i = first + count;
        keep_first(buffer, count, capacity, k);
        RAW threshold = buffer[k - 1].key;
        count = k;
        while (i < end) {
            if (inner == 1 && i + VW <= end && !some_before(row + i, threshold)) {
                i += VW;
                continue;
            }
            const INDEX stop = min(i + VW, end);
            for (; i < stop; i++) {
                const pair p = make_pair(row[i * inner], i);
                if (p.key >= threshold) continue;
                if (capacity == k) {
                    insert(buffer, k - 1, p);
                    threshold = buffer[k - 1].key;
                } else
                    buffer[count++] = p;
            }
            if (capacity > k && count + VW > capacity) {
                keep_first(buffer, count, capacity, k);
                threshold = buffer[k - 1].key;
                count = k;
            }
        }
        if (count > k) keep_first(buffer, count, capacity, k);
        for (int j = 0; j < k; j++) candidates[(r * parts + part) * k + j] = buffer[j];
    }
}

// Work-item: rows_per_item rows.
kernel void topk_merge(global const RAW *x, global RAW *values, global long *indices, global pair *candidates,
                       global pair *others, INDEX x_offset, INDEX values_offset, INDEX indices_offset, INDEX rows,
                       INDEX rows_per_item, INDEX n, INDEX inner, int parts, int k) {
    const INDEX item = get_global_id(0), last = min((item + 1) * rows_per_item, rows), total = parts * k;
    for (INDEX r = item * rows_per_item; r < last; r++) {
        global pair *mine = candidates + r * total;
        global const pair *sorted = parts == 1 ? mine : sort_pairs(mine, others + r * total, total, differing(mine, total));
        for (int j = 0; j < k; j++)
            store(sorted[j], x + x_offset + ROW_BASE(r), values, indices, values_offset, indices_offset, r, j, k,
                  inner);
    }
}

#else

// Group (block, row). `count` pairs a row are read, from x where from_x is set, else from `in`.
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void topk_blocks(global const RAW *x, global const pair *in, global pair *out, INDEX x_offset, int from_x, INDEX count,
                 INDEX n, INDEX inner, int k) {
    local pair block[BLOCK];
    const INDEX first = get_group_id(0) * BLOCK, r = get_global_id(1);
    global const RAW *row = x + x_offset + ROW_BASE(r);
    for (int t = get_local_id(0); t < BLOCK; t += LOCAL) {
        const INDEX i = first + t;
        block[t] = i >= count ? padding() : from_x ? make_pair(row[i * inner], i) : in[r * count + i];
    }
    sort_block(block);
    for (int t = get_local_id(0); t < k; t += LOCAL)
        out[(r * get_num_groups(0) + get_group_id(0)) * k + t] = block[t];
}

// Work-item (place, row).
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void topk_store(global const RAW *x, global RAW *values, global long *indices, global const pair *pairs,
                INDEX x_offset, INDEX values_offset, INDEX indices_offset, INDEX n, INDEX inner, int k) {
    const INDEX j = get_global_id(0), r = get_global_id(1);
    if (j < k)
        store(pairs[r * k + j], x + x_offset + ROW_BASE(r), values, indices, values_offset, indices_offset, r, j, k,
              inner);
}

#endif
