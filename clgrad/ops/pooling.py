"""Pooling over one, two or three spatial dimensions: largest, average, and adaptive windows."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.formal import make_formal
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, ends_in, needs_graph
from clgrad.autograd.walks import determined_by
from clgrad.formats import channels_last_3d, suggests
from clgrad.kernels import pool
from clgrad.kernels.pool import Windows
from clgrad.ops import reduction
from clgrad.ops.convolution import tuple_of
from clgrad.ops.copying import blank, cast, empty
from clgrad.ops.execute import check_device, execute
from clgrad.ops.memory_formats import in_format, keeps_format
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.spec import Spec, contiguous_spec

determined_by()(Windows)

_plans: dict[tuple, pool.Plan] = {}
_max_pools: dict[tuple, MaxPool] = {}
make_formal(*[name for rank in (1, 2, 3) for name in (f"MaxPool{rank}DWithIndices", f"AvgPool{rank}D",
                                                      f"AdaptiveMaxPool{rank}D", f"AdaptiveAvgPool{rank}D")])


@determined_by()
class MaxPool:
    """Max pooling of a contiguous spec: its plans, that of a gradient made when it is asked for, and results' specs."""

    __slots__ = ("windows", "inputs", "values", "places", "_forward", "_backward")

    def __init__(self, inputs: Spec, windows: Windows, index_dtype: Any):
        shape = (*inputs.shape[:-len(windows.input)], *windows.output)
        self.windows, self.inputs = windows, contiguous_spec(inputs.shape, inputs.dtype, inputs.device)
        self.values = contiguous_spec(shape, inputs.dtype, inputs.device)
        self.places = contiguous_spec(shape, index_dtype, inputs.device)
        self._forward = self._plan(pool.plan)
        self._backward: dict[bool, pool.Plan] = {}  # plain, and gated

    def _plan(self, make: Any, **options: Any) -> pool.Plan:
        planes = prod(self.inputs.shape[:-len(self.windows.input)])
        return make(self.inputs.device.compute, self.inputs.dtype, planes, self.windows,  # type: ignore[attr-defined]
                    max_pool=True, index_dtype=self.places.dtype, **options)

    def forward(self, x: Any) -> tuple[Any, Any]:
        """The largest value of each window and where in its plane it stood."""
        out, where = blank(self.values), blank(self.places)
        execute(self._forward, (x,), (out, where))
        return out, where

    def gradient(self, g: Any, where: Any, gate: Any = None) -> Any:
        """The gradient of what was pooled; with the pool's result as ``gate`` that of a ReLU's operand which was pooled."""
        gated = gate is not None
        if gated not in self._backward:
            self._backward[gated] = self._plan(pool.backward_plan, gated=gated)
        dx = blank(self.inputs)
        execute(self._backward[gated], (g,), (dx, where, gate))
        return dx


def max_pool_of(spec: Spec, windows: Windows, index_dtype: Any) -> MaxPool:
    """The one max pooling of a contiguous spec."""
    key = (spec, windows, index_dtype)
    how = _max_pools.get(key)
    if how is None:
        how = _max_pools[key] = MaxPool(spec, windows, index_dtype)
    return how


def _plan(make: Any, x: Any, planes: int, windows: Windows, **options: Any) -> pool.Plan:
    key = (make, x.spec.device, x.spec.dtype, planes, windows, tuple(options.items()))
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = make(x.spec.device.compute, x.spec.dtype, planes, windows, **options)
    return plan


def _max(x: Any, windows: Windows, index_dtype: Any) -> tuple[Any, Any]:
    """The largest value of each window and where in its plane it stood."""
    x = x if x.spec.contiguous else x.contiguous()
    how = max_pool_of(x.spec, windows, index_dtype)
    out, where = how.forward(x)
    if needs_graph(x):
        saved = Saved("max_pool", [where])
        attach((out, None), f"MaxPool{len(windows.input)}DWithIndices", (x,),
               lambda g, _=None: _max_gradient(g, saved.unpack()[0], how), saved)
    return out, where


