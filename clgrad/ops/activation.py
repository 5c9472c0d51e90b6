"""Activations with weights."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from clgrad.autograd.formal import make_formal
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.autograd.listening import switch
from clgrad.dtypes import type_name
from clgrad.kernels import elementwise
from clgrad.ops.execute import blank, check_specs, execute
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator
from clgrad.ops.rows import result_strides
from clgrad.spec import Spec, spec

make_formal("PreluKernel", "RreluWithNoise")


@operator("prelu")
def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, else weight * x; one weight, or one a channel (dimension 1)."""
    if weight.spec.dtype is not input.spec.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {type_name(input.dtype)} and {type_name(weight.dtype)}")
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if not input.ndim:
            raise RuntimeError("Not allow zero-dim input tensor.")
        if weight.numel() != channels:
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                               f"{weight.numel()} and channel size = {channels}.")
        weight = weight.view([-1 if d == 1 else 1 for d in range(input.ndim)])
    else:
        weight = weight.view([1] * input.ndim)
    return FUNCTIONS["_prelu_kernel"](input, weight)


def gated_half(input: Any, dim: int) -> Any:
    """The first half along ``dim`` times the sigmoid of the second. Its gradient is one launch, which writes both halves."""
    if switch.watched or not (input.spec.numel and needs_graph(input)):
        return FUNCTIONS["_gated"](*_halves(input, dim))
    out = FUNCTIONS["_gated"](*_halves(input.detach(), dim))
    saved = Saved("glu", [input])

    def backward(g: Any) -> Any:
        (x,) = saved.unpack()
        if mode.enabled:
            first, second = _halves(x, dim)
            gate = second.sigmoid()
            return FUNCTIONS["cat"]([g * gate, g * first * (gate * (1 - gate))], dim)
        own = x.spec
        dx = blank(spec(own.shape, result_strides(own.shape, [own]), own.dtype, own.device))
        operands, results = (g, *_halves(x.detach(), dim)), _halves(dx, dim)
        plan = _gradient_plan(*[t.spec for t in (*operands, *results)])
        execute(plan, operands, results)
        return dx
    attach(out, "Glu", (input,), backward, saved)
    return out


def _halves(x: Any, dim: int) -> tuple[Any, Any]:
    half = x.spec.shape[dim] // 2
    return x.narrow(dim, 0, half), x.narrow(dim, half, half)


@lru_cache(256)
def _gradient_plan(*specs: Spec) -> elementwise.Plan:
    row = REGISTRY.pointwise["_gated"]
    operands = [elementwise.Operand(name, own.dtype, own.strides)
                for name, own in zip(("g", "x", "gate", "dx", "dgate"), specs, strict=True)]
    return elementwise.plan(check_specs("glu", *specs), "glu_gradient", elementwise.calc_type(specs[0].dtype),
                            [row.derivatives[name].c for name in row.tensors], operands[:3], operands[3:], (), specs[0].shape)
