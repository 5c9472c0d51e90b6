"""What data pipes are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clgrad.utils.data.datapipes.datapipe import IterDataPipe, MapDataPipe

__all__ = ["pipes_of", "traverse_dps"]


def _direct(value: Any) -> Iterator[Any]:
    """The pipes that a value is or holds."""
    if isinstance(value, (IterDataPipe, MapDataPipe)):
        yield value
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _direct(item)
    elif isinstance(value, dict):
        yield from _direct(list(value.values()))
    elif isinstance(getattr(value, "datapipe", None), (IterDataPipe, MapDataPipe)):
        yield value.datapipe  # the source that several pipes share


def traverse_dps(datapipe: Any) -> dict:
    """``{id: (pipe, {id: (a pipe that it takes from, ...)})}``."""
    above: dict = {}
    for pipe in _direct(list(vars(datapipe).values())):
        above.update(traverse_dps(pipe))
    return {id(datapipe): (datapipe, above)}


def pipes_of(datapipe: Any) -> list:
    """A pipe and all that it takes from, each once."""
    found: dict[int, Any] = {}

    def walk(graph: dict) -> None:
        for number, (pipe, above) in graph.items():
            found[number] = pipe
            walk(above)
    walk(traverse_dps(datapipe))
    return list(found.values())
