"""Comparing clgrad with PyTorch: values, shapes, dtypes and classes of errors of the same program in both."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clgrad


def values(t: Any) -> np.ndarray:
    """The elements of either library's tensor, as a float64 or integer array of its shape."""
    return np.array(t.detach().tolist()).reshape(tuple(t.shape))


def assert_same(found: Any, expected: Any, rtol: float = 1e-6, atol: float = 1e-6) -> None:
    """Fails where two results, tensors or numbers or sequences of them, differ in shape, dtype or value."""
    if isinstance(expected, (tuple, list)) and not hasattr(expected, "numel"):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b, rtol, atol)
    elif not hasattr(expected, "stride"):
        assert type(found).__name__ == type(expected).__name__
        assert found == expected or found != found and expected != expected
    else:
        assert tuple(found.shape) == tuple(expected.shape)
        assert str(found.dtype) == str(expected.dtype)
        np.testing.assert_allclose(values(found), values(expected), rtol, atol)


def pair(torch: Any, array: Any, dtype: str | None = None, requires_grad: bool = False) -> tuple[Any, Any]:
    """The same tensor in clgrad and in PyTorch."""
    return tuple(library.tensor(array, dtype=None if dtype is None else getattr(library, dtype),  # type: ignore
                                requires_grad=requires_grad) for library in (clgrad, torch))


def assert_same_error(torch: Any, program: Callable[[Any], Any]) -> None:
    """Fails unless ``program`` raises in clgrad what it raises in PyTorch."""
    with pytest.raises(Exception) as expected:
        program(torch)
    with pytest.raises(Exception) as found:
        program(clgrad)
    assert isinstance(found.value, expected.type), f"{found.value!r} instead of {expected.value!r}"


def _plain(value: Any) -> Any:
    """A result of either library as something that can be compared: values, shapes, dtypes, names."""
    if hasattr(value, "requires_grad") and hasattr(value, "tolist"):
        rounded = np.round(np.array(value.detach().tolist(), np.float64), 4)
        return tuple(value.shape), str(value.dtype), bool(value.requires_grad), rounded.tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tolist()
    if isinstance(value, float):
        return round(value, 4) if value == value else "nan"
    return value if isinstance(value, (int, str, bool, type(None))) else repr(value)


def outcome(library: Any, program: Callable[[Any], Any]) -> Any:
    """What a program returns, or the class of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _plain(program(library))
        except Exception as error:
            return type(error).__name__


def assert_same_outcome(torch: Any, program: Callable[[Any], Any]) -> None:
    """Fails unless a program returns the same in both libraries, or raises the same class of error."""
    found, expected = str(outcome(clgrad, program)), str(outcome(torch, program))
    assert found == expected


class Programs(list[Callable[[Any], Any]]):
    """Programs to be compared; the list is also the decorator that adds one."""

    def __call__(self, program: Callable[[Any], Any]) -> Callable[[Any], Any]:
        self.append(program)
        return program
