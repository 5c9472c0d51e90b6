"""Automatic mixed precision: which operators compute in a 16-bit dtype, and which in float32, while autocast is on.

The state belongs to a thread, and has an entry for each type of device. Products, linear layers and convolutions take
their floating-point operands in the chosen dtype (and accumulate in float32); operators that need range or precision
take float32. float64 operands stay as they are, and so do operands on other types of device.
"""

from __future__ import annotations

import threading
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.autograd.listening import switch

LOWER = frozenset((
    "matmul", "mm", "bmm", "mv", "addmm", "addmv", "addr", "addbmm", "baddbmm", "chain_matmul", "linear", "bilinear",
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "scaled_dot_product_attention", "prelu"))
_LOSSES = frozenset((
    "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "ctc_loss", "gaussian_nll_loss",
    "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss", "smooth_l1_loss",
    "soft_margin_loss", "triplet_margin_loss"))
# PyTorch's lists differ between CPUs and GPUs.
FLOAT32 = {
    "cpu": _LOSSES | {
        "avg_pool3d", "binary_cross_entropy", "cdist", "grid_sample", "nanquantile", "prod", "quantile", "trace"},
    "cuda": _LOSSES | {
        "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sinh",
        "tan", "pow", "softplus", "layer_norm", "group_norm", "rms_norm", "softmax", "log_softmax", "softmin", "norm",
        "renorm", "logsumexp", "cosine_similarity", "cdist", "pdist", "dist", "prod", "cumprod", "cumsum", "sum"}}
NAMES = LOWER | FLOAT32["cpu"] | FLOAT32["cuda"]
_DEFAULTS = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16}


class _State(threading.local):
    def __init__(self) -> None:
        self.active = False  # whether it is on for any type of device
        self.enabled = dict.fromkeys(_DEFAULTS, False)
        self.dtypes = dict(_DEFAULTS)
        self.cache = True


state = _State()


def kind_of_device(name: str) -> str:
    """``cpu`` or ``cuda`` (any GPU).

    Raises:
        RuntimeError: another type.
    """
    known = {"cpu": "cpu", "cuda": "cuda", "gpu": "cuda", "cl": "cuda"}.get(name)
    if known is None:
        raise RuntimeError(f"Invalid device string: '{name}'")
    return known


def set_enabled(device_type: str, enabled: bool) -> None:
    """Switches autocast on or off for a type of device."""
    state.enabled[kind_of_device(device_type)] = enabled
    state.active = any(state.enabled.values())
    switch.set(("autocast", threading.get_ident()), state.active)


def _converted(value: Any, kind: str, wanted: Any) -> Any:
    if isinstance(value, TensorBase):
        own = value.spec
        if (own.dtype is wanted or own.dtype is dtypes.float64 or not own.dtype.is_floating_point
                or ("cpu" if own.device.type == "cpu" else "cuda") != kind):  # type: ignore[attr-defined]
            return value
        return value.to(wanted)  # type: ignore[attr-defined]
    if type(value) in (list, tuple):
        return type(value)([_converted(v, kind, wanted) for v in value])
    return value


def converted(args: tuple, kwargs: dict, kind: str, wanted: Any) -> tuple[tuple, dict]:
    """Arguments with the floating-point tensors of a type of device in another dtype."""
    return (tuple([_converted(v, kind, wanted) for v in args]),
            {name: _converted(v, kind, wanted) for name, v in kwargs.items()})


def cast(name: str, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments of an operator as autocast wants them; as they are where no list has its name."""
    if name in NAMES:
        for kind, enabled in state.enabled.items():
            if not enabled:
                continue
            if name in LOWER:
                args, kwargs = converted(args, kwargs, kind, state.dtypes[kind])
            elif name in FLOAT32[kind]:
                args, kwargs = converted(args, kwargs, kind, dtypes.float32)
    return args, kwargs
