"""Special functions that are compositions, and parts of floating-point numbers."""

from __future__ import annotations

from math import log, pi
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import ends_in
from clgrad.ops import pointwise
from clgrad.ops.copying import cast
from clgrad.ops.output import add_in_place, named_result, store
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator

Frexp = named_result("frexp", "mantissa exponent")
ROWS = REGISTRY.pointwise


@operator("mvlgamma")
def mvlgamma(input: Any, p: int, *, out: Any = None) -> Any:
    """The logarithm of the gamma function of p dimensions: sums of lgamma(x - i / 2), i < p, and a constant."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.spec.dtype is dtypes.bool:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    x = input if input.spec.dtype.is_floating_point else cast(input, dtypes.get_default_dtype())
    total = x.lgamma()
    for i in range(1, p):
        total = total + (x - i / 2).lgamma()
    return store("mvlgamma", ends_in(total + p * (p - 1) / 4 * log(pi), "Mvlgamma"), out)


@operator("frexp")
def frexp(input: Any, *, out: Any = None) -> Any:
    """Mantissa and exponent (int32) with input = mantissa * 2 ** exponent and 1/2 <= abs(mantissa) < 1."""
    if not input.spec.dtype.is_floating_point:
        raise RuntimeError(f"torch.frexp() only supports floating-point dtypes, got "
                           f"{dtypes.type_name(input.spec.dtype)}")
    exponent = cast(pointwise.call(ROWS["_exponent"], (input,)), dtypes.int32)
    return store("frexp", Frexp(pointwise.call(ROWS["_mantissa"], (input,)), exponent), out, exact=True)


@operator("float_power")
def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input ** exponent`` in float64, or complex128 where one of them is complex."""
    kind = _power_kind(input, exponent)
    base, power = (cast(t, kind) if hasattr(t, "spec") else t for t in (input, exponent))
    if out is not None and out.spec.dtype is not kind:
        raise RuntimeError("the output given to float_power has dtype "
                           f"{dtypes.type_name(out.spec.dtype)} but the operation's result requires dtype "
                           f"{dtypes.type_name(kind)}")
    return store("float_power", FUNCTIONS["pow"](base, power), out, exact=True)


def _power_kind(*operands: Any) -> dtypes.dtype:
    """The dtype in which a power is computed."""
    kinds = [t.spec.dtype if hasattr(t, "spec") else dtypes.of_number(t) for t in operands]
    return dtypes.complex128 if any(kind.is_complex for kind in kinds) else dtypes.float64


@operator("float_power_", function=False)
def float_power_(x: Any, exponent: Any) -> Any:
    """:func:`float_power` in place, of a tensor of the result's dtype."""
    kind = _power_kind(x, exponent)
    if x.spec.dtype is not kind:
        raise RuntimeError("the base given to float_power_ has dtype "
                           f"{dtypes.type_name(x.spec.dtype)} but the operation's result requires dtype "
                           f"{dtypes.type_name(kind)}")
    return FUNCTIONS["pow_"](x, cast(exponent, kind) if hasattr(exponent, "spec") else exponent)


add_in_place("mvlgamma")
