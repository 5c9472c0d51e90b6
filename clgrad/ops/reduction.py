"""Reductions over none, one or several dimensions, with their gradients."""

from __future__ import annotations

import warnings
from math import inf, prod
from typing import Any, TypeGuard

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, ends_in, needs_graph, wrap
from clgrad.dtypes import dtype
from clgrad.kernels import reduce
from clgrad.ops.copying import blank, cast, empty
from clgrad.ops.execute import execute
from clgrad.ops.node_names import node_name
from clgrad.ops.output import named_result, store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import Shape, names_none, normalize_dim, normalize_dims, reduced_dims
from clgrad.spec import Spec, contiguous_spec, spec

_plans: dict[tuple, tuple[reduce.Plan | None, Spec, Spec | None]] = {}


def kept_shape(shape: Shape, dims: Shape, keepdim: bool) -> Shape:
    """The shape that is left when ``dims`` are reduced."""
    if keepdim:
        return tuple(1 if axis in dims else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in dims)


def run(x: Any, op: str, dims: Shape, keepdim: bool, result: dtype, *, aux: dtype | None = None,
        correction: float = 1, order: float = 2) -> tuple[Any, Any]:
    """Launches a row of ``kernels.reduce``; returns its outputs, the second None without ``aux``. Not recorded."""
    own = x.spec
    key = (op, own, dims, keepdim, result, aux, correction, order)
    known = _plans.get(key)
    if known is None:
        shape = kept_shape(own.shape, dims, keepdim)
        made = contiguous_spec(shape, result, own.device)
        other = None if aux is None else contiguous_spec(shape, aux, own.device)
        plan = _plan(x, op, dims, result, correction, order) if made.numel else None
        known = _plans[key] = plan, made, other
    plan, made, other = known
    out = blank(made)
    second = None if other is None else blank(other)
    if made.numel == 0:
        return out, second
    if plan is None:
        # The dimensions interleave in more groups than the kernels index: a copy with the kept ones in front.
        order_of = [a for a in range(own.ndim) if a not in dims] + list(dims)
        packed = x.detach().permute(order_of).contiguous()
        flat = packed.view(made.numel, prod(own.shape[d] for d in dims))
        first, extra = run(flat, op, (1,), False, result, aux=aux, correction=correction, order=order)
        return first.view(made.shape), None if extra is None else extra.view(made.shape)
    source, target = x.memory.buffer, out.memory.buffer
    if source is None or target is None or second is not None:
        execute(plan, (x, out, second), ())
    else:
        plan((source, target, target), (x.offset, 0, 0))
    return out, second


def _plan(x: Any, op: str, dims: Shape, result: dtype, correction: float, order: float) -> reduce.Plan | None:
    own = x.spec
    if not own.device.compute.limits.fp64 and dtypes.float64 in (own.dtype, result):
        raise RuntimeError(f"{op}: {own.device.compute.limits.name} has no float64; convert to float32 first")
    try:
        return reduce.plan(own.device.compute, op, own.dtype, result, own.shape, own.strides, dims,
                           correction=correction, order=order)
    except reduce.UnsupportedLayout:
        return None


def spread(g: Any, dims: Shape, keepdim: bool, shape: Shape) -> Any:
    """A gradient of a reduction's result as a view of the input's shape."""
    if not (mode.enabled and g._requires_grad):
        # Nothing to record: one spec instead of a chain of views.
        own = g.spec
        left = iter(stride for axis, stride in enumerate(own.strides) if not (keepdim and axis in dims))
        strides = tuple([0 if axis in dims else next(left) for axis in range(len(shape))])
        return wrap(g.memory, g.offset, spec(tuple(shape), strides, own.dtype, own.device))
    if not keepdim:
        for axis in dims:
            g = g.unsqueeze(axis)
    return g.expand(shape)


def _result_type(x: Any, kind: dtype | None) -> dtype:
    own = x.spec.dtype
    return kind or (own if own.differentiable else dtypes.int64)


def _wanted(kind: dtype | None, out: Any) -> dtype | None:
    """The dtype of sums and products: that of the tensor that is to hold them, where none is named."""
    return kind if out is None or kind is not None else out.spec.dtype


def _of_kind(x: Any, kind: dtype | None) -> Any:
    """The elements as ``dtype=`` says; integers are converted on the way into the sum."""
    if kind is None or not (kind.differentiable or x.spec.dtype.differentiable):
        return x
    return cast(x, kind)


