"""What programs take from ``torch._C._nn``: functions of ``nn.functional`` and operators, some under other names.

>>> import clgrad
>>> clgrad._C._nn.gelu(clgrad.zeros(2))
tensor([0., 0.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.nn import functional
from clgrad.nn.utils import rnn
from clgrad.ops.copying import parse_to
from clgrad.ops.registry import FUNCTIONS

log_sigmoid = functional.logsigmoid
cross_entropy_loss = functional.cross_entropy
nll_loss_nd = nll_loss2d = functional.nll_loss
pad_sequence = rnn.pad_sequence


def _in_place(name: str) -> Callable:
    activation = getattr(functional, name)

    def function(input: Any) -> Any:
        return activation(input, inplace=True)
    function.__name__ = function.__qualname__ = f"{name}_"
    function.__doc__ = f":func:`{name}` in place."
    return function


hardsigmoid_, hardswish_, mish_, relu6_, silu_ = map(_in_place, ("hardsigmoid", "hardswish", "mish", "relu6", "silu"))


def _parse_to(*args: Any, **kwargs: Any) -> tuple:
    """(device, dtype, non_blocking, memory format) that the arguments of ``to`` name, None where they do not."""
    place, kind, _, memory_format = parse_to(args, kwargs)
    non_blocking = next((value for value in args if isinstance(value, bool)), kwargs.get("non_blocking", False))
    return place, kind, non_blocking, memory_format


def __getattr__(name: str) -> Any:
    found = getattr(functional, name, None) or FUNCTIONS.get(name)
    if found is None or name.startswith("_"):
        raise AttributeError(f"module 'clgrad._C._nn' has no attribute '{name}'")
    return found
