"""Transforms of tensors.

A tensor in host memory that needs no gradient is worked on as an array, so that data sets can be transformed in processes
that have no device; any other one by the same expressions over tensors, on its device and with gradients. Images are
(..., channels, height, width).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.creation import as_tensor, tensor
from clgrad.ops import copying
from clgrad.runtime import device
from clgrad.tensor import Tensor
from clgrad.vision.transforms.resampling import blur_matrix, resize_matrix

GREY = (0.2989, 0.587, 0.114)


def from_array(values: np.ndarray) -> Any:
    """An array as a tensor of the host that owns it."""
    values = np.ascontiguousarray(values)
    return copying.from_array(values, dtypes.from_numpy(values.dtype), device("cpu"))


def on_host(img: Any) -> bool:
    """Whether a tensor can be worked on as an array."""
    return img.device.type == "cpu" and not img.requires_grad and img.dtype is not dtypes.bfloat16


def work(img: Any, function: Callable[[Any], Any]) -> Any:
    """``function`` of the tensor or of its array; the result is a tensor."""
    return from_array(function(copying.to_array(img))) if on_host(img) else function(img)


def host_work(img: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    """``function`` of the tensor's values as an array, without gradient; the result has the tensor's dtype and device."""
    made = from_array(function(copying.to_array(img.detach())))
    return copying.to(made, dtype=img.dtype, device=img.device)


def like(values: Any, x: Any) -> Any:
    """Constants as an array or, where ``x`` is one, as a tensor beside it."""
    if isinstance(x, Tensor):
        return tensor(np.asarray(values, np.float32).tolist(), dtype=x.dtype if x.is_floating_point() else dtypes.float32,
                      device=x.device)
    return np.asarray(values, x.dtype if x.dtype.kind == "f" else np.float32)


def _float(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x if x.is_floating_point() else x.float()
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def _back(values: Any, x: Any, cut: bool = False, rounded: bool = True) -> Any:
    """Computed values in the dtype of ``x``; integers rounded (``cut``: towards zero), kept in range."""
    top = bound(x)
    if isinstance(x, Tensor):
        if x.is_floating_point():
            return values
        return (values.round() if rounded else values).clamp(0, top).to(x.dtype)
    if x.dtype.kind == "f":
        return values.astype(x.dtype)
    return np.clip(np.rint(values) if rounded else values, 0, top).astype(x.dtype)


def bound(x: Any) -> float:
    """The brightest value of an image's dtype; of a mask of truth values 1."""
    kind: Any = x.dtype if isinstance(x, Tensor) else dtypes.from_numpy(x.dtype)
    return 1.0 if kind.is_floating_point or kind is dtypes.bool else float(np.iinfo(kind.numpy).max)


def normalize(img: Any, mean: Any, std: Any) -> Any:
    """``(img - mean) / std``, channel by channel."""
    def one(x: Any) -> Any:
        shape = (-1, 1, 1)
        return (x - like(mean, x).reshape(shape)) / like(std, x).reshape(shape)
    return work(img, one)


def resize(img: Any, size: tuple[int, int], mode: str, antialias: bool) -> Any:
    """Another height and width."""
    def one(x: Any) -> Any:
        rows = like(resize_matrix(x.shape[-2], size[0], mode, antialias), x)
        columns = like(resize_matrix(x.shape[-1], size[1], mode, antialias), x)
        return _back(rows @ _float(x) @ columns.T, x)
    return work(img, one)


def blur(img: Any, kernel: tuple[int, int], sigma: tuple[float, float]) -> Any:
    """A Gaussian blur; ``kernel`` and ``sigma`` are (along x, along y)."""
    def one(x: Any) -> Any:
        rows = like(blur_matrix(x.shape[-2], kernel[1], sigma[1]), x)
        columns = like(blur_matrix(x.shape[-1], kernel[0], sigma[0]), x)
        return _back(rows @ _float(x) @ columns.T, x)
    return work(img, one)


def flip(img: Any, dim: int) -> Any:
    """Rows or columns in reverse order."""
    return work(img, lambda x: x.flip((dim,)) if isinstance(x, Tensor) else np.flip(x, dim))


def _grey(x: Any) -> Any:
    x = _float(x)
    return GREY[0] * x[..., 0:1, :, :] + GREY[1] * x[..., 1:2, :, :] + GREY[2] * x[..., 2:3, :, :]


def grayscale(img: Any, channels: int) -> Any:
    """Luma of the three channels (ITU-R 601), in one channel or three equal ones."""
    def one(x: Any) -> Any:
        grey = _back(_grey(x) if x.shape[-3] == 3 else _float(x), x, rounded=False)
        if channels == 1:
            return grey
        shape = (*x.shape[:-3], channels, *x.shape[-2:])
        return grey.expand(shape).clone() if isinstance(x, Tensor) else np.broadcast_to(grey, shape)
    return work(img, one)


def _blend(x: Any, other: Any, ratio: float) -> Any:
    mixed = ratio * _float(x) + (1 - ratio) * other
    mixed = mixed.clamp(0, bound(x)) if isinstance(x, Tensor) else np.clip(mixed, 0, bound(x))
    return _back(mixed, x, rounded=False)


