"""Activations with weights."""

from __future__ import annotations

from typing import Any

from clgrad.dtypes import type_name
from clgrad.ops.registry import FUNCTIONS, operator


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
