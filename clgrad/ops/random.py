"""Random tensors. A stream is a seed and a counter; the same seed gives the same numbers on every device."""

from __future__ import annotations

import functools
import math
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import Saved, TensorBase, attach, check_in_place, ends_in, mark_changed, needs_graph
from clgrad.formats import preserve_format
from clgrad.kernels import random
from clgrad.ops import pointwise
from clgrad.ops.copying import COPY, empty, empty_as, from_array
from clgrad.ops.output import store
from clgrad.ops.products import constant_of
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator
from clgrad.ops.sorting import sorted_pairs
from clgrad.runtime import device as Device
from clgrad.runtime import settle
from clgrad.shapes import is_dense

_plans: dict[tuple, random.Plan] = {}
_NOT_GIVEN = ...


class Generator:
    """A stream of random numbers.

    >>> import clgrad
    >>> g = clgrad.Generator().manual_seed(7)
    >>> g.initial_seed()
    7
    """

    def __init__(self, device: Any = "cpu"):
        self.device = Device(device)
        self._lock = threading.Lock()
        self._seed, self._counter = 67280421310721, 0

    def manual_seed(self, seed: int) -> Generator:
        """Begins the stream of this seed; returns the generator."""
        if not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError("Overflow when unpacking long long")
        with self._lock:
            self._seed, self._counter = int(seed) % (1 << 64), 0
        return self

    def seed(self) -> int:
        """Begins the stream of a seed from the operating system; returns that seed."""
        chosen = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed."""
        return self._seed

    def get_state(self) -> Any:
        """Seed and position, as a tensor of bytes."""
        data = np.array([self._seed, self._counter], np.uint64).view(np.uint8).copy()
        return from_array(data, dtypes.uint8, Device("cpu"))

    def set_state(self, state: Any) -> Generator:
        """Goes to where :meth:`get_state` was called."""
        if not isinstance(state, TensorBase) or state.spec.dtype is not dtypes.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        data = np.array(state.tolist(), np.uint8)
        if data.size != 16:
            raise RuntimeError("RNG state is wrong size")
        self._seed, self._counter = (int(v) for v in data.view(np.uint64))
        return self

    def clone_state(self) -> Generator:
        """Another generator at the same place of the same stream."""
        return Generator(self.device).set_state(self.get_state())

    graphsafe_get_state = clone_state

    def graphsafe_set_state(self, state: Generator) -> Generator:
        """Goes to where another generator is."""
        return self.set_state(state.get_state())

    def get_offset(self) -> int:
        """The position in the stream."""
        return self._counter

    def set_offset(self, offset: int) -> None:
        """Goes to a position in the stream."""
        self._counter = offset

    def __reduce__(self) -> tuple:
        return _restored, (str(self.device), self._seed, self._counter)

    def take(self, counters: int) -> tuple[int, int]:
        """Seed and first counter of the next ``counters``, which no other call gets."""
        with self._lock:
            first, self._counter = self._counter, self._counter + counters
            return self._seed, first


def _restored(device: str, seed: int, counter: int) -> Generator:
    made = Generator(device)
    made._seed, made._counter = seed, counter
    return made


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Begins the default stream, that of all devices, anew."""
    return default_generator.manual_seed(int(seed))


def _run(kind: str, tensors: tuple, a: float, b: float, generator: Generator | None) -> None:
    """Launches over contiguous tensors of equal size, the outputs last."""
    main = tensors[0]
    n = main.spec.numel
    if n == 0 or not main.spec.device.compute.has_memory:  # then nothing of the stream is used up
        return
    place = main.spec.device.compute
    key = (place, kind, main.spec.dtype, n)
    plan = _plans.get(key)
    if plan is None:
        if main.spec.dtype is dtypes.float64 and not place.limits.fp64:
            raise RuntimeError(f"{place.limits.name} has no float64; use float32")
        plan = _plans[key] = random.plan(place, kind, main.spec.dtype, n)
    seed, first = (generator or default_generator).take(plan.counters)
    place.moves += 1
    a, b = (int(a), random.signed(min(int(b), (1 << 64) - 1))) if kind == "INTEGER" else (float(a), float(b))
    plan(tuple([t.memory.acquire(True) for t in tensors]), tuple([t.offset for t in tensors]), seed, first, a, b)
    if any(t.memory.buffer is None for t in tensors):
        settle()


