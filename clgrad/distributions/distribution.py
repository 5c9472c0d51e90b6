"""``Distribution``: shapes, validation and what all distributions have."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, update_wrapper
from typing import Any

from clgrad.autograd import enable_grad, no_grad
from clgrad.creation import tensor
from clgrad.distributions import constraints
from clgrad.dtypes import get_default_dtype
from clgrad.info import finfo
from clgrad.ops.registry import FUNCTIONS
from clgrad.sampling import rand, randn
from clgrad.shapes import Size
from clgrad.tensor import Tensor

_NO_SIZES = Size()


class Distribution:
    """Base class of probability distributions.

    Args:
        batch_shape: the shape of independent distributions with parameters of their own.
        event_shape: the shape of one value.
        validate_args: check parameters and values against constraints. Default: as set for the class.

    Raises:
        ValueError: a parameter that does not fit.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: dict[str, Any] = {}
    support: Any = constraints.real
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments where they are not told."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = _NO_SIZES, event_shape: Any = _NO_SIZES, validate_args: bool | None = None):
        # As they are: programs give other things for the event's, a tuple of shapes for one.
        self._batch_shape, self._event_shape = batch_shape, event_shape
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                if constraints.is_dependent(constraint) or name not in self.__dict__:
                    continue
                value = getattr(self, name)
                if not constraints.all_fit(constraint, value.detach()):
                    raise ValueError(f"Expected parameter {name} ({type(value).__name__} of shape "
                                     f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                                     f"{constraint!r}, but found invalid values:\n{value}")

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value."""
        return self._event_shape

    @property
    def mean(self) -> Any:
        """The expected value."""
        raise NotImplementedError

    @property
    def mode(self) -> Any:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Any:
        """The expected squared distance from the mean."""
        raise NotImplementedError

    @property
    def stddev(self) -> Any:
        """The root of the variance."""
        return self.variance.sqrt()

    def sample_n(self, n: int) -> Any:
        """``n`` samples; :meth:`sample` does the same."""
        return self.sample((n,))

    def sample(self, sample_shape: Any = ()) -> Any:
        """Random values of shape sample_shape + batch_shape + event_shape, without gradient."""
        with no_grad():
            return self.rsample(sample_shape).detach()

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Random values that are differentiable by the parameters."""
        raise NotImplementedError

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density or probability at ``value``."""
        raise NotImplementedError

    def cdf(self, value: Any) -> Any:
        """The probability of values up to ``value``."""
        raise NotImplementedError

    def icdf(self, value: Any) -> Any:
        """The value up to which the probability is ``value``."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """The entropy in nats."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values of a discrete distribution along a new first dimension."""
        raise NotImplementedError

    def perplexity(self) -> Any:
        """exp of the entropy."""
        return self.entropy().exp()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with its parameters expanded to another batch shape.

        Raises:
            NotImplementedError: a program's subclass makes its instances itself, and does not expand them.
        """
        batch_shape = Size(batch_shape)
        own: list[Any] = [kind for kind in type(self).__mro__ if kind.__module__.startswith("clgrad.distributions.")]
        made = self._get_checked_instance(next(kind for kind in own if "__init__" in vars(kind)), _instance)
        made.__dict__.update({**self.__dict__, **made.__dict__})  # what a program's subclass has expanded stays
        for name, constraint in own[0].arg_constraints.items():
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                event = value.dim() - len(self._batch_shape)
                event = max(event, 0 if constraints.is_dependent(constraint) else constraint.event_dim)
                made.__dict__[name] = value.expand(batch_shape + tuple(value.shape[value.dim() - event:]))
        made._batch_shape = batch_shape
        return made

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is None and type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom "
                                      "__init__ method must also define a custom .expand() method.")
        return type(self).__new__(type(self)) if _instance is None else _instance

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size(tuple(sample_shape) + tuple(self._batch_shape) + tuple(self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        event = len(self._event_shape)
        if event and tuple(value.shape[-event:]) != tuple(self._event_shape):
            raise ValueError(f"The right-most size of value must match event_shape: {value.shape} vs "
                             f"{self._event_shape}.")
        for i, j in zip(reversed(value.shape), reversed(self._batch_shape + self._event_shape), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs "
                                 f"{Size(self._batch_shape + self._event_shape)}.")
        if not constraints.all_fit(self.support, value.detach()):
            raise ValueError(f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be "
                             f"within the support ({self.support!r}) of the distribution {self!r}, but found invalid "
                             f"values:\n{value}")

    def __repr__(self) -> str:
        names = [name for name in self.arg_constraints if name in self.__dict__]
        parts = [f"{name}: {value.detach() if value.numel() == 1 else value.size()}"
                 for name in names if isinstance(value := self.__dict__[name], Tensor)]
        return f"{type(self).__name__}({', '.join(parts)})"


def broadcast_all(*values: Any) -> list[Any]:
    """Tensors of one shape from tensors and numbers."""
    first = next((v for v in values if isinstance(v, Tensor)), None)
    for v in values:
        if not isinstance(v, (Tensor, int, float)):
            raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing "
                             "__torch_function__.")
    if first is not None and all(isinstance(v, Tensor) and v.shape == first.shape for v in values):
        return list(values)
    kind = get_default_dtype() if first is None else first.dtype
    device = None if first is None else first.device
    return list(FUNCTIONS["broadcast_tensors"](*[
        v if isinstance(v, Tensor) else tensor(v, dtype=kind, device=device) for v in values]))


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Probabilities of unnormalised logarithms."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def clamp_probs(probs: Any) -> Any:
    """Probabilities kept off 0 and 1 by their dtype's resolution."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


