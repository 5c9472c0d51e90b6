"""Layers that learn the sizes of their inputs from the first one that they see."""

from __future__ import annotations

from typing import Any

from clgrad.nn.modules import batchnorm, conv, instancenorm, linear
from clgrad.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy


class LazyModuleMixin:
    """Gives a layer parameters without shapes, which :meth:`initialize_parameters` materialises at the first call.

    The layer then becomes an object of ``cls_to_become``. Initial values are drawn at that moment.
    """

    cls_to_become: type | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.register_forward_pre_hook(_infer, with_kwargs=True)  # type: ignore[attr-defined]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialises the parameters for a call's arguments."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of the module itself still waits for its shape."""
        members = (*self._parameters.values(), *self._buffers.values())  # type: ignore[attr-defined]
        return any(is_lazy(member) for member in members)

    def reset_parameters(self) -> None:
        """Draws new initial values, once the parameters have shapes."""
        members = self._parameters.values()  # type: ignore[attr-defined]
        if not any(member is not None and (is_lazy(member) or not member.numel()) for member in members):
            super().reset_parameters()  # type: ignore[misc]

    def _become(self) -> None:
        hooks = self._forward_pre_hooks  # type: ignore[attr-defined]
        for number in [number for number, hook in hooks.items() if hook is _infer]:
            del hooks[number]
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become  # type: ignore[assignment]


def _infer(module: Any, args: tuple, kwargs: dict) -> None:
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {type(module).__name__} has not been fully initialized")
    module._become()


class LazyLinear(LazyModuleMixin, linear.Linear):
    """:class:`Linear` that takes ``in_features`` from its first input.

    >>> import clgrad
    >>> layer = clgrad.nn.LazyLinear(3)
    >>> layer(clgrad.zeros(2, 5)).shape, layer
    (torch.Size([2, 3]), Linear(in_features=5, out_features=3, bias=True))
    """

    cls_to_become = linear.Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(0, 0, False, device, dtype)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input: Any) -> None:
        """Takes ``in_features`` from the last size of the input."""
        self.in_features = input.shape[-1]
        if self.has_uninitialized_params():
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))
            self.reset_parameters()


