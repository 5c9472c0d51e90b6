"""``torch.backends.cuda``: float32 products are computed as float32, attention in one way; switches are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from clgrad.cuda import is_available
from clgrad.settings import get_float32_matmul_precision, set_float32_matmul_precision


class _Matmul(SimpleNamespace):
    """Settings of products."""

    @property
    def allow_tf32(self) -> bool:
        """Whether ``torch.set_float32_matmul_precision`` was told something below "highest"."""
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        if not isinstance(allowed, bool):
            raise RuntimeError(f"set_allow_tf32_cublas expects a bool, but got {type(allowed).__name__}")
        set_float32_matmul_precision("high" if allowed else "highest")


matmul = _Matmul(allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True,
                 allow_fp16_accumulation=False, fp32_precision="none")
cufft_plan_cache = SimpleNamespace(size=0, max_size=0)
_kernels = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """Whether GPUs could be used here: those of OpenCL."""
    return is_available()


def preferred_linalg_library(backend: str | None = None) -> str:
    """The library of decompositions: clgrad's own, whatever ``backend`` is asked for.

    Raises:
        RuntimeError: ``backend`` is none of PyTorch's.
    """
    if backend not in (None, "default", "cusolver", "magma", "rocsolver"):
        raise RuntimeError("Unknown input value. Choose from: default, cusolver, magma, rocsolver")
    return "default"


def is_flash_attention_available() -> bool:
    """False: there is one attention kernel, which is not that of flash-attn."""
    return False


def flash_sdp_enabled() -> bool:
    """What :func:`enable_flash_sdp` was told last."""
    return _kernels["flash"]


def enable_flash_sdp(enabled: bool) -> None:
    """Kept: there is one attention kernel."""
    _kernels["flash"] = enabled


def mem_efficient_sdp_enabled() -> bool:
    """What :func:`enable_mem_efficient_sdp` was told last."""
    return _kernels["mem_efficient"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Kept: there is one attention kernel."""
    _kernels["mem_efficient"] = enabled


def math_sdp_enabled() -> bool:
    """What :func:`enable_math_sdp` was told last."""
    return _kernels["math"]


def enable_math_sdp(enabled: bool) -> None:
    """Kept: there is one attention kernel."""
    _kernels["math"] = enabled


def cudnn_sdp_enabled() -> bool:
    """What :func:`enable_cudnn_sdp` was told last."""
    return _kernels["cudnn"]


def enable_cudnn_sdp(enabled: bool) -> None:
    """Kept: there is one attention kernel."""
    _kernels["cudnn"] = enabled


@contextlib.contextmanager
def sdp_kernel(enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True,
               enable_cudnn: bool = True) -> Iterator[dict[str, Any]]:
    """The four switches, set within the block."""
    before = dict(_kernels)
    _kernels.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield {}
    finally:
        _kernels.update(before)