def fill_random(x: Any, kind: str, a: float, b: float, generator: Generator | None) -> Any:
    """Replaces the contents of ``x`` by random numbers; element i of the row-major order gets number i."""
    check_in_place(x, False)
    mark_changed(x)
    return fill_new(x, kind, a, b, generator)


def fill_new(x: Any, kind: str, a: float, b: float, generator: Generator | None) -> Any:
    """:func:`fill_random` of a tensor that nobody else has.

    Real and imaginary parts are drawn alike; of the normal distribution each has half of the variance ``b ** 2``.
    """
    if x.spec.dtype.is_complex:
        fill_new(FUNCTIONS["view_as_real"](x), kind, a, b * 0.5 ** 0.5 if kind == "NORMAL" else b, generator)
        return x
    if x.spec.contiguous:
        _run(kind, (x,), a, b, generator)
    else:
        dense = empty(x.spec.shape, x.spec.dtype, x.spec.device)
        _run(kind, (dense,), a, b, generator)
        pointwise.run_into(COPY, (dense,), (), x)
    return x


def _replacing(draw: Callable) -> Callable:
    """Registers what fills a tensor with random numbers: the gradient of what was there before is zero."""
    @functools.wraps(draw)
    def filled(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not needs_graph(x):
            return draw(x, *args, **kwargs)
        check_in_place(x, True)
        return x.copy_(draw(empty(x.spec.shape, x.spec.dtype, x.spec.device), *args, **kwargs))
    return operator(draw.__name__, function=False)(filled)


def _floating(name: str, x: Any) -> None:
    if not x.spec.dtype.differentiable:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(x.spec.dtype)}'")


def _continuous(name: str, x: Any, spelled: Callable[[dtypes.dtype], str]) -> None:
    """RuntimeError where a tensor is to hold numbers of a distribution that are not whole."""
    if not x.spec.dtype.is_floating_point:
        raise RuntimeError(f"{name} distribution is a continuous probability distribution. dtype must be a floating point "
                           f"but you specified {spelled(x.spec.dtype)}")


def _lowest(name: str, from_: float, kwargs: dict) -> Any:
    """``from_``, or what is given as ``from``, which no Python function can name among its arguments."""
    if kwargs.keys() - {"from"}:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(kwargs.keys() - {'from'}))}'")
    return kwargs.get("from", from_)


def exact_integers(kind: Any) -> int:
    """The largest integer up to which a dtype holds every one."""
    digits = {"float32": 24, "float64": 53, "float16": 11, "bfloat16": 8, "bool": 1, "uint8": 8,
              "uint16": 16, "uint32": 32}
    found = digits.get(kind.name, 8 * kind.itemsize - 1)
    return 1 << found if kind.is_floating_point else (1 << found) - 1


def _check_limits(kind: Any, low: int, last: int) -> None:
    """RuntimeError where integers from ``low`` to ``last`` are outside of what a dtype holds."""
    if kind is dtypes.bool:
        first, top = 0, 1
    else:
        limits = FUNCTIONS["finfo" if kind.is_floating_point else "iinfo"](kind)
        first, top = limits.min, limits.max
    for name, value in (("from", low), ("to - 1", last)):
        if not first <= value <= top:
            raise RuntimeError(f"{name} is out of bounds for {kind.name}: {value}")
        if kind.is_floating_point and abs(value) > exact_integers(kind):
            warnings.warn(f"{name} is out of bounds [-(2^{exact_integers(kind).bit_length() - 1}), "
                          f"2^{exact_integers(kind).bit_length() - 1}]: {kind.name} does not hold every integer there",
                          UserWarning, stacklevel=3)


