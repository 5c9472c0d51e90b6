"""Operators that are compositions of others."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.captured import refuse_captured
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import TensorBase, check_history, ends_in, mark_changed, needs_graph
from clgrad.autograd.listening import switch
from clgrad.ops import pointwise
from clgrad.ops.copying import COPY, cast, full
from clgrad.ops.interception import intercepted, quick_form
from clgrad.ops.output import add_in_place, check_exact, store
from clgrad.ops.registry import FUNCTIONS, REGISTRY, alias, operator, publish
from clgrad.ops.rows import NUMBERS, refuse_masks
from clgrad.ops.views import make_view
from clgrad.shapes import Size, is_dense
from clgrad.shapes import broadcast_shapes as _broadcast_shapes
from clgrad.spec import common_dtype

ROWS = REGISTRY.pointwise


@operator("alias", method=False)
def alias_view(input: Any) -> Any:
    """A new tensor that is a view of all of ``input``."""
    own = input.spec
    return make_view(input, input.offset, own.shape, own.strides, alias_view, "Alias", lambda g: g)


@operator("broadcast_shapes", method=False)
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that shapes broadcast to; each is a tuple, a list or, of one dimension, an integer.

    Raises:
        RuntimeError: they do not broadcast, or one of them is no shape.
        ValueError: a size is negative.
    """
    known = [(s,) if isinstance(s, int) else s for s in shapes]
    for shape in known:
        if not isinstance(shape, (tuple, list)):
            raise RuntimeError(f"Input shapes should be of type ints, a tuple of ints, or a list of ints, got {shape}")
        if any(size < 0 for size in shape):
            raise ValueError(f"broadcast_shapes(): a dimension has a negative length in {tuple(shape)}")
    made = Size()
    for number, shape in enumerate(known):
        for back, (old, new) in enumerate(zip(reversed(made), reversed(shape), strict=False), 1):
            if 1 not in (old, new) and old != new:
                raise RuntimeError(f"Attempting to broadcast a dimension of length {new} at -{back}! Mismatching argument at "
                                   f"index {number} had {tuple(shape)}; but expected shape should be broadcastable to "
                                   f"{list(made)}")
        made = _broadcast_shapes(made, shape)
    return made


def _is_mask(x: Any) -> bool:
    return isinstance(x, TensorBase) and x.spec.dtype is dtypes.bool


def _check_alpha(a: Any, b: Any, alpha: Any) -> None:
    """RuntimeError for a floating-point factor of integers, which would be cut off, for a complex one of real numbers, and
    for a bool one of anything but masks; TypeError for one with a gradient.
    """
    pointwise.constant("add", "alpha", alpha)
    if isinstance(alpha, complex) and not any(
            t.spec.dtype.is_complex if isinstance(t, TensorBase) else isinstance(t, complex) for t in (a, b)):
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if isinstance(alpha, bool) and not all(_is_mask(t) or isinstance(t, bool) for t in (a, b)):
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and not any(
            t.spec.dtype.differentiable if isinstance(t, TensorBase) else isinstance(t, float) for t in (a, b)):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")


def _last_operand(name: str, factor: Any, old: tuple) -> Any:
    """The operand of the order that older programs use: ``x.add_(factor, operand)``."""
    if len(old) > 1 or isinstance(factor, TensorBase) and factor.spec.ndim:
        raise TypeError(f"{name}() takes 2 positional arguments but {2 + len(old)} were given")
    return old[0]


_DEFAULTS = {"alpha": 1, "out": None}


