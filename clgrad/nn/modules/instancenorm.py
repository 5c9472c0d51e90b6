"""Normalisation of each channel of each sample by its own statistics, or by running ones."""

from __future__ import annotations

import warnings
from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.modules.batchnorm import _NormBase


class _InstanceNorm(_NormBase):
    """Normalises each channel of each sample on its own (Ulyanov et al. 2016).

    Args:
        num_features: channels.
        eps: added to the variance. Default: 1e-5.
        momentum: the new batch's share in the running statistics. Default: 0.1.
        affine: whether there are a learned factor and shift. Default: False.
        track_running_stats: whether running statistics are kept and used in ``eval()``. Default: False.
    """

    rank: int

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 track_running_stats: bool = False, device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def _get_no_batch_dim(self) -> int:
        return self.rank + 1

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool,
                              missing_keys: list, unexpected_keys: list, error_msgs: list) -> None:
        """Says what to do about running statistics in a state of before they were kept on demand only."""
        kept = [name for name in ("running_mean", "running_var") if prefix + name in state_dict]
        if local_metadata.get("version") is None and not self.track_running_stats and kept:
            names, kind = " and ".join(f'"{prefix}{name}"' for name in kept), type(self).__name__
            error_msgs.append(f"Unexpected running stats buffer(s) {names} for {kind} with track_running_stats=False. Remove "
                              f"these keys from the state_dict or, if the statistics are needed, make the {kind} with "
                              "track_running_stats=True.")
            for name in kept:
                state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def _check_input_dim(self, input: Any) -> None:
        if input.ndim not in (self.rank + 1, self.rank + 2):
            raise ValueError(f"expected {self.rank + 1}D or {self.rank + 2}D input (got {input.ndim}D input)")

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape, (n, c, ...) or (c, ...)."""
        self._check_input_dim(input)
        batched = input.ndim == self.rank + 2
        channels = input.shape[1 if batched else 0]
        if channels != self.num_features and self.affine:
            raise ValueError(f"expected input's size at dim={int(batched)} to match num_features "
                             f"({self.num_features}), but got: {channels}.")
        if channels != self.num_features:
            warnings.warn(f"input's size at dim={int(batched)} does not match num_features, which is not used because "
                          "affine=False.", stacklevel=2)
        x = input if batched else input.unsqueeze(0)
        use_input = self.training or not self.track_running_stats
        result = F.instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias, use_input,
                                 0.0 if self.momentum is None else self.momentum, self.eps)
        return result if batched else result.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (n, c, l) or (c, l); arguments as in :class:`_InstanceNorm`."""

    rank = 1


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (n, c, h, w) or (c, h, w); arguments as in :class:`_InstanceNorm`."""

    rank = 2


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (n, c, d, h, w) or (c, d, h, w); arguments as in :class:`_InstanceNorm`."""

    rank = 3