@cache
def open_unit(kind: Any) -> tuple[float, float]:
    """Numbers of a dtype next to 0 and 1, between them."""
    info = finfo(kind)
    return info.tiny, 1 - info.eps


def clipped_sigmoid(x: Any) -> Any:
    """The sigmoid, kept off 0 and 1."""
    return x.sigmoid().clamp(*open_unit(x.dtype))


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """Logarithms (binary: log-odds) of probabilities, which are first kept off 0 and 1."""
    eps = finfo(probs.dtype).eps
    return FUNCTIONS["_logit_within" if is_binary else "_log_within"](probs, eps, 1 - eps)


def standard(name: str, like: Any, shape: Any) -> Any:
    """Random numbers of a standard distribution ("rand", "randn"), with the dtype and device of ``like``."""
    return (rand if name == "rand" else randn)(tuple(shape), dtype=like.dtype, device=like.device)


def open_uniform(like: Any, shape: Any) -> Any:
    """Uniform numbers that are neither 0 nor 1."""
    return standard("rand", like, shape).clamp(*open_unit(like.dtype))


def sum_rightmost(value: Any, dims: int) -> Any:
    """The sum over the last ``dims`` dimensions."""
    return value.sum(tuple(range(-dims, 0))) if dims else value


def vec_to_tril_matrix(vec: Any, diag: int = 0) -> Any:
    """Square matrices (..., n, n) whose entries on and below the diagonal ``diag`` are ``vec``, row by row; else 0."""
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * vec.shape[-1] + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if abs(round(n) - n) > finfo(vec.dtype).eps:
        raise ValueError(f"The size of last dimension is {vec.shape[-1]} which cannot be expressed as the lower "
                         "triangular part of a square D x D matrix.")
    size = round(n)
    flat = _lower_places(size, diag, vec)
    zeros = vec.new_zeros((*vec.shape[:-1], size * size))
    return zeros.scatter(-1, flat.expand(vec.shape), vec).reshape((*vec.shape[:-1], size, size))


def tril_matrix_to_vec(mat: Any, diag: int = 0) -> Any:
    """The entries of matrices (..., n, n) on and below the diagonal ``diag``, row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat.reshape((*mat.shape[:-2], n * n)).index_select(-1, _lower_places(n, diag, mat))


def _lower_places(n: int, diag: int, like: Any) -> Any:
    rows, columns = FUNCTIONS["tril_indices"](n, n, diag, device=like.device)
    return rows * n + columns


class lazy_property:
    """A method as an attribute, which is computed when it is first asked for, and kept."""

    def __init__(self, wrapped: Callable[[Any], Any]):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        if instance is None:
            return _LazyOfClass(self.wrapped)
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _LazyOfClass(lazy_property, property):
    """What a class gives for a :class:`lazy_property`: for programs and documentation tools that expect a property."""

    def __init__(self, wrapped: Callable[[Any], Any]):
        property.__init__(self, wrapped)
        self.wrapped = wrapped
