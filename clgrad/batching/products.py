"""Rules of matrix products: those of single entries are products of stacked matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.batching.rules import aligned, rule, rule_of_arguments, spread
from clgrad.ops.registry import FUNCTIONS

_DIMS = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1), "vdot": (1, 1)}


def _product(level: Any, a: Any, b: Any) -> Any:
    """``a @ b`` of the entries."""
    if a.ndim == 1 and b.ndim == 1:
        return (spread(level, a) * spread(level, b)).sum(1)
    ndim = max(a.ndim, b.ndim, 2)

    def matrices(x: Any, at: int) -> Any:
        """The entries with a dimension in the place of one that a vector lacks."""
        if x.ndim == 1 and level.owns(x):
            return aligned(level, level.batch(x.whole.unsqueeze(at)), ndim)
        return x.unsqueeze(at - 1 if at > 0 else at) if x.ndim == 1 else aligned(level, x, ndim)
    result = FUNCTIONS["matmul"](matrices(a, 1), matrices(b, -1))
    return result.squeeze(-2) if a.ndim == 1 else result.squeeze(-1) if b.ndim == 1 else result


@rule_of_arguments("matmul", *_DIMS)
def _matmul(level: Any, func: Any, given: dict[str, Any]) -> Any:
    a, b = list(given.values())[:2]
    dims = _DIMS.get(func.operator_name)
    if not isinstance(a, TensorBase) or not isinstance(b, TensorBase) or not a.ndim or not b.ndim:
        return NotImplemented
    if given.get("out_dtype") is not None or a.dtype != b.dtype or (dims is not None and (a.ndim, b.ndim) != dims):
        return NotImplemented
    return _product(level, a, b)


@rule_of_arguments("linear")
def _linear(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    x, weight, bias = given["input"], given["weight"], given["bias"]
    if not x.ndim or weight.ndim not in (1, 2):
        return NotImplemented
    if not level.owns(weight) and not level.owns(bias):
        return func(x.whole, weight, bias)
    if weight.ndim == 1:
        result, ndim = _product(level, x, weight), x.ndim - 1
    elif not level.owns(weight):
        result, ndim = func(x.whole, weight), x.ndim
    else:  # a product of matrices for each entry, whose rows are those of all the entry's dimensions
        matrices, whole = weight.whole.transpose(1, 2), spread(level, x)
        rows = whole.unsqueeze(1) if x.ndim == 1 else whole.flatten(1, -2)
        if level.owns(bias):
            result = FUNCTIONS["baddbmm"](bias.whole.unsqueeze(1), rows, matrices)
            bias = None
        else:
            result = rows.bmm(matrices)
        result, ndim = result.reshape((*whole.shape[:-1], weight.shape[0])), x.ndim
    return result if bias is None else result + aligned(level, bias, ndim)


@rule_of_arguments("outer")
def _outer(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    a, b = list(given.values())[:2]
    if (a.ndim, b.ndim) != (1, 1):
        return NotImplemented
    return spread(level, a).unsqueeze(2) * spread(level, b).unsqueeze(1)


@rule_of_arguments("addmm", "addmv", "baddbmm", "addr")
def _added(level: Any, func: Any, given: dict[str, Any]) -> Any:
    """``beta * c + alpha * a @ b``."""
    if given.get("out_dtype") is not None:
        return NotImplemented
    c, a, b, *_ = given.values()
    beta, alpha = given["beta"], given["alpha"]
    wanted = {"addmm": (2, 2), "addmv": (2, 1), "baddbmm": (3, 3), "addr": (1, 1)}[func.operator_name]
    if (a.ndim, b.ndim) != wanted or not c.dtype == a.dtype == b.dtype or not c.dtype.is_floating_point or beta == 0:
        return NotImplemented
    if func.operator_name == "addr":
        product = spread(level, a).unsqueeze(2) * spread(level, b).unsqueeze(1)
    else:
        product = _product(level, a, b) if level.owns(a) or level.owns(b) else a @ b
    ndim = 1 if func.operator_name == "addmv" else wanted[0] if func.operator_name != "addr" else 2
    if c.ndim > ndim:
        return NotImplemented
    return beta * aligned(level, c, ndim) + alpha * product


@rule("einsum")
def _einsum(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    """With one more letter, of the batch."""
    equation, *operands = args
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = list(operands[0])
    if not isinstance(equation, str) or kwargs:
        return NotImplemented
    equation = equation.replace(" ", "")
    letter = next((x for x in "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA" if x not in equation), None)
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    if letter is None or len(terms) != len(operands):
        return NotImplemented
    if not arrow:  # those that stand once, in the order of the alphabet
        letters = inputs.replace(",", "").replace(".", "")
        output = "..." * ("..." in inputs) + "".join(sorted(x for x in set(letters) if letters.count(x) == 1))
    terms = [letter + term if level.owns(x) else term for term, x in zip(terms, operands, strict=True)]
    return func(f"{','.join(terms)}->{letter}{output}", *[x.whole if level.owns(x) else x for x in operands])


@rule_of_arguments("scaled_dot_product_attention")
def _attention(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    query, mask = given["query"], given["attn_mask"]
    names = ("query", "key", "value")
    if any(given[name].ndim != query.ndim for name in names) or (mask is not None and mask.ndim > query.ndim):
        return NotImplemented
    given |= {name: spread(level, given[name]) for name in names}
    return func(**{**given, "attn_mask": None if mask is None else aligned(level, mask, query.ndim)})
