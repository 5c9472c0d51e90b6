/* Memory of one value, on CPUs: each of ITEMS work-items writes a part, 64 bytes at a time.
 *
 *   out   [ part 0 ......... ][ part 1 ......... ] ... [ last part ]     get_global_id(0): which part
 *
 * `low` and `high` are the value's bytes as often as they fit into sixteen; n counts blocks of 64 bytes.
 */
__kernel void fill(__global ulong8 *out, long low, long high, long n) {
  const long share = (n + get_global_size(0) - 1) / get_global_size(0);
  const long begin = get_global_id(0) * share, end = min(begin + share, n);
  const ulong a = as_ulong(low), b = as_ulong(high);
  const ulong8 values = (ulong8)(a, b, a, b, a, b, a, b);
  for (long i = begin; i < end; i++) out[i] = values;
}
