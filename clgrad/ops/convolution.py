"""Convolutions and transposed convolutions in one and two dimensions.

Three functions close under differentiation: the convolution ``y(x, w)``, the gradient of its input ``dx(dy, w)``,
which is the transposed convolution, and the gradient of its weight ``dw(x, dy)``. The gradients of each are the others.
"""

from __future__ import annotations

import operator as op
from collections.abc import Sequence
from typing import Any, NamedTuple

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, ends_in, is_wanted, needs_graph
from clgrad.autograd.walks import determined_by
from clgrad.kernels import conv
from clgrad.ops.copying import blank, empty
from clgrad.ops.execute import check_device, execute
from clgrad.ops.integer_convolution import convolve_integers, transpose_integers
from clgrad.ops.memory_formats import keeps_format, suggested_format
from clgrad.ops.padding import constant_pad_nd
from clgrad.ops.registry import operator
from clgrad.shapes import Shape
from clgrad.spec import Spec, contiguous_spec


@determined_by()
class Geometry(NamedTuple):
    """How a convolution's window walks; each field but the last has an entry a spatial dimension."""

    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int


_plans: dict[tuple, tuple[conv.Plan | None, Spec]] = {}


def _planned(make: Any, a: Spec, b: Spec, shapes: tuple[Shape, Shape], result: Shape, g: Geometry,
             bias: bool, **options: Any) -> tuple[conv.Plan | None, Spec]:
    """The plan that ``make`` makes of the shapes of x and w, None for an empty result, and the result's spec."""
    out = contiguous_spec(tuple(result), a.dtype, a.device)
    plan = make(a.device.compute, a.dtype, *shapes, g.stride, g.padding, g.dilation,  # type: ignore[attr-defined]
                g.groups, bias=bias, **options) if out.numel else None
    return plan, out


