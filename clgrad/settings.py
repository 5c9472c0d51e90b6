"""Switches of the whole library that PyTorch has: threads, determinism, precision, default types."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from clgrad.conversion import parse_type
from clgrad.info import set_default_dtype
from clgrad.runtime import device as as_device
from clgrad.runtime import set_default_device

_threads: dict[str, int] = {}
_state: dict[str, Any] = {"deterministic": False, "warn_only": False, "precision": "highest", "warn_always": False}


def set_default_tensor_type(t: Any) -> None:
    """Makes the dtype and device of ``torch.FloatTensor``, ``"torch.cuda.DoubleTensor"`` ... those of new tensors."""
    if isinstance(t, str):
        try:
            kind, on_gpu = parse_type(t)
        except ValueError:
            raise TypeError(f"invalid type object: {t!r}") from None
    else:
        kind, on_gpu = getattr(t, "dtype", None), getattr(t, "on_gpu", False)  # type: ignore[assignment]
        if kind is None:
            raise TypeError(f"invalid type object: {t!r}")
    set_default_dtype(kind)
    set_default_device("cuda" if on_gpu else "cpu")


def get_device_module(device: Any = None) -> Any:
    """The module of functions for a type of device: ``clgrad.cuda``, ``clgrad.cpu`` ...; by default an accelerator's.

    Raises:
        RuntimeError: there is none of that name.
    """
    kind = as_device("cuda" if device is None else device).type
    if kind not in ("cpu", "cuda"):
        raise RuntimeError(f"Invalid device module '{kind}': there are clgrad.cpu and clgrad.cuda")
    return importlib.import_module(f"clgrad.{kind}")


def get_num_threads() -> int:
    """What :func:`set_num_threads` was told, else the number of processors."""
    return _threads.get("intra") or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else
                                        range(os.cpu_count() or 1))


def set_num_threads(threads: int) -> None:
    """Kept for :func:`get_num_threads`. The OpenCL driver has its own threads: PoCL's number is ``POCL_MAX_PTHREAD_COUNT``,
    read when a process starts."""
    _threads["intra"] = _checked_threads("set_num_threads", threads)


def get_num_interop_threads() -> int:
    """What :func:`set_num_interop_threads` was told, else 1: operations run one after the other."""
    return _threads.get("inter", 1)


def set_num_interop_threads(threads: int) -> None:
    """Kept for :func:`get_num_interop_threads`."""
    _threads["inter"] = _checked_threads("set_num_interop_threads", threads)


def _checked_threads(name: str, threads: int) -> int:
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise RuntimeError(f"{name} expects an int, but got {type(threads).__name__}")
    if threads >= 1 << 63:
        raise ValueError("Overflow when unpacking long long")
    if threads <= 0:
        raise RuntimeError(f"{name} expects a positive integer")
    return threads


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Kept: every algorithm here is deterministic."""
    for name, position, value in (("mode", 1, mode), ("warn_only", 2, warn_only)):
        if not isinstance(value, bool):
            raise TypeError(f"_set_deterministic_algorithms(): argument '{name}' (position {position}) must be bool, not "
                            f"{type(value).__name__}")
    _state.update(deterministic=bool(mode), warn_only=warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What :func:`use_deterministic_algorithms` was told."""
    return _state["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The ``warn_only`` of :func:`use_deterministic_algorithms`."""
    return _state["warn_only"]


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 or "default", 1 or "warn", 2 or "error"."""
    names = {"default": 0, "warn": 1, "error": 2}
    level = names.get(debug_mode) if isinstance(debug_mode, str) else debug_mode
    if level not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, 2 or one of {sorted(names)}, but got {debug_mode}")
    use_deterministic_algorithms(level > 0, warn_only=level == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2."""
    return (1 if _state["warn_only"] else 2) if _state["deterministic"] else 0


def set_float32_matmul_precision(precision: str) -> None:
    """"highest", "high" or "medium"; kept: float32 products are computed as float32."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"{precision} is not one of 'highest', 'high', 'medium'")
    _state["precision"] = precision


def get_float32_matmul_precision() -> str:
    """What :func:`set_float32_matmul_precision` was told."""
    return _state["precision"]


def set_flush_denormal(mode: bool) -> bool:
    """False: what happens to denormal numbers is the OpenCL driver's choice."""
    return False


def set_warn_always(b: bool) -> None:
    """Kept for :func:`is_warn_always_enabled`; Python's warning filters decide."""
    _state["warn_always"] = b


def is_warn_always_enabled() -> bool:
    """What :func:`set_warn_always` was told."""
    return _state["warn_always"]


def typename(obj: Any) -> str:
    """The name of a value's type, with its module; a tensor's is like ``torch.FloatTensor``."""
    if hasattr(obj, "layout") and hasattr(obj, "type"):
        return obj.type()
    kind = obj if isinstance(obj, type) or hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", None)
    return kind.__qualname__ if module in (None, "builtins") else f"{module}.{kind.__qualname__}"


def cond(pred: Any, true_fn: Callable, false_fn: Callable, operands: Any = ()) -> Any:
    """``true_fn(*operands)`` where ``pred`` holds, else ``false_fn(*operands)``."""
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("cond(): expected true_fn and false_fn to be callable")
    return (true_fn if bool(pred) else false_fn)(*operands)


def while_loop(cond_fn: Callable, body_fn: Callable, carried_inputs: Any) -> Any:
    """``carried = body_fn(*carried)`` as long as ``cond_fn(*carried)`` holds."""
    carried = tuple(carried_inputs)
    while bool(cond_fn(*carried)):
        result = body_fn(*carried)
        carried = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    return carried