def changes_kind(kind: dtype | None, x: Any) -> TypeGuard[dtype]:
    """Whether ``dtype=`` asks for complex numbers of real ones, or for real ones of complex ones."""
    return kind is not None and kind.is_complex is not x.spec.dtype.is_complex


def _float_only(name: str, x: Any, kind: dtype | None = None) -> dtype:
    own = kind or x.spec.dtype
    if not own.is_floating_point:
        raise RuntimeError(f"{name}(): could not infer output dtype. {'Input' if kind is None else 'Optional'} dtype must be "
                           f"either a floating point or complex dtype. Got: {dtypes.type_name(own)}")
    return own


@operator("sum")
def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Any:
    """The sum over all dimensions, or those named; integers and bool are summed in int64.

    >>> import clgrad
    >>> clgrad.ones(2, 3).sum(dim=1)
    tensor([3., 3.])
    """
    kind = _wanted(dtype, out)
    if changes_kind(kind, input):
        return FUNCTIONS["sum"](cast(input, kind), dim, keepdim, dtype=kind, out=out)
    dims = reduced_dims(dim, input.spec.ndim)
    x = _of_kind(input, kind)
    shape = x.spec.shape
    result, _ = run(x, "sum", dims, keepdim, _result_type(x, kind))
    if needs_graph(x) and result.spec.dtype.differentiable:
        attach(result, "Sum" if dim is None else "SumBackward1", (x,), lambda g: spread(g, dims, keepdim, shape))
    return store("sum", result, out, exact=True)


@operator("mean")
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Any:
    """The mean over all dimensions, or those named, of floating-point values."""
    if changes_kind(dtype, input):
        return FUNCTIONS["mean"](cast(input, dtype), dim, keepdim, dtype=dtype, out=out)
    dims = reduced_dims(dim, input.spec.ndim)
    kind = _float_only("mean", input, dtype)
    x = input if dtype is None else cast(input, dtype)
    shape = x.spec.shape
    count = prod(shape[d] for d in dims)
    result, _ = run(x, "mean", dims, keepdim, kind)
    if needs_graph(x):
        attach(result, "Mean" if dim is None else "MeanBackward1", (x,),
               lambda g: spread(g / count if count else g, dims, keepdim, shape))
    return store("mean", result, out)


@operator("prod")
def prod_(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Any:
    """The product over all dimensions, or one."""
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"prod(): argument 'dim' must be int, not {type(dim).__name__}")
    kind = _wanted(dtype, out)
    if changes_kind(kind, input):
        return FUNCTIONS["prod"](cast(input, kind), dim, keepdim, dtype=kind, out=out)
    dims = normalize_dims(dim, input.spec.ndim)
    x = _of_kind(input, kind)
    result, _ = run(x, "prod", dims, keepdim, _result_type(x, kind))
    if needs_graph(x) and result.spec.dtype.differentiable:
        saved = Saved("prod", [x])

        def backward(g: Any) -> Any:
            (values,) = saved.unpack()
            g = spread(g, dims, keepdim, values.spec.shape)
            return g * _product_of_others(values, dims) if mode.enabled else _prod_gradient(g, values, dims)
        attach(result, "Prod" if dim is None else "ProdBackward1", (x,), backward, saved)
    return store("prod", result, out, exact=True)


def _prod_gradient(g: Any, x: Any, dims: Shape) -> Any:
    """The gradient of a product: a zero among the factors gets the product of the others, two leave nothing."""
    shape, kind = x.spec.shape, x.spec.dtype.compute
    others, _ = run(x, "prod_nonzero", dims, False, kind)
    nonzero, _ = run(x, "count_nonzero", dims, False, dtypes.int64)
    zeros = spread(prod(shape[d] for d in dims) - nonzero, dims, False, shape)
    return FUNCTIONS["_product_share"](g, x, spread(others, dims, False, shape), zeros).to(x.spec.dtype)


