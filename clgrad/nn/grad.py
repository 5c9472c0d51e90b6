"""Gradients of convolutions as functions of their own: ``torch.nn.grad``.

>>> import clgrad as torch
>>> x, dy = torch.ones(1, 1, 3), torch.ones(1, 1, 2)
>>> torch.nn.grad.conv1d_weight(x, (1, 1, 2), dy)
tensor([[[2., 2.]]])
>>> torch.nn.grad.conv1d_input((1, 1, 3), torch.ones(1, 1, 2), dy)
tensor([[[1., 2., 1.]]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd import enable_grad, grad, is_grad_enabled
from clgrad.ops.convolution import conv1d, conv2d
from clgrad.ops.convolution3d import conv3d

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _of_operand(convolution: Callable, operands: list, wanted: int, gradient: Any, walk: tuple) -> Any:
    """The gradient of one operand, whose values do not matter: its place among the operands holds its size."""
    create_graph = is_grad_enabled() and (operands[1 - wanted].requires_grad or gradient.requires_grad)
    operands[wanted] = gradient.new_zeros(operands[wanted]).requires_grad_()
    with enable_grad():
        result = convolution(*operands, None, *walk)
    return grad(result, operands[wanted], gradient, create_graph=create_graph)[0]


def conv1d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1) -> Any:
    """The gradient of ``conv1d``'s input, of shape ``input_size`` (N, C, L), from that of its result."""
    return _of_operand(conv1d, [input_size, weight], 0, grad_output, (stride, padding, dilation, groups))


def conv1d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                  groups: int = 1) -> Any:
    """The gradient of ``conv1d``'s weight, of shape ``weight_size`` (O, C / groups, K), from that of its result."""
    return _of_operand(conv1d, [input, weight_size], 1, grad_output, (stride, padding, dilation, groups))


def conv2d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1) -> Any:
    """The gradient of ``conv2d``'s input, of shape ``input_size`` (N, C, H, W), from that of its result."""
    return _of_operand(conv2d, [input_size, weight], 0, grad_output, (stride, padding, dilation, groups))


def conv2d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                  groups: int = 1) -> Any:
    """The gradient of ``conv2d``'s weight, of shape ``weight_size`` (O, C / groups, KH, KW), from that of its result."""
    return _of_operand(conv2d, [input, weight_size], 1, grad_output, (stride, padding, dilation, groups))


def conv3d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1) -> Any:
    """The gradient of ``conv3d``'s input, of shape ``input_size`` (N, C, D, H, W), from that of its result."""
    return _of_operand(conv3d, [input_size, weight], 0, grad_output, (stride, padding, dilation, groups))


def conv3d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                  groups: int = 1) -> Any:
    """The gradient of ``conv3d``'s weight, of shape ``weight_size`` (O, C / groups, KD, KH, KW), from that of its result."""
    return _of_operand(conv3d, [input, weight_size], 1, grad_output, (stride, padding, dilation, groups))
