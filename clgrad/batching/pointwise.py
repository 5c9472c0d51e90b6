"""Rules of operators that compute each element by itself: entries are aligned as broadcasting wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.batching.rules import aligned, most_dims, rule, rule_of_arguments, spread
from clgrad.formats import channels_last, channels_last_3d
from clgrad.ops.arguments import called
from clgrad.ops.registry import REGISTRY
from clgrad.spec import common_dtype

_COMPOSED = ("clamp", "clamp_", "rsub", "logit", "logit_", "nan_to_num", "nan_to_num_", "polygamma", "polygamma_", "isclose",
             "zero_", "masked_fill", "masked_fill_", "float_power", "float_power_", "positive", "real", "isreal", "conj",
             "mvlgamma", "copy_", "_derivative", "complex", "polar", "sgn")
_CHOOSING = ("where", "masked_fill", "masked_fill_")  # by a mask, whose dtype is not that of the result
# Of one tensor, and of numbers: what is the same for an element wherever it stands.
_ALONE = ("clone", "contiguous", "detach", "alias", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like",
          "randn_like", "randint_like", "to", "type", "float", "double", "half", "bfloat16", "int", "long", "short", "char",
          "byte", "bool", "cfloat", "cdouble", "imag", "view_as_real", "view_as_complex", "cpu", "cuda", "bernoulli",
          "bernoulli_", "uniform_", "normal_", "exponential_", "cauchy_",
          "log_normal_", "geometric_", "random_", "dropout", "alpha_dropout", "requires_grad_", "detach_", "gelu", "elu",
          "elu_", "celu", "celu_", "selu", "selu_", "rrelu", "one_hot", "conj_physical", "bucketize", "frexp")
_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
           "binary_cross_entropy_with_logits", "poisson_nll_loss", "soft_margin_loss", "hinge_embedding_loss")


def _pointwise(level: Any, func: Any, args: tuple, kwargs: dict) -> Any:
    if func.operator_name.startswith("masked_fill") and any(level.owns(v) for v in (*args[2:], *kwargs.values())):
        return NotImplemented  # the value has to be a number
    if func.operator_name == "where" and len(args) + len(kwargs) < 3:
        return NotImplemented  # the places of what is not zero
    operands = [v for v in (*args, *kwargs.values()) if isinstance(v, TensorBase)]
    ndim = most_dims(operands)
    in_place = _in_place(func)
    if in_place and not (level.owns(args[0]) and args[0].spec.ndim == ndim):
        return NotImplemented
    mixed = [v for v in operands if v.spec.dtype is not dtypes.bool] if func.operator_name in _CHOOSING else operands
    kind = None
    if any(not v.spec.ndim and level.owns(v) for v in mixed) and len({v.spec.dtype for v in mixed}) > 1:
        kind = common_dtype([v.spec for v in mixed])  # a 0-d entry gives way to others, as its batch would not

    def given(value: Any) -> Any:
        whole = aligned(level, value, ndim)
        return whole.to(kind) if kind is not None and level.owns(value) and any(value is v for v in mixed) else whole
    result = func(*[given(v) for v in args], **{name: given(v) for name, v in kwargs.items()})
    return args[0] if in_place else result


def _in_place(func: Any) -> bool:
    return func.operator_name.endswith("_")


_SPECIAL = [f"special_{name.lstrip('_')}" for name in REGISTRY.pointwise]
rule(*{*REGISTRY.pointwise, *[f"{name}_" for name in REGISTRY.pointwise], *_SPECIAL, *_COMPOSED})(_pointwise)


@rule(*_ALONE)
def _alone(level: Any, func: Any, args: tuple, kwargs: dict) -> Any:
    own, *others = args
    rest = (*others, *kwargs.values())
    if not level.owns(own) or any(isinstance(v, TensorBase) or v in (channels_last, channels_last_3d) for v in rest):
        return NotImplemented
    if func.operator_name == "one_hot" and not others and "num_classes" not in kwargs:
        return NotImplemented
    result = func(own.whole, *others, **kwargs)
    return own if _in_place(func) else result


@rule("fill_")
def _filled(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    """A value of each entry's own is copied over it: ``fill_`` takes one for all."""
    own, value = args
    if not level.owns(own):
        return NotImplemented
    if level.owns(value) and not value.ndim:
        own.whole.copy_(aligned(level, value, own.ndim))
    else:
        own.whole.fill_(value)
    return own


@rule("data")
def _data(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    return args[0].whole.data


@rule("type_as")
def _type_as(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    own, like = args
    return own.whole.to(like.device, like.dtype) if level.owns(own) else NotImplemented


@rule_of_arguments(*_LOSSES, "kl_div")
def _loss(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    """Losses of single elements: all of them, and then each entry's own mean or sum."""
    if given.get("size_average") is not None or given.get("reduce") is not None:
        return NotImplemented
    values = [name for name, value in given.items() if isinstance(value, TensorBase)]
    input, target = (given.get(name) for name in values[:2]) if len(values) > 1 else (None, None)
    if input is None or target is None or input.shape != target.shape:
        return NotImplemented
    reduction = given["reduction"]
    for number, name in enumerate(values):
        given[name] = spread(level, given[name]) if number < 2 else aligned(level, given[name], input.ndim)
    losses = called(func, {**given, "reduction": "none"})
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum", "batchmean"):
        return NotImplemented
    total = losses.flatten(1).sum(1) if input.ndim else losses
    return total if reduction == "sum" else total / (input.numel() if reduction == "mean" else input.shape[0])