def _product_of_others(x: Any, dims: Shape) -> Any:
    """For each element the product of the others that are multiplied with it; exact also where some are zero."""
    if not x.spec.numel:
        return FUNCTIONS["ones_like"](x)
    order = [a for a in range(x.spec.ndim) if a not in dims] + list(dims)
    moved = x.permute(order)
    flat = moved.reshape(-1, prod(x.spec.shape[d] for d in dims)) if dims else x.reshape(-1, 1)
    n = flat.spec.shape[1]
    ones = flat.new_ones((flat.spec.shape[0], 1))
    before = FUNCTIONS["cat"]([ones, FUNCTIONS["cumprod"](flat[:, :-1], 1)], 1) if n > 1 else ones
    after = FUNCTIONS["cat"]([FUNCTIONS["cumprod"](flat[:, 1:].flip(1), 1).flip(1), ones], 1) if n > 1 else ones
    inverse = [order.index(a) for a in range(len(order))]
    return (before * after).reshape(moved.spec.shape).permute(inverse)


def _extreme(name: str, x: Any, dim: Any, keepdim: bool) -> Any:
    dims = reduced_dims(dim, x.spec.ndim)
    if names_none(dim) and x.spec.numel == 0:
        raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                           "reduction dim with the 'dim' argument.")
    _not_empty(name, x, dims)
    result, _ = run(x, name, dims, keepdim, x.spec.dtype)
    if needs_graph(x):
        saved = Saved(name, [x])

        def backward(g: Any) -> Any:
            values, y = saved.unpack()
            full = values.spec.shape
            same = values.eq(spread(y, dims, keepdim, full)).to(g.spec.dtype)
            share = same / same.sum(dims, keepdim=True) if dims else same
            return spread(g, dims, keepdim, full) * share
        attach(result, node_name(name), (x,), backward, saved)
        saved.add_output(result)
    return result


def shared_by_equals(result: Any, x: Any, node: str) -> Any:
    """Records a value that is picked from all elements of ``x``. Those that equal it share the gradient, or all NaN."""
    if needs_graph(x):
        saved = Saved(node, [x])

        def backward(g: Any) -> Any:
            values, y = saved.unpack()
            where = FUNCTIONS["where"]
            alike = where(y.isnan(), values.isnan(), values.eq(y))
            return where(alike, g / alike.sum(), 0.0)
        attach(result, node, (x,), backward, saved)
        saved.add_output(result)
    return result


def _not_empty(name: str, x: Any, dims: Shape) -> None:
    empty_dims = [d for d in dims if x.spec.shape[d] == 0]
    if empty_dims:
        raise IndexError(f"{name}(): Expected reduction dim {empty_dims[0]} to have non-zero size.")


def _check_kept(x: Any, out: Any) -> None:
    """RuntimeError where the tensor that is to hold elements of ``x`` is of another dtype."""
    if out is not None and out.spec.dtype is not x.spec.dtype:
        raise RuntimeError("Expected the dtype for input and out to match, but got "
                           f"{dtypes.type_name(x.spec.dtype)} for input's dtype and "
                           f"{dtypes.type_name(out.spec.dtype)} for out's dtype.")


@operator("amax")
def amax(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """The largest values over dimensions; equal ones share the gradient. NaN wins."""
    _check_kept(input, out)
    return store("amax", _extreme("amax", input, dim, keepdim), out)


@operator("amin")
def amin(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """The smallest values over dimensions; equal ones share the gradient. NaN wins."""
    _check_kept(input, out)
    return store("amin", _extreme("amin", input, dim, keepdim), out)


@operator("aminmax")
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False, out: Any = None) -> Any:
    """The smallest and the largest values, as ``(min, max)``."""
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"aminmax(): argument 'dim' must be int, not {type(dim).__name__}")
    dims = () if dim is None else dim
    if not input.spec.numel and dim is None:
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    found = (ends_in(reduce(input, dims, keepdim), "Aminmax") for reduce in (amin, amax))
    return store("aminmax", _AMINMAX(*found), out, exact=True)


_AMINMAX = named_result("aminmax", "min max")
_NAMED = {name: named_result(name, "values indices") for name in ("max", "min")}


