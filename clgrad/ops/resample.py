"""Sparse linear maps along one axis, by which sizes are changed, edges repeated and windows taken."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import attach, needs_graph
from clgrad.autograd.walks import determined_by
from clgrad.dtypes import dtype
from clgrad.kernels import resample as kernels
from clgrad.ops.copying import cast, empty, table
from clgrad.ops.execute import check_device, execute

MOST_TAPS = 16  # of an output, for the kernel that walks rows


@determined_by()
class Taps:
    """A map of ``n`` elements to ``m``: output j is the sum of weights[t] * x[places[t]], t in [starts[j], starts[j+1]).

    One object stands for one map: whoever makes it keeps it, as it keeps its plans and its copies on devices.
    """

    def __init__(self, name: str, n: int, starts: np.ndarray, places: np.ndarray, weights: np.ndarray):
        self.name, self.n, self.m = name, n, len(starts) - 1
        self.starts, self.places, self.weights = starts, places, weights
        self.is_identity = len(places) == n == self.m and bool((places == np.arange(n)).all() and (weights == 1).all())
        self._other: Taps | None = None
        self._plans: dict[tuple, tuple] = {}

    @classmethod
    def from_places(cls, name: str, n: int, outputs: Sequence[int] | np.ndarray, places: np.ndarray, m: int,
                    weights: np.ndarray | None = None) -> Taps:
        """The map with a tap from each of ``places`` to the output of the same number, in ascending order."""
        starts = np.searchsorted(np.asarray(outputs), np.arange(m + 1))
        return cls(name, n, starts, np.asarray(places), np.ones(len(places)) if weights is None else weights)

    @property
    def transposed(self) -> Taps:
        """The map of gradients: the same taps the other way."""
        if self._other is None:
            outputs = np.repeat(np.arange(self.m), np.diff(self.starts))
            order = np.argsort(self.places, kind="stable")
            self._other = Taps.from_places(f"{self.name}Backward", self.m, self.places[order], outputs[order], self.n,
                                           self.weights[order])
            self._other._other = self
        return self._other

    def planned(self, x: Any, axis: int) -> tuple[kernels.Plan, tuple]:
        """The plan for a tensor of this spec, and the taps on its device."""
        own = x.spec
        key = (own, axis)
        found = self._plans.get(key)
        if found is None:
            device = check_device(self.name, x)
            outer, inner = prod(own.shape[:axis]), prod(own.shape[axis + 1:])
            count = int(np.diff(self.starts).max(initial=0))
            # Rows with up to twice as many taps as needed are still faster than loops of varying length.
            in_rows = device.is_cpu and inner == 1 and self.m and count and count * self.m <= 3 * len(self.places)
            if in_rows and own.dtype.is_floating_point and count <= MOST_TAPS:
                plan = kernels.rows_plan(device, own.dtype, outer, self.n, self.m, count)
            else:
                plan, count = kernels.plan(device, own.dtype, outer, self.n, self.m, inner, len(self.places)), 0
            kind = own.dtype.compute if own.dtype.is_floating_point else own.dtype
            found = self._plans[key] = plan, self._on(own.device, kind, count)
        return found

    def _on(self, place: Any, kind: dtype, count: int) -> tuple:
        """The tables on a device: with a count of taps for all outputs without ``starts``."""
        key = (place, kind, count)
        found = self._plans.get(key)
        if found is None:
            tables = [(self.places, dtypes.int32), (self.weights, kind)]
            if count:
                tables = [(np.ascontiguousarray(t.T).reshape(-1), k) for t, k in
                          zip(self._even(count), (dtypes.int32, kind), strict=True)]
            else:
                tables = [(self.starts, dtypes.int32), *tables]
            found = self._plans[key] = tuple([table(a if len(a) else np.zeros(1), k, place) for a, k in tables])
        return found

    def _even(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places and weights as (m, count); where an output has fewer taps, the others have weight 0."""
        places, weights = np.zeros((self.m, count), np.int64), np.zeros((self.m, count))
        outputs = np.repeat(np.arange(self.m), np.diff(self.starts))
        number = np.arange(len(self.places)) - self.starts[outputs]
        places[outputs, number], weights[outputs, number] = self.places, self.weights
        return places, weights


def resample(x: Any, axis: int, taps: Taps) -> Any:
    """The map along one axis, 0 <= axis < ndim, of a tensor of any dtype."""
    if x.spec.dtype is dtypes.bool:
        return cast(resample(cast(x, dtypes.uint8), axis, taps), dtypes.bool)
    x = x.contiguous()
    own = x.spec
    out = empty((*own.shape[:axis], taps.m, *own.shape[axis + 1:]), own.dtype, own.device)
    plan, tables = taps.planned(x, axis)
    execute(plan, (x, *tables), (out,))
    if needs_graph(x):
        attach(out, taps.name, (x,), lambda g: resample(g, axis, taps.transposed))
    return out