def _max_gradient(g: Any, where: Any, how: MaxPool) -> Any:
    _check_gradient("max", how.values, len(how.windows.input))
    g = g if g.spec is how.values else cast(g, how.values.dtype).contiguous()
    dx = how.gradient(g, where)
    if mode.enabled and needs_graph(g):
        saved = Saved("max_pool_backward", [where])

        def backward(v: Any) -> Any:
            (indices,) = saved.unpack()
            outer, windows = how.inputs.shape[:-len(how.windows.input)], how.windows
            flat = v.reshape(*outer, prod(windows.input))
            picked = FUNCTIONS["gather"](flat, -1, indices.reshape(*outer, prod(windows.output)).long())
            return picked.reshape(indices.spec.shape)
        attach(dx, "MaxPoolBackward", (g,), backward, saved)
    return dx


def _average(x: Any, windows: Windows, include_pad: bool, divisor: int) -> Any:
    x = x if x.spec.contiguous else x.contiguous()
    own, rank = x.spec, len(windows.input)
    if windows.is_plane and not divisor and own.dtype.is_floating_point:
        out, _ = reduction.run(x, "mean", tuple(range(own.ndim - rank, own.ndim)), True, own.dtype)
    else:
        out = empty((*own.shape[:-rank], *windows.output), own.dtype, own.device)
        options = dict(max_pool=False, include_pad=include_pad, divisor=divisor)
        execute(_plan(pool.plan, x, prod(own.shape[:-rank]), windows, **options), (x,), (out, None))
    if needs_graph(x):
        attach(out, f"AvgPool{rank}D", (x,),
               lambda g: _average_gradient(g, own.shape, windows, include_pad, divisor))
    return out


def _average_gradient(g: Any, shape: tuple, windows: Windows, include_pad: bool, divisor: int) -> Any:
    _check_gradient("avg", g.spec, len(windows.input))
    g = g.contiguous()
    dx = empty(shape, g.spec.dtype, g.spec.device)
    options = dict(max_pool=False, include_pad=include_pad, divisor=divisor)
    execute(_plan(pool.backward_plan, g, prod(shape[:-len(windows.input)]), windows, **options), (g,), (dx, None, None))
    if mode.enabled and needs_graph(g):
        attach(dx, "AvgPoolBackward", (g,), lambda v: _average(v, windows, include_pad, divisor))
    return dx


def _check_gradient(kind: str, of: Spec, rank: int) -> None:
    """RuntimeError where an adaptive pool has made a dimension empty (no other pool can)."""
    # PyTorch pools lines as planes of one row.
    sizes = of.shape if rank > 1 else (*of.shape[:-1], 1, of.shape[-1])
    empty_dim = next((d for d in range(1 if rank > 1 else of.ndim, len(sizes)) if not sizes[d]), None)
    if empty_dim is not None:
        raise RuntimeError(f"adaptive_{kind}_pool{max(rank, 2)}d_backward(): Expected grad_output to have non-zero size for "
                           f"non-batch dimensions, but grad_output has sizes {list(sizes)} with dimension {empty_dim} "
                           "being empty")


# What pools integers, as PyTorch does; what is not whole of a mean is cut off.
_OF_INTEGERS = frozenset({"max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"})


def _checked(name: str, x: Any, rank: int) -> None:
    if not isinstance(x, TensorBase):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    if x.spec.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but got{':' if 'max' in name else ''} "
                           f"{list(x.spec.shape)}" if rank > 1 else
                           f"Expected 2 to 3 dimensions, but got {x.spec.ndim}-dimensional tensor for argument #1 'self' "
                           f"(while checking arguments for {name})")
    _check_filled(name, x, rank)
    _check_kind(name, x)


def _check_filled(name: str, x: Any, rank: int) -> None:
    """RuntimeError where a dimension that is pooled has no elements."""
    shape = x.spec.shape
    empty_dim = next((d for d in range(len(shape) - rank, len(shape)) if not shape[d]), None)
    if empty_dim is not None:
        raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                           f"{list(shape)} with dimension {empty_dim} being empty")


def _check_kind(name: str, x: Any) -> None:
    """Errors of a dtype that the pool does not take, or that the device has not."""
    known = name.removesuffix("_with_indices") in _OF_INTEGERS
    if not x.spec.dtype.is_floating_point and (x.spec.dtype is dtypes.bool or not known
                                                 or name.startswith("avg") and x.spec.dtype is not dtypes.int64):
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(x.spec.dtype)}'")
    check_device(name, x)