def brightness(img: Any, factor: float) -> Any:
    """All values times a factor."""
    return work(img, lambda x: _blend(x, 0.0, factor))


def contrast(img: Any, factor: float) -> Any:
    """Away from, or towards, the mean luma."""
    def one(x: Any) -> Any:
        grey = _grey(x) if x.shape[-3] == 3 else _float(x)
        if bound(x) > 1 and x.shape[-3] == 3:
            grey = grey.floor() if isinstance(grey, Tensor) else np.floor(grey)
        if isinstance(x, Tensor):
            return _blend(x, grey.mean((-3, -2, -1), keepdim=True), factor)
        return _blend(x, grey.mean((-3, -2, -1), keepdims=True), factor)
    return work(img, one)


def saturation(img: Any, factor: float) -> Any:
    """Away from, or towards, grey."""
    if img.shape[-3] == 1:
        return img
    return work(img, lambda x: _blend(x, _back(_grey(x), x, rounded=False), factor))


def sharpness(img: Any, factor: float) -> Any:
    """Away from, or towards, the picture whose inner pixels are smoothed: each with its neighbours, weighed 5 to 1."""
    def one(x: Any) -> Any:
        height, width = x.shape[-2:]
        if min(height, width) <= 2:
            return x
        values = _float(x)
        around = sum(values[..., row:height - 2 + row, column:width - 2 + column] for row in range(3) for column in range(3))
        inner = values[..., 1:-1, 1:-1]
        change = values.new_zeros(values.shape) if isinstance(x, Tensor) else np.zeros_like(values)
        change[..., 1:-1, 1:-1] = _float(_back((around + 4 * inner) / 13, x)) - inner
        return _blend(x, values + change, factor)
    return work(img, one)


def autocontrast(img: Any) -> Any:
    """Each channel stretched to the whole range; one that is flat stays."""
    def one(x: Any) -> Any:
        values = _float(x)
        if isinstance(x, Tensor):
            low, high = values.amin((-2, -1), keepdim=True), values.amax((-2, -1), keepdim=True)
            flat = high.eq(low).to(values.dtype)
        else:
            low, high = values.min((-2, -1), keepdims=True), values.max((-2, -1), keepdims=True)
            flat = (high == low).astype(values.dtype)
        scale = (bound(x) * (1 - flat) + flat) / (high - low + flat)
        return _back(((values - low * (1 - flat)) * scale).clip(0, bound(x)), x, rounded=False)
    return work(img, one)


def invert(img: Any) -> Any:
    """The negative."""
    return work(img, lambda x: _back(bound(x) - _float(x), x))


def gamma(img: Any, value: float, gain: float) -> Any:
    """``gain * x ** gamma`` over values scaled to [0, 1]."""
    def one(x: Any) -> Any:
        top = bound(x)
        scaled = gain * (_float(x) / top) ** value
        scaled = scaled.clamp(0, 1) if isinstance(x, Tensor) else np.clip(scaled, 0, 1)
        return _back(scaled * (1 - 1e-3 + top) if top > 1 else scaled, x, rounded=False)
    return work(img, one)


def hue(img: Any, factor: float) -> Any:
    """The hue turned by ``factor`` of a circle."""
    def one(x: np.ndarray) -> np.ndarray:
        top = bound(x)
        rgb = np.moveaxis(x.astype(np.float32) / top, -3, 0)
        high, low = rgb.max(0), rgb.min(0)
        spread = np.where(high == low, 1, high - low)
        r, g, b = (high - rgb) / spread
        h = np.where(rgb[0] == high, b - g, np.where(rgb[1] == high, 2 + r - b, 4 + g - r))
        h = (np.where(high == low, 0, h) / 6 + 1 + factor) % 1
        s = np.where(high == low, 0, (high - low) / np.where(high == 0, 1, high))
        k = (np.array([5.0, 3.0, 1.0]).reshape(3, *[1] * h.ndim) + h * 6) % 6
        out = high - high * s * np.clip(np.minimum(k, 4 - k), 0, 1)
        out = np.moveaxis(out, 0, -3)
        return np.clip(out * (1 - 1e-3 + top), 0, top).astype(x.dtype) if top > 1 else out.astype(x.dtype)
    return img if img.shape[-3] == 1 else host_work(img, one)


def pad(img: Any, sides: tuple[int, int, int, int], fill: Any, mode: str) -> Any:
    """Borders (left, top, right, bottom); negative ones cut."""
    left, top, right, bottom = sides
    fill = 0 if fill is None else fill
    cut = img[..., max(-top, 0):img.shape[-2] - max(-bottom, 0), max(-left, 0):img.shape[-1] - max(-right, 0)]
    left, top, right, bottom = (max(side, 0) for side in sides)
    name = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric", "constant": "constant"}[mode]
    widths = [(0, 0)] * (img.ndim - 2) + [(top, bottom), (left, right)]

    def one(x: np.ndarray) -> np.ndarray:
        if name != "constant":
            return np.pad(x, widths, name)  # type: ignore[call-overload]
        if isinstance(fill, (tuple, list)) and len(fill) > 1:
            planes = [np.pad(x[..., [n], :, :], widths, constant_values=value) for n, value in enumerate(fill)]
            return np.concatenate(planes, -3)
        return np.pad(x, widths, constant_values=fill[0] if isinstance(fill, (tuple, list)) else fill)
    return host_work(cut, one)


