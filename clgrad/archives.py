"""The two layouts of PyTorch's files: zip archives, and the stream of pickles that was written before version 1.6."""

from __future__ import annotations

import io
import os
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np

from clgrad.pickles import Reader
from clgrad.runtime import host_array, host_copy

_MAGIC = 0x1950A86A20F9469CFC6C
# Checksums of larger records are not looked at, as in PyTorch: that would take longer than reading them.
CHECKED = 1 << 20


def read_record(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a record; BadZipFile, before memory is taken for it, where it claims more than the file has."""
    info, file = archive.getinfo(name), archive.fp
    assert file is not None
    end = file.seek(0, io.SEEK_END)
    if info.compress_size > end or (info.compress_type == zipfile.ZIP_STORED and info.file_size > end):
        raise zipfile.BadZipFile(f"{name} claims {info.file_size} bytes in a file of {end}")
    return archive.read(name)


class _Seekable:
    """A file of a program's own class that does not say that it can be sought."""

    def __init__(self, file: Any):
        self._file = file

    def seekable(self) -> bool:
        """True."""
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Archive:
    """A zip archive: ``data.pkl`` has the structure, ``data/0``, ``data/1``, ... the storages.

    Args:
        file: a file that can be read and sought.
        path: where it is, to map it into memory; None reads it.

    Raises:
        RuntimeError: it is damaged, or another kind of archive.
    """

    def __init__(self, file: Any, path: str | None):
        self._file, self._path = file, path
        try:
            self._zip = zipfile.ZipFile(file if hasattr(file, "seekable") else _Seekable(file))
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            raise RuntimeError(f"it is not a zip archive, or it is damaged ({error})") from error
        names = self._zip.namelist()
        roots = [name[:-len("data.pkl")] for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(roots) != 1:
            raise RuntimeError("load(): the zip archive holds no data.pkl: it was not written by save()")
        self._root, self._names = roots[0], set(names)
        self.marked = f"{self._root}byteorder" in self._names
        order = self.read("byteorder").strip() if self.marked else b"little"
        if order not in (b"little", b"big"):
            raise RuntimeError(f"load(): unknown byte order {order!r}")
        self.swap = order == b"big"

    def read(self, record: str) -> bytes:
        """The bytes of a record."""
        try:
            return read_record(self._zip, self._root + record)
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
                RuntimeError) as error:
            raise RuntimeError(f"load(): the file is damaged: cannot read its record {record!r} ({error})") from error

    def structure(self) -> bytes:
        """The pickle of what the file holds."""
        return self.read("data.pkl")

    def contents(self, key: str, nbytes: int) -> np.ndarray:
        """The first ``nbytes`` bytes of a storage, which the caller may change."""
        if not key.isalnum() or f"{self._root}data/{key}" not in self._names:
            raise RuntimeError(f"load(): the file is damaged: there is no storage {key!r}")
        info = self._zip.getinfo(f"{self._root}data/{key}")
        if info.file_size < nbytes:
            raise RuntimeError(f"load(): the file is damaged: storage {key} should have {nbytes} bytes and has "
                               f"{info.file_size}")
        if info.compress_type != zipfile.ZIP_STORED or (info.file_size <= CHECKED and self._path is None):
            return host_copy(np.frombuffer(self.read(f"data/{key}"), np.uint8, nbytes))
        begin = self._begin(info)
        if self._path is not None and nbytes:
            return np.memmap(self._path, np.uint8, "c", begin, (nbytes,))
        made = host_array((nbytes,), np.uint8)
        self._file.seek(begin)
        if self._into(made) != nbytes:
            raise RuntimeError(f"load(): the file is damaged: it ends within storage {key}")
        return made

    def _into(self, target: np.ndarray) -> int:
        if hasattr(self._file, "readinto"):
            view, done = memoryview(target.data), 0
            while done < len(view):
                count = self._file.readinto(view[done:])
                if not count:
                    break
                done += count
            return done
        data = self._file.read(target.nbytes)
        target[:len(data)] = np.frombuffer(data, np.uint8)
        return len(data)

    def _begin(self, info: zipfile.ZipInfo) -> int:
        """Where a record's bytes begin: behind its own header, which may be longer than the directory says."""
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise RuntimeError(f"load(): the file is damaged: cannot read its record {info.filename!r}")
        name, extra = struct.unpack("<HH", header[26:30])
        return info.header_offset + 30 + name + extra


class Stream:
    """The older layout: pickles of a magic number, a version, the machine, the structure and the storages' names, then the
    storages' sizes and bytes.

    Raises:
        RuntimeError: it is damaged, or something else.
    """

    swap = False

    def __init__(self, data: bytes):
        def refuse(id: Any) -> Any:
            raise UnpicklingError("a storage before the structure")
        try:
            pieces, at = [], 0
            for _ in range(5):
                end = at + next(place or 0 for code, _, place in pickletools.genops(data[at:]) if code.name == "STOP") + 1
                pieces.append(data[at:end])
                at = end
            magic, version, machine = (Reader(piece, {}, refuse).load() for piece in pieces[:3])
            keys = Reader(pieces[4], {}, refuse).load()
            if magic != _MAGIC or version != 1001 or not isinstance(machine, dict) or not isinstance(keys, list):
                raise ValueError("it does not begin as such files do")
        except (ValueError, StopIteration, UnpicklingError, UnicodeDecodeError) as error:
            raise RuntimeError(f"it was not written by torch.save(), or it is damaged ({error})") from error
        if machine.get("little_endian") is False:
            self.swap = True
        self._data, self._structure, self._at, self._keys = data, pieces[3], at, [str(key) for key in keys]
        self._places: dict[str, int] | None = None
        self._sizes: dict[str, tuple[int, int]] = {}

    def structure(self) -> bytes:
        """The pickle of what the file holds."""
        return self._structure

    def expect(self, key: str, count: int, itemsize: int) -> None:
        """Says that a storage has ``count`` elements of ``itemsize`` bytes; all have to be known before the first is read."""
        self._sizes[key] = count, itemsize

    def contents(self, key: str, nbytes: int) -> np.ndarray:
        """The bytes of a storage, which the caller may change."""
        if self._places is None:
            self._places, at = {}, self._at
            for name in self._keys:
                if name not in self._sizes:
                    raise RuntimeError(f"load(): the file is damaged: nothing refers to its storage {name!r}")
                count, itemsize = self._sizes[name]
                stored = int.from_bytes(self._data[at:at + 8], "little" if not self.swap else "big")
                if stored != count or at + 8 + count * itemsize > len(self._data):
                    raise RuntimeError(f"load(): the file is damaged: storage {name} should have {count} elements, and "
                                       f"{stored} are announced with {len(self._data) - at - 8} bytes left")
                self._places[name] = at + 8
                at += 8 + count * itemsize
        if key not in self._places:
            raise RuntimeError(f"load(): the file is damaged: there is no storage {key!r}")
        begin = self._places[key]
        return host_copy(np.frombuffer(self._data, np.uint8, nbytes, begin))


def opened(file: Any, path: str | None, name: str) -> Archive | Stream:
    """A file in whichever layout it has; RuntimeError where it has neither."""
    begin = file.tell()
    start = file.read(4)
    if not start:  # just written
        begin = file.seek(0, io.SEEK_SET) or 0
        start = file.read(4)
    file.seek(begin, io.SEEK_SET)
    try:
        if start[:2] == b"PK" or start[:1] != b"\x80":
            return Archive(file, path)
        if path is not None:
            raise RuntimeError("mmap can only be used with files saved with PyTorch 1.6 or later, which are zip archives")
        return Stream(file.read())
    except RuntimeError as error:
        if str(error).startswith(("load()", "mmap")):
            raise
        raise RuntimeError(f"load(): cannot read {name}: {error}") from error


def at_path(f: Any, use: Callable[[Any, str], Any]) -> Any:
    """Calls ``use(file, name)`` with a file of a path, or with a file object as it is."""
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb", buffering=0) as file:
            return use(file, os.fspath(f))
    if not hasattr(f, "read") or not hasattr(f, "seek"):
        raise AttributeError(f"expected 'f' to be string, path, or a file-like object with 'read' and 'seek' attributes, "
                             f"got {type(f).__name__}")
    return use(f, type(f).__name__)