_known_windows: dict[tuple, Windows] = {}


def known_windows(name: str, spec: Spec, *arguments: Any) -> Windows:
    """The windows of a call (rank, kernel, stride, padding, dilation, ceil_mode), after a first one passed all checks."""
    return _known_windows[name, spec, arguments]


def _windows(name: str, x: Any, *arguments: Any) -> Windows:
    """The windows of a call, checked once for each spec and set of arguments."""
    try:
        return known_windows(name, x.spec, *arguments)
    except (KeyError, TypeError, AttributeError):  # not known yet; lists; not a tensor
        pass
    found = _check_windows(name, x, *arguments)
    _known_windows[name, x.spec, tuple([tuple(a) if isinstance(a, list) else a for a in arguments])] = found
    return found


def _check_windows(name: str, x: Any, rank: int, kernel: Any, stride: Any, padding: Any, dilation: Any,
                   ceil_mode: bool) -> Windows:
    size = tuple_of("kernel_size", kernel, rank)
    step = size if stride is None or stride == () or stride == [] else tuple_of("stride", stride, rank)
    around, spread = tuple_of("padding", padding, rank), tuple_of("dilation", dilation, rank)
    for label, values in (("kernel_size", size), ("stride", step), ("dilation", spread)):
        if min(values) <= 0:
            raise RuntimeError(f"{name}() {label} must be greater than zero, but got {min(values)}")
    for pad, k, d in zip(around, size, spread, strict=True):
        if pad < 0:
            raise RuntimeError(f"{name}(): pad must be non-negative, but got pad: {pad}")
        if pad > ((k - 1) * d + 1) // 2:
            raise RuntimeError(f"{name}(): pad should be at most half of effective kernel size, but got pad={pad}, "
                               f"kernel_size={k} and dilation={d}")
    _check_dims(name, x, rank)
    _check_kind(name, x)
    sizes = tuple(x.spec.shape[-rank:])
    windows = pool.fixed(sizes, size, step, around, spread, ceil_mode)
    output = windows.output
    if min(output) <= 0:
        if name == "max_pool1d":
            raise RuntimeError(f"{name}() Invalid computed output size: {output[0]}")
        planes = x.spec.shape[-rank - 1]
        raise RuntimeError(f"{name}(): Given input size: ({'x'.join(map(str, (planes, *sizes)))}). Calculated output size: "
                           f"({'x'.join(map(str, (planes, *output)))}). Output size is too small")
    return windows


def _check_dims(name: str, x: Any, rank: int) -> None:
    """RuntimeError where a pool's input is no image, or has no elements for another reason than an empty batch."""
    if not isinstance(x, TensorBase):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    shape = list(x.spec.shape)
    empty_dim = next((d for d, n in enumerate(shape[-rank - 1:]) if not n), None)
    if rank == 3 and len(shape) in (4, 5) and empty_dim is not None:
        raise RuntimeError(f"{name}(): Expected input's non-batch dimensions to have positive length, but input has a shape "
                           f"of {shape} and non-batch dimension {empty_dim} has length zero!")
    if len(shape) not in (rank + 1, rank + 2) and rank > 1:
        raise RuntimeError(f"{name}(): non-empty {rank + 1}D or {rank + 2}D (batch mode) tensor expected for input, but got: "
                           f"{shape}")
    if len(shape) not in (rank + 1, rank + 2) or empty_dim is not None:
        raise RuntimeError(f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with optional 0 dim batch size "
                           f"for input, but got:{shape}")


def _lies_by_channels(x: Any) -> bool:
    """Whether a volume without a batch (C, D, H, W) is one of a batch in the format ``channels_last_3d``."""
    own = x.spec
    return own.ndim == 4 and suggests((1, *own.shape), (own.numel, *own.strides), channels_last_3d)


