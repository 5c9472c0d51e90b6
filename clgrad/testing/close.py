"""``assert_close``: whether two results agree, and if not, where and by how much."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from clgrad.autograd.graph import TensorBase
from clgrad.formats import sparse_coo
from clgrad.from_data import as_tensor
from clgrad.ops.sparse import BY_COLUMNS, BY_ROWS, is_sparse

# Relative and absolute tolerance by dtype; integers have to be equal.
_TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
               "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7)}


def default_tolerances(*inputs: Any, dtype_precisions: Mapping[Any, tuple[float, float]] | None = None
                       ) -> tuple[float, float]:
    """(relative, absolute) tolerance of :func:`assert_close` for tensors or dtypes: the largest that one of them has.

    Args:
        inputs: tensors or dtypes.
        dtype_precisions: tolerances by dtype, in place of the library's.
    """
    kinds = [getattr(value, "dtype", value) for value in inputs]
    return _largest([kind.name for kind in kinds]) if dtype_precisions is None else _largest(kinds, dtype_precisions)


def _largest(kinds: Iterable[Any], tolerances: Mapping[Any, tuple[float, float]] = _TOLERANCES) -> tuple[float, float]:
    known = [tolerances.get(kind, (0.0, 0.0)) for kind in kinds]
    return max(r for r, _ in known), max(a for _, a in known)


class _Rules(NamedTuple):
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool
    allow_subclasses: bool

    def tolerances(self, *kinds: str) -> tuple[float, float]:
        """(relative, absolute): those given, else the largest that the dtypes have."""
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        return _largest(kinds)


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None,
                 atol: float | None = None, equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True,
                 check_layout: bool = True, check_stride: bool = False, msg: str | Callable[[str], str] | None = None
                 ) -> None:
    """Whether ``abs(actual - expected) <= atol + rtol * abs(expected)`` everywhere.

    Args:
        actual, expected: tensors, arrays or numbers, or sequences and mappings of them.
        rtol, atol: both or none. Default by dtype: float32 1.3e-6 and 1e-5, float64 1e-7 and 1e-7, float16 1e-3 and
            1e-5, bfloat16 1.6e-2 and 1e-5; others must be equal.
        equal_nan: two NaN are equal.
        allow_subclasses: tensors of different classes are compared; else TypeError.
        msg: the error's text, or a function that makes it of the text it would have.

    Raises:
        AssertionError: they do not agree in value, shape, or what ``check_*`` asks for.

    >>> import clgrad
    >>> clgrad.testing.assert_close(clgrad.tensor([1., 2.]), clgrad.tensor([1., 2.5]))
    Traceback (most recent call last):
        ...
    AssertionError: Tensor-likes are not close!
    <BLANKLINE>
    Mismatched elements: 1 / 2 (50.0%)
    Greatest absolute difference: 0.5 at index (1,) (up to 1e-05 allowed)
    Greatest relative difference: 0.20000000298023224 at index (1,) (up to 1.3e-06 allowed)
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"rtol and atol must both be specified or both be unspecified, but got rtol={rtol} and "
                         f"atol={atol}")
    rules = _Rules(rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride, allow_subclasses)
    problem = _compare(actual, expected, rules, [])
    if problem is not None:
        raise AssertionError(problem if msg is None else msg(problem) if callable(msg) else msg)


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None,
                    equal_nan: bool = True, msg: str = "") -> None:
    """An old form of :func:`assert_close` that compares values only."""
    warnings.warn("`torch.testing.assert_allclose()` is deprecated since 1.12. Please use `torch.testing.assert_close()` "
                  "instead.", FutureWarning, stacklevel=2)
    assert_close(as_tensor(actual), as_tensor(expected), rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=False,
                 check_dtype=False, msg=msg or None)


