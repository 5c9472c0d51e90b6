"""Operators on complex numbers, where that is not what pointwise rows, views and copies do by themselves.

A complex tensor is a pair of real ones in one memory (see :mod:`clgrad.ops.complexes`). What computes with it is the same
operator on real tensors, called as a rule says: on the real and on the imaginary part (``parts.py``), for the products that
make up a product (``products.py``), on absolute values (``lengths.py``), on these and angles (``scattering.py``), or in steps
of other operators (``steps.py``). Gradients, batches and second derivatives so need nothing of their own.

The rules are looked at from the first complex tensor on (``ops/interception.py``); this package is imported for it.
"""

from clgrad.autograd.listening import COMPLEX, switch
from clgrad.complexes import lengths, parts, products, scattering, steps  # noqa: F401
from clgrad.complexes.rules import add_in_place_forms

add_in_place_forms()
switch.set(COMPLEX, True)