def output_size(x: Shape, w: Shape, g: Geometry) -> Shape:
    """Height and width of a convolution's result."""
    return tuple((size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for size, pad, dilation, kernel, stride
                 in zip(x[2:], g.padding, g.dilation, w[2:], g.stride, strict=True))


def _dense(x: Any) -> Any:
    """The tensor itself where it is contiguous, as it nearly always is, or None; else a copy."""
    return x if x is None or x.spec.contiguous else x.contiguous()


def _formats(x: Any, w: Any) -> tuple | None:
    """The channels-last formats of the gradients of input and weight, where one of the two is in such a format.

    That of an input which is itself gets its format where a program sees it.
    """
    if x.spec.contiguous and w.spec.contiguous:
        return None
    of_input, of_weight = suggested_format(x), suggested_format(w)
    return None if of_input else of_weight, of_input or of_weight


def _in_formats(gradients: tuple, formats: tuple | None) -> tuple:
    """The gradients of input, weight and bias, the first two in these formats."""
    if formats is None:
        return gradients
    laid = [g if g is None or wanted is None else g.contiguous(memory_format=wanted)
            for g, wanted in zip(gradients, formats, strict=False)]
    return (*laid, gradients[2])


def forward(x: Any, w: Any, bias: Any, g: Geometry, activation: str | None = None) -> Any:
    """The convolution of (N, Ci, H, W) with (Co, Ci/groups, KH, KW), or, unrecorded, a "relu" of it."""
    formats = _formats(x, w)
    x, w, bias = _dense(x), _dense(w), _dense(bias)
    key = ("forward", x.spec, w.spec, g, bias is None, activation)
    found = _plans.get(key)
    if found is None:
        x_shape, w_shape = x.spec.shape, w.spec.shape
        result = (x_shape[0], w_shape[0], *output_size(x_shape, w_shape, g))
        found = _plans[key] = _planned(conv.forward_plan, x.spec, w.spec, (x_shape, w_shape), result, g,
                                       bias is not None, activation=activation)
    plan, made = found
    out = blank(made)
    if plan is not None:
        execute(plan, (x, w) if bias is None else (x, w, bias), (out,))
    if needs_graph(x, w, bias):
        x_spec, w_spec = x.spec, w.spec
        saved = Saved("convolution", [x if w._requires_grad else None, w if x._requires_grad else None])
        bias_needed = bias is not None and bias._requires_grad

        attach(out, "Convolution", (x, w, bias), lambda dy: _in_formats(gradients(
            dy, saved.unpack_for(1, 0), x_spec.shape, w_spec.shape, bias_needed and is_wanted(2), g), formats), saved)
    return out


def gradients(dy: Any, operands: Sequence[Any], x_shape: Shape, w_shape: Shape, bias_needed: bool, g: Geometry) -> tuple:
    """The gradients of a convolution's input, weight and bias.

    ``operands``: the input, where the weight's gradient is wanted, and the weight, where the input's is; else None.
    """
    x, w = operands
    dx = None if w is None else input_gradient(dy, w, None, x_shape, g)
    if x is not None and bias_needed and not mode.enabled:
        return (dx, *weight_and_bias_gradient(x, dy, w_shape, g))
    return dx, None if x is None else weight_gradient(x, dy, w_shape, g), dy.sum((0, 2, 3)) if bias_needed else None


def input_gradient(dy: Any, w: Any, bias: Any, x_shape: Shape, g: Geometry) -> Any:
    """The gradient of a convolution's input of shape ``x_shape``, or a transposed convolution with its bias."""
    formats = _formats(dy, w)
    dy, w, bias = _dense(dy), _dense(w), _dense(bias)
    w_shape = w.spec.shape
    key = ("input", dy.spec, w.spec, x_shape, g, bias is None)
    found = _plans.get(key)
    if found is None:
        found = _plans[key] = _planned(conv.input_gradient_plan, dy.spec, w.spec, (tuple(x_shape), w_shape), x_shape,
                                       g, bias is not None)
    plan, made = found
    out = blank(made)
    if plan is not None:
        execute(plan, (dy, w) if bias is None else (dy, w, bias), (out,))
    if needs_graph(dy, w, bias):
        need_dy, need_w = dy._requires_grad, w._requires_grad
        need_bias = bias is not None and bias._requires_grad
        saved = Saved("conv_transpose", [dy if need_w else None, w if need_dy else None])

        def backward(v: Any) -> tuple:
            gradient, weights = saved.unpack_for(1, 0)
            return _in_formats((None if weights is None else forward(v, weights, None, g),
                                None if gradient is None else weight_gradient(v, gradient, w_shape, g),
                                v.sum((0, 2, 3)) if need_bias and is_wanted(2) else None), formats)
        attach(out, "Convolution", (dy, w, bias), backward, saved)
    return out


def weight_gradient(x: Any, dy: Any, w_shape: Shape, g: Geometry) -> Any:
    """The gradient of a convolution's weight."""
    x, dy = _dense(x), _dense(dy)
    plan, made = _weight_plan(x, dy, w_shape, g, False)
    out = blank(made)
    if plan is not None:
        execute(plan, (x, dy), (out,))
    if needs_graph(x, dy):
        x_shape = x.spec.shape
        need_x, need_dy = x._requires_grad, dy._requires_grad
        saved = Saved("convolution_backward", [x if need_dy else None, dy if need_x else None])

        def backward(v: Any) -> tuple:
            inputs, gradient = saved.unpack_for(1, 0)
            return (None if gradient is None else input_gradient(gradient, v, None, x_shape, g),
                    None if inputs is None else forward(inputs, v, None, g))
        attach(out, "ConvolutionBackward", (x, dy), backward, saved)
    return out


def weight_and_bias_gradient(x: Any, dy: Any, w_shape: Shape, g: Geometry) -> tuple[Any, Any]:
    """Both in one launch. Not recorded."""
    x, dy = _dense(x), _dense(dy)
    plan, made = _weight_plan(x, dy, w_shape, g, True)
    dw = blank(made)
    if plan is None:
        return dw, dy.sum((0, 2, 3))
    db = empty((made.shape[0],), made.dtype, made.device)  # type: ignore[arg-type]
    execute(plan, (x, dy), (dw, db))
    return dw, db


def _weight_plan(x: Any, dy: Any, w_shape: Shape, g: Geometry, bias: bool) -> tuple[conv.Plan | None, Spec]:
    key = ("weight", x.spec, dy.spec, w_shape, g, bias)
    found = _plans.get(key)
    if found is None:
        found = _plans[key] = _planned(conv.weight_gradient_plan, x.spec, dy.spec,
                                       (x.spec.shape, tuple(w_shape)), w_shape, g, bias)
    return found


def transposed_into(x: Any, w: Any, bias: Any, shape: Shape, g: Geometry) -> Any:
    """The transposed convolution whose result has a given shape.

    Where ``output_padding`` reaches the stride, the convolution of such a result has more windows than x has elements:
    zeros stand for them.
    """
    have, full = x.spec.shape[2:], output_size(shape, w.spec.shape, g)
    if have != full:
        x = constant_pad_nd(x, (0, full[1] - have[1], 0, full[0] - have[0]))
    return input_gradient(x, w, bias, shape, g)


# The public functions.

_OF_CONVOLUTIONS = frozenset({"stride", "padding", "dilation", "output_padding"})


def tuple_of(name: str, value: Any, rank: int) -> tuple[int, ...]:
    """A number for all dimensions, or one each."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    values = values * rank if len(values) == 1 else values
    try:
        values = tuple([op.index(v) for v in values])
    except TypeError:
        raise TypeError(f"{name} must be an int or a tuple of {rank} ints, got {value!r}") from None
    if len(values) != rank:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {rank} values to match the "
                           f"convolution dimensions, but got {name}={list(values)}" if name in _OF_CONVOLUTIONS else
                           f"{name} must either be a single int, or a tuple of {rank} ints, got {value!r}")
    return values


def checked(name: str, x: Any, w: Any, bias: Any, rank: int, stride: Any, dilation: Any, groups: int,
            transposed: bool) -> tuple[tuple, tuple]:
    """Stride and dilation as tuples, after what all convolutions ask of their operands was checked."""
    for label, t in (("input", x), ("weight", w)):
        if not isinstance(t, TensorBase):
            raise TypeError(f"{name}(): argument '{label}' must be Tensor, not {type(t).__name__}")
    if x.spec.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, but got input of "
                           f"size: {list(x.spec.shape)}")
    channels, w_shape = x.spec.shape[-rank - 1], w.spec.shape
    if len(w_shape) < 3:
        raise RuntimeError(f"{name}: weight should have at least three dimensions, got {list(w_shape)}")
    if len(w_shape) != rank + 2:
        raise RuntimeError(f"{name}: Expected {len(w_shape)}-dimensional input for {len(w_shape)}-dimensional weight "
                           f"{list(w_shape)}, but got {x.spec.ndim}-dimensional input of size {list(x.spec.shape)} "
                           "instead")
    if groups <= 0:
        raise RuntimeError(f"{name}: non-positive groups is not supported, got groups={groups}")
    steps, spread = tuple_of("stride", stride, rank), tuple_of("dilation", dilation, rank)
    if min(steps) <= 0:
        raise RuntimeError(f"{name}: non-positive stride is not supported, got {steps}")
    if min(spread) <= 0:
        raise RuntimeError(f"{name}: dilation should be greater than zero, but got {list(spread)}")
    if min(w_shape[2:]) <= 0:
        raise RuntimeError("kernel size should be greater than zero, but got " + " ".join(
            f"kernel_{side}: {n}" for side, n in zip(("depth", "height", "width")[-rank:], w_shape[2:], strict=True)))
    expected = w_shape[0] if transposed else w_shape[1] * groups
    if w_shape[0] % groups or not w_shape[0]:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight "
                           f"of size {list(w_shape)} instead")
    if 0 in x.spec.shape[-rank:] and 0 not in x.spec.shape[:-rank]:
        raise RuntimeError("Only zero batch or zero channel inputs are supported, but got input shape: "
                           f"{list(x.spec.shape)}")
    if channels != expected:
        given = f"transposed={int(transposed)}" if transposed else f"groups={groups}"
        raise RuntimeError(f"Given {given}, weight of size {list(w_shape)}, expected input"
                           f"{list(x.spec.shape)} to have {expected} channels, but got {channels} channels instead")
    outputs = w_shape[1] * groups if transposed else w_shape[0]
    if bias is not None and bias.spec.shape != (outputs,):
        raise RuntimeError(f"Given {'transposed=True, ' if transposed else ''}weight of size {list(w_shape)}, expected "
                           f"bias to be 1-dimensional with {outputs} elements, but got bias of size "
                           f"{list(bias.spec.shape)} instead")
    check_device(name, x, w, bias)
    kind = x.spec.dtype
    if bias is not None and bias.spec.dtype is not kind:
        raise RuntimeError(f"Input type ({dtypes.c_name(kind)}) and bias type ({dtypes.c_name(bias.spec.dtype)}) should be "
                           "the same")
    if w.spec.dtype is not kind:
        raise RuntimeError(f"expected scalar type {dtypes.type_name(kind)} but found {dtypes.type_name(w.spec.dtype)}")
    if kind is dtypes.bool or transposed and not (kind.is_floating_point or kind is dtypes.int64):
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(kind)}'")
    return steps, spread


_known: dict[tuple, Geometry] = {}


def known_geometry(x: Spec, w: Spec, bias: Spec | None, stride: Any, padding: Any, dilation: Any, groups: int) -> Geometry:
    """How the window of a convolution of these specs walks, after a first one passed all checks."""
    return _known[x, w, bias, stride, padding, dilation, groups]


def convolve(name: str, rank: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """A convolution over ``rank`` dimensions."""
    # The checks of one set of specs and arguments are done once.
    try:
        g = known_geometry(x.spec, w.spec, bias if bias is None else bias.spec, stride, padding, dilation, groups)
    except (KeyError, TypeError, AttributeError):  # not known yet; lists; not a tensor
        if isinstance(padding, str):
            steps, spread = checked(name, x, w, bias, rank, stride, dilation, groups, False)
            x, padding = padded(name, x, padding, w.spec.shape[2:], steps, spread)
        groups = op.index(groups)
        stride, padding, dilation = (tuple(a) if isinstance(a, list) else a for a in (stride, padding, dilation))
        g = Geometry(*geometry(name, rank, x, w, bias, stride, padding, dilation, groups), groups)
        if not x.spec.dtype.is_floating_point:
            return convolve_integers(x, w, bias, *g)
        _known[x.spec, w.spec, bias if bias is None else bias.spec, stride, padding, dilation, groups] = g
    if x.spec.ndim == 4 and rank == 2:
        return forward(x, w, bias, g)
    return _in_two_dimensions(x, w, rank, lambda a, b, g: forward(a, b, bias, g), *g)


def geometry(name: str, rank: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
             groups: int) -> tuple[tuple, tuple, tuple]:
    """Stride, padding and dilation of a convolution, checked against its operands."""
    around = tuple_of("padding", padding, rank)
    if min(around) < 0:
        raise RuntimeError("negative padding is not supported")
    steps, spread = checked(name, x, w, bias, rank, stride, dilation, groups, False)
    kernel, sizes = w.spec.shape[2:], x.spec.shape[-rank:]
    for size, pad, d, k in zip(sizes, around, spread, kernel, strict=True):
        if size + 2 * pad < d * (k - 1) + 1:
            extent = " x ".join(str(s + 2 * p) for s, p in zip(sizes, around, strict=True))
            raise RuntimeError(f"Calculated padded input size per channel: ({extent}). Kernel size: "
                               f"({' x '.join(map(str, kernel))}). Kernel size can't be greater than actual input size")
    return steps, around, spread


def _in_two_dimensions(x: Any, w: Any, rank: int, run: Any, steps: tuple, around: tuple, spread: tuple,
                       groups: int) -> Any:
    """Runs a 1-d convolution as one of height 1, and an unbatched one as a batch of 1."""
    batched = x.spec.ndim == rank + 2
    x = x if batched else x.unsqueeze(0)
    if rank == 1:
        x, w = x.unsqueeze(2), w.unsqueeze(2)
        steps, around, spread = (1, *steps), (0, *around), (1, *spread)
    y = run(x, w, Geometry(steps, around, spread, groups))
    y = ends_in(y.squeeze(2), "Convolution") if rank == 1 else y
    return y if batched else y.squeeze(0)


def padded(name: str, x: Any, padding: str, kernel: Shape, steps: tuple, spread: tuple) -> tuple[Any, tuple]:
    """padding="same" and "valid": what is left to the kernel, after a side that needs one more is padded here."""
    rank = len(kernel)
    if padding == "valid":
        return x, (0,) * rank
    if padding != "same":
        raise RuntimeError(f"{name}: Invalid padding string: '{padding}'")
    if any(s != 1 for s in steps):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(spread, kernel, strict=True)]
    if any(t % 2 for t in total):
        x = constant_pad_nd(x, [count for t in reversed(total) for count in (0, t % 2)])
    return x, tuple(t // 2 for t in total)


@operator("conv2d", method=False)
@keeps_format
def conv2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Cross-correlates images with filters, the bias added in the same launch.

    Args:
        input: (N, Ci, H, W) or (Ci, H, W).
        weight: (Co, Ci / groups, KH, KW).
        bias: (Co) or None.
        padding: zeros on each side; numbers, "valid" or "same".
    """
    return convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@operator("conv1d", method=False)
def conv1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Cross-correlates signals (N, Ci, L) with filters (Co, Ci / groups, K)."""
    return convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def transposed_sizes(name: str, rank: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
                     groups: int, dilation: Any) -> tuple[tuple, tuple, tuple, tuple]:
    """Stride, padding and dilation of a transposed convolution, checked, and the sizes of its result."""
    steps, spread = checked(name, x, w, bias, rank, stride, dilation, groups, True)
    around, extra = tuple_of("padding", padding, rank), tuple_of("output_padding", output_padding, rank)
    if min(around) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(extra) < 0:
        raise RuntimeError("negative output_padding is not supported")
    for more, s, d in zip(extra, steps, spread, strict=True):
        if more >= max(s, d):
            named = zip(("output_padding", "stride", "dilation"), (extra, steps, spread), strict=True)
            raise RuntimeError("output padding must be smaller than either stride or dilation, but got " + " ".join(
                f"{label}_{side}: {n}" for label, values in named
                for side, n in zip(("depth", "height", "width")[-max(rank, 2):], ((1,) if rank == 1 else ()) + values,
                                   strict=True)))
    kernel = w.spec.shape[2:]
    sizes = tuple((size - 1) * s - 2 * p + d * (k - 1) + more + 1 for size, s, p, d, k, more
                  in zip(x.spec.shape[-rank:], steps, around, spread, kernel, extra, strict=True))
    if min(sizes) <= 0:
        raise RuntimeError(f"Given input size per channel: {list(x.spec.shape[-rank:])}. Calculated output size per "
                           f"channel: {list(sizes)}. Output size is too small")
    return steps, around, spread, sizes


def _transposed(name: str, rank: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
                groups: int, dilation: Any) -> Any:
    groups = op.index(groups)
    steps, around, spread, sizes = transposed_sizes(name, rank, x, w, bias, stride, padding, output_padding, groups,
                                                    dilation)
    if not x.spec.dtype.is_floating_point:
        return transpose_integers(x, w, bias, steps, around, spread, groups, sizes)
    channels = w.spec.shape[1] * groups

    def run(a: Any, b: Any, g: Geometry) -> Any:
        shape = (a.spec.shape[0], channels, *((1,) if rank == 1 else ()), *sizes)
        return transposed_into(a, b, bias, shape, g)
    return _in_two_dimensions(x, w, rank, run, steps, around, spread, groups)


@operator("conv_transpose2d", method=False)
@keeps_format
def conv_transpose2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
    """The transposed convolution of (N, Ci, H, W) with (Ci, Co / groups, KH, KW): the gradient of a convolution."""
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@operator("conv_transpose1d", method=False)
def conv_transpose1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
    """The transposed convolution of (N, Ci, L) with (Ci, Co / groups, K)."""
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)
