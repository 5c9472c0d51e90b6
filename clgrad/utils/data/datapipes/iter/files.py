"""Pipes of files: their names, what they are when they are opened, their contents."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from typing import Any

from clgrad.utils.data.datapipes.datapipe import IterDataPipe, functional_datapipe
from clgrad.utils.data.datapipes.iter.elements import IterableWrapperIterDataPipe


def _length(pipe: IterDataPipe, told: int) -> int:
    """The length that a pipe was told; TypeError where it was told none."""
    if told == -1:
        raise TypeError(f"{type(pipe).__name__} instance doesn't have valid length")
    return told


@functional_datapipe("list_files")
class FileListerIterDataPipe(IterDataPipe):
    """The paths of the files in folders, sorted.

    Args:
        root: a folder, a sequence or a pipe of them.
        masks: patterns, such as ``"*.txt"``, one of which a name must match.
        recursive: also files in folders within them.
        abspath: paths are absolute.
    """

    def __init__(self, root: str | Sequence[str] | IterDataPipe = ".", masks: str | list[str] = "", *,
                 recursive: bool = False, abspath: bool = False, non_deterministic: bool = False, length: int = -1):
        root = [root] if isinstance(root, str) else root
        self.datapipe = root if isinstance(root, IterDataPipe) else IterableWrapperIterDataPipe(root)
        self.masks, self.recursive, self.abspath, self.length = masks, recursive, abspath, length

    def _wanted(self, name: str) -> bool:
        masks = [self.masks] if isinstance(self.masks, str) else self.masks
        return not self.masks or any(fnmatch.fnmatch(name, mask) for mask in masks)

    def __iter__(self) -> Iterator[str]:
        for root in self.datapipe:
            root = os.path.abspath(root) if self.abspath else root
            if os.path.isfile(root):
                if self._wanted(os.path.basename(root)):
                    yield root
                continue
            for folder, below, names in os.walk(root):
                below.sort()
                yield from (os.path.join(folder, name) for name in sorted(names) if self._wanted(name))
                if not self.recursive:
                    break

    def __len__(self) -> int:
        return _length(self, self.length)


@functional_datapipe("open_files")
class FileOpenerIterDataPipe(IterDataPipe):
    """Pairs of a path and the file, opened. Whoever takes a file closes it."""

    def __init__(self, datapipe: Any, mode: str = "r", encoding: str | None = None, length: int = -1):
        if mode not in ("b", "t", "rb", "rt", "r"):
            raise ValueError(f"Invalid mode {mode}")
        self.datapipe, self.mode, self.encoding, self.length = datapipe, mode, encoding, length

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        mode = self.mode if self.mode.startswith("r") else f"r{self.mode}"
        for path in self.datapipe:
            yield path, open(path, mode, encoding=self.encoding)  # noqa: SIM115  (its taker closes it)

    def __len__(self) -> int:
        return _length(self, self.length)


@functional_datapipe("read_from_stream")
class StreamReaderIterDataPipe(IterDataPipe):
    """Pairs of a path and what the file holds, in pieces of ``chunk`` if that is given; the files are closed."""

    def __init__(self, datapipe: IterDataPipe, chunk: int | None = None):
        self.datapipe, self.chunk = datapipe, chunk

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for path, stream in self.datapipe:
            with stream:
                if self.chunk is None:
                    yield path, stream.read()
                    continue
                while piece := stream.read(self.chunk):
                    yield path, piece
