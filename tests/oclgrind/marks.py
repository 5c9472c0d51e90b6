"""How a case is marked with the file whose kernels it reaches, and what cases are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import clgrad as torch

CASES: list[tuple[str, str, Callable[[], None]]] = []
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
rng = np.random.default_rng(7)


def of(file: str, form: str = "both") -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Marks a case of a file; ``form``: cpu or gpu where it runs in that form only."""
    def mark(case: Callable[[], None]) -> Callable[[], None]:
        CASES.append((file, form, case))
        return case
    return mark


def values(*shape: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> torch.Tensor:
    """Numbers that begin one element into their storage: an offset, and nothing behind the last element."""
    count = int(np.prod(shape))
    numbers = rng.normal(size=count + 1) if dtype.is_floating_point else rng.integers(-9, 10, count + 1)
    whole = torch.tensor(numbers).to(dtype)[1:].reshape(shape)
    return whole.detach().requires_grad_(grad)


def positions(high: int, *shape: int) -> torch.Tensor:
    """Indices below ``high``."""
    return torch.tensor(rng.integers(0, high, shape))


def backward(result: torch.Tensor) -> None:
    """The gradients of a result, for a gradient that is not constant."""
    result.backward(values(*result.shape, dtype=result.dtype))


def through_a_chain(*layers: torch.nn.Module, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    """A Sequential that knows its layouts, so that gradients of ReLUs are taken by the layers behind them."""
    net = torch.nn.Sequential(*layers)
    net(values(*shape, dtype=dtype))
    backward(net(values(*shape, dtype=dtype, grad=True)))
