"""Rules of layers, whose input has a batch of its own: that of an entry and that of ``vmap`` are made one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.batching.rules import rule_of_arguments, spread
from clgrad.ops.arguments import called
from clgrad.ops.registry import FUNCTIONS

_CONVOLUTIONS = {"conv1d": 1, "conv2d": 2, "conv3d": 3, "conv_transpose1d": 1, "conv_transpose2d": 2, "conv_transpose3d": 3}
# By the number of dimensions behind an entry's batch: (batch, channels, places ...).
_FOLDED = {
    **{f"{kind}_pool{rank}d": rank + 1
       for kind in ("max", "avg", "lp", "adaptive_avg", "adaptive_max") for rank in (1, 2, 3)},
    "pixel_shuffle": 3, "pixel_unshuffle": 3, "im2col": 3, "grid_sample": 3, "local_response_norm": 3}
_OF_CHANNELS = ("group_norm", "batch_norm", "instance_norm")


def _folded(x: Any) -> Any:
    """The entries' batches behind one another."""
    return x.flatten(0, 1)


def _unfolded(level: Any, x: Any) -> Any:
    return x.unflatten(0, (level.size, x.shape[0] // level.size))


@rule_of_arguments(*_CONVOLUTIONS)
def _convolved(level: Any, func: Any, given: dict[str, Any]) -> Any:
    """With weights that all entries share one convolution of all batches; of an input that all share one to the channels of
    all; else one in which each entry is a group."""
    x, weight, bias = given["input"], given["weight"], given["bias"]
    rank = _CONVOLUTIONS[func.operator_name]
    alone = x.ndim == rank + 1
    if x.ndim + alone != rank + 2 or 0 in x.shape:
        return NotImplemented
    if not level.owns(weight) and not level.owns(bias):
        whole = x.whole if alone else _folded(x.whole)
        result = called(func, {**given, "input": whole})
        return result if alone else _unfolded(level, result)
    given |= {"weight": spread(level, weight).flatten(0, 1), "bias": None if bias is None else spread(level, bias).flatten()}
    if level.owns(x) or given["groups"] > 1 or "output_padding" in given:
        whole = spread(level, x)
        whole = whole.unsqueeze(1) if alone else whole
        given |= {"input": whole.transpose(0, 1).flatten(1, 2), "groups": given["groups"] * level.size}
    elif alone:
        given["input"] = x.unsqueeze(0)
    result = called(func, given)
    result = result.unflatten(1, (level.size, result.shape[1] // level.size)).transpose(0, 1)
    return result.squeeze(1) if alone else result


@rule_of_arguments(*_FOLDED)
def _layer(level: Any, func: Any, given: dict[str, Any]) -> Any:
    tensors = {name: value for name, value in given.items() if isinstance(value, TensorBase)}
    ndim = _FOLDED[func.operator_name] + 1
    if any(t.ndim not in (ndim, ndim - 1) or 0 in t.shape for t in tensors.values()) or len({
            t.ndim for t in tensors.values()}) != 1:
        return NotImplemented
    alone = next(iter(tensors.values())).ndim == ndim - 1
    if alone and func.operator_name in ("grid_sample", "local_response_norm", "pixel_shuffle", "pixel_unshuffle"):
        return NotImplemented
    whole = {name: spread(level, t) for name, t in tensors.items()}
    result = called(func, {**given, **({name: t if alone else _folded(t) for name, t in whole.items()})})
    if alone:
        return result
    return tuple([_unfolded(level, r) for r in result]) if isinstance(result, tuple) else _unfolded(level, result)


@rule_of_arguments("prelu")
def _sloped(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    x, weight = given["input"], given["weight"]
    return NotImplemented if level.owns(weight) or x.ndim < 2 else _unfolded(level, func(_folded(x.whole), weight))


@rule_of_arguments("interpolate", "pad")
def _resized(level: Any, func: Any, given: dict[str, Any]) -> Any:
    if not level.owns(given["input"]):
        return NotImplemented
    if given["mode"] == "constant":  # counts dimensions from the last one
        return called(func, {**given, "input": given["input"].whole})
    if given["input"].ndim < 3 or 0 in given["input"].shape:
        return NotImplemented
    return _unfolded(level, called(func, {**given, "input": _folded(given["input"].whole)}))


@rule_of_arguments(*_OF_CHANNELS)
def _normalized(level: Any, func: Any, given: dict[str, Any]) -> Any:
    """Statistics of an entry's own samples are those of as many times the channels; weights come afterwards."""
    name, x = func.operator_name, given["input"]
    weight, bias = given.get("weight"), given.get("bias")
    statistics = [given[n] for n in ("running_mean", "running_var") if given.get(n) is not None]
    if x.ndim < 2 or 0 in x.shape or any(level.owns(s) for s in statistics):
        return NotImplemented
    learning = given.get("training", False) or given.get("use_input_stats", False)
    if statistics and learning:
        raise RuntimeError("Batch norm got a batched tensor as input while the running_mean or running_var, which will be "
                           "updated in place, were not batched.\nIf you are using a module and do not need eval mode, please "
                           "set `track_running_stats` to be False.")
    whole = spread(level, x)
    plain = {**given, "weight": None, "bias": None}
    if name == "batch_norm" and learning:
        stacked = whole.transpose(0, 1).flatten(1, 2)
        result = called(func, {**plain, "input": stacked}).unflatten(1, (level.size, -1)).transpose(0, 1)
    else:
        result = _unfolded(level, called(func, {**plain, "input": _folded(whole)}))
    for value, combine in ((weight, "mul"), (bias, "add")):
        if value is not None:
            owned = value.whole if level.owns(value) else value.unsqueeze(0)
            result = getattr(result, combine)(owned.reshape((owned.shape[0], 1, -1, *(1,) * (x.ndim - 2))))
    return result


@rule_of_arguments("embedding")
def _embedding(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    if given.get("max_norm") is not None or given.get("scale_grad_by_freq"):
        return NotImplemented
    places, table = given["input"], given["weight"]
    if not level.owns(table):
        return called(func, {**given, "input": places.whole})
    if given.get("padding_idx") is not None:
        return NotImplemented
    entry = FUNCTIONS["arange"](level.size, device=places.device).reshape((level.size, *(1,) * places.ndim))
    return table.whole[entry, spread(level, places)]


@rule_of_arguments("cross_entropy", "nll_loss")
def _classified(level: Any, func: Any, given: dict[str, Any]) -> Any:
    """Of all samples, and then each entry's own mean or sum."""
    if given.get("weight") is not None or given.get("size_average") is not None or (
            given.get("reduce") is not None):
        return NotImplemented
    x, target, reduction = given["input"], given["target"], given["reduction"]
    alone = x.ndim == 1
    if reduction not in ("none", "mean", "sum") or not x.ndim or 0 in x.shape:
        return NotImplemented
    classes, places = spread(level, x), spread(level, target)
    if not alone:
        classes, places = _folded(classes), _folded(places)
    losses = called(func, {**given, "input": classes, "target": places, "reduction": "none"})
    losses = losses if alone else _unfolded(level, losses)
    if reduction == "none":
        return losses
    total = losses if alone else losses.flatten(1).sum(1)
    if reduction == "sum":
        return total
    if target.dtype.is_floating_point:
        return total / (x.numel() // x.shape[0 if alone else 1])
    return total / spread(level, target).ne(given["ignore_index"]).reshape(level.size, -1).sum(1)
