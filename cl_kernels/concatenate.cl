/* Tensors one after the other along a dimension, up to COUNT of them in one launch.
 *
 * A piece is rows of `length` neighbouring elements, `step` elements apart; all pieces have as many rows. Row r of the result is
 * row r of each piece in turn:
 *
 *   result, row r    [ piece 0 ..... ][ piece 1 ][ piece 2 .......... ]       PITCH elements
 *                                     ^ start1   ^ start2
 *
 *   rows of a piece, one after the other      [ CHUNK ][ CHUNK ] ... [ part ]    get_global_id(0): which chunk of which piece
 *
 * The launcher writes a prelude with what depends on COUNT:
 *   POINTERS   the kernel's buffers: the pieces p<k>, then the result
 *   OFFSETS    where each begins in its buffer
 *   PIECES     for each piece  int end<k>: how many chunks this and the pieces before it have,
 *                              INDEX length<k>, step<k>, start<k>
 *   SELECT     finds, from the chunk's number, its piece: sets p, length, step, start and first (the piece's first chunk)
 *
 * On a CPU a work-item copies a long chunk, a vector at a time; on a GPU one element.
 */
#ifndef CODE
#define CODE i32 /* dtype code of the elements: that of an integer of their size */
#endif
#ifndef CHUNK
#define CHUNK 4096 /* elements of a chunk */
#define POINTERS __global const ELEMENT *p0, __global ELEMENT *out
#define OFFSETS INDEX at0, INDEX out_at
#define PIECES int end0, INDEX length0, INDEX step0, INDEX start0
#define SELECT p = p0 + at0; length = length0; step = step0; start = start0;
#endif

#include "types.clh"

#define ELEMENT PASTE(T_, CODE)

__kernel void concatenate(POINTERS, OFFSETS, int chunks, INDEX rows, INDEX pitch, PIECES) {
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
