"""Rules of operators that combine numbers at places: sums and means are those of the parts, products go by the angles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.complexes.parts import on_each
from clgrad.complexes.rules import is_complex, rule
from clgrad.ops.registry import FUNCTIONS


@rule("scatter")
def _scatter(function: Callable, given: dict[str, Any]) -> Any:
    """By the parts, but products."""
    if given["reduce"] != "multiply":
        return on_each(function, given)
    x, index = given["input"], given["index"]
    factors = given["value"] if given["src"] is None else given["src"]
    if not is_complex(x):
        return NotImplemented
    if not isinstance(factors, TensorBase):
        factors = x.new_full((), factors).expand(index.spec.shape)
    return _multiplied(x, given["dim"], index, factors)


@rule("scatter_reduce")
def _scatter_reduce(function: Callable, given: dict[str, Any]) -> Any:
    if given["reduce"] in ("sum", "mean"):
        return on_each(function, given)
    x, dim, index = given["input"], given["dim"], given["index"]
    if given["reduce"] != "prod" or not is_complex(x):
        return NotImplemented
    start = x if given["include_self"] else FUNCTIONS["scatter"](x, dim, index, 1)
    return _multiplied(start, dim, index, given["src"])


@rule("index_add")
def _index_add(function: Callable, given: dict[str, Any]) -> Any:
    """A factor is multiplied in before the parts are taken."""
    if not is_complex(given["input"]):
        return NotImplemented
    return on_each(function, {**given, "source": given["source"] * given["alpha"], "alpha": 1})


def _multiplied(x: Any, dim: int, index: Any, factors: Any) -> Any:
    """Lengths are multiplied and angles added; what gets no factor stays as it is."""
    lengths = FUNCTIONS["scatter_reduce"](x.abs(), dim, index, factors.abs(), "prod")
    angles = FUNCTIONS["scatter_add"](x.angle(), dim, index, factors.angle())
    meant = FUNCTIONS["scatter"](FUNCTIONS["zeros_like"](lengths), dim, index, 1.0).ne(0)
    return FUNCTIONS["where"](meant, FUNCTIONS["polar"](lengths, angles), x)
