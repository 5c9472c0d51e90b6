"""Random arguments: for each kind of argument (a tensor, an index, a dimension, ...) how one is drawn.

A kind is a function of ``draw`` (what :func:`hypothesis.strategies.data` draws with) and of the arguments drawn so far,
by name. Most of what it draws is good, so that programs get somewhere; some is just outside, some is far outside, and
some is of another type altogether.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]
Known = dict[str, Any]
Kind = Callable[[Draw, Known], Any]

FLOATS, INTEGERS = ("float32", "float64", "float16", "bfloat16"), ("int64", "int32", "uint8", "int8", "int16")
# A short run keeps to few dtypes and layouts: each one more compiles its own kernels.
LONG = "CLGRAD_EXAMPLES" in os.environ
LAYOUTS = ("plain", "plain", "plain", "transposed", "stepped", "expanded") if LONG else ("plain", "plain", "transposed")
LIMITS = {"int64": 63, "int32": 31, "int16": 15, "int8": 7}


@dataclass(frozen=True)
class Values:
    """A tensor to be made in either library: its values come from a seed."""

    shape: tuple[int, ...]
    dtype: str
    content: str = "normal"  # normal, special (infinities, NaN, extremes), index
    layout: str = "plain"    # plain, transposed, stepped, expanded
    seed: int = 0
    low: int = -4
    high: int = 4            # of integers, both included

    def array(self) -> np.ndarray:
        """The values; bfloat16 as float32."""
        rng = np.random.default_rng(self.seed)
        if self.dtype == "bool":
            return rng.integers(0, 2, self.shape).astype(bool)
        if self.dtype not in FLOATS:
            low = max(self.low, 0) if self.dtype == "uint8" else self.low
            made = rng.integers(low, max(low, self.high) + 1, self.shape).astype(self.dtype)
            if self.content == "special" and self.dtype in LIMITS:
                extremes = np.array([-(1 << LIMITS[self.dtype]), (1 << LIMITS[self.dtype]) - 1, 0, -1], self.dtype)
                made = np.where(rng.random(self.shape) < 0.3, rng.choice(extremes, self.shape), made)
            return np.asarray(made, self.dtype)
        made = rng.normal(0, 2, self.shape)
        if self.content == "special":
            odd = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 3e4, 1e-6], self.shape)
            made = np.where(rng.random(self.shape) < 0.4, odd, made)
        return np.asarray(made, np.float32 if self.dtype == "bfloat16" else self.dtype)

    def make(self, library: Any) -> Any:
        """The tensor of a library."""
        values = self.array()
        if self.layout == "expanded" and values.ndim:
            values = values[..., :1]
        if self.layout == "transposed":
            values = np.ascontiguousarray(values.transpose())
        if self.layout == "stepped" and values.ndim:
            values = np.repeat(values, 2, -1)
        made = library.tensor(values)
        if self.dtype == "bfloat16":
            made = made.to(library.bfloat16)
        if self.layout == "expanded" and values.ndim:
            return made.expand(self.shape)
        if self.layout == "transposed":
            return made.permute(*range(values.ndim - 1, -1, -1)) if values.ndim else made
        return made[..., ::2] if self.layout == "stepped" and values.ndim else made


def chance(draw: Draw, percent: int) -> bool:
    """True in about this share of the cases; false where an example is made simpler."""
    return draw(st.integers(0, 99)) >= 100 - percent


def one(*values: Any) -> Kind:
    """One of these values, the first where an example is made simpler."""
    strategy = st.sampled_from(values)
    return lambda draw, known: draw(strategy)


def shape_of(draw: Draw, least: int = 0, most: int = 4) -> tuple[int, ...]:
    """A small shape, which may have empty dimensions."""
    return tuple(draw(st.lists(st.sampled_from((2, 3, 1, 4, 3, 2, 5, 0)), min_size=least, max_size=most)))


def near(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts with another, most of the time."""
    how = draw(st.integers(0, 9))
    if how < 5:
        return shape
    if how < 7 and shape:
        return shape[draw(st.integers(0, len(shape))):]
    if how < 9 and shape:
        return tuple(1 if draw(st.booleans()) else n for n in shape)
    return shape_of(draw)


def tensor(shape: Callable[[Draw, Known], tuple[int, ...]], dtypes: Sequence[str] | None = None, low: int = -4,
           high: int = 4) -> Kind:
    """A tensor whose shape is ``shape(draw, known)``."""
    def kind(draw: Draw, known: Known) -> Values:
        names = dtypes or _usual(known)
        dtype = draw(st.sampled_from(names))
        content = "special" if chance(draw, 15) else "normal"
        layout = draw(st.sampled_from(LAYOUTS))
        return Values(shape(draw, known), dtype, content, layout, draw(st.integers(0, 99)), low, high)
    return kind


def ordinary(kind: Kind) -> Kind:
    """The same without extremes, which would ask both libraries for all of the memory."""
    return lambda draw, known: replace(kind(draw, known), content="normal")


def _usual(known: Known) -> Sequence[str]:
    first = known.get("first")
    if isinstance(first, Values):  # the same dtype again, mostly
        return (first.dtype,) * 8 + ("float32", "int64")
    if not LONG:
        return ("float32",) * 6 + ("int64", "bool")
    return ("float32",) * 6 + ("int64", "int64", "float64", "float64", "bool", "float16", "bfloat16", "int32", "uint8",
                               "int8", "int16")


def first_shape(known: Known) -> tuple[int, ...]:
    """The shape of the first tensor."""
    first = known.get("first")
    return first.shape if isinstance(first, Values) else ()


