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
    for name in TensorBase.__slots__:  # of which a tensor may lack what few have
        held = [(tensor, getattr(other, name)) for tensor, other in ((t1, t2), (t2, t1)) if hasattr(other, name)]
        for tensor in (t1, t2):
            if hasattr(tensor, name):
                delattr(tensor, name)
        for tensor, value in held:
            setattr(tensor, name, value)
