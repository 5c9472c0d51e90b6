/* Tensors one after the other along a dimension, up to COUNT of them in one launch.
 *
 * A piece is rows of `length` neighbouring elements, `step` elements apart; all pieces have as many rows. Row r of the
 * result is row r of each piece in turn:
 *
 *   result, row r    [ piece 0 ..... ][ piece 1 ][ piece 2 .......... ]       PITCH elements
 *                                     ^ start1   ^ start2
 *
 *   rows of a piece, one after the other      [ CHUNK ][ CHUNK ] ... [ part ]    get_global_id(0): which chunk of which piece
 *
 * The launcher writes a prelude with what depends on COUNT, from PIECE, AT, SIZES and TAKE of each piece:
 *   POINTERS   the pieces' buffers
 *   OFFSETS    where each piece begins in its buffer
 *   PIECES     for each piece how many chunks it and the pieces before it have, and its length, step and start
 *   SELECT     finds, from the chunk's number, its piece, and first (the piece's first chunk)
 *
 * On a CPU a work-item copies a long chunk, a vector at a time; on a GPU one element.
 */
#ifndef CODE
#define CODE i32 /* dtype code of the elements: that of an integer of their size */
#endif
#ifndef CHUNK
#define CHUNK 4096 /* elements of a chunk */
#define POINTERS PIECE(0)
#define OFFSETS AT(0)
#define PIECES SIZES(0)
#define SELECT TAKE(0)
#endif

#include "types.clh"

#define ELEMENT PASTE(T_, CODE)
#define PIECE(k) __global const ELEMENT *p##k
#define AT(k) INDEX at##k
#define SIZES(k) int end##k, INDEX length##k, INDEX step##k, INDEX start##k
#define TAKE(k) p = p##k + at##k; length = length##k; step = step##k; start = start##k;

__kernel void concatenate(POINTERS, __global ELEMENT *out, OFFSETS, INDEX out_at, int chunks, INDEX rows, INDEX pitch,
                          PIECES) {
  const int item = get_global_id(0);
  if (item >= chunks) return;
  __global const ELEMENT *p;
  INDEX length, step, start;
  int first = 0;
  SELECT
  const INDEX begin = (INDEX)(item - first) * CHUNK, end = min(begin + CHUNK, rows * length);
  INDEX row = begin / length, column = begin - row * length;
  for (INDEX done = begin; done < end; row++, column = 0) {
    const INDEX many = min(length - column, end - done);
    __global const ELEMENT *from = p + row * step + column;
    __global ELEMENT *to = out + out_at + row * pitch + start + column;
    INDEX i = 0;
#if VW > 1
    for (; i + VW <= many; i += VW) VSTORE(to, i, VLOAD(from, i));
#endif
    for (; i < many; i++) to[i] = from[i];
    done += many;
  }
}
