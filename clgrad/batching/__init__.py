"""``vmap``: a function written for one entry of a batch, run on all of them at once.

Within the function an argument is a :class:`~clgrad.batching.batched.Batched`: a tensor that shows the shape of one entry and
holds all of them. A :class:`~clgrad.batching.level.Level` sees every call of an operator, as
:class:`~clgrad.overrides.TorchFunctionMode` does, and computes it

1. by the operator's rule, where it has one: the same operator, or few others, on all entries (``x.sum(0)`` of one entry is
   ``x.sum(1)`` of all; a product with a matrix for each entry is one of stacked matrices; a convolution with weights for each
   entry is one with as many groups);
2. else, if it is made of other operators, by theirs (attention of several heads, or most losses);
3. else entry by entry, and stacks what comes out.

What is computed for all entries are ordinary operations on ordinary tensors. So gradients within (``vmap(grad(f))``), around
(``grad`` of a function that uses ``vmap``), and batches within batches need nothing of their own: a level that is entered
within another computes on what are batches to the outer one. Many gradients of one result are one backward walk, in which
nodes run as operators do (:mod:`~clgrad.batching.walks`).
"""

from clgrad.batching.mapping import vmap

__all__ = ["vmap"]