class _LazyConvXdMixin(LazyModuleMixin):
    """A convolution that takes ``in_channels`` from its first input; other arguments as the convolution's."""

    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        self._begin(out_channels, groups, bias, kernel_size=kernel_size, stride=stride, padding=padding,
                    dilation=dilation, padding_mode=padding_mode, device=device, dtype=dtype)

    def _begin(self, out_channels: int, groups: int, bias: bool, **options: Any) -> None:
        """Makes the convolution of no channels, with parameters that wait for them."""
        super().__init__(0, 0, groups=1, bias=False, **options)
        place: dict[str, Any] = {"device": options["device"], "dtype": options["dtype"]}
        self.weight = UninitializedParameter(**place)
        self.out_channels, self.groups = out_channels, groups
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if bias:
            self.bias = UninitializedParameter(**place)

    dims: int
    transposed: bool
    kernel_size: tuple
    bias: Any

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        """Takes ``in_channels`` from the input (n, c, ...) or (c, ...)."""
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(f"Expected {self.dims + 1}D (unbatched) or {self.dims + 2}D (batched) input to "
                               f"{type(self).__name__}, but got input of size: {list(input.shape)}")
        self.in_channels = input.shape[-self.dims - 1]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        if not self.has_uninitialized_params():
            return
        channels = ((self.in_channels, self.out_channels // self.groups) if self.transposed
                    else (self.out_channels, self.in_channels // self.groups))
        self.weight.materialize((*channels, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class LazyConv1d(_LazyConvXdMixin, conv.Conv1d):
    """:class:`Conv1d` that takes ``in_channels`` from its first input."""

    cls_to_become = conv.Conv1d


class LazyConv2d(_LazyConvXdMixin, conv.Conv2d):
    """:class:`Conv2d` that takes ``in_channels`` from its first input."""

    cls_to_become = conv.Conv2d


class LazyConv3d(_LazyConvXdMixin, conv.Conv3d):
    """:class:`Conv3d` that takes ``in_channels`` from its first input."""

    cls_to_become = conv.Conv3d


class _LazyConvTranspose(_LazyConvXdMixin):
    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                 groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
                 dtype: Any = None):
        self._begin(out_channels, groups, bias, kernel_size=kernel_size, stride=stride, padding=padding,
                    output_padding=output_padding, dilation=dilation, padding_mode=padding_mode, device=device, dtype=dtype)


class LazyConvTranspose1d(_LazyConvTranspose, conv.ConvTranspose1d):
    """:class:`ConvTranspose1d` that takes ``in_channels`` from its first input."""

    cls_to_become = conv.ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, conv.ConvTranspose2d):
    """:class:`ConvTranspose2d` that takes ``in_channels`` from its first input."""

    cls_to_become = conv.ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, conv.ConvTranspose3d):
    """:class:`ConvTranspose3d` that takes ``in_channels`` from its first input."""

    cls_to_become = conv.ConvTranspose3d


class _LazyNormBase(LazyModuleMixin):
    """A normalisation that takes ``num_features`` from its first input; other arguments as the normalisation's."""

    num_features: int
    weight: Any
    bias: Any

    def _forget_sizes(self, affine: bool, bias: bool, track: bool, device: Any, dtype: Any) -> None:
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.affine, self.track_running_stats = affine, track
        if affine:
            self.weight = UninitializedParameter(**place)
            if bias:
                self.bias = UninitializedParameter(**place)
        if track:
            self.running_mean = UninitializedBuffer(**place)
            self.running_var = UninitializedBuffer(**place)

    def initialize_parameters(self, input: Any) -> None:
        """Takes ``num_features`` from the input's channels."""
        rank = getattr(self, "rank", None)
        self.num_features = input.shape[0 if rank is not None and input.ndim == rank + 1 else 1]
        if self.has_uninitialized_params():
            for member in (*self._parameters.values(), *self._buffers.values()):  # type: ignore[attr-defined]
                if is_lazy(member):
                    member.materialize((self.num_features,))
            self.reset_parameters()


class _LazyBatchNorm(_LazyNormBase):
    def __init__(self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, False, track_running_stats, device, dtype)
        self._forget_sizes(affine, bias, track_running_stats, device, dtype)


class LazyBatchNorm1d(_LazyBatchNorm, batchnorm.BatchNorm1d):
    """:class:`BatchNorm1d` that takes ``num_features`` from its first input."""

    cls_to_become = batchnorm.BatchNorm1d


class LazyBatchNorm2d(_LazyBatchNorm, batchnorm.BatchNorm2d):
    """:class:`BatchNorm2d` that takes ``num_features`` from its first input."""

    cls_to_become = batchnorm.BatchNorm2d


class LazyBatchNorm3d(_LazyBatchNorm, batchnorm.BatchNorm3d):
    """:class:`BatchNorm3d` that takes ``num_features`` from its first input."""

    cls_to_become = batchnorm.BatchNorm3d


class _LazyInstanceNorm(_LazyNormBase):
    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, False, track_running_stats, device, dtype)
        self._forget_sizes(affine, bias, track_running_stats, device, dtype)


class LazyInstanceNorm1d(_LazyInstanceNorm, instancenorm.InstanceNorm1d):
    """:class:`InstanceNorm1d` that takes ``num_features`` from its first input."""

    cls_to_become = instancenorm.InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, instancenorm.InstanceNorm2d):
    """:class:`InstanceNorm2d` that takes ``num_features`` from its first input."""

    cls_to_become = instancenorm.InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, instancenorm.InstanceNorm3d):
    """:class:`InstanceNorm3d` that takes ``num_features`` from its first input."""

    cls_to_become = instancenorm.InstanceNorm3d
