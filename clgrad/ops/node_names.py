"""How PyTorch spells operators: in the names of their nodes, and where a kernel refuses a dtype."""

from __future__ import annotations

from clgrad.ops.formula import Formula

_NODES = {"square": "Pow", "_cube": "Pow", "_add_scaled": "Add", "_mantissa": "Frexp", "relu6": "Hardtanh",
          "_gelu_tanh": "Gelu", "_gated": "Glu", "logsigmoid": "LogSigmoid", "_absolute_error": "Abs",
          "_div_floor": "DivBackward2", "_div_trunc": "DivBackward2",
          "median": "MedianBackward1", "nanmedian": "NanmedianBackward1",
          **{name: "Special" + name.strip("_").title().replace("_", "") for name in (
              "i0e", "i1", "i1e", "_zeta", "_entr", "_erfcx", "_log_ndtr", "_ndtri", "xlog1py")}}
# Of operators whose overloads have names of their own: which operands are tensors.
OVERLOADS: dict[tuple[str, tuple[bool, ...]], str] = {
    ("pow", (True, True)): "PowBackward1", ("pow", (False, True)): "PowBackward2",
    ("remainder", (True, True)): "RemainderBackward1", ("fmod", (True, True)): "FmodBackward1",
    ("clamp_min", (True, True)): "ClampMinBackward1", ("clamp_max", (True, True)): "ClampMaxBackward1",
    ("_clamp", (True, False, False)): "ClampBackward1", ("lerp", (True, True, True)): "LerpBackward1",
    ("copysign", (True, False)): "CopysignBackward1",
    ("xlogy", (False, True)): "XlogyBackward1", ("xlogy", (True, False)): "XlogyBackward2",
    ("xlog1py", (False, True)): "SpecialXlog1PyBackward1", ("xlog1py", (True, False)): "SpecialXlog1PyBackward2",
    ("_zeta", (False, True)): "SpecialZetaBackward1", ("_zeta", (True, False)): "SpecialZetaBackward2",
    ("sub", (False, True)): "RsubBackward1", ("div", (False, True)): "MulBackward0"}


# Operators whose derivative is an operator with derivatives of its own; that of others is shown as its last operation.
_DERIVED = frozenset({"_elu", "_gelu", "_gelu_tanh", "hardshrink", "hardswish", "hardtanh", "leaky_relu", "logsigmoid",
                      "relu", "relu6", "sigmoid", "softplus", "softshrink", "tanh", "threshold"})


def node_name(name: str) -> str:
    """PyTorch's spelling of an operator in its node's name: ``leaky_relu`` is ``LeakyRelu``, ``log1p`` is ``Log1P``."""
    return _NODES.get(name) or name.strip("_").title().replace("_", "")


def derivative_node_name(name: str, formula: Formula) -> str:
    """The same for an operator's derivative, where it is differentiated: ``TanhBackwardBackward0``, ``Mul`` of a sine's."""
    if name in _DERIVED:
        return f"{'Threshold' if name == 'relu' else node_name(name)}BackwardBackward0"
    return node_name(formula.last)


# Kernels that are not called <operator>_cpu.
_KERNELS = {"addcmul": "addcmul_cpu_out", "bitwise_left_shift": "lshift_cpu", "bitwise_right_shift": "rshift_cpu",
            **{name: f"{name}_vml_cpu" for name in ("ceil", "floor", "round", "trunc")},
            "floor_divide": "div_floor_cpu", "_div_floor": "div_floor_cpu", "_div_trunc": "div_trunc_cpu",
            "_gelu": "GeluKernelImpl", "_gelu_tanh": "GeluKernelImpl", "_gated": "glu_cpu", "_prelu_kernel": "prelu_cpu",
            "softshrink": "softshrink_check", "logsigmoid": "log_sigmoid_cpu", "_squared_error": "mse_cpu",
            "_binary_cross_entropy": "binary_cross_entropy"}


def kernel_name(name: str) -> str:
    """PyTorch's name of the kernel of a pointwise operator, which it tells where a dtype is not implemented."""
    return _KERNELS.get(name) or f"{name.strip('_')}_cpu"


# Forms in place that are methods alone: ``x.add_(y)``, but no ``clgrad.add_``.
METHODS_ALONE = frozenset({
    "absolute_", "add_", "addcdiv_", "addcmul_", "arctan2_", "atan2_", "bitwise_and_", "bitwise_left_shift_",
    "bitwise_not_", "bitwise_or_", "bitwise_right_shift_", "bitwise_xor_", "copysign_", "digamma_", "div_", "eq_",
    "erfinv_", "floor_divide_", "fmod_", "ge_", "greater_", "greater_equal_", "gt_", "heaviside_", "hypot_", "igamma_",
    "igammac_", "index_add_", "index_copy_", "index_fill_", "index_reduce_", "le_", "leaky_relu_", "lerp_", "less_",
    "less_equal_", "lgamma_", "logical_and_", "logical_not_", "logical_or_", "logical_xor_", "lt_", "masked_fill_",
    "masked_scatter_", "mul_", "multiply_", "ne_", "nextafter_", "not_equal_", "pow_", "put_", "remainder_", "scatter_",
    "scatter_add_", "scatter_reduce_", "sgn_", "sign_", "sub_", "subtract_"})
