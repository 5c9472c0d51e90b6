"""Fourier transforms of short pieces of a signal, one after the other: ``stft``, and the signal of them: ``istft``."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

from clgrad.dtypes import type_name
from clgrad.ops.fourier import fft, ifft, irfft, rfft
from clgrad.ops.padding import constant_pad_nd
from clgrad.ops.padding import pad as pad_edges
from clgrad.ops.registry import FUNCTIONS, operator

_LEAST_OVERLAP = 1e-11  # of windows, below which a signal cannot be told from what they leave


def _told(value: Any) -> str:
    """An argument as messages tell it."""
    return "None" if value is None else str(int(value))


def _window_told(window: Any) -> str:
    return "None" if window is None else f"torch.{type_name(window.spec.dtype)}Tensor{{{list(window.spec.shape)}}}"


def _warn_without_window(advice: str) -> None:
    warnings.warn(f"A window was not provided. A rectangular window will be applied, {advice}. To suppress this warning and "
                  "use a rectangular window, explicitly set `window=torch.ones(n_fft, device=<device>)`.", stacklevel=4)


def _widened(window: Any, x: Any, win_length: int, n_fft: int) -> Any:
    """A window of n_fft values: zeros on both sides, or ones where there is no window. None for ones only."""
    if window is None:
        if win_length == n_fft:
            return None
        window = FUNCTIONS["real"](x).new_ones(win_length)
    before = (n_fft - win_length) // 2
    return constant_pad_nd(window, (before, n_fft - win_length - before)) if win_length < n_fft else window


@operator("stft")
def stft(input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
         center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
         return_complex: bool | None = None, align_to_window: bool | None = None) -> Any:
    """The Fourier transforms (B?, N, T) of T pieces of n_fft samples of signals (B?, L), each times a window.

    Args:
        input: Signals, real or complex.
        n_fft: The length of a piece.
        hop_length: Samples from the beginning of a piece to that of the next. Default: n_fft // 4.
        win_length: The length of the window, in the middle of a piece. Default: n_fft.
        window: (win_length,) factors. Default: ones.
        center: Piece t lies around sample t * hop_length, with samples before and after the signal as ``pad_mode`` of
            ``nn.functional.pad`` makes them. Otherwise it begins there.
        normalized: Divides by the square root of n_fft.
        onesided: N is n_fft // 2 + 1, the other results are the conjugates of these (default for real signals), or n_fft.
        return_complex: Complex numbers, or pairs of real ones (B?, N, T, 2).
        align_to_window: Without ``center``: the window of the first piece, not the piece, begins with the signal.

    Raises:
        RuntimeError: Sizes that do not fit, a real signal without ``return_complex``, half of a complex one.
    """
    n_fft, x = int(n_fft), input
    hop = n_fft // 4 if hop_length is None else int(hop_length)
    length = n_fft if win_length is None else int(win_length)
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    if window is None:
        _warn_without_window("through which frequencies leak into others, other than through torch.hann_window, for example")
    if center:
        padded = pad_edges(x.reshape((1,) * (3 - x.spec.ndim) + x.spec.shape), (n_fft // 2,) * 2, pad_mode)
        x = padded.reshape((*x.spec.shape[:-1], padded.spec.shape[-1]))

    def refuse(reason: str) -> NoReturn:
        raise RuntimeError(
            f"stft(torch.{type_name(x.spec.dtype)}Tensor{list(x.spec.shape)}, n_fft={n_fft}, hop_length={hop}, "
            f"win_length={length}, window={_window_told(window)}, normalized={int(normalized)}, onesided={_told(onesided)}, "
            f"return_complex={_told(return_complex)}, align_to_window={_told(align_to_window)}) : expected {reason}")
    own = x.spec
    is_complex = own.dtype.is_complex or (window is not None and window.spec.dtype.is_complex)
    if return_complex is None and not is_complex:
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further require "
                           "that return_complex=True in a future PyTorch release.")
    if return_complex is False:
        warnings.warn("stft with return_complex=False is deprecated. In a future pytorch release, stft will return complex "
                      "tensors for all inputs, and return_complex=False will raise an error.", stacklevel=3)
    if not own.dtype.differentiable:
        refuse("a tensor of floating point or complex values")
    if not 1 <= own.ndim <= 2:
        refuse("a 1D or 2D tensor")
    if not 0 < n_fft <= own.shape[-1]:
        refuse(f"0 < n_fft < {own.shape[-1]}, but got n_fft={n_fft}")
    if hop <= 0:
        refuse(f"hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        refuse(f"0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and window.spec.shape != (length,):
        refuse(f"a 1D window tensor of size equal to win_length={length}, but got window with size "
               f"{list(window.spec.shape)}")
    if onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if align_to_window:
        x = constant_pad_nd(x, ((n_fft - length) // 2,) * 2)
    factors = _widened(window, x, length, n_fft)
    pieces = x.unfold(-1, n_fft, hop)
    if factors is not None:
        pieces = pieces * factors
    transform = fft if is_complex or onesided is False else rfft
    result = transform(pieces, norm="ortho" if normalized else None).transpose(-1, -2)
    return FUNCTIONS["view_as_real"](result) if return_complex is False else result


@operator("istft")
def istft(input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
          center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
          return_complex: bool = False) -> Any:
    """The inverse of :func:`stft`: signals (B?, L) of transforms (B?, N, T) of their pieces.

    Pieces times the window are added up where they lie, and divided by the sum of the windows' squares there.

    Args:
        input: Complex numbers.
        n_fft, hop_length, win_length, window, center, normalized, onesided: Those that :func:`stft` was given.
        length: L. Default: as far as the pieces reach, with ``center`` to the middle of the last one.
        return_complex: The signals are complex.

    Raises:
        RuntimeError: Sizes that do not fit, or windows that leave samples out.
    """
    n_fft, own = int(n_fft), input.spec
    hop = n_fft // 4 if hop_length is None else int(hop_length)
    width = n_fft if win_length is None else int(win_length)
    if window is None:
        _warn_without_window("which inverts stft only where it had none either")

    def refuse(reason: str, separator: str = " : ") -> NoReturn:
        raise RuntimeError(
            f"istft(CPU{type_name(own.dtype)}Type{list(own.shape)}, n_fft={n_fft}, hop_length={hop}, win_length={width}, "
            f"window={_window_told(window)}, center={int(center)}, normalized={int(normalized)}, onesided={_told(onesided)}, "
            f"length={_told(length)}, return_complex={int(return_complex)}){separator}{reason}")
    if not own.dtype.is_complex:
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with "
                           "return_complex=True.")
    if not own.numel:
        refuse("input tensor cannot be empty.")
    if own.ndim not in (2, 3):
        refuse(f"expected a tensor with 3 or 4 dimensions, but got {own.ndim + 1}")
    lines, pieces = own.shape[-2:]
    half = lines != n_fft if onesided is None else onesided
    if lines != (n_fft // 2 + 1 if half else n_fft):
        expected = "n_fft / 2 + 1 when onesided=True" if half else "n_fft when onesided=False"
        refuse(f"expected the frequency dimension (3rd to the last) of the input tensor to match {expected}, but got {lines}")
    if not 0 < hop <= width:
        refuse("expected 0 < hop_length <= win_length")
    if not 0 < width <= n_fft:
        refuse("expected 0 < win_length <= n_fft")
    if window is not None and window.spec.shape != (width,):
        refuse("Invalid window shape. window has to be 1D and length of `win_length`")
    if return_complex:
        if half:
            raise RuntimeError("Cannot have onesided output if window or input is complex")
    elif window is not None and window.spec.dtype.is_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    factors = _widened(window, input, width, n_fft)
    if factors is None:
        factors = FUNCTIONS["real"](input).new_ones(n_fft)
    norm = "ortho" if normalized else None
    spectra = input.transpose(-1, -2)
    signals = ifft(spectra, norm=norm) if return_complex else irfft(spectra, n_fft, norm=norm)
    whole = n_fft + hop * (pieces - 1)
    start = n_fft // 2 if center else 0
    end = min(whole, whole - start if length is None else start + length)
    signals = _added_up(signals * factors, hop, whole).narrow(-1, start, end - start)
    overlaps = _added_up((factors * factors).expand((pieces, n_fft)), hop, whole).narrow(-1, start, end - start)
    if FUNCTIONS["abs"](overlaps.detach()).min().item() <= _LEAST_OVERLAP:
        refuse("window overlap add min: 1", " ")
    signals = signals / overlaps
    if length is not None and start + length > end:
        warnings.warn("The length of signal is shorter than the length parameter. Result is being padded with zeros in the "
                      "tail. Please check your center and hop_length settings.", stacklevel=3)
        signals = constant_pad_nd(signals, (0, start + length - end))
    return signals


def _added_up(pieces: Any, hop: int, length: int) -> Any:
    """Pieces (..., T, n) added up to (..., length), each ``hop`` after the one before."""
    if pieces.spec.dtype.is_complex:
        parts = [_added_up(part(pieces), hop, length) for part in (FUNCTIONS["real"], FUNCTIONS["imag"])]
        return FUNCTIONS["complex"](*parts)
    lead, n = pieces.spec.shape[:-2], pieces.spec.shape[-1]
    columns = pieces.reshape((-1, *pieces.spec.shape[-2:])).transpose(-1, -2)
    return FUNCTIONS["col2im"](columns, (1, length), (1, n), stride=(1, hop)).reshape((*lead, length))
