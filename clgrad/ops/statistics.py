"""Sums without NaN, differences, trapezoids, covariances: compositions."""

from __future__ import annotations

from typing import Any

from clgrad.autograd.graph import TensorBase, ends_in
from clgrad.dtypes import dtype as Dtype
from clgrad.dtypes import get_default_dtype, type_name, uint8
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import normalize_dim


@operator("nansum")
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Dtype | None = None, out: Any = None) -> Any:
    """:func:`sum` of the elements that are not NaN."""
    x = input
    if x.spec.dtype.is_floating_point:
        if dtype is None and out is not None and not out.spec.dtype.is_floating_point:
            raise NotImplementedError(f"\"nansum_cpu\" not implemented for '{type_name(out.spec.dtype)}'")
        x = FUNCTIONS["where"](x.isnan(), 0.0, x)
    result = FUNCTIONS["sum"](x, dim, keepdim, dtype=dtype, out=out)
    return ends_in(result, "Nansum") if out is None and result is not input else result


@operator("nanmean")
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Dtype | None = None, out: Any = None) -> Any:
    """:func:`mean` of the elements that are not NaN; NaN where there are none."""
    if not input.spec.dtype.differentiable:
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype but got "
                           f"{type_name(input.spec.dtype)}")
    counted = input.detach().isnan().logical_not()
    count = FUNCTIONS["sum"](counted, dim, keepdim)
    sums = nansum(input, dim, keepdim, dtype=dtype, out=out)
    return sums / count if out is None else out.div_(count)


@operator("diff")
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *, out: Any = None) -> Any:
    """The differences of neighbours along a dimension, taken ``n`` times; ``prepend`` and ``append`` are put around.

    >>> import clgrad
    >>> clgrad.tensor([1, 4, 9]).diff()
    tensor([3, 5])
    """
    if not input.spec.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = normalize_dim(dim, input.spec.ndim)
    around = [t for t in (prepend, input, append) if t is not None]
    x = FUNCTIONS["cat"](around, axis) if len(around) > 1 and n else input
    if not n:
        return store("diff", x.clone(), out, exact=True)
    for _ in range(min(n, x.spec.shape[axis])):
        size = max(x.spec.shape[axis] - 1, 0)
        ahead, behind = x.narrow(axis, min(1, size), size), x.narrow(axis, 0, size)
        x = ahead.logical_xor(behind) if x.spec.dtype.category == 0 else ahead - behind
    return store("diff", x, out)


