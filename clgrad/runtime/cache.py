"""The folder in which PoCL keeps compiled kernels, made fit for use before PoCL looks at it.

PoCL finds no device where it cannot create that folder, cannot build where the folder is full or cannot be written, and
aborts the process where a compiled kernel in it is damaged.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
import warnings
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

TRIAL = 1 << 20  # bytes that a folder must have room for: a few compiled kernels
_MARK = "clgrad-{}.running"  # left behind by a process that did not come to its end


def prepare() -> None:
    """Makes sure that there is a folder for compiled kernels; RuntimeWarning where it is not the usual one."""
    folder = _usual()
    problem = _problem(folder)
    if problem is None:
        _clean(folder)
        return
    for parent in (tempfile.gettempdir(), "/dev/shm"):
        with contextlib.suppress(OSError):
            other = Path(tempfile.mkdtemp(prefix="clgrad-kernels-", dir=parent))
            Finalize(None, _remove, (other,), exitpriority=0)
            if _problem(other) is None:
                os.environ["POCL_CACHE_DIR"] = str(other)
                warnings.warn(f"compiled kernels cannot be kept in {folder} ({problem}): this process compiles all of them "
                              f"anew, in {other}. Make room there, or name another folder in POCL_CACHE_DIR",
                              RuntimeWarning, stacklevel=2)
                return
    warnings.warn(f"there is no folder for compiled kernels: {folder} cannot be written ({problem}), nor can temporary "
                  "ones. Make room there, or name another folder in POCL_CACHE_DIR", RuntimeWarning, stacklevel=2)


def _usual() -> Path:
    """Where PoCL would look."""
    chosen = os.environ.get("POCL_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pocl" / "kcache"


def _problem(folder: Path) -> str | None:
    """What keeps a folder from being used; None where it can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(TRIAL))
    except OSError as error:
        return error.strerror or str(error)
    return None


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _clean(folder: Path) -> None:
    """Throws away damaged kernels where an earlier process did not come to its end: they may be the reason."""
    begun = []  # when those processes did
    for mark in folder.glob(_MARK.format("*")):
        if not _lives(mark.stem.rpartition("-")[2]):
            with contextlib.suppress(OSError):
                begun.append(mark.stat().st_mtime)
                mark.unlink()
    if begun:
        damaged = [path for path in _written(folder, min(begun)) if _is_damaged(path)]
        for path in damaged:
            with contextlib.suppress(OSError):
                path.unlink()
        if damaged:
            warnings.warn(f"{len(damaged)} damaged compiled kernels in {folder} were thrown away, for example {damaged[0]}",
                          RuntimeWarning, stacklevel=2)
    own = folder / _MARK.format(os.getpid())
    with contextlib.suppress(OSError):
        own.touch()
        # Not by atexit, which processes of multiprocessing end without.
        Finalize(None, _unmark, (own,), exitpriority=0)


def _unmark(mark: Path) -> None:
    mark.unlink(missing_ok=True)


def _written(folder: str | Path, since: float, depth: int = 5) -> Iterator[Path]:
    """The compiled kernels, ``depth`` folders down, that were written after a time in seconds."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if depth > 1:
                if entry.is_dir():
                    yield from _written(entry.path, since, depth - 1)
            elif entry.name.endswith(".so") and entry.stat().st_mtime >= since - 1:
                yield Path(entry.path)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True


def _is_damaged(path: Path) -> bool:
    """Whether a shared object lacks its beginning or its end, where its table of sections stands."""
    try:
        with path.open("rb") as file:
            head, size = file.read(64), os.fstat(file.fileno()).st_size
    except OSError:
        return False
    if len(head) < 64 or head[:4] != b"\x7fELF":
        return True
    sections, = struct.unpack_from("<Q", head, 40)
    each, count = struct.unpack_from("<HH", head, 58)
    return sections + each * count > size