def _with_index(name: str, x: Any, dim: int, keepdim: bool) -> Any:
    axis = normalize_dim(dim, x.spec.ndim)
    dims = (axis,) if x.spec.ndim else ()
    _not_empty(name, x, dims)
    source = x if x.spec.ndim else x.reshape(1)
    values, indices = run(source, name, (axis,), keepdim and bool(dims), x.spec.dtype, aux=dtypes.int64)
    if needs_graph(x):
        shape = x.spec.shape
        saved = Saved(name, [indices])

        def backward(g: Any, _: Any = None) -> Any:
            (places,) = saved.unpack()
            if not shape:
                return g
            if not keepdim:
                g, places = g.unsqueeze(axis), places.unsqueeze(axis)
            positions = FUNCTIONS["arange"](shape[axis], device=g.device).view(
                [-1 if a == axis else 1 for a in range(len(shape))])
            return FUNCTIONS["where"](places.eq(positions), g, 0.0)
        attach((values, indices), node_name(name), (x,), backward, saved)
    return _NAMED[name](values, indices)


def _max_or_min(name: str, x: Any, dim: Any, keepdim: bool | None, other: Any, out: Any) -> Any:
    if not isinstance(x, TensorBase):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    if isinstance(dim, TensorBase):
        dim, other = None, dim
    if keepdim is not None and dim is None or other is not None and dim is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments: keepdim goes with a dim, and neither with "
                        "another tensor")
    if other is not None:
        return FUNCTIONS[f"{name}imum"](x, other, out=out)
    if dim is None:
        found = _extreme(f"a{name}", x.detach(), None, False)
        return store(name, shared_by_equals(found, x, f"{node_name(name)}Backward1"), out)
    return store(name, _with_index(name, x, dim, bool(keepdim)), out, exact=True)


@operator("max")
def max(input: Any, dim: Any = None, keepdim: bool | None = None, *, other: Any = None, out: Any = None) -> Any:
    """The largest value; with ``dim`` values and indices; with another tensor the larger of each pair."""
    return _max_or_min("max", input, dim, keepdim, other, out)


@operator("min")
def min(input: Any, dim: Any = None, keepdim: bool | None = None, *, other: Any = None, out: Any = None) -> Any:
    """The smallest value; with ``dim`` values and indices; with another tensor the smaller of each pair."""
    return _max_or_min("min", input, dim, keepdim, other, out)


def _place(name: str, x: Any, dim: int | None, keepdim: bool) -> Any:
    own = x.spec
    if own.dtype is dtypes.bool:
        raise RuntimeError(f"{name}(): does not support bool input")
    if dim is None:
        if own.numel == 0:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                             "reduction dim with the 'dim' argument.")
        flat = x if own.ndim == 1 else x.detach().reshape(-1)
        index = run(flat, name, (0,), False, own.dtype, aux=dtypes.int64)[1]
        return index.view((1,) * own.ndim) if keepdim else index
    axis = normalize_dim(dim, own.ndim)
    if not own.ndim:
        return empty((), dtypes.int64, own.device).zero_()
    _not_empty(name, x, (axis,))
    return run(x, name, (axis,), keepdim, own.dtype, aux=dtypes.int64)[1]