@operator("gradient", method=False)
def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple:
    """The slopes of samples along each dimension, by central differences inside and one-sided ones at the ends.

    Args:
        spacing: the step, one for each dimension of ``dim``, or a list of vectors with the samples' places.
        dim: a dimension or several; all by default.
        edge_order: 1 or 2, the order of the differences at the ends.

    >>> import clgrad
    >>> clgrad.gradient(clgrad.tensor([1., 2., 4., 8.]))
    (tensor([1.0000, 1.5000, 3.0000, 4.0000]),)
    """
    own = input.spec
    if own.dtype is uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    spacing = 1 if spacing is None else spacing
    if isinstance(spacing, TensorBase) and not spacing.spec.ndim:
        spacing = spacing.item()
    listed = isinstance(spacing, (list, tuple))
    dims = list(range(own.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if dim is None and listed and len(spacing) == 1 and own.ndim != 1 and not isinstance(spacing[0], TensorBase):
        raise RuntimeError(f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {own.ndim}, "
                           "but got a list of length 1")
    axes = [normalize_dim(d, own.ndim) for d in dims]
    if (repeated := next((axis for n, axis in enumerate(axes) if axis in axes[:n]), None)) is not None:
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims")
    steps = list(spacing) if listed else [spacing] * len(axes)
    if len(steps) != len(axes):
        wanted = (f"a scalar, or a list of length equal to 'self.dim() = {own.ndim}', since dim argument was not given, but "
                  f"got a list of length {len(steps)}" if dim is None else
                  "a scalar or it's spacing and dim arguments to have the same length, but got a spacing argument of length "
                  f"{len(steps)} and a dim argument of length {len(axes)}.")
        raise RuntimeError(f"torch.gradient expected spacing to be unspecified, {wanted}")
    for axis, step in zip(axes, steps, strict=True):
        if isinstance(step, TensorBase) and step.spec.device is not own.device:
            raise RuntimeError("torch.gradient expected each tensor to be on the same device, but got devices "
                               f"{own.device} and {step.spec.device}!")
        if own.shape[axis] <= edge_order:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        if isinstance(step, TensorBase) and step.spec.shape != (own.shape[axis],):
            raise RuntimeError("torch.gradient expected each element of spacing to have one place for each of the "
                               f"{own.shape[axis]} samples of dimension {axis}, but got shape {list(step.spec.shape)}")
    return tuple([_slopes(input, axis, step, edge_order) for axis, step in zip(axes, steps, strict=True)])


def _slopes(x: Any, axis: int, step: Any, edge_order: int) -> Any:
    """The slopes along one dimension, whose samples are ``step`` apart or at the places ``step``."""
    size = x.spec.shape[axis]
    shape = [-1 if a == axis else 1 for a in range(x.spec.ndim)]
    gaps = diff(step).view(shape) if isinstance(step, TensorBase) else step
    slopes = diff(x, dim=axis) / gaps

    def at(values: Any, start: int, count: int) -> Any:
        return values.narrow(axis, start, count) if isinstance(values, TensorBase) else values
    if isinstance(gaps, TensorBase):
        behind, ahead = at(slopes, 0, size - 2), at(slopes, 1, size - 2)
        left, right = at(gaps, 0, size - 2), at(gaps, 1, size - 2)
        # Each of the two slopes weighs as much as the other one's interval is long.
        inside = (behind * right + ahead * left) / (left + right)
    else:
        inside = (at(x, 2, size - 2) - at(x, 0, size - 2)) / (2 * gaps)
    first, last = at(slopes, 0, 1), at(slopes, size - 2, 1)
    if edge_order == 2 and isinstance(gaps, TensorBase):
        first = first + (first - at(slopes, 1, 1)) * (at(gaps, 0, 1) / (at(gaps, 0, 1) + at(gaps, 1, 1)))
        near, beyond = at(gaps, size - 2, 1), at(gaps, size - 3, 1)
        last = last + (last - at(slopes, size - 3, 1)) * (near / (near + beyond))
    elif edge_order == 2:  # over equal steps, which may be zero
        steps = diff(x, dim=axis)
        first, last = ((3 * near - beyond) / (2 * gaps) for near, beyond in (
            (at(steps, 0, 1), at(steps, 1, 1)), (at(steps, size - 2, 1), at(steps, size - 3, 1))))
    return FUNCTIONS["cat"]([first, inside, last], axis)


def _step(name: str, dx: Any) -> Any:
    """A step as a number, which does not take part in promotion as a tensor would."""
    if not isinstance(dx, TensorBase):
        return dx
    if dx.spec.ndim:
        raise TypeError(f"{name}(): argument 'dx' must be Number, not Tensor")
    return dx.item()


def _panels(name: str, y: Any, x: Any, dx: Any, dim: int) -> tuple[Any, int]:
    """Twice the area over each interval, and the dimension."""
    if not y.spec.ndim:
        raise IndexError(f"{name}(): dim {dim} was given, but the tensor has no dimensions")
    axis = normalize_dim(dim, y.spec.ndim)
    size = y.spec.shape[axis]
    pairs = y.narrow(axis, 1, size - 1) + y.narrow(axis, 0, size - 1) if size else y
    if x is None:
        return pairs * _step(name, dx), axis
    if not isinstance(x, TensorBase):
        raise TypeError(f"{name}(): argument 'x' must be Tensor, not {type(x).__name__}")
    if x.spec.ndim == 1 and x.spec.shape[0] != size:
        raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
    if x.spec.ndim == 1:
        x = x.view([-1 if a == axis else 1 for a in range(y.spec.ndim)])
        return pairs * diff(x, dim=axis), axis
    own = axis - y.spec.ndim + x.spec.ndim
    return pairs * diff(x, dim=own), axis


@operator("trapezoid", "trapz", method=False)
def trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral along a dimension by the trapezoidal rule, over places ``x`` or steps ``dx`` (default 1)."""
    if y.spec.ndim and not y.spec.shape[normalize_dim(dim, y.spec.ndim)]:
        shape = [s for a, s in enumerate(y.spec.shape) if a != normalize_dim(dim, y.spec.ndim)]
        return y.new_zeros(shape)
    if y.spec.dtype.category == 0:
        raise RuntimeError("trapezoid: received a bool input for `y`, but bool is not supported")
    if x is None and y.spec.ndim:
        axis = normalize_dim(dim, y.spec.ndim)
        ends = y.select(axis, 0) + y.select(axis, y.spec.shape[axis] - 1)
        return (y.sum(axis) - ends * 0.5) * _step("trapezoid", dx)
    panels, axis = _panels("trapezoid", y, x, dx, dim)
    return panels.sum(axis - y.spec.ndim) / 2.0


@operator("cumulative_trapezoid", method=False)
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The running integrals along a dimension by the trapezoidal rule."""
    if y.spec.dtype.category == 0:
        raise RuntimeError("cumulative_trapezoid: received a bool input for `y`, but bool is not supported")
    panels, axis = _panels("cumulative_trapezoid", y, x, dx, dim)
    return panels.cumsum(axis - y.spec.ndim) / 2.0


def _weights(name: str, w: Any, observations: int) -> Any:
    if w.spec.ndim > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w.spec.ndim} "
                           "dimensions")
    if w.spec.dtype.is_floating_point != (name == "aweights"):
        wanted = "floating point" if name == "aweights" else "integral"
        raise RuntimeError(f"cov(): expected {name} to have {wanted} dtype but got {name} with {w.spec.dtype.name} dtype")
    if w.spec.numel != observations:
        raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations in the input but got "
                           f"{w.spec.numel} != {observations}")
    if w.spec.numel and bool(w.detach().lt(0).any()):
        raise RuntimeError(f"cov(): {name} cannot be negative")
    return w


