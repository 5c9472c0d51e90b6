"""Fourier transforms along one dimension: the launcher of ``fft.cl``, and the tables of roots of unity that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device, Kernel
from clgrad.shapes import divide_up, round_up

ODD_RADICES = (3, 5, 7, 11, 13)
MOST_PASSES = 15  # whose radices, of 4 bits each, are one argument
LANES_BYTES = 1 << 22  # of scratch memory, up to which lanes may be sequences
NEAR_BYTES = 1 << 16
LONG = 1 << 15  # from here on a sequence is worth all cores
GRAIN = 1 << 13  # numbers that are worth a work-item of their own on a CPU
GROUP = 64


@cache
def radices_of(n: int) -> tuple[int, ...] | None:
    """The radices of the passes of a transform of length n; None where n has other factors or too many."""
    found, rest = [], n
    for radix in ODD_RADICES:
        while rest % radix == 0:
            found.append(radix)
            rest //= radix
    twos = rest.bit_length() - 1
    if rest != 1 << twos:
        return None
    eights, left = divmod(twos, 3)
    if left == 1 and eights:
        eights, left = eights - 1, 4
    found = [*{0: (), 1: (2,), 2: (4,), 4: (4, 4)}[left], *found, *[8] * eights]
    return tuple(found) if len(found) <= MOST_PASSES else None


def _roots(numerators: np.ndarray, n: int) -> np.ndarray:
    """exp(-2 pi i numerator / n) as (..., 2): the real and the imaginary parts."""
    numerators = numerators % n
    angles = np.where(numerators > n // 2, numerators - n, numerators) * (-2 * np.pi / n)
    return np.stack([np.cos(angles), np.sin(angles)], -1)


class Table(NamedTuple):
    """A table of numbers by what it depends on. ``kind``: "passes", "spectrum", or what elements are multiplied by."""

    kind: str
    n: int
    lanes: int = 1  # of residues, where the last pass is one between lanes

    def array(self) -> np.ndarray:
        """The numbers, float64."""
        if self.kind == "passes":
            return self._passes()
        if self.kind == "spectrum":
            return self._spectrum()
        factors = np.ones(self.n, np.complex128)
        if "halves" in self.kind:
            factors[1:(self.n + 1) // 2] = 2
        if "chirp" in self.kind:
            factors *= _chirp(self.n)
        if "conjugate" in self.kind:
            factors *= _chirp(self.n).conj()
        return factors.view(np.float64)

    def _passes(self) -> np.ndarray:
        m = self.n // self.lanes
        parts, rest = [np.zeros(2)], m  # a buffer holds something
        for radix in radices_of(m) or ():
            size, rest = rest, rest // radix
            roots = _roots(np.arange(radix), radix) * (1, -1)
            parts += [roots, _roots(np.arange(rest)[:, None] * np.arange(1, radix), size)]
        if self.lanes > 1:
            parts.append(np.moveaxis(_roots(np.arange(m)[:, None] * np.arange(self.lanes), self.n), -1, 1))
        return np.concatenate([part.reshape(-1) for part in parts[1:] + parts[:1]])

    def _spectrum(self) -> np.ndarray:
        """The transform of exp(pi i j^2 / n), -n < j < n, over the length of the convolution."""
        m, chirp = convolution_length(self.n), _chirp(self.n).conj()
        wave = np.zeros(m, np.complex128)
        wave[:self.n] = chirp
        wave[m - self.n + 1:] = chirp[:0:-1]
        return (np.fft.fft(wave) / m).view(np.float64)


class Fold(NamedTuple):
    """The table of what makes halves of spectra of n real numbers, see ``fft_ends.clh``, of transforms of half the length.

    ``split``: there they go, otherwise they come from there. ``doubled``: they count twice, as in :class:`Ends`.
    """

    n: int
    split: bool
    inverse: bool
    doubled: bool

    def array(self) -> np.ndarray:
        """The numbers, float64."""
        turns = -1j * _roots(np.arange(self.n // 4 + 1), self.n).view(np.complex128).reshape(-1)
        if self.split == self.inverse:
            turns = -turns
        if self.inverse:
            turns = turns.conj()
        turns[0] = 1
        return (turns if self.doubled else turns / 2).view(np.float64)


def _chirp(n: int) -> np.ndarray:
    """exp(-pi i j^2 / n), by which Bluestein's transform multiplies before and after a convolution."""
    return _roots(np.arange(n) ** 2, 2 * n).view(np.complex128).reshape(-1)


