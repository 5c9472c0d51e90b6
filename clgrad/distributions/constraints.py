"""Constraints: which values a parameter or a sample may have. ``check(value)`` says where they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clgrad.creation import full
from clgrad.dtypes import bfloat16
from clgrad.dtypes import bool as bool_
from clgrad.info import finfo
from clgrad.ops.factorization import cholesky_ex
from clgrad.ops.places import FEW, known_values
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.spectral import eigvalsh
from clgrad.tensor import Tensor

__all__ = [
    "Constraint", "MixtureSameFamilyConstraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property",
    "greater_than", "greater_than_eq", "half_open_interval", "independent", "integer_interval", "interval",
    "is_dependent", "less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative",
    "nonnegative_integer", "one_hot", "positive", "positive_definite", "positive_integer", "positive_semidefinite",
    "real", "real_vector", "simplex", "square", "stack", "symmetric", "unit_interval",
]


class Constraint:
    """Base class.

    Attributes:
        is_discrete: whether the values are isolated.
        event_dim: how many of the last dimensions belong to one value.
    """

    is_discrete = False
    event_dim = 0

    def check(self, value: Any) -> Any:
        """A bool tensor, True where a value fits."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


class _Dependent(Constraint):
    """Depends on other parameters, and is asked for from an instance. What even the instance decides is NotImplemented."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether values are integers; NotImplementedError where that is known of instances only."""
        if self._is_discrete is NotImplemented:
            raise NotImplementedError(".is_discrete cannot be determined statically")
        return self._is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The dimensions of a value; NotImplementedError where they are known of instances only."""
        if self._event_dim is NotImplemented:
            raise NotImplementedError(".event_dim cannot be determined statically")
        return self._event_dim

    def check(self, value: Any) -> Any:
        raise ValueError("Cannot determine validity of dependent constraint")

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> _Dependent:
        """The same with other properties; what is not given stays."""
        return _Dependent(is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
                          event_dim=self._event_dim if event_dim is NotImplemented else event_dim)


class dependent_property(property, _Dependent):
    """A property that is a constraint of an instance."""

    def __init__(self, fn: Any = None, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        super().__init__(fn)
        self._is_discrete, self._event_dim = is_discrete, event_dim

    def __call__(self, fn: Any) -> dependent_property:  # type: ignore[override]
        return dependent_property(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


class independent(Constraint):
    """A constraint on whole blocks of the last dimensions."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Any) -> Any:
        found = self.base_constraint.check(value)
        if found.dim() < self.reinterpreted_batch_ndims:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        return _all_rightmost(found, self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """A value fits where it fits the constraint of every component of a mixture."""

    def __init__(self, base_constraint: Constraint):
        if not isinstance(base_constraint, Constraint):
            raise ValueError(f"base_constraint must be a Constraint, got {type(base_constraint).__name__}")
        self.base_constraint = base_constraint
        self.is_discrete, self.event_dim = base_constraint.is_discrete, base_constraint.event_dim

    def check(self, value: Any) -> Any:
        if value.dim() < self.event_dim:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        found = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return found.reshape((*found.shape[:value.dim() - self.event_dim], -1)).all(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete, event_dim = True, 1

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & value.sum(-1).eq(1)


class interval(Constraint):
    """Between two bounds, both included."""

    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Any) -> Any:
        return FUNCTIONS["_is_within"](value, self.lower_bound, self.upper_bound)

    def __repr__(self) -> str:
        return f"{type(self).__name__.title().replace('_', '')}(lower_bound={self.lower_bound}, " \
               f"upper_bound={self.upper_bound})"


class half_open_interval(interval):
    """Between two bounds, without the upper one."""

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value < self.upper_bound)


class integer_interval(interval):
    """Whole numbers between two bounds, both included."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return FUNCTIONS["_is_whole_within"](value, self.lower_bound, self.upper_bound)


class greater_than(Constraint):
    """Above a bound."""

    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound

    def check(self, value: Any) -> Any:
        return value > self.lower_bound

    def __repr__(self) -> str:
        return f"{type(self).__name__.title().replace('_', '')}(lower_bound={self.lower_bound})"


class greater_than_eq(greater_than):
    """A bound or above."""

    def check(self, value: Any) -> Any:
        return value >= self.lower_bound


class integer_greater_than(greater_than):
    """Whole numbers from a bound on."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.lower_bound)


class less_than(Constraint):
    """Below a bound."""

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return value < self.upper_bound

    def __repr__(self) -> str:
        return f"{type(self).__name__.title().replace('_', '')}(upper_bound={self.upper_bound})"