def _compare(actual: Any, expected: Any, rules: _Rules, place: list) -> str | None:
    """What is different, or None."""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        return _compare_mappings(actual, expected, rules, place)
    if _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            return _at(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", place)
        for number, (a, b) in enumerate(zip(actual, expected, strict=True)):
            problem = _compare(a, b, rules, [*place, number])
            if problem is not None:
                return problem
        return None
    return _compare_leaves(actual, expected, rules, place)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _at(problem: str, place: list) -> str:
    return problem + (f"\n\nThe failure occurred for item {''.join(f'[{p!r}]' for p in place)}" if place else "")


def _compare_mappings(actual: Mapping, expected: Mapping, rules: _Rules, place: list) -> str | None:
    missing, extra = [k for k in expected if k not in actual], [k for k in actual if k not in expected]
    if missing or extra:
        lines = ["The keys of the mappings do not match:"]
        lines += [f"Missing keys in the actual mapping: {sorted(missing)}"] * bool(missing)
        lines += [f"Additional keys in the actual mapping: {sorted(extra)}"] * bool(extra)
        return _at("\n".join(lines), place)
    for key in expected:
        problem = _compare(actual[key], expected[key], rules, [*place, key])
        if problem is not None:
            return problem
    return None


def _compare_leaves(actual: Any, expected: Any, rules: _Rules, place: list) -> str | None:
    if actual is None or expected is None:
        if actual is expected:
            return None
        return _at(f"None mismatch: {actual} is not {expected}", place)
    if isinstance(actual, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)):
        return None if bool(actual) is bool(expected) else _at(f"Booleans mismatch: {actual} is not {expected}", place)
    if isinstance(actual, numbers.Number) and isinstance(expected, numbers.Number):
        return _compare_numbers(actual, expected, rules, place)
    arrays = (np.ndarray, np.generic)
    if not (isinstance(actual, TensorBase) and isinstance(expected, TensorBase)
            or isinstance(actual, arrays) and isinstance(expected, arrays)) or (
            not rules.allow_subclasses and type(actual) is not type(expected)):
        raise TypeError(_at("No comparison pair was able to handle inputs of type "
                            f"{type(actual)} and {type(expected)}.", place))
    return _compare_tensors(as_tensor(actual), as_tensor(expected), rules, place)


def _compare_numbers(actual: Any, expected: Any, rules: _Rules, place: list) -> str | None:
    kinds = [type(v).__name__ for v in (actual, expected)]
    if rules.check_dtype and type(actual) is not type(expected):
        return _at(f"The (d)types do not match: {type(actual)} != {type(expected)}.", place)
    rtol, atol = rules.tolerances(*[{"float": "float64", "complex": "complex128"}.get(k, k) for k in kinds])
    return None if _is_close(actual, expected, rtol, atol, rules.equal_nan) else _at(
        _number_story(actual, expected, rtol, atol), place)


def _is_close(actual: Any, expected: Any, rtol: float, atol: float, equal_nan: bool) -> bool:
    return bool(_close(np.asarray(actual), np.asarray(expected), rtol, atol, equal_nan))


def _close(actual: np.ndarray, expected: np.ndarray, rtol: float, atol: float, equal_nan: bool) -> np.ndarray:
    with np.errstate(all="ignore"):
        same = actual == expected
        near = np.isfinite(expected) & (np.abs(actual - expected) <= atol + rtol * np.abs(expected))
    both_nan = np.isnan(actual) & np.isnan(expected) if equal_nan else np.zeros_like(same)
    return same | near | both_nan


