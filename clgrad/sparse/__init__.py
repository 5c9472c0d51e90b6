"""Sparse tensors: values at some places, zeros everywhere else.

A sparse tensor is a Tensor whose ``layout`` is ``sparse_coo`` (coordinates), ``sparse_csr`` or ``sparse_csc`` (compressed
rows or columns), ``sparse_bsr`` or ``sparse_bsc`` (of blocks); see :mod:`clgrad.ops.sparse`. What operators do with one is
said by rules: what a tensor is, copies and conversions (``structure.py``), how elements are moved (``moves.py``), pointwise
operators (``elementwise.py``), products (``products.py``), sums (``reductions.py``), decompositions (``spectral.py``). Every
rule is written with ordinary operators on values, so that gradients of every order follow. An operator without a rule
refuses sparse tensors before anything is computed.

The rules are looked at from the first sparse tensor on (``ops/interception.py``); this package is imported for it.
"""

from clgrad.sparse import elementwise, moves, spectral, structure  # noqa: F401
from clgrad.sparse.checks import check_sparse_tensor_invariants
from clgrad.sparse.construction import (
    sparse_bsc_tensor,
    sparse_bsr_tensor,
    sparse_compressed_tensor,
    sparse_coo_tensor,
    sparse_csc_tensor,
    sparse_csr_tensor,
    spdiags,
)
from clgrad.sparse.gradient_checks import as_sparse_gradcheck
from clgrad.sparse.products import addmm, mm, sampled_addmm, spsolve
from clgrad.sparse.reductions import log_softmax, softmax, sum
from clgrad.sparse.typed import CLASSES as _CLASSES

globals().update(_CLASSES)

__all__ = ["addmm", "as_sparse_gradcheck", "check_sparse_tensor_invariants", "log_softmax", "mm", "sampled_addmm", "softmax",
           "sparse_bsc_tensor", "sparse_bsr_tensor", "sparse_compressed_tensor", "sparse_coo_tensor", "sparse_csc_tensor",
           "sparse_csr_tensor", "spdiags", "spsolve", "sum"]
