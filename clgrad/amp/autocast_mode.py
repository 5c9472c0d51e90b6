"""``autocast``: a region in which products run in 16-bit dtypes."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.ops.autocast import converted, kind_of_device, set_enabled, state

_SIXTEEN = (dtypes.float16, dtypes.bfloat16)
_ABSENT = frozenset({"hpu", "ipu", "maia", "mps", "mtia", "privateuseone", "xla", "xpu"})


class autocast:
    """A context manager and decorator: inside, products and convolutions compute in ``dtype``, losses in float32.

    Values are stored in ``dtype`` and accumulated in float32. Call ``backward`` outside.

    Args:
        device_type: "cpu" or "cuda" (any GPU).
        dtype: float16 or bfloat16; default: bfloat16 on CPUs, float16 on GPUs.
        enabled: False makes the region an ordinary one. Default: True.
        cache_enabled: accepted; operands are converted as they are used.

    Raises:
        ValueError: ``device_type`` is no string.
        RuntimeError: an unknown type of device.
    """

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = kind_of_device(device_type)
        self.fast_dtype = state.dtypes[self.device] if dtype is None else dtype
        self._cache_enabled = state.cache if cache_enabled is None else cache_enabled
        if enabled and self.fast_dtype not in _SIXTEEN:
            warnings.warn(f"In {self.device} autocast, but the target dtype is not supported. Disabling autocast. "
                          f"{self.device} autocast only supports dtype of torch.bfloat16, torch.float16 currently.",
                          UserWarning, stacklevel=2)
            enabled = False
        self._enabled = enabled
        self._previous: list[tuple[bool, Any, bool]] = []

    def __enter__(self) -> autocast:
        self._previous.append((state.enabled[self.device], state.dtypes[self.device], state.cache))
        set_enabled(self.device, self._enabled)
        state.dtypes[self.device], state.cache = self.fast_dtype, self._cache_enabled
        return self

    def __exit__(self, *exception: object) -> None:
        enabled, state.dtypes[self.device], state.cache = self._previous.pop()
        set_enabled(self.device, enabled)

    def __call__(self, function: Callable) -> Callable:
        if not callable(function):
            raise TypeError(f"autocast()(func) requires a callable, but got {type(function).__name__}. Did you mean to use "
                            "autocast as a context manager?")

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)
        return inside


def is_autocast_available(device_type: str) -> bool:
    """Whether :class:`autocast` knows a type of device."""
    try:
        kind_of_device(device_type)
    except RuntimeError:
        return False
    return True


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a type of device; False for those of PyTorch's that clgrad has none of."""
    return device_type not in _ABSENT and state.enabled[kind_of_device(device_type)]


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switches autocast on or off for a type of device; with one argument for GPUs."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    set_enabled(device_type, bool(enabled))


def get_autocast_dtype(device_type: str) -> Any:
    """The dtype of products inside of autocast."""
    return state.dtypes[kind_of_device(device_type)]


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Chooses the dtype of products inside of autocast."""
    state.dtypes[kind_of_device(device_type)] = dtype


def is_autocast_cpu_enabled() -> bool:
    """:func:`is_autocast_enabled` for CPUs."""
    return state.enabled["cpu"]


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """:func:`set_autocast_enabled` for CPUs."""
    set_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> Any:
    """:func:`get_autocast_dtype` for CPUs."""
    return state.dtypes["cpu"]


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """:func:`set_autocast_dtype` for CPUs."""
    state.dtypes["cpu"] = dtype


def get_autocast_gpu_dtype() -> Any:
    """:func:`get_autocast_dtype` for GPUs."""
    return state.dtypes["cuda"]


def set_autocast_gpu_dtype(dtype: Any) -> None:
    """:func:`set_autocast_dtype` for GPUs."""
    state.dtypes["cuda"] = dtype


def is_autocast_cache_enabled() -> bool:
    """What was last asked for with ``cache_enabled``."""
    return state.cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Sets what :func:`is_autocast_cache_enabled` says."""
    state.cache = enabled


def clear_autocast_cache() -> None:
    """Nothing to clear: operands are converted as they are used."""


def custom_fwd(fwd: Callable | None = None, *, device_type: str = "cuda", cast_inputs: Any = None) -> Any:
    """For ``forward`` of a :class:`clgrad.autograd.Function`: its inputs in ``cast_inputs``, and autocast off inside.

    Without ``cast_inputs`` the forward pass runs with the autocast state of its caller. :func:`custom_bwd` gives the
    backward pass the same state.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    kind = kind_of_device(device_type)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._dtype, ctx._fwd_used_autocast = state.dtypes[kind], state.enabled[kind]
        if cast_inputs is None or not state.enabled[kind]:
            return fwd(ctx, *args, **kwargs)
        ctx._fwd_used_autocast = False
        args, kwargs = converted(args, kwargs, kind, cast_inputs)
        with autocast(kind, enabled=False):
            return fwd(ctx, *args, **kwargs)
    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str = "cuda") -> Any:
    """For ``backward`` of a :class:`clgrad.autograd.Function`: the autocast state of its :func:`custom_fwd`."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    kind = kind_of_device(device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(kind, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)
    return backward
