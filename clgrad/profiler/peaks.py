"""What a device can do at most: measured once, with clgrad's own kernels, when a share of it is asked for."""

from __future__ import annotations

import weakref
from typing import NamedTuple

from clgrad.creation import empty, ones
from clgrad.ops.registry import FUNCTIONS
from clgrad.runtime import Device, Profile, device

_ELEMENTS, _SIDE, _TRIALS = 1 << 22, 768, 3


class Peak(NamedTuple):
    """Floating-point operations (float32) and bytes a second."""

    flops: float
    bytes: float

    def share(self, flops: int, moved: int, seconds: float) -> float:
        """How much of what the device could do at most was done: of the tighter of the two limits."""
        return max(flops / self.flops, moved / self.bytes) / seconds if seconds > 0 else 0.0


_measured: weakref.WeakKeyDictionary[Device, Peak] = weakref.WeakKeyDictionary()


def peak_of(place: device) -> Peak:
    """The best of a few copies of 16 MiB, and of a few products of matrices; about 50 ms on a CPU, the first time."""
    computing = place.compute
    found = _measured.get(computing)
    if found is None:
        x, y = ones(_ELEMENTS, device=place), empty(_ELEMENTS, device=place)
        a = ones(_SIDE, _SIDE, device=place)
        copied = _best(computing, lambda: y.copy_(x))
        multiplied = _best(computing, lambda: FUNCTIONS["mm"](a, a))
        found = _measured[computing] = Peak(2.0 * _SIDE ** 3 / multiplied, 8.0 * _ELEMENTS / copied)
    return found


def _best(computing: Device, work: object) -> float:
    seconds = []
    for _ in range(_TRIALS):
        with Profile(computing) as recording:
            work()  # type: ignore[operator]
        seconds.append(sum(span.seconds for span in recording.spans()))
    return min(seconds[1:])
