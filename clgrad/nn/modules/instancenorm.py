"""Normalisation of each channel of each sample by its own statistics, or by running ones."""

from __future__ import annotations

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

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape, (n, c, ...) or (c, ...)."""
        batched = input.ndim == self.rank + 2
        if not batched and input.ndim != self.rank + 1:
            raise ValueError(f"expected {self.rank + 1}D or {self.rank + 2}D input (got {input.ndim}D input)")
        channels = input.shape[1 if batched else 0]
        if channels != self.num_features and self.affine:
            raise ValueError(f"expected input's size at dim={int(batched)} to match num_features "
                             f"({self.num_features}), but got: {channels}.")
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