class integer_less_than(less_than):
    """Whole numbers up to a bound."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value <= self.upper_bound)


class multinomial(Constraint):
    """Counts that are not negative and do not exceed a sum."""

    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _Real(Constraint):
    def check(self, value: Any) -> Any:
        return value == value  # everything but NaN


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Any) -> Any:
        total = value.sum(-1)
        return FUNCTIONS["_is_simplex"](value.amin(-1) if value.shape[-1] else total, total)


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return _all_rightmost(value.tril() == value, 2)


class _LowerCholesky(_LowerTriangular):
    def check(self, value: Any) -> Any:
        return super().check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_LowerCholesky):
    def check(self, value: Any) -> Any:
        tolerance = finfo(value.dtype).eps * value.shape[-1] * 10  # rounding of a row's sum of squares
        unit = ((value.square().sum(-1) - 1).abs() <= tolerance).all(-1)
        return super().check(value) & unit


class _Square(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return full(tuple(value.shape[:-2]), value.shape[-2] == value.shape[-1], dtype=bool_,
                                 device=value.device)


class _Symmetric(_Square):
    def check(self, value: Any) -> Any:
        found = super().check(value)
        if value.shape[-2] != value.shape[-1]:
            return found
        return _all_rightmost(FUNCTIONS["isclose"](value, value.mT, atol=1e-6), 2)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        found = super().check(value)
        if not bool(found.all()):
            return found
        return (eigvalsh(value) >= 0).all(-1)


class _PositiveDefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        found = super().check(value)
        if not bool(found.all()):
            return found
        return cholesky_ex(value)[1] == 0


class _Several(Constraint):
    """Constraints for parts of a value along ``dim``."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0):
        self.cseq, self.dim = list(cseq), dim
        if not all(isinstance(c, Constraint) for c in self.cseq):
            raise TypeError(f"cseq must hold Constraints, got {[type(c).__name__ for c in self.cseq]}")
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)


class cat(_Several):
    """Constraints for the pieces of given ``lengths`` that follow each other along ``dim``."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None):
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise ValueError(f"expected {len(self.cseq)} lengths, got {len(self.lengths)}")

    def check(self, value: Any) -> Any:
        _check_dim("cat", value, self.dim)
        pieces = value.split(self.lengths, self.dim)
        return FUNCTIONS["cat"]([c.check(piece) for c, piece in zip(self.cseq, pieces, strict=True)], self.dim)


class stack(_Several):
    """Constraints for the slices along ``dim``."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0):
        super().__init__(cseq, dim)
        self.event_dim += int(dim < 0 and self.event_dim + dim < 0)

    def check(self, value: Any) -> Any:
        _check_dim("stack", value, self.dim)
        pieces = value.unbind(self.dim)
        return FUNCTIONS["stack"]([c.check(piece) for c, piece in zip(self.cseq, pieces, strict=True)], self.dim)


# Of a constraint by numbers: whether all values fit of which the smallest and the largest are these; both are NaN where any
# is. A subclass may check something else, so it has no entry.
_BY_EXTREMES: dict[type, Callable[[Any, float, float], bool]] = {
    _Real: lambda own, low, high: low == low,
    greater_than: lambda own, low, high: low > own.lower_bound,
    greater_than_eq: lambda own, low, high: low >= own.lower_bound,
    less_than: lambda own, low, high: high < own.upper_bound,
    interval: lambda own, low, high: low >= own.lower_bound and high <= own.upper_bound,
    half_open_interval: lambda own, low, high: low >= own.lower_bound and high < own.upper_bound}


# The same of few values that the host knows, of 32 bits and more: sums of shorter ones are rounded.
_BY_VALUES: dict[type, Callable[[np.ndarray], Any]] = {
    _Simplex: lambda v: (v.min(-1) >= 0).all() and (np.abs(v.sum(-1, dtype=np.float64) - 1) < 1e-6).all(),
    _Boolean: lambda v: ((v == 0) | (v == 1)).all()}


def all_fit(constraint: Any, value: Any) -> bool:
    """Whether a constraint holds for all that is in a tensor, or in a batch of such. Few values are looked at by the host."""
    kind: Any = constraint.__class__
    while kind is independent and value.dim() >= constraint.event_dim:
        constraint = constraint.base_constraint
        kind = constraint.__class__
    if kind is integer_interval and not value.dtype.is_floating_point:
        kind = interval
    known = known_values(value) if 0 < value.numel() <= FEW and value.dtype is not bfloat16 else None
    by_values = _BY_VALUES.get(kind)
    if by_values is not None and known is not None and value.dtype.itemsize > 2 and value.dim() >= kind.event_dim:
        return bool(by_values(known))
    fits = _BY_EXTREMES.get(kind)
    if fits is None or not value.numel() or value.dtype is bool_ or any(
            isinstance(bound, Tensor) for bound in vars(constraint).values()):
        return bool(constraint.check(value).all())
    if known is not None:
        return bool(fits(constraint, known.min(), known.max()))
    low, high = FUNCTIONS["aminmax"](value)
    return fits(constraint, low.item(), high.item())


def _all_rightmost(found: Any, dims: int) -> Any:
    for _ in range(dims):
        found = found.all(-1)
    return found


def _check_dim(name: str, value: Any, dim: int) -> None:
    if not -value.dim() <= dim < value.dim():
        raise ValueError(f"constraints.{name}: dim {dim} does not exist in a value of {value.dim()} dimensions")


dependent = _Dependent()
boolean, one_hot, real, simplex = _Boolean(), _OneHot(), _Real(), _Simplex()
real_vector = independent(real, 1)
positive, nonnegative = greater_than(0.0), greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
positive_integer, nonnegative_integer = integer_greater_than(1), integer_greater_than(0)
lower_triangular, lower_cholesky, corr_cholesky = _LowerTriangular(), _LowerCholesky(), _CorrCholesky()
square, symmetric = _Square(), _Symmetric()
positive_semidefinite, positive_definite = _PositiveSemidefinite(), _PositiveDefinite()


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint has to be asked for from an instance."""
    return isinstance(constraint, _Dependent)