@_replacing
def uniform_(x: Any, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None, **kwargs: Any) -> Any:
    """Numbers from [from, to)."""
    low = _lowest("uniform_", from_, kwargs)
    _floating("check_uniform_bounds", x)
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    if to - low > FUNCTIONS["finfo"](x.spec.dtype).max:
        raise RuntimeError(f"uniform_ expects to-from <= {x.spec.dtype}'s largest number, but found to={to} and from={low}")
    return fill_random(x, "UNIFORM", low, to, generator)


@_replacing
def normal_(x: Any, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Any:
    """Normally distributed numbers."""
    _floating("normal_kernel_cpu", x)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return fill_random(x, "NORMAL", mean, std, generator)


@_replacing
def random_(x: Any, from_: int = 0, to: Any = _NOT_GIVEN, *, generator: Generator | None = None, **kwargs: Any) -> Any:
    """Integers from [from, to); ``random_(to)`` from [0, to); without limits, all from 0 that the dtype holds exactly.

    With ``to`` None all from ``from`` on.
    """
    low = _lowest("random_", from_, kwargs)
    kind = x.spec.dtype
    if to is _NOT_GIVEN and low:
        low, to = 0, low
    if to is None or to is _NOT_GIVEN:
        to = exact_integers(kind) + 1
    if low >= to:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={to}")
    _check_limits(kind, low, to - 1)
    return fill_random(x, "INTEGER", low, to - low, generator)


@_replacing
def bernoulli_(x: Any, p: Any = 0.5, *, generator: Generator | None = None) -> Any:
    """1 with probability ``p`` (a number, or a tensor of probabilities), else 0."""
    if isinstance(p, TensorBase):
        return x.copy_(bernoulli(p.expand(x.spec.shape), generator=generator))
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    if x.spec.dtype.is_floating_point:
        return fill_random(x, "BERNOULLI", p, 0, generator)
    made = empty(x.spec.shape, dtypes.float32, x.spec.device)
    return x.copy_(fill_random(made, "BERNOULLI", p, 0, generator))


@operator("bernoulli")
def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None, out: Any = None) -> Any:
    """1 with the probability that each element of ``input`` states, or ``p`` for all, else 0."""
    if p is not None:
        made = bernoulli_(empty(input.spec.shape, input.spec.dtype, input.spec.device), p, generator=generator)
        return store("bernoulli", made if out is None else made.to(out.spec.dtype), out)
    _floating("bernoulli_tensor_cpu_p_", input)
    # Elsewhere than in the host's memory to look at the probabilities would cost a synchronisation.
    if input.spec.device.type == "cpu" and not bool(FUNCTIONS["_is_probability"](input.detach()).all().item()):
        raise RuntimeError("bernoulli: Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    uniform = fill_random(empty(input.spec.shape, input.spec.dtype, input.spec.device), "UNIFORM", 0, 1, generator)
    drawn = uniform.lt(input.detach()).to((input if out is None else out).spec.dtype)
    return store("bernoulli", ends_in(constant_of(drawn, input), "Bernoulli"), out)


def _transformed(row: str, x: Any, *parameters: float) -> Any:
    """``x`` with a row of its numbers in their place."""
    pointwise.run_into(REGISTRY.pointwise[row], (x,), parameters, x)
    return x


@_replacing
def exponential_(x: Any, lambd: float = 1.0, *, generator: Generator | None = None) -> Any:
    """Exponentially distributed numbers of rate ``lambd``."""
    _continuous("Exponential", x, dtypes.type_name)
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _transformed("_exponential", fill_random(x, "UNIFORM", 0, 1, generator), lambd)


@_replacing
def log_normal_(x: Any, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Any:
    """Numbers whose logarithm is normally distributed."""
    _floating("log_normal_cpu", x)
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return normal_(x, mean, std, generator=generator).exp_()


@_replacing
def cauchy_(x: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Any:
    """Cauchy distributed numbers."""
    _continuous("Cauchy", x, dtypes.c_name)
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return _transformed("_cauchy", fill_random(x, "UNIFORM", -0.5, 0.5, generator), median, sigma)


@_replacing
def geometric_(x: Any, p: float, *, generator: Generator | None = None) -> Any:
    """How many trials of probability ``p`` it takes to succeed."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    if x.spec.dtype is dtypes.bool:
        raise NotImplementedError("\"geometric_cpu\" not implemented for 'Bool'")
    made = empty(x.spec.shape, dtypes.float32, x.spec.device)
    return x.copy_(fill_random(made, "UNIFORM", 0, 1, generator).neg_().log1p_().div_(math.log1p(-p)).ceil_())


@operator("normal", method=False)
def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, dtype: Any = None,
           device: Any = None, requires_grad: bool = False, out: Any = None, layout: Any = None,
           pin_memory: bool = False) -> Any:
    """Normally distributed numbers; means and deviations are numbers (with ``size``) or tensors."""
    if not isinstance(std, TensorBase) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if isinstance(std, TensorBase) and bool(std.lt(0).any()):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    if size is None and not isinstance(mean, TensorBase) and not isinstance(std, TensorBase):
        raise TypeError("normal(): where mean and std are numbers, size has to be given")
    if size is not None:
        made = FUNCTIONS["zeros"](size, dtype=dtype, device=device)
        made = normal_(made, mean, std, generator=generator)
        return store("normal", made.requires_grad_() if requires_grad else made, out)
    like: Any = mean if isinstance(mean, TensorBase) else std
    for t in (like, like if out is None else out):
        _floating("normal_kernel_cpu", t)
    shape = FUNCTIONS["broadcast_shapes"](*[t.spec.shape for t in (mean, std) if isinstance(t, TensorBase)])
    made = empty(shape, like.spec.dtype, like.spec.device)
    deviation, middle = (t.detach() if isinstance(t, TensorBase) else t for t in (std, mean))
    drawn = fill_random(made, "NORMAL", 0, 1, generator) * deviation + middle
    given = [t for t in (mean, std) if isinstance(t, TensorBase)]
    node = f"NormalBackward{3 if len(given) == 2 else 1 if given[0] is mean else 2}"
    return store("normal", ends_in(constant_of(drawn, *given), node), out)


def permutation(n: int, generator: Generator | None, place: Any) -> Any:
    """The numbers below n in random order, as int64: the places of random 64-bit keys in their sorted order."""
    keys = fill_random(empty((n,), dtypes.int64, place), "INTEGER", 0, (1 << 63) - 1, generator)
    return sorted_pairs(keys)[1]


@operator("dropout", method=False)
def dropout(input: Any, p: float = 0.5, training: bool = True, train: bool | None = None, inplace: bool = False) -> Any:
    """While training, zeros each element with probability ``p`` and scales the others by 1 / (1 - p)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not (training if train is None else train) or p == 0:
        return input
    if p == 1:
        return input.mul_(False) if inplace else input * False
    if not input.spec.dtype.is_floating_point:
        raise RuntimeError("dropout: result type Float can't be cast to the desired output type "
                           f"{dtypes.type_name(input.spec.dtype)}")
    if inplace:
        keep = bernoulli_(empty(input.spec.shape, input.spec.dtype, input.spec.device), 1 - p)
        return input.mul_(keep.mul_(1 / (1 - p)))
    # Numbers are drawn in the order of memory, which is the same for all three.
    x = input if is_dense(input.spec.shape, input.spec.strides) else input.clone()
    out = empty_as(x.spec, x.spec.dtype, x.spec.device, preserve_format)
    mask = empty_as(x.spec, dtypes.bool, x.spec.device, preserve_format)
    scale = 1 / (1 - p)
    _run("DROPOUT", (x.detach(), out, mask), 1 - p, scale, None)
    if needs_graph(x):
        saved = Saved("dropout", [mask])

        def backward(g: Any) -> Any:
            (kept,) = saved.unpack()
            return FUNCTIONS["where"](kept, g * scale, 0.0)
        attach(out, "NativeDropout", (x,), backward, saved)
    return out
