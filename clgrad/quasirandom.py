"""``torch.quasirandom``: sequences that fill the unit cube evenly."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.ops import copying
from clgrad.optional import library
from clgrad.random import initial_seed
from clgrad.runtime import device

__all__ = ["SobolEngine"]


class SobolEngine:
    """Points of Sobol's sequence in ``dimension`` dimensions (Joe and Kuo 2008), by ``scipy.stats.qmc.Sobol``.

    Args:
        dimension: 1 to 21201.
        scramble: Owen's scrambling; the points are SciPy's for the seed, not PyTorch's.
        seed: of the scrambling; by default the library's.

    >>> import clgrad
    >>> clgrad.quasirandom.SobolEngine(2).draw(3)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500]])
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None):
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.dimension, self.scramble, self.seed = dimension, scramble, seed
        qmc = library("scipy.stats.qmc", "scipy", "SobolEngine")
        chosen = (seed if seed is not None else initial_seed() % 2**32) if scramble else None
        self._points = qmc.Sobol(dimension, scramble=scramble, bits=self.MAXBIT, rng=np.random.default_rng(chosen))
        self.num_generated = 0

    def draw(self, n: int = 1, out: Any = None, dtype: Any = None) -> Any:
        """The next ``n`` points, ``n x dimension``, of the default dtype or ``dtype``."""
        kind = dtype or dtypes.get_default_dtype()
        with warnings.catch_warnings():  # SciPy's of numbers of points that are no powers of two
            warnings.simplefilter("ignore", UserWarning)
            points = np.asarray(self._points.random(n)) if n else np.zeros((0, self.dimension))
        self.num_generated += n
        made = copying.from_array(points.astype(np.float64), dtypes.float64, device("cpu")).to(kind)
        return made if out is None else out.resize_(made.shape).copy_(made)

    def draw_base2(self, m: int, out: Any = None, dtype: Any = None) -> Any:
        """The next ``2**m`` points.

        Raises:
            ValueError: the points so far and these are no power of two.
        """
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(f"The balance properties of Sobol' points require n to be a power of 2. {self.num_generated} "
                             f"points have been previously generated, then: n={self.num_generated}+2**{m}={total}. If you "
                             "still want to do this, please use 'SobolEngine.draw()' instead.")
        return self.draw(n, out, dtype)

    def reset(self) -> SobolEngine:
        """Begins anew."""
        self._points.reset()
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leaves out the next ``n`` points."""
        self._points.fast_forward(n)
        self.num_generated += n
        return self

    def __repr__(self) -> str:
        parts = [f"dimension={self.dimension}"]
        if self.scramble:
            parts.append("scramble=True")
        if self.seed is not None:
            parts.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(parts)})"