def first_tensor(least: int = 0, most: int = 4, dtypes: Sequence[str] | None = None) -> Kind:
    """The tensor that the others follow."""
    make = tensor(lambda draw, known: shape_of(draw, least, most), dtypes)

    def kind(draw: Draw, known: Known) -> Any:
        known["first"] = made = make(draw, known)
        return made
    return kind


def dim(draw: Draw, known: Known) -> int:
    """A dimension of the first tensor."""
    count = len(first_shape(known))
    if chance(draw, 8):
        return draw(st.sampled_from((count, -count - 1, 7, -9, 1 << 40, -(1 << 63))))
    return draw(st.integers(-max(count, 1), max(count, 1) - 1))


def dims(draw: Draw, known: Known) -> Any:
    """None, one dimension, or a tuple of some."""
    how = draw(st.integers(0, 3))
    if how == 0:
        return dim(draw, known)
    chosen = tuple(dim(draw, known) for _ in range(draw(st.integers(0, 3))))
    return chosen if how < 3 else list(chosen)


def index_for(*, flat: bool = False, same_rank: bool = False, vector: bool = False) -> Kind:
    """Indices into the first tensor: into ``dim`` of it, or into all of its elements."""
    def kind(draw: Draw, known: Known) -> Values:
        shape = first_shape(known)
        place = known.get("dim")
        own = shape[place] if isinstance(place, int) and -len(shape) <= place < len(shape) else 1
        size = int(np.prod(shape)) if flat else own
        if vector:
            wanted: tuple[int, ...] = (draw(st.integers(0, 4)),) if not chance(draw, 10) else shape_of(draw, 0, 2)
        elif same_rank:
            wanted = tuple(draw(st.integers(0, n)) if chance(draw, 40) else n for n in shape)
        else:
            wanted = shape_of(draw, 0, 3)
        outside = chance(draw, 12)
        dtype = draw(st.sampled_from(("int64",) * 8 + ("int32", "int16", "float32", "bool")))
        return Values(wanted, dtype, "special" if outside and chance(draw, 20) else "index", "plain",
                      draw(st.integers(0, 99)), low=-size - 1 if outside else -size if flat else 0,
                      high=max(size, 0) if outside else max(size - 1, 0))
    return kind


def number(draw: Draw, known: Known) -> Any:
    """A number of Python's."""
    return draw(st.sampled_from((1, 2, 0, -1, 0.5, -1.5, 3, True, False, 2.0, 100, float("inf"), float("nan"), 1e30, -1e-20)))


def small(draw: Draw, known: Known) -> int:
    """A small integer, as sizes and counts are."""
    return draw(st.sampled_from((1, 2, 3, 0, 4, 2, 1, -1, 5, 20)))


def size(draw: Draw, known: Known) -> Any:
    """One small number, or some."""
    if draw(st.booleans()):
        return small(draw, known)
    return tuple(draw(st.lists(st.sampled_from((1, 2, 3, 0, 1, 2, -1)), min_size=1, max_size=3)))


def shape(draw: Draw, known: Known) -> Any:
    """A shape that fits the first tensor's elements, often."""
    own = first_shape(known)
    count = int(np.prod(own))
    how = draw(st.integers(0, 5))
    if how == 0:
        return own[::-1]
    if how == 1:
        return (-1,)
    if how == 2 and own:
        return (own[0], -1)
    if how == 3:
        return (count, 1)
    return [draw(st.integers(-1, 4)) for _ in range(draw(st.integers(0, 3)))] if how == 4 else near(draw, own)


def tensors(draw: Draw, known: Known) -> Any:
    """A list or tuple of tensors of near shapes."""
    base = shape_of(draw)
    known["first"] = first = tensor(lambda d, k: base)(draw, known)
    others = [tensor(lambda d, k: near(d, base) if chance(d, 20) else base)(draw, known)
              for _ in range(draw(st.integers(0, 2)))]
    made = [first, *others] if not chance(draw, 3) else []
    return made if draw(st.booleans()) else tuple(made)


def with_shape(pattern: str, dtypes: Sequence[str] | None = None) -> Kind:
    """A tensor of a shape such as ``"b i j"``: letters mean the same size throughout a call, mostly; digits themselves."""
    def wanted(draw: Draw, known: Known) -> tuple[int, ...]:
        sizes = known.setdefault("letters", {})
        found = []
        for word in pattern.split():
            if word.isdigit():
                found.append(int(word))
            elif chance(draw, 4):
                found.append(draw(st.integers(0, 3)))
            else:
                if word not in sizes:
                    sizes[word] = draw(st.sampled_from((2, 3, 1, 4, 0) if word.islower() else (5, 6, 4, 8)))
                found.append(sizes[word])
        return tuple(found) if not chance(draw, 4) else tuple(found[1:])
    make = tensor(wanted, dtypes)

    def kind(draw: Draw, known: Known) -> Any:
        made = make(draw, known)
        known.setdefault("first", made)
        return made
    return kind


def optional(kind: Kind, percent: int = 50) -> Kind:
    """The kind, or None."""
    return lambda draw, known: kind(draw, known) if chance(draw, percent) else None


def either(*kinds: Kind) -> Kind:
    """One of some kinds."""
    return lambda draw, known: kinds[draw(st.integers(0, len(kinds) - 1))](draw, known)


flag = one(False, True)
dtype_name = one("float32", "float64", "int64", "int32", "bool", "float16")
same = tensor(lambda draw, known: first_shape(known))
beside = tensor(lambda draw, known: near(draw, first_shape(known)))
operand = either(beside, beside, number)
WRONG = ("text", None, [], {}, (1, "a"), 1.5, -1, object, b"x", True)
