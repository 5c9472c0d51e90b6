"""Normalisation of channels by the statistics of a batch, and by running ones."""

from __future__ import annotations

from typing import Any

from clgrad import distributed, dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.creation import ones, tensor, zeros
from clgrad.nn import functional as F
from clgrad.nn import init
from clgrad.nn.modules.module import Module
from clgrad.nn.parameter import Parameter
from clgrad.ops.registry import FUNCTIONS


class _NormBase(Module):
    """Channels' factor and shift, and running statistics: what batch and instance normalisation have in common."""

    _version = 2  # 1: states without num_batches_tracked

    def __init__(self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
                 device: Any, dtype: Any, bias: bool = True):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        if affine:
            self.weight = Parameter(ones(num_features, device=device, dtype=dtype))
        else:
            self.register_parameter("weight", None)
        if affine and bias:
            self.bias = Parameter(zeros(num_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        if track_running_stats:
            self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype))
            self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype))
            self.register_buffer("num_batches_tracked", tensor(0, dtype=dtypes.int64, device=device))
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)

    def reset_running_stats(self) -> None:
        """Sets the running statistics to mean 0 and variance 1."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Sets the running statistics, the factor and the shift to what they were at first."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool,
                              missing_keys: list, unexpected_keys: list, error_msgs: list) -> None:
        """States from before the batches were counted, or without a version, may have no number: the own one stays."""
        key = f"{prefix}num_batches_tracked"
        if (local_metadata.get("version") or 1) < 2 and self.track_running_stats and key not in state_dict:
            state_dict[key] = self.num_batches_tracked.clone()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)

    def extra_repr(self) -> str:
        """Channels and settings."""
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}")


class _BatchNorm(_NormBase):
    """Normalises channels by the batch's statistics while training, by running ones in ``eval()``.

    Args:
        num_features: channels (dimension 1).
        eps: added to the variance. Default: 1e-5.
        momentum: the new batch's share in the running statistics; None for their plain mean. Default: 0.1.
        affine: whether there are a learned factor and shift. Default: True.
        bias: whether there is the shift. Default: True.
        track_running_stats: whether there are running statistics; else the batch's serve always. Default: True.

    Raises:
        ValueError: an input of other dimensions, or one value a channel while training.
        RuntimeError: an input of other channels.
    """

    ranks: tuple[int, ...]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def _check_input_dim(self, input: Any) -> None:
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{rank}D" for rank in self.ranks)
            raise ValueError(f"expected {expected} input (got {input.ndim}D input)")

    def _check_channels(self, input: Any) -> None:
        if input.shape[1] != self.num_features:
            raise RuntimeError(f"running_mean should contain {input.shape[1]} elements not {self.num_features}: "
                               f"{self!r} "
                               f"expected an input of {self.num_features} channels, got {list(input.shape)}")

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        self._check_input_dim(input)
        self._check_channels(input)
        training, share = self.training, 0.0 if self.momentum is None else self.momentum
        if training and self.track_running_stats:
            batches = self.num_batches_tracked
            if batches is not None:
                batches.add_(1)
                if self.momentum is None:
                    share = 1.0 / float(batches)
        mean, var = (self.running_mean, self.running_var) if self.track_running_stats or not training else (None, None)
        return F.batch_norm(input, mean, var, self.weight, self.bias, training or mean is None, share, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (n, c) or (n, c, l); arguments as in :class:`_BatchNorm`.

    Normalises channels by the batch's statistics while training, by running ones in ``eval()``.
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (n, c, h, w); arguments as in :class:`_BatchNorm`.

    Normalises channels by the batch's statistics while training, by running ones in ``eval()``.
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (n, c, d, h, w); arguments as in :class:`_BatchNorm`.

    Normalises channels by the batch's statistics while training, by running ones in ``eval()``.
    """

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of (n, c, ...) by the statistics of the batches of all members of a group; arguments as in
    :class:`_BatchNorm`.

    Args:
        process_group: the group. Default: all processes. Without a group, and in ``eval()``, it is as other batch
            normalisations.

    Gradients pass through the statistics, so all members have to make the backward pass. Members' batches may be of different
    sizes.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None, *,
                 bias: bool = True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Any) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        own = not self.training and self.track_running_stats
        if own or not distributed.is_initialized() or distributed.get_world_size(self.process_group) <= 1:
            return super().forward(input)
        self._check_input_dim(input)
        self._check_channels(input)
        share = 0.0 if self.momentum is None else self.momentum
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                share = 1.0 / float(self.num_batches_tracked)
        return self._together(input, share)

    def _together(self, input: Any, share: float) -> Any:
        """Normalises by all members' batches. First their mean, then the squares of what differs from it: so that a large
        mean costs no digits."""
        kind = input.dtype if input.dtype is dtypes.float64 else dtypes.float32
        x, axes = input.to(kind), [0, *range(2, input.ndim)]
        column = [1, self.num_features, *[1] * (input.ndim - 2)]
        # Sums of the channels, and the number of a channel's elements behind them.
        sums = FUNCTIONS["cat"]([x.sum(axes), ones(1, dtype=kind, device=x.device) * (x.numel() // self.num_features)])
        total = distributed.nn.all_reduce(sums, group=self.process_group)
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = x - mean.view(column)
        var = distributed.nn.all_reduce((centred * centred).sum(axes), group=self.process_group) / count
        if self.training and self.track_running_stats:
            with no_grad():
                if int(count) <= 1:
                    raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var.dtype), share)
        factor = (var + self.eps).rsqrt()
        if self.weight is not None:
            factor = factor * self.weight
        made = centred * factor.view(column)
        return (made if self.bias is None else made + self.bias.view(column)).to(input.dtype)

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: Any = None) -> Any:
        """``module`` with its batch normalisations replaced by ones of this class, with the same tensors."""
        made = module
        if isinstance(module, _BatchNorm):
            made = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats,
                       process_group)
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(made, name, getattr(module, name))
            made.training = module.training
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made
