"""``torch.utils.swap_tensors``."""

from __future__ import annotations

from typing import Any

from clgrad.autograd.graph import TensorBase


def swap_tensors(t1: Any, t2: Any) -> None:
    """Exchanges all that two tensors are: data, gradient, class, attributes. Who holds the one finds the other in it.

    >>> import clgrad
    >>> a, b = clgrad.zeros(2), clgrad.ones(3)
    >>> clgrad.utils.swap_tensors(a, b)
    >>> a, b
    (tensor([1., 1., 1.]), tensor([0., 0.]))
    """
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
    for name in TensorBase.__slots__:
        first, second = getattr(t1, name), getattr(t2, name)
        setattr(t1, name, second)
        setattr(t2, name, first)
