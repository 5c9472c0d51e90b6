"""Rules of operators that name dimensions: those of an entry are one further in the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.batching.rules import RULES, aligned, rule, rule_of_arguments, shifted, shifted_all, spread
from clgrad.ops.arguments import called
from clgrad.ops.registry import FUNCTIONS

# The parameters that name dimensions, by operator. What else these take are numbers.
_NAMED = {
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "cumsum_",
                     "cumprod_", "sort", "argsort", "topk", "kthvalue", "glu", "normalize", "unbind", "chunk", "split",
                     "split_with_sizes", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "tensor_split", "select",
                     "narrow", "diff", "unflatten", "mode", "gumbel_softmax", "repeat_interleave"), ("dim",)),
    "roll": ("dims",),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), ("dim0", "dim1")),
    "diagonal": ("dim1", "dim2"),
    "movedim": ("source", "destination"),
    "flatten": ("start_dim", "end_dim"),
    "unfold": ("dimension",),
}
# Over one dimension or several; over all without one.
_REDUCING = ("sum", "mean", "amax", "amin", "var", "std", "var_mean", "std_mean", "logsumexp", "all", "any", "nansum",
             "nanmean", "count_nonzero", "norm", "linalg_vector_norm")
# Over one dimension, or all elements in a row.
_REDUCING_ONE = ("prod", "argmax", "argmin", "max", "min", "median", "nanmedian", "aminmax", "quantile", "nanquantile")


def _alone(level: Any, given: dict[str, Any]) -> Any:
    """The first argument, where it is the only tensor among them and of the batch."""
    tensors = [v for v in given.values() if isinstance(v, TensorBase)]
    first = next(iter(given.values()))
    return first if len(tensors) == 1 and level.owns(first) else None


@rule_of_arguments(*_NAMED)
def _along(level: Any, func: Any, given: dict[str, Any]) -> Any:
    own = _alone(level, given)
    if own is None or not own.ndim:
        return NotImplemented
    for name in _NAMED[func.operator_name]:
        dims = given.get(name)
        moved = shifted(dims, own.ndim) if type(dims) is int else shifted_all(dims, own.ndim)
        if moved is None:
            return NotImplemented
        given[name] = moved
    return called(func, {**given, next(iter(given)): own.whole})


@rule_of_arguments(*_REDUCING, *_REDUCING_ONE)
def _reduced(level: Any, func: Any, given: dict[str, Any]) -> Any:
    name = func.operator_name
    if isinstance(given.get("dim"), TensorBase) and name in ("max", "min"):
        return RULES[f"{name}imum"](level, FUNCTIONS[f"{name}imum"], (given["input"], given["dim"]), {})
    own = _alone(level, given)
    if own is None or "dim" not in given:
        return NotImplemented
    several, dims, whole = name in _REDUCING, given["dim"], own.whole
    if dims is None or dims == () or dims == []:
        if given.get("keepdim"):
            return NotImplemented
        if given.get("p") == "fro":
            given["p"] = 2
        whole = whole.unsqueeze(1) if not own.ndim else whole if several else whole.flatten(1)
        moved: Any = tuple(range(1, whole.ndim)) if several else 1
        result = called(func, {**given, "dim": moved, next(iter(given)): whole})
        return result[0] if name in ("max", "min", "median", "nanmedian") else result
    moved = shifted(dims, own.ndim) if type(dims) is int else shifted_all(dims, own.ndim) if several else None
    return NotImplemented if moved is None else called(func, {**given, "dim": moved, next(iter(given)): whole})


@rule("flip")
def _flipped(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    own, *dims = args
    moved = shifted_all(kwargs.get("dims", dims[0] if len(dims) == 1 else dims), own.ndim)
    return NotImplemented if moved is None else func(own.whole, moved)


@rule_of_arguments("diag_embed")
def _diag_embed(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    own = given["input"]
    moved = {name: shifted(given[name], own.ndim + 1) for name in ("dim1", "dim2")}
    return NotImplemented if None in moved.values() else called(func, {**given, **moved, "input": own.whole})


@rule_of_arguments("unsqueeze")
def _unsqueeze(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    moved = shifted(given["dim"], given["input"].ndim + 1)
    return NotImplemented if moved is None else given["input"].whole.unsqueeze(moved)


@rule_of_arguments("squeeze")
def _squeeze(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    own, dims = given["input"], given.get("dim")
    if dims is None:
        alone = tuple([d + 1 for d, n in enumerate(own.shape) if n == 1])
        return own.whole.squeeze(alone) if alone else own.whole.view_as(own.whole)
    moved = shifted_all(dims, own.ndim)
    return NotImplemented if moved is None else own.whole.squeeze(moved)


@rule_of_arguments("cat", "stack")
def _joined(level: Any, func: Any, given: dict[str, Any]) -> Any:
    tensors, dim = list(given["tensors"]), given["dim"]
    ndim = tensors[0].ndim + (func.operator_name == "stack")
    moved = shifted(dim, ndim)
    if moved is None or any(t.ndim != tensors[0].ndim for t in tensors):
        return NotImplemented
    return func([spread(level, t) for t in tensors], moved)


@rule_of_arguments("gather", "take_along_dim")
def _gathered(level: Any, func: Any, given: dict[str, Any]) -> Any:
    if given.get("sparse_grad") or given.get("dim") is None:
        return NotImplemented
    own, index = (given[name] for name in ("input", "index" if "index" in given else "indices"))
    moved = shifted(given["dim"], own.ndim)
    if moved is None or own.ndim != index.ndim:
        return NotImplemented
    x, i = spread(level, own), spread(level, index)
    return x.gather(moved, i) if func.operator_name == "gather" else x.take_along_dim(i, moved)


@rule_of_arguments("scatter", "scatter_add", "scatter_reduce")
def _scattered(level: Any, func: Any, given: dict[str, Any]) -> Any:
    tensors = {name: value for name, value in given.items() if isinstance(value, TensorBase)}
    ndim = given["input"].ndim
    moved = shifted(given["dim"], ndim)
    if moved is None or any(t.ndim != ndim for t in tensors.values()):
        return NotImplemented
    return called(func, {**given, "dim": moved, **{name: spread(level, t) for name, t in tensors.items()}})


@rule_of_arguments("index_select", "index_add", "index_copy", "index_fill")
def _indexed(level: Any, func: Any, given: dict[str, Any]) -> Any:
    """With indices that all entries share."""
    if level.owns(given["index"]) or level.owns(given.get("value")):
        return NotImplemented
    moved = shifted(given["dim"], given["input"].ndim)
    if moved is None or given.get("source") is not None and given["source"].ndim != given["input"].ndim:
        return NotImplemented
    given |= {name: spread(level, given[name]) for name in ("input", "source") if name in given}
    return called(func, {**given, "dim": moved})


@rule_of_arguments("cosine_similarity")
def _similar(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    moved = shifted(given["dim"], given["x1"].ndim)
    if moved is None or given["x1"].ndim != given["x2"].ndim:
        return NotImplemented
    return called(func, {**given, "x1": spread(level, given["x1"]), "x2": spread(level, given["x2"]), "dim": moved})


@rule_of_arguments("layer_norm", "rms_norm")
def _normalized(level: Any, func: Any, given: dict[str, Any]) -> Any:
    """Over an entry's last dimensions, which are the batch's too; weights of single entries come afterwards."""
    own, weight, bias = given["input"], given["weight"], given.get("bias")
    whole = spread(level, own)
    if not level.owns(weight) and not level.owns(bias):
        return called(func, {**given, "input": whole})
    result = called(func, {**given, "input": whole, **dict.fromkeys([n for n in ("weight", "bias") if n in given])})
    if weight is not None:
        result = result * aligned(level, weight, own.ndim)
    return result if bias is None else result + aligned(level, bias, own.ndim)


@rule("_fourier")
def _fourier(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    """Its dimension is counted from the end."""
    own, *others = args
    return func(own.whole, *others)
