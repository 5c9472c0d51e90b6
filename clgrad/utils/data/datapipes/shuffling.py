"""What pipes that shuffle have in common: a switch, and a seed for each pass."""

from __future__ import annotations

from typing import Any

from clgrad.utils.data.sampler import draw_seed
from clgrad.utils.data.worker import get_worker_info


class Shuffling:
    """A pipe that shuffles unless it is told not to."""

    shuffles = True
    seed: int | None = None

    def set_shuffle(self, shuffle: bool = True) -> Any:
        """Switches it on or off."""
        self.shuffles = shuffle
        return self

    def set_seed(self, seed: int) -> Any:
        """The seed of the next pass; those after it draw their own."""
        self.seed = seed
        return self

    def take_seed(self) -> int:
        """The seed of the pass that begins: of all workers of a loader the same, so that they can share its elements."""
        seed, self.seed = self.seed, None
        if seed is not None:
            return seed
        worker = get_worker_info()
        return draw_seed(None) if worker is None else worker.seed - worker.id
