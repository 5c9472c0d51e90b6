"""How PyTorch spells operators in the names of their nodes."""

from __future__ import annotations

_NODES = {"square": "Pow", "_cube": "Pow", "_add_scaled": "Add", "_div_floor": "Div", "_div_trunc": "Div",
          "_clamp": "ClampBackward1", "median": "MedianBackward1", "nanmedian": "NanmedianBackward1"}
# Of operators whose overloads have names of their own: which operands are tensors.
OVERLOADS: dict[tuple[str, tuple[bool, ...]], str] = {
    ("pow", (True, True)): "PowBackward1", ("pow", (False, True)): "PowBackward2",
    ("sub", (False, True)): "RsubBackward1", ("div", (False, True)): "MulBackward0"}


def node_name(name: str) -> str:
    """PyTorch's spelling of an operator in its node's name: ``leaky_relu`` is ``LeakyRelu``."""
    if name in _NODES:
        return _NODES[name]
    return "".join(part.capitalize() for part in name.strip("_").split("_"))

# Forms in place that are methods alone: ``x.add_(y)``, but no ``clgrad.add_``.
METHODS_ALONE = frozenset({
    "absolute_", "add_", "addcdiv_", "addcmul_", "arctan2_", "atan2_", "bitwise_and_", "bitwise_left_shift_",
    "bitwise_not_", "bitwise_or_", "bitwise_right_shift_", "bitwise_xor_", "copysign_", "digamma_", "div_", "eq_",
    "erfinv_", "floor_divide_", "fmod_", "ge_", "greater_", "greater_equal_", "gt_", "heaviside_", "hypot_", "igamma_",
    "igammac_", "index_add_", "index_copy_", "index_fill_", "index_reduce_", "le_", "leaky_relu_", "lerp_", "less_",
    "less_equal_", "lgamma_", "logical_and_", "logical_not_", "logical_or_", "logical_xor_", "lt_", "masked_fill_",
    "masked_scatter_", "mul_", "multiply_", "ne_", "nextafter_", "not_equal_", "pow_", "put_", "remainder_", "scatter_",
    "scatter_add_", "scatter_reduce_", "sgn_", "sign_", "sub_", "subtract_"})