def _max_pool(rank: int) -> Any:
    name, indexed = f"max_pool{rank}d", f"max_pool{rank}d_with_indices"

    def max_pool(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 ceil_mode: bool = False, return_indices: bool = False) -> Any:
        if rank == 3 and _lies_by_channels(input):
            return unbatched(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        windows = _windows(indexed if return_indices else name, input, rank, kernel_size, stride, padding, dilation,
                           ceil_mode)
        kind = input.spec.dtype
        wide = input if kind.is_floating_point else cast(input, dtypes.int64)  # of the integers the kernel takes these
        values, where = _max(wide, windows, dtypes.int64 if return_indices else dtypes.int32)
        values = cast(values, kind)
        return (values, where) if return_indices else values

    def unbatched(input: Any, *options: Any) -> Any:
        found = max_pool(input.unsqueeze(0), *options)
        parts = tuple([in_format(part, channels_last_3d).squeeze(0) for part in (found if options[-1] else (found,))])
        return parts if options[-1] else parts[0]
    max_pool.__name__ = name
    max_pool.__doc__ = (f"The largest value of each window over the last {rank} dimension(s); NaN wins. ``stride`` is the "
                        "kernel's size unless given; with ``return_indices`` also where each stood in its plane.")
    return max_pool


def _avg_pool(rank: int) -> Any:
    name = f"avg_pool{rank}d"

    def avg_pool(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override: int | None = None, *, out: Any = None) -> Any:
        windows = _windows(name, input, rank, kernel_size, stride, padding, 1, ceil_mode)
        if divisor_override == 0:
            raise RuntimeError("divisor must be not zero")
        return store(name, _average(input, windows, count_include_pad, divisor_override or 0), out, exact=True)
    avg_pool.__name__ = name
    avg_pool.__doc__ = (f"The mean of each window over the last {rank} dimension(s). ``count_include_pad``: padding counts "
                        "as values; ``divisor_override``: what sums are divided by.")
    return avg_pool


def _adaptive_windows(name: str, x: Any, output_size: Any, rank: int) -> Windows:
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    if rank > 1 and x.spec.ndim <= len(wanted) and isinstance(output_size, (tuple, list)):
        raise ValueError(f"Input dimension should be at least {len(wanted) + 1}")
    _checked(name, x, rank)
    if len(wanted) != rank:
        raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(wanted)})" if rank == 1 else
                           f"{name}(): internal error: output_size.size() must be {rank}" if "max" in name else
                           f"{name}: output_size must be {rank}")
    sizes = tuple(x.spec.shape[-rank:])
    output = tuple(n if o is None else int(o) for o, n in zip(wanted, sizes, strict=True))
    if min(output) < 0:
        made = [*x.spec.shape[:-rank], *output]
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(output)}: {made}" if "max" in name else
                           f"{name}: elements of output_size must be greater than or equal to 0 but received "
                           f"{', '.join(map(str, output))}")
    return pool.adaptive(sizes, output)


def _adaptive(rank: int, largest: bool) -> Any:
    name = f"adaptive_{'max' if largest else 'avg'}_pool{rank}d"

    def adaptive_pool(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        windows = _adaptive_windows(name, input, output_size, rank)
        if largest and not input.spec.shape[-rank - 1]:
            raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got "
                               f"{list(input.spec.shape)}")
        if not largest and windows.is_plane:
            return FUNCTIONS["mean"](input, list(range(-rank, 0)), True)
        if not largest:
            return ends_in(_average(input, windows, True, 0), f"AdaptiveAvgPool{rank}D")
        values, where = _max(input, windows, dtypes.int64)
        ends_in(values, f"AdaptiveMaxPool{rank}D")
        return (values, where) if return_indices else values
    adaptive_pool.__name__ = name
    adaptive_pool.__doc__ = (f"The {'largest value' if largest else 'mean'} of windows so placed that the last {rank} "
                             "dimension(s) get ``output_size``; None keeps a size.")
    return adaptive_pool


for _rank in (1, 2, 3):
    for _function in (_max_pool(_rank), _avg_pool(_rank), _adaptive(_rank, True), _adaptive(_rank, False)):
        keeps = _rank < 3 or _function.__name__ == "max_pool3d"  # of volumes the others give row-major results
        operator(method=False)(keeps_format(_function) if keeps else _function)