def _number_story(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    absolute = abs(actual - expected)
    relative = absolute / abs(expected) if expected != 0 else float("inf") if absolute else 0.0
    lines = [f"Scalars are not {'equal' if exact else 'close'}!", "", f"Expected {expected} but got {actual}."]
    for name, value, allowed in (("Absolute", absolute, atol), ("Relative", relative, rtol)):
        lines.append(f"{name} difference: {value}" + ("" if exact else f" (up to {allowed} allowed)"))
    return "\n".join(lines)


def _compare_tensors(actual: Any, expected: Any, rules: _Rules, place: list) -> str | None:
    wanted = [("shape", True), ("layout", rules.check_layout), ("device", rules.check_device), ("dtype", rules.check_dtype)]
    for name, checked in wanted:
        a, b = getattr(actual, name), getattr(expected, name)
        if checked and a != b:
            return _at(f"The values for attribute '{name}' do not match: {a} != {b}.", place)
    if is_sparse(actual) or is_sparse(expected):
        return _compare_sparse(actual, expected, rules, place)
    if rules.check_stride and actual.stride() != expected.stride():
        return _at(f"The values for attribute 'stride()' do not match: {actual.stride()} != {expected.stride()}.", place)
    if actual.is_meta or expected.is_meta:
        return None  # there are no values
    rtol, atol = rules.tolerances(actual.dtype.name, expected.dtype.name)
    a, b = _values(actual), _values(expected)
    close = _close(a, b, rtol, atol, rules.equal_nan)
    if close.all():
        return None
    if not actual.ndim:
        return _at(_number_story(a.item(), b.item(), rtol, atol), place)
    return _at(_tensor_story(a, b, close, rtol, atol), place)


_ARITHMETIC = {"float16": np.float16, "bfloat16": np.float32, "float32": np.float32, "float64": np.float64,
               "complex64": np.complex64, "complex128": np.complex128}


# The parts of sparse tensors, those of compressed layouts but the last as they are.
_PARTS = {sparse_coo: ("_indices", "_values"), **dict.fromkeys(BY_ROWS, ("crow_indices", "col_indices", "_values")),
          **dict.fromkeys(BY_COLUMNS, ("ccol_indices", "row_indices", "_values"))}


def _compare_sparse(actual: Any, expected: Any, rules: _Rules, place: list) -> str | None:
    """The parts of sparse tensors, which have to have the same places; of other layouts the elements."""
    if actual.layout is not expected.layout:
        return _compare_tensors(actual.detach().to_dense(), expected.detach().to_dense(), rules, place)
    if actual.layout is sparse_coo and actual.is_coalesced() != expected.is_coalesced():
        actual, expected = actual.detach().coalesce(), expected.detach().coalesce()
    if actual._nnz() != expected._nnz():
        return _at(f"The number of specified values in sparse tensors does not match: {actual._nnz()} != {expected._nnz()}",
                   place)
    for name in _PARTS[actual.layout]:
        problem = _compare_tensors(getattr(actual, name)(), getattr(expected, name)(), rules, place)
        if problem is not None:
            return f"Sparse tensors differ in their {name.strip('_')}: {problem}"
    return None


def _values(x: Any) -> np.ndarray:
    """The elements in the type in which differences are computed: their own, and int64 for all integers."""
    values = np.array(x.detach().cpu().tolist(), _ARITHMETIC.get(x.dtype.name, np.int64))
    return values.reshape(tuple(x.shape))


def _tensor_story(actual: np.ndarray, expected: np.ndarray, close: np.ndarray, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    with np.errstate(all="ignore"):
        absolute = np.abs(actual - expected)
        relative = absolute / np.abs(expected)
    if absolute.dtype.kind == "i":
        relative = relative.astype(np.float32)
    wrong = int((~close).sum())
    lines = [f"Tensor-likes are not {'equal' if exact else 'close'}!", "",
             f"Mismatched elements: {wrong} / {close.size} ({wrong / close.size:.1%})"]
    for name, values, allowed in (("absolute", absolute, atol), ("relative", relative, rtol)):
        considered = np.where(close, -1 if name == "relative" else 0, values)
        index = np.unravel_index(int(np.argmax(considered)), close.shape)
        where = tuple(int(i) for i in index)
        lines.append(f"Greatest {name} difference: {values[index].item()} at index {where}"
                     + ("" if exact else f" (up to {allowed} allowed)"))
    return "\n".join(lines)