def _looked_up(x: np.ndarray, sy: Any, sx: Any, mode: str, fill: Any) -> np.ndarray:
    """An image's values at rows ``sy`` and columns ``sx``, between pixels where ``mode`` is not nearest; ``fill`` outside."""
    if x.ndim == 2:  # a mask
        return _looked_up(x[None], sy, sx, mode, fill)[0]
    height, width = x.shape[-2:]
    values = x.astype(np.float32)
    if mode == "nearest":
        taps = [(np.rint(sy), np.rint(sx), np.ones_like(sx))]
    else:
        y0, x0 = np.floor(sy), np.floor(sx)
        taps = [(y0 + dy, x0 + dx, (1 - np.abs(sy - y0 - dy)) * (1 - np.abs(sx - x0 - dx))) for dy in (0, 1) for dx in (0, 1)]
    total = np.zeros((*x.shape[:-2], *sx.shape), np.float32)
    cover = np.zeros(sx.shape, np.float32)
    for ty, tx, weight in taps:
        inside = (ty >= 0) & (ty < height) & (tx >= 0) & (tx < width)
        weight = np.where(inside, weight, 0).astype(np.float32)
        picked = values[..., np.clip(ty, 0, height - 1).astype(int), np.clip(tx, 0, width - 1).astype(int)]
        total += picked * weight
        cover += weight
    if fill is not None:  # at the edge what is inside is weighed by its share twice, as in torchvision
        total = total * cover + np.asarray(fill, np.float32).reshape(-1, 1, 1) * (1 - cover)
    return (np.rint(total) if x.dtype.kind != "f" else total).astype(x.dtype)


def affine(img: Any, matrix: Any, size: tuple[int, int], mode: str, fill: Any) -> Any:
    """The image seen through ``matrix``: six numbers that map (x, y) from the middle of the result into the image."""
    def one(x: np.ndarray) -> np.ndarray:
        height, width = x.shape[-2:]
        columns = np.arange(size[1]) - (size[1] - 1) / 2
        rows = np.arange(size[0])[:, None] - (size[0] - 1) / 2
        sx = matrix[0] * columns + matrix[1] * rows + matrix[2] + (width - 1) / 2
        sy = matrix[3] * columns + matrix[4] * rows + matrix[5] + (height - 1) / 2
        return _looked_up(x, sy, sx, mode, fill)
    return host_work(img, one)


def perspective(img: Any, c: Any, mode: str, fill: Any) -> Any:
    """The image seen through eight numbers, see :func:`matrices.perspective_coefficients`; pixels' centres are at halves."""
    def one(x: np.ndarray) -> np.ndarray:
        columns, rows = np.arange(x.shape[-1]) + 0.5, np.arange(x.shape[-2])[:, None] + 0.5
        under = c[6] * columns + c[7] * rows + 1
        return _looked_up(x, (c[3] * columns + c[4] * rows + c[5]) / under - 0.5,
                          (c[0] * columns + c[1] * rows + c[2]) / under - 0.5, mode, fill)
    return host_work(img, one)


def elastic(img: Any, steps: np.ndarray, mode: str, fill: Any) -> Any:
    """Each pixel looked up ``steps`` (height, width, 2) away, along x and y in halves of the image's sides."""
    def one(x: np.ndarray) -> np.ndarray:
        height, width = x.shape[-2:]
        return _looked_up(x, np.arange(height)[:, None] + steps[..., 1] * height / 2,
                          np.arange(width) + steps[..., 0] * width / 2, mode, fill)
    return host_work(img, one)


def convert(img: Any, kind: Any) -> Any:
    """Another dtype, with values scaled to its range."""
    if img.dtype is kind:
        return img
    old_float, new_float = img.dtype.is_floating_point, kind.is_floating_point
    if old_float and new_float:
        return img.to(kind)
    if old_float:
        if kind.itemsize > 4 or (kind.itemsize == 4 and img.dtype is dtypes.float32):
            raise RuntimeError(f"The cast from {img.dtype} to {kind} cannot be performed safely.")
        top = float(np.iinfo(kind.numpy).max)
        return host_work(img, lambda x: x * (top + 1 - 1e-3)).to(kind)
    if new_float:
        if on_host(img) and kind is not dtypes.bfloat16:
            return from_array(copying.to_array(img).astype(kind.numpy) / kind.numpy.type(bound(img)))
        return img.to(kind) / bound(img)
    old_top, new_top = int(bound(img)), int(np.iinfo(kind.numpy).max)
    if old_top > new_top:
        factor = (old_top + 1) // (new_top + 1)
        return host_work(img, lambda x: x // factor).to(kind)
    factor = (new_top + 1) // (old_top + 1)
    return as_tensor(img.to(kind) * factor)