@cache
def convolution_length(n: int) -> int:
    """The shortest length with few radices that holds a cyclic convolution of n numbers with 2 n - 1."""
    power = 1 << (2 * n - 2).bit_length()
    return min(length for length in (power, power * 3 // 4, power * 5 // 8) if length >= 2 * n - 1)


class Step(NamedTuple):
    """Launches of a transform. Their operands are x, the tables and y, a contiguous [outer][n_out][inner] of ``shape``."""

    plan: Plan
    tables: tuple[Table | Fold, ...]
    shape: tuple[int, int, int]
    real: bool  # y holds real numbers


class Ends(NamedTuple):
    """What a transform reads and stores. ``n_out``: results, of which there are as many as the length or fewer.

    ``real_in``: real numbers come in; ``real_out``: only the real parts of the results are stored. ``halves_in``,
    ``halves_out``: the numbers that come in, or the results, stand for their conjugates at the other end as well, so that all
    but those at 0 and, for even lengths, in the middle count twice.
    """

    n_out: int
    real_in: bool = False
    real_out: bool = False
    halves_in: bool = False
    halves_out: bool = False


def steps(device: Device, kind: dtype, shape: tuple[int, int, int], n: int, ends: Ends, *, inverse: bool,
          scale: float) -> list[Step]:
    """The transforms of length n of the middle one of contiguous [outer][n_in][inner], times ``scale``.

    ``kind`` is the dtype of real numbers, and of real and imaginary parts. After the n_in <= n numbers come zeros.
    ``inverse``: exp(+2 pi i j k / n).
    """
    outer, n_in, inner = shape
    n_out, real_in, real_out, halves_in, halves_out = ends
    transform = partial(_Transform, device=device, kind=kind, outer=outer, inner=inner)
    if _folds(device, shape, n, ends):
        fold = Fold(n, real_in, inverse, halves_out if real_in else halves_in)
        lengths = (n_in // 2, n // 2, n_out) if real_in else (n_in, n // 2, n_out // 2)
        return [transform(lengths=lengths, inners=(1, 1), swaps=(inverse, inverse), scale=scale, real_in=2 * real_in,
                          before=None if real_in else fold, after=fold if real_in else None, real_out=2 * real_out).step()]
    if radices_of(n) is not None:
        return [transform(lengths=(n_in, n, n_out), inners=(inner, inner), swaps=(inverse, inverse), scale=scale,
                          before=Table("halves", n) if halves_in else None, real_in=real_in,
                          after=Table("halves", n) if halves_out else None, real_out=real_out).step()]
    m = convolution_length(n)
    return [transform(lengths=(n_in, m, m), inners=(inner, 1), swaps=(inverse, True), scale=1.0, real_in=real_in,
                      before=Table("chirp of halves" if halves_in else "chirp", n), after=Table("spectrum", n)).step(),
            transform(lengths=(m, m, n_out), inners=(1, inner), swaps=(False, not inverse), scale=scale, real_out=real_out,
                      after=Table("conjugate of halves" if halves_out else "conjugate", n)).step()]


def _folds(device: Device, shape: tuple[int, int, int], n: int, ends: Ends) -> bool:
    """Whether real numbers, on one side, are taken two by two, so that the transform is half as long."""
    outer, n_in, inner = shape
    half = n // 2 + 1
    is_whole = (ends.real_in and n_in % 2 == 0 and ends.n_out == half) or (ends.real_out and n_in == half and ends.n_out == n)
    return (device.is_cpu and inner == 1 and n % 2 == 0 and is_whole and radices_of(n // 2) is not None
            and (n < LONG or outer >= 2 * device.limits.compute_units))


class _Whole(Plan):
    """One launch, which has scratch memory as its last buffer."""

    __slots__ = ("scratch",)

    def __init__(self, device: Device, bound: Bound, scratch: int, cost: tuple[int, int]):
        super().__init__(device, bound, cost)
        self.scratch = scratch

    def __call__(self, buffers: tuple, offsets: tuple, scalars: tuple = ()) -> None:
        block = self.device.allocate(self.scratch)
        self.device.run(self.bound, (*buffers, block.buffer), offsets)  # type: ignore[arg-type]
        block.release()


class _Passes(Plan):
    """A launch for each pass, with the places of its buffers among the operands; scratch memory is the last of each."""

    __slots__ = ("launches", "scratch")

    def __init__(self, device: Device, launches: list[tuple[Bound, tuple[int, ...]]], scratch: int, cost: tuple[int, int]):
        super().__init__(device, None, cost)
        self.launches, self.scratch = launches, scratch

    def __call__(self, buffers: tuple, offsets: tuple, scalars: tuple = ()) -> None:
        block = self.device.allocate(self.scratch)
        for bound, places in self.launches:
            self.device.run(bound, (*[buffers[place] for place in places], block.buffer),
                            tuple([offsets[place] for place in places]))
        block.release()


@dataclass(frozen=True)
class _Transform:
    """A transform whose length has only the radices' factors. ``lengths``: of the input, of the transform and of the result;
    ``inners``, ``swaps``: of the input and of the result."""

    device: Device
    kind: dtype
    outer: int
    inner: int
    lengths: tuple[int, int, int]
    inners: tuple[int, int]
    swaps: tuple[bool, bool]
    scale: float
    before: Table | Fold | None = None
    after: Table | Fold | None = None
    real_in: int = 0  # REAL_IN and REAL_OUT of fft.cl
    real_out: int = 0

    def step(self) -> Step:
        (_, n, n_out), sequences = self.lengths, self.outer * self.inner
        if self.real_out == 2:
            n_out *= 2
        shape = (self.outer, n_out, self.inner) if self.inners[1] == self.inner else (sequences, n_out, 1)
        cost = (5 * sequences * n * n.bit_length(), 4 * sequences * n * self.kind.itemsize)
        if not sequences:
            return Step(Plan(self.device, None, cost), (Table("passes", n),) * 3, shape, bool(self.real_out))
        lanes, plan = self._plan(cost)
        passes = Table("passes", n, lanes)
        return Step(plan, (passes, self.before or passes, self.after or passes), shape, bool(self.real_out))

    def _plan(self, cost: tuple[int, int]) -> tuple[int, Plan]:
        """How many lanes are residues, and the launches."""
        (_, n, _), sequences = self.lengths, self.outer * self.inner
        device = self.device
        if not device.is_cpu:
            return 1, self._passes(1, cost)
        full = max(4, device.limits.vector_width * 4 // self.kind.itemsize)
        if n >= LONG and sequences < 2 * device.limits.compute_units:
            lanes = next(lanes for lanes in (16, 8, 4, 2, 1) if lanes <= full and n % (lanes * lanes) == 0)
            return lanes, self._passes(lanes, cost)
        lanes = next(lanes for lanes in (16, 8, 4, 2, 1) if lanes <= full and n % lanes == 0 and n >= lanes * lanes)
        together = self.inner if self.inner > 1 else sequences
        groups = sequences // together * divide_up(together, full)
        scratch = 4 * full * (n + 1)
        # In vectors of elements. Measured: lanes that leave the nearest cache take 1.5 of the time, the transform between
        # lanes takes 0.1; residues that lie apart are loaded one by one.
        by_residues = sequences * n / lanes * 1.1 + (sequences * n if self.inner > 1 else 0)
        near = 4 * full * n * self.kind.itemsize <= NEAR_BYTES
        if scratch * self.kind.itemsize > LANES_BYTES or by_residues < groups * n * (1 if near else 1.5):
            return lanes, self._whole("fft_residues", lanes, lanes, sequences, 4 * n, cost)
        return 1, self._whole("fft_lanes", full, 1, groups, scratch, cost, groups)

    def _whole(self, name: str, lanes: int, residues: int, shares: int, scratch: int, cost: tuple[int, int],
               *sizes: int) -> _Whole:
        """One launch, of which each work-item takes some of the shares and has its own scratch memory."""
        n_in, n, n_out = self.lengths
        sequences, letter = self.outer * self.inner, self._letter()
        radices = sum(radix << 4 * number for number, radix in enumerate(radices_of(n // residues) or ()))
        items = 1 if sequences * n <= GRAIN else min(shares, 4 * self.device.limits.compute_units)
        per_item = divide_up(shares, items)
        constants = (sequences, n, n_in, n_out, *self.inners, *self.swaps, radices, self.scale, *sizes, per_item)
        signature = "PPPPPP" + letter * 13 + "l" + self._real_letter() + letter * (len(sizes) + 1)
        kernel = self._kernel(name, lanes, residues, signature)
        items = divide_up(shares, per_item)
        return _Whole(self.device, Bound(kernel, (items,), (1,), 6, letter * 5, constants, cost),
                      items * scratch * self.kind.itemsize, cost)

    def _passes(self, lanes: int, cost: tuple[int, int]) -> _Passes:
        """A launch for each pass: work-items share the butterflies of a sequence."""
        n_in, n, n_out = self.lengths
        sequences, letter = self.outer * self.inner, self._letter()
        half, elements = 2 * sequences * n, n // lanes
        part = (0, 4 * sequences * n * self.kind.itemsize)

        def launch(name: str, operands: tuple[int, ...], constants: tuple, items: int, unit: int = 1,
                   last: tuple = ()) -> tuple[Bound, tuple[int, ...]]:
            """A launch over so many items of each sequence, in shares of whole units, with some of x, tables and y."""
            if self.device.is_cpu:
                share, local = round_up(divide_up(items, 4 * self.device.limits.compute_units), unit), 1
            else:
                share, local = 1, self.device.limits.group(GROUP)
            offsets, buffers = letter * len(operands), len(operands) + 1
            signature = "P" * buffers + offsets + letter * (len(constants) + 3) + self._real_letter() * len(last)
            shares = divide_up(items, share)
            size = round_up(shares * sequences, local)
            return Bound(self._kernel(name, lanes, lanes, signature), (size,), (local,), buffers, offsets,
                         (*constants, sequences, shares, share, *last), part), operands
        launches = [launch("fft_gather", (0, 2), (n, n_in, self.inners[0], self.swaps[0]), elements)]
        s, at, source, target = 1, 0, 0, half
        for radix in radices_of(elements) or ():
            launches.append(launch("fft_pass", (1,), (source, target, at, n, s, radix), elements // radix))
            at += 2 * radix + 2 * elements // (s * radix) * (radix - 1)
            s *= radix
            source, target = target, source
        launches.append(launch("fft_scatter", (1, 3, 4), (source, at, n, n_out, self.inners[1], self.swaps[1]), elements,
                               lanes, (self.scale,)))
        return _Passes(self.device, launches, 2 * half * self.kind.itemsize, cost)

    def _letter(self) -> str:
        return "l" if 8 * self.outer * self.inner * max(self.lengths) >= 1 << 31 else "i"

    def _real_letter(self) -> str:
        return "d" if self.kind.itemsize == 8 else "f"

    def _kernel(self, name: str, lanes: int, residues: int, signature: str) -> Kernel:
        radices = set(radices_of(self.lengths[1] // residues) or ())
        odd = " ".join(f"M({radix})" for radix in ODD_RADICES if radix in radices)
        real = self.kind.cl
        macros = {"CODE": self.kind.code, "REAL": real, "NUMBER(x)": "x" if real == "double" else "x##f", "VW": lanes,
                  "INDEX": "long" if self._letter() == "l" else "int", "EACH_ODD(M)": odd,
                  "BEFORE": _side(self.before), "AFTER": _side(self.after), "REAL_IN": int(self.real_in),
                  "REAL_OUT": int(self.real_out)}
        return self.device.kernel("fft.cl", name, macros, signature)


def _side(table: Table | Fold | None) -> int:
    """BEFORE or AFTER of fft.cl."""
    return 0 if table is None else 2 if isinstance(table, Fold) else 1