@operator("argmax")
def argmax(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Where the largest value stands, the first of equal ones: in the flattened tensor, or along ``dim``."""
    return store("argmax", _place("argmax", input, dim, keepdim), out, exact=True)


@operator("argmin")
def argmin(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Where the smallest value stands, the first of equal ones: in the flattened tensor, or along ``dim``."""
    return store("argmin", _place("argmin", input, dim, keepdim), out, exact=True)


def _truth(name: str, x: Any, dim: Any, keepdim: bool, out: Any) -> Any:
    kind = dtypes.uint8 if (x if out is None else out).spec.dtype is dtypes.uint8 else dtypes.bool
    if out is not None and out.spec.dtype not in (dtypes.bool, dtypes.uint8):
        raise RuntimeError(f"{name} only supports bool tensor for result, got: {dtypes.type_name(out.spec.dtype)}")
    return store(name, run(x, name, normalize_dims(dim, x.spec.ndim), keepdim, kind)[0], out)


@operator("all")
def all(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether all elements are true (not zero)."""
    return _truth("all", input, dim, keepdim, out)


@operator("any")
def any(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether some element is true (not zero)."""
    return _truth("any", input, dim, keepdim, out)


@operator("count_nonzero")
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero, as int64."""
    dims = reduced_dims(dim, input.spec.ndim)
    return run(input, "count_nonzero", dims, False, dtypes.int64)[0]


def _spread_of(name: str, x: Any, dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None,
               out: Any = None) -> Any:
    """var and std: of ``(unbiased)`` or ``(dim, unbiased, keepdim)``, or with ``correction``."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}(): expected one of unbiased and correction, but got both")
    correction = float(correction if correction is not None else unbiased is not False)
    kind = x.spec.dtype
    if not kind.differentiable:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    dims = reduced_dims(dim, x.spec.ndim)
    divisor = (prod(x.spec.shape[d] for d in dims) if x.spec.numel else 0) - correction
    if divisor <= 0:
        warnings.warn(f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
                      "(input numel divided by output numel).", stacklevel=4)
    result, _ = run(x, name, dims, keepdim, kind, correction=correction)
    if needs_graph(x):
        saved = Saved(name, [x])

        def backward(g: Any) -> Any:
            inputs, *root = saved.unpack()
            shape = inputs.spec.shape
            centred = inputs - inputs.mean(dims, keepdim=True) if dims else inputs - inputs
            slope = FUNCTIONS["where"](root[0] == 0, 0.0, g / (root[0] * divisor)) if root else (
                g * (2.0 / divisor if divisor else inf))
            return spread(slope, dims, keepdim, shape) * centred
        attach(result, node_name(name), (x,), backward, saved)
        if name == "std":
            saved.add_output(result)
    return store(name, result, out)


@operator("var")
def var(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float | None = None, out: Any = None) -> Any:
    """The variance over dimensions; divided by n - correction (default 1)."""
    return _spread_of("var", input, dim, unbiased, keepdim, correction, out)


@operator("std")
def std(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float | None = None, out: Any = None) -> Any:
    """The standard deviation over dimensions; divided by n - correction (default 1)."""
    return _spread_of("std", input, dim, unbiased, keepdim, correction, out)


def _spread_and_mean(name: str, x: Any, dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None) -> tuple:
    spread = _spread_of(name, x, dim, unbiased, keepdim, correction)
    middle = mean(x, None if isinstance(dim, bool) else dim, keepdim)
    return ends_in(spread, f"{name.capitalize()}Mean"), ends_in(middle, f"{name.capitalize()}Mean")


@operator("var_mean")
def var_mean(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
             correction: float | None = None, out: Any = None) -> tuple:
    """Variance and mean; arguments as in :func:`var`."""
    return store("var_mean", _spread_and_mean("var", input, dim, unbiased, keepdim, correction), out)


@operator("std_mean")
def std_mean(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
             correction: float | None = None, out: Any = None) -> tuple:
    """Standard deviation and mean; arguments as in :func:`std`."""
    return store("std_mean", _spread_and_mean("std", input, dim, unbiased, keepdim, correction), out)


@operator("logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False, *, out: Any = None) -> Any:
    """log(sum(exp(input))) over dimensions, without overflow."""
    x = input if input.spec.dtype.differentiable else cast(input, dtypes.get_default_dtype())
    if dim is not None and names_none(dim) and x.spec.ndim:
        if x.spec.numel:
            raise RuntimeError("logsumexp(): expected dim to name at least one dimension, got none")
        dim = None
    dims = normalize_dims(dim, x.spec.ndim)
    result, _ = run(x, "logsumexp", dims, keepdim, x.spec.dtype)
    if needs_graph(x):
        saved = Saved("logsumexp", [x])

        def backward(g: Any) -> Any:
            values, y = saved.unpack()
            shape = values.spec.shape
            return spread(g, dims, keepdim, shape) * (values - spread(y, dims, keepdim, shape)).exp()
        attach(result, "Logsumexp", (x,), backward, saved)
        saved.add_output(result)
    return store("logsumexp", result, out)


@operator("sum_to_size", function=False)
def sum_to_size(x: Any, *sizes: Any, size: Any = None) -> Any:
    """The sum over the dimensions in which a tensor of this size would be broadcast to x."""
    shape = size if size is not None else sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    if not shape:
        return sum(x)  # of integers int64, also where there is nothing to sum
    own = x.spec.shape
    lead = len(own) - len(shape)
    if lead < 0 or [1 for a, b in zip(own[lead:], shape, strict=True) if b not in (1, a)]:
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(own)}.")
    dims = tuple(range(lead)) + tuple(a + lead for a, b in enumerate(shape) if b == 1 and own[a + lead] != 1)
    result = sum(x, dims, keepdim=True) if dims else x
    return result.view(tuple(shape)) if lead else result
