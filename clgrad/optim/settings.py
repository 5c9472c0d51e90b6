"""Checks of optimizers' settings, alike in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.tensor import Tensor


def check(name: str, value: Any, fits: bool) -> None:
    """ValueError for a setting that is out of its range."""
    if not fits:
        raise ValueError(f"Invalid {name}: {value}")


def check_lr(lr: Any, foreach: bool | None = None, capturable: bool = True) -> None:
    """ValueError for a rate that is negative or not one number."""
    if isinstance(lr, Tensor):
        if foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    check("learning rate", lr, float(lr) >= 0.0)


def check_betas(betas: Sequence[Any]) -> None:
    """ValueError for shares outside of [0, 1)."""
    for place, beta in enumerate(betas):
        check(f"beta parameter at index {place}", beta, 0.0 <= float(beta) < 1.0)


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """RuntimeError for ways of computing that exclude each other."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def plain(group: dict[str, Any]) -> dict[str, Any]:
    """A group's settings with numbers in place of tensors."""
    return {name: float(value) if isinstance(value, Tensor)
            else tuple([float(v) if isinstance(v, Tensor) else v for v in value]) if name == "betas" else value
            for name, value in group.items()}
