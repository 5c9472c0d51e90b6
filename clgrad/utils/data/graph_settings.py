"""Settings of all pipes that a pipe is made of."""

from __future__ import annotations

import warnings
from typing import Any

from clgrad.utils.data.datapipes.shuffling import Shuffling
from clgrad.utils.data.graph import pipes_of
from clgrad.utils.data.sampler import draw_seed

__all__ = ["apply_random_seed", "apply_sharding", "apply_shuffle_settings"]


def apply_shuffle_settings(datapipe: Any, shuffle: bool | None = None) -> Any:
    """Switches shuffling on or off; where nothing shuffles, a step that does is added at the end."""
    if shuffle is None:
        return datapipe
    shufflers = [pipe for pipe in pipes_of(datapipe) if isinstance(pipe, Shuffling)]
    if not shufflers and shuffle:
        warnings.warn("`shuffle=True` was set, but the datapipe does not contain a `Shuffler`. Adding one at the end. Be "
                      "aware that the default buffer size might not be sufficient for your task.", stacklevel=3)
        datapipe = datapipe.shuffle()
        shufflers = [datapipe]
    for shuffler in shufflers:
        shuffler.set_shuffle(shuffle)
    return datapipe


def apply_sharding(datapipe: Any, num_of_instances: int, instance_id: int) -> Any:
    """Says to all pipes that share elements whose part is wanted."""
    for pipe in pipes_of(datapipe):
        if callable(vars(type(pipe)).get("apply_sharding")):
            pipe.apply_sharding(num_of_instances, instance_id)
    return datapipe


def apply_random_seed(datapipe: Any, rng: Any) -> Any:
    """Draws the seeds of all pipes that shuffle from a generator."""
    for pipe in pipes_of(datapipe):
        if isinstance(pipe, Shuffling):
            pipe.set_seed(draw_seed(rng))
    return datapipe
