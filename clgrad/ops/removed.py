"""Functions that PyTorch removed, and has kept only to say what took their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from clgrad.ops.registry import publish

_SUCCESSORS = {
    "eig": ("torch.linalg.eig(A) or torch.linalg.eigvals(A), whose results are complex", True),
    "lstsq": ("torch.linalg.lstsq(A, B).solution, with the arguments the other way round", True),
    "matrix_rank": ("torch.linalg.matrix_rank(A, hermitian=...)", False),
    "solve": ("torch.linalg.solve(A, B), with the arguments the other way round", True),
    "symeig": ("torch.linalg.eigh(A) or torch.linalg.eigvalsh(A), with UPLO='U' for upper=True", True),
}


def _removed(name: str, successor: str) -> Callable:
    def function(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(f"{name}(): this function was deprecated since version 1.9 and is now removed; use {successor}.")
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Removed: a RuntimeError that names what to use, {successor}."
    return function


for _name, (_successor, _method) in _SUCCESSORS.items():
    publish(_removed(_name, _successor), _name, method=_method)