@operator("cov")
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance matrix of variables (rows) from observations (columns).

    ``fweights`` (integers) say how often an observation was made, ``aweights`` how much it counts.
    """
    own = input.spec
    if own.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {own.ndim} "
                           "dimensions")
    if own.dtype.category == 0:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if own.ndim < 2 else input
    count = x.spec.shape[1]
    w: Any = None
    if fweights is not None:
        w = _weights("fweights", fweights, count)
    if aweights is not None:
        a = _weights("aweights", aweights, count)
        w = a if w is None else w * a
    if not x.spec.dtype.differentiable:
        x = x.to(get_default_dtype())
    if w is None:
        total: Any = count
        centred = x - x.sum(1, keepdim=True) / count
        norm: Any = max(count - correction, 0)
        product = centred @ centred.H
    else:
        total = w.sum()
        centred = x - (x * w).sum(1, keepdim=True) / total
        lost = correction if aweights is None or not correction else correction * (w * aweights).sum() / total
        norm = (total - lost).clamp(min=0)
        product = (centred * w) @ centred.H
    return (product / norm).squeeze() if own.ndim < 2 or x.spec.shape[0] == 1 else product / norm


@operator("corrcoef")
def corrcoef(input: Any) -> Any:
    """The matrix of correlation coefficients of variables (rows) from observations (columns), within [-1, 1]."""
    if input.spec.ndim > 2:
        raise RuntimeError("corrcoef(): expected input to have two or fewer dimensions but got an input with "
                           f"{input.spec.ndim} dimensions")
    c = cov(input)
    if not c.spec.ndim:
        return c / c
    diagonal = c.diagonal()
    deviation = (diagonal.real if c.spec.dtype.is_complex else diagonal).sqrt()
    scaled = c / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    if c.spec.dtype.is_complex:
        return FUNCTIONS["complex"](scaled.real.clamp(-1, 1), scaled.imag.clamp(-1, 1))
    return scaled.clamp(-1, 1)