def _scaled(name: str, sign: int) -> None:
    """add and sub with PyTorch's ``alpha``: input + alpha * other."""
    plain, plain_in_place = FUNCTIONS[name], FUNCTIONS[f"{name}_"].__wrapped__  # type: ignore[attr-defined]
    row = ROWS["_add_scaled"]

    def general(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
        if sign < 0:
            refuse_masks([input, other])
        _check_alpha(input, other, alpha)
        if alpha == 1 and alpha is not True:
            return plain(input, other, out=out)
        result = pointwise.call(row, (input, other), (sign * alpha,), out)
        return ends_in(result, "Sub") if sign < 0 and out is None else result
    general.__qualname__ = name
    told = intercepted(general, name)

    def function(input: Any = None, other: Any = None, *old: Any, alpha: Any = 1, out: Any = None, **spelled: Any) -> Any:
        if spelled:
            given = {key: operand for key, operand in (("input", input), ("other", other)) if operand is not None}
            return told(alpha=alpha, out=out, **given, **spelled)
        if old and not isinstance(input, (TensorBase, bool, int, float, complex)):
            return told(input, other, *old, alpha=alpha, out=out)
        if old:
            return function(input, _last_operand(name, other, old), alpha=other, out=out)
        if out is None and alpha == 1 and type(alpha) is int and not switch.watched:
            return plain(input, other)
        given = {"alpha": alpha, "out": out}
        return told(input, other, **{option: given[option] for option in given if given[option] is not _DEFAULTS[option]})
    quick_form(function, told)
    plain.told.public[:] = [function]  # type: ignore[attr-defined]

    def in_place(input: Any, other: Any, *old: Any, alpha: Any = 1) -> Any:
        if old:
            return in_place(input, _last_operand(f"{name}_", other, old), alpha=other)
        if alpha == 1 and type(alpha) is int:
            return plain_in_place(input, other)
        if sign < 0:
            refuse_masks([input, other])
        _check_alpha(input, other, alpha)
        return pointwise.call_in_place(row, (input, other), (sign * alpha,))
    for made, made_name in ((function, name), (in_place, f"{name}_")):
        made.__module__, made.__qualname__ = "clgrad", made_name  # where pickle finds it
        made.__name__, made.__doc__ = made_name, FUNCTIONS[made_name].__doc__
        publish(made, made_name)


_scaled("add", 1)
_scaled("sub", -1)
_bitwise_not, _bitwise_not_in_place = FUNCTIONS["bitwise_not"], FUNCTIONS["bitwise_not_"]


_POWERS = {0.5: "sqrt", 1.0: "_copy", 2.0: "square", 3.0: "_cube", -1.0: "reciprocal", -0.5: "rsqrt"}
_pow = FUNCTIONS["pow"]


def _kernel_of_power(x: Any, exponent: Any) -> str | None:
    """The row of its own that a common exponent has; RuntimeError for integers to negative powers.

    A float makes integers floating point, which the general row does.
    """
    if not isinstance(exponent, (int, float)) or not isinstance(x, TensorBase):
        return None
    if not x.spec.dtype.differentiable:
        if isinstance(exponent, int) and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        if isinstance(exponent, float) or x.spec.dtype is dtypes.bool:
            return None
    return _POWERS.get(exponent)


@operator("pow")
def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input ** exponent``; common exponents have kernels of their own."""
    name = _kernel_of_power(input, exponent)
    return _pow(input, exponent, out=out) if name is None or out is not None else pointwise.call(ROWS[name], (input,))


_square = FUNCTIONS["square"]


@operator("square")
def square(input: Any, *, out: Any = None) -> Any:
    """``input * input``; of bool as integers."""
    return _pow(input, 2, out=out) if _is_mask(input) else _square(input, out=out)


@operator("bitwise_not")
def bitwise_not(input: Any, *, out: Any = None) -> Any:
    """Every bit the other way round; of bool, not."""
    if out is not None:
        check_exact("bitwise_not", input.spec.dtype, out)
    return (FUNCTIONS["logical_not"] if _is_mask(input) else _bitwise_not)(input, out=out)


@operator("bitwise_not_")
def bitwise_not_(input: Any) -> Any:
    """:func:`bitwise_not` in place."""
    return (FUNCTIONS["logical_not_"] if _is_mask(input) else _bitwise_not_in_place)(input)


@operator("clamp", "clip")
def clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """Values below ``min`` become ``min``, values above ``max`` become ``max``; NaN stays."""
    result = _clamped(pointwise.call, input, min, max, out=out)
    if out is None and (min is None or max is None):  # one of the two is a bound
        ends_in(result, f"ClampBackward{0 if isinstance(min, TensorBase) or isinstance(max, TensorBase) else 1}")
    return result


@operator("clamp_", "clip_")
def clamp_(input: Any, min: Any = None, max: Any = None) -> Any:
    """:func:`clamp` in place."""
    return _clamped(pointwise.call_in_place, input, min, max)


def _clamped(call: Any, x: Any, low: Any, high: Any, **kwargs: Any) -> Any:
    if low is None and high is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if low is None:
        return call(ROWS["clamp_max"], (x, high), (), **kwargs)
    if high is None:
        return call(ROWS["clamp_min"], (x, low), (), **kwargs)
    return call(ROWS["_clamp"], (x, low, high), (), **kwargs)


@operator("fill_", function=False)
def fill_(input: Any, value: Any) -> Any:
    """All elements replaced by one value."""
    if isinstance(value, TensorBase):
        if value.spec.ndim:
            raise RuntimeError("fill_ only supports 0-dimension value tensor but got tensor with "
                               f"{value.spec.ndim} dimensions.")
        return input.copy_(value)
    if not isinstance(value, NUMBERS):
        raise TypeError(f"fill_(): argument 'value' must be Number or Tensor, not {type(value).__name__}")
    own = input.spec
    if own.numel == 1 and own.dtype is not own.dtype.compute:
        value = own.dtype.rounded(value)  # of one element what is too large becomes infinite, as in PyTorch
    check_history(input, False)  # elements that share memory get the same value
    refuse_captured(input)
    memory, size = input.memory, own.dtype.itemsize
    if (own.nbytes in (memory.nbytes, size) and is_dense(own.shape, own.strides) and not input._requires_grad
            and memory.refill(own.dtype.to_numpy_scalar(value), input.offset * size, own.nbytes)):
        mark_changed(input)
        return input
    source = full((), value, own.dtype, own.device)
    if needs_graph(input):
        return input.copy_(source)
    pointwise.run_into(COPY, (source,), (), input)
    return input


@operator("zero_", function=False)
def zero_(input: Any) -> Any:
    """All elements replaced by 0."""
    return fill_(input, 0)


@operator("square_", "sqr_", function=False)
def square_(x: Any) -> Any:
    """``x * x`` in place."""
    if _is_mask(x):
        raise RuntimeError("result type Long can't be cast to the desired output type Bool")
    return pointwise.call_in_place(ROWS["square"], (x,))


@operator("pow_", function=False)
def pow_(x: Any, exponent: Any) -> Any:
    """:func:`pow` in place."""
    name = _kernel_of_power(x, exponent)
    return (pointwise.call_in_place(ROWS[name], (x,)) if name
            else pointwise.call_in_place(ROWS["pow"], (x, exponent)))


@operator("rsub")
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha * input``."""
    if not isinstance(input, TensorBase):
        raise TypeError(f"rsub(): argument 'input' must be Tensor, not {type(input).__name__}")
    result = FUNCTIONS["sub"](other, input, alpha=alpha)
    return ends_in(result, "Rsub") if isinstance(other, TensorBase) else result


_logit_row = ROWS["_logit"]


@operator("logit")
def logit(input: Any, eps: float | None = None, *, out: Any = None) -> Any:
    """log(x / (1 - x)); ``eps`` clamps x to [eps, 1 - eps] first."""
    return pointwise.call(_logit_row, (input if eps is None else clamp(input, eps, 1 - eps),), (), out)


_round, _round_in_place = FUNCTIONS["round"], FUNCTIONS["round_"]


@operator("round")
def round(input: Any, *, decimals: int = 0, out: Any = None) -> Any:
    """The nearest integer (halves to even), or with ``decimals`` digits after the point."""
    if not hasattr(decimals, "__index__"):
        raise TypeError(f"round(): argument 'decimals' must be int, not {type(decimals).__name__}")
    if decimals == 0:
        return _round(input, out=out)
    if not input.spec.dtype.is_floating_point:
        raise NotImplementedError(f"\"round_cpu\" not implemented for '{dtypes.type_name(input.spec.dtype)}'")
    scale = 10.0 ** abs(decimals)
    result = _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale
    return store("round", result.to(input.spec.dtype), out, exact=True)


@operator("round_")
def round_(input: Any, *, decimals: int = 0) -> Any:
    """:func:`round` in place."""
    return input.copy_(round(input, decimals=decimals)) if decimals else _round_in_place(input)


@operator("nan_to_num")
def nan_to_num(input: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None, *,
               out: Any = None) -> Any:
    """NaN and infinities replaced: by 0 and the largest and smallest finite numbers, or the given ones."""
    largest = FUNCTIONS["finfo"](input.spec.dtype).max if input.spec.dtype.differentiable else 0
    if out is not None:
        check_exact("nan_to_num", input.spec.dtype, out)
    parameters = (nan or 0.0, largest if posinf is None else posinf, -largest if neginf is None else neginf)
    return pointwise.call(ROWS["_nan_to_num"], (input,), parameters, out)


_nextafter = FUNCTIONS["nextafter"]


@operator("nextafter")
def nextafter(input: Any, other: Any, *, out: Any = None) -> Any:
    """The next number of the dtype after each of ``input`` towards ``other``."""
    tensors = isinstance(input, TensorBase) and isinstance(other, TensorBase)
    kind = common_dtype((input.spec, other.spec)) if tensors else dtypes.float32
    if kind is kind.compute or needs_graph(input, other):
        return _nextafter(input, other, out=out)
    x, y = cast(input, kind), cast(other, kind)
    # The bits of 16-bit numbers, negative ones counted downwards from zero, are in the numbers' order.
    bits, where = x.view(dtypes.int16).int(), FUNCTIONS["where"]
    place = where(bits < 0, -32768 - bits, bits) + x.lt(y).int() - x.gt(y).int()
    stepped = where(place < 0, -32768 - place, place).to(dtypes.int16).view(kind)
    return store("nextafter", where(x.isnan().logical_or(y.isnan()), x + y, where(x.eq(y), y, stepped)), out)


@operator("polygamma")
def polygamma(n: int, input: Any, *, out: Any = None) -> Any:
    """The n-th derivative of the digamma function, n >= 0."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return FUNCTIONS["digamma"](input, out=out)
    return pointwise.call(ROWS["_polygamma"], (input,), (n,), out)


def _polygamma_method(x: Any, n: int) -> Any:
    """The ``n``-th derivative of the digamma function."""
    return polygamma(n, x)


publish(_polygamma_method, "polygamma", function=False)
add_in_place("logit", "nan_to_num", "nextafter", function=True)
add_in_place("polygamma")


@operator("allclose")
def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close: abs(input - other) <= atol + rtol * abs(other)."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@operator("isclose")
def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """For each pair whether abs(input - other) <= atol + rtol * abs(other); equal infinities are close."""
    for name, tensor in (("input", input), ("other", other)):
        if not isinstance(tensor, TensorBase):
            raise TypeError(f"isclose(): argument '{name}' must be Tensor, not {type(tensor).__name__}")
    for name, bound in (("rtol", rtol), ("atol", atol)):
        if pointwise.constant("isclose", name, bound) < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {bound}")
    if input.spec.dtype is not other.spec.dtype:
        raise RuntimeError(f"{input.spec.dtype.name} did not match {other.spec.dtype.name}")
    with no_grad():
        if not input.spec.dtype.differentiable:
            same = input.eq(other)
            if input.spec.dtype is dtypes.bool or not rtol and not atol:
                return same  # also where floating point would not tell them apart
            other = other.to(dtypes.get_default_dtype())  # differences of integers may not be integers of their size
            return same | ((input - other).abs() <= atol + (other * rtol).abs())
        close = FUNCTIONS["_is_near"](input, other, rtol, atol)
        return close | (input.isnan() & other.isnan()) if equal_nan else close


@operator("equal")
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and the same elements."""
    return input.spec.shape == other.spec.shape and bool(input.eq(other).all().item())


for _new, _old in {"subtract": "sub", "multiply": "mul", "negative": "neg", "absolute": "abs", "greater": "gt",
                   "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne", "arcsin": "asin",
                   "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
                   "arctan2": "atan2", "fix": "trunc"}.items():
    alias(_new, _old)
    if f"{_old}_" in FUNCTIONS:
        alias(f"{_new}_", f"{_old}_")
