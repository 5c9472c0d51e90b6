"""``save`` and ``load``: tensors in PyTorch's ``.pth`` files.

A file is a zip archive: ``data.pkl`` (a pickle of the structure, in which tensors refer to storages by number),
``data/0``, ``data/1``, ... (the storages' bytes), ``byteorder`` and ``version``. PyTorch reads what clgrad writes and
the other way round. Files of plain data and tensors are read without running anything; whole objects (modules of users'
own classes, say) are written by Python's pickle, and read only with ``weights_only=False``.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tempfile
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from pickle import PicklingError, UnpicklingError
from typing import Any, TypeAlias

import numpy as np

from clgrad import dtypes
from clgrad.allowed import add_safe_globals as add_safe_globals
from clgrad.allowed import clear_safe_globals as clear_safe_globals
from clgrad.allowed import get_safe_globals as get_safe_globals
from clgrad.allowed import safe_globals as safe_globals
from clgrad.allowed import safe_table
from clgrad.archives import Archive, Stream, at_path, opened
from clgrad.dtypes import dtype
from clgrad.formats import layout, sparse_bsr, sparse_coo, sparse_csr, strided
from clgrad.locations import default_restore_location as default_restore_location
from clgrad.locations import location_tag as location_tag
from clgrad.locations import register_package as register_package
from clgrad.nn.parameter import Buffer, Parameter, is_lazy
from clgrad.objects import Stored, dump
from clgrad.objects import load as load_whole
from clgrad.ops import copying
from clgrad.pickles import Call, Global, NameScanner, Persistent, Reader, Scanner, Writer
from clgrad.rebuilding import (
    GLOBALS,
    STORAGE_TYPES,
    STORAGES,
    StorageType,
    Window,
    rebuild_meta,
    rebuild_parameter,
    rebuild_sparse,
    rebuild_tensor,
)
from clgrad.runtime import device
from clgrad.shapes import Size
from clgrad.storage import TypedStorage, UntypedStorage
from clgrad.tensor import Tensor

# What load takes as map_location: for programs that annotate.
MAP_LOCATION: TypeAlias = Callable[[Any, str], Any] | device | str | dict[str, str] | None

_ALIGNMENT = 64
_STORAGE_OF = {kind: name for name, kind in STORAGES.items()}


# Writing.

class _Saving:
    """One call of ``save``: the storages that have been met, each written once."""

    def __init__(self) -> None:
        self.storages: dict[tuple, tuple[str, np.ndarray, Any]] = {}

    def reduce(self, value: Any) -> Any:
        """An object as a pickle's call or name."""
        if is_lazy(value):
            return Call(Global("torch.nn.parameter", type(value).__name__), (value.requires_grad,))
        if issubclass(type(value), Parameter):
            return _with_attributes(value, Call(Global("torch._utils", "_rebuild_parameter"),
                                                (value.detach(), value.requires_grad, OrderedDict())))
        if isinstance(value, Tensor) and type(value) in (Tensor, Buffer):
            if value.layout is not strided:
                return _with_attributes(value, _of_sparse(value))
            return _with_attributes(value, _of_meta(value) if value.is_meta else self._tensor(value))
        if isinstance(value, (TypedStorage, UntypedStorage)):
            return self._storage(value)
        if isinstance(value, dtype):
            return Global("torch", value.name)
        if isinstance(value, layout):
            return Call(Global("torch.serialization", "_get_layout"), (repr(value),))
        if isinstance(value, device):
            return Call(Global("torch", "device"), (value.type,) if value.index is None else (value.type, value.index))
        if type(value) is Size:
            return Call(Global("torch", "Size"), (tuple(value),))
        if type(value) in (set, frozenset):
            return Call(Global("__builtin__", type(value).__name__), (list(value),))
        if type(value) is complex:
            return Call(Global("__builtin__", "complex"), (value.real, value.imag))
        if type(value) is bytearray:
            return Call(Global("__builtin__", "bytearray"), (bytes(value),))
        if type(value) is Counter:
            return dict(value)
        if isinstance(value, np.generic) and not isinstance(value, (np.void, np.object_)):
            return value.item()
        kind = type(value)
        raise NotPlain(f"{kind.__module__}.{kind.__qualname__}")

    def describe(self, value: Any) -> Any:
        """A tensor for a pickle of whole objects; NotImplemented for other things."""
        if type(value) is Parameter:
            return rebuild_parameter, (value.detach(), value.requires_grad, OrderedDict()), value.__dict__ or None
        if type(value) not in (Tensor, Buffer):
            return NotImplemented
        if value.layout is not strided:
            return rebuild_sparse, _of_sparse(value).arguments, value.__dict__ or None
        if value.is_meta:
            return rebuild_meta, _of_meta(value).arguments, value.__dict__ or None
        storage, *rest = self._tensor(value).arguments
        _, kind, *where = storage.id
        return rebuild_tensor, (Stored(("storage", kind.name, *where)), *rest), value.__dict__ or None

    def _tensor(self, value: Any) -> Call:
        if value.grad_fn is not None:
            value, requires_grad = value.detach(), True
        else:
            requires_grad = value.requires_grad
        return Call(Global("torch._utils", "_rebuild_tensor_v2"),
                    (self._storage(value.storage()), value.offset, tuple(value.spec.shape), tuple(value.spec.strides),
                     requires_grad, OrderedDict()))

    def _storage(self, value: Any) -> Persistent:
        bytes_alone = isinstance(value, UntypedStorage)
        kind, memory = dtypes.uint8 if bytes_alone else value.dtype, value.untyped().held
        key = (id(memory), kind)
        found = self.storages.get(key)
        if found is None:
            found = self.storages[key] = (str(len(self.storages)), memory.read(), memory)
        number, data, _ = found
        name = Global("torch.storage", "UntypedStorage") if bytes_alone else Global("torch", _STORAGE_OF[kind])
        return Persistent(("storage", name, number, location_tag(value), data.nbytes // kind.itemsize))

    def stored(self, value: Any) -> tuple | None:
        """The persistent id of a storage in a pickle of whole objects, None for other things."""
        if isinstance(value, Stored):
            return value.id
        if isinstance(value, (TypedStorage, UntypedStorage)):
            _, kind, *where = self._storage(value).id
            return ("storage", kind.name, *where)
        return None


def _of_meta(value: Any) -> Call:
    """A tensor of the device meta, which has no storage."""
    return Call(Global("torch._utils", "_rebuild_meta_tensor_no_storage"),
                (value.dtype, tuple(value.shape), tuple(value.stride()), value.requires_grad))


def _of_sparse(value: Any) -> Call:
    """A sparse tensor: its layout, and its parts; whether it requires a gradient is not noted."""
    shape = Size(value.shape)
    if value.layout is sparse_coo:
        parts: tuple = (value._indices(), value._values(), shape, value.is_coalesced())
    elif value.layout in (sparse_csr, sparse_bsr):
        parts = (value.crow_indices(), value.col_indices(), value._values(), shape)
    else:
        parts = (value.ccol_indices(), value.row_indices(), value._values(), shape)
    return Call(Global("torch._utils", "_rebuild_sparse_tensor"), (value.layout, parts))


def _with_attributes(value: Any, call: Call) -> Call:
    """The call of a tensor or parameter, which is to have the attributes that the program gave it."""
    state = {} if isinstance(value, Buffer) else value.__dict__
    if not state:
        return call
    if issubclass(type(value), Parameter):
        return Call(Global("torch._utils", "_rebuild_parameter_with_state"), (*call.arguments, state))
    return Call(Global("torch._tensor", "_rebuild_from_type_v2"),
                (call.function, Global("torch", "Tensor"), call.arguments, state))


class NotPlain(PicklingError):
    """An object that only a pickle of whole objects can hold."""


DEFAULT_PROTOCOL = 2  # of pickles


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = DEFAULT_PROTOCOL,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Writes tensors, and objects that hold them, to a file.

    Tensors, parameters, plain values, and lists, tuples and dicts of them can be read back without running code. Other
    objects, such as whole modules, are written by Python's pickle, which notes where their classes are defined; reading
    them takes ``load(..., weights_only=False)``, or :func:`add_safe_globals` for classes that are data. Prefer
    ``model.state_dict()``.

    Tensors that share memory share it in the file. A file with a name is written beside its place first and put there
    when it is complete: an interrupted ``save`` leaves the old one.

    Args:
        obj: what to save, most often ``model.state_dict()``.
        f: a path, or an object with ``write``.
        pickle_module, pickle_protocol: write by this module's Pickler, with this protocol.

    Raises:
        pickle.PicklingError: something in ``obj`` cannot be pickled, such as a lambda.

    >>> import clgrad, io
    >>> file = io.BytesIO()
    >>> clgrad.save({"w": clgrad.ones(2)}, file)
    >>> clgrad.load(io.BytesIO(file.getvalue()))
    {'w': tensor([1., 1.])}
    """
    saving = _Saving()
    structure = _structure(obj, saving, pickle_module, pickle_protocol)
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise AttributeError(f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, "
                                 "got "
                                 f"{type(f).__name__}")
        _write(f, "archive", structure, saving)
        return
    path = os.path.abspath(os.fspath(f))
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, os.path.splitext(name)[0] or "archive", structure, saving)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _structure(obj: Any, saving: _Saving, library: Any, protocol: int) -> bytes:
    if library in (None, pickle):
        try:
            return Writer(saving.reduce).dump(obj)
        except NotPlain:
            saving.storages.clear()
    try:
        return dump(obj, saving.describe, saving.stored, library or pickle, protocol)
    except (AttributeError, TypeError) as error:
        raise PicklingError(f"save(): {error}. For a module or an optimizer save its state_dict()") from error


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


class _Counting(io.RawIOBase):
    """A stream that can only be written, with a position."""

    def __init__(self, f: Any):
        self._f, self._at = f, 0

    def write(self, data: Any) -> int:
        self._f.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        if hasattr(self._f, "flush"):
            self._f.flush()


def _write(f: Any, name: str, structure: bytes, saving: _Saving) -> None:
    stream = _Counting(f)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[arg-type]
        def record(path: str, data: Any) -> None:
            info = zipfile.ZipInfo(f"{name}/{path}", (1980, 1, 1, 0, 0, 0))
            # Padded so that the bytes begin at a multiple of 64: PyTorch maps such files into memory.
            begin = stream.tell() + 30 + len(info.filename.encode()) + 4 + 8
            fill = -begin % _ALIGNMENT
            info.extra = b"FB" + fill.to_bytes(2, "little") + b"Z" * fill
            info.flag_bits |= 0x08
            archive.writestr(info, data)
        record("data.pkl", structure)
        record("byteorder", b"little")
        for number, data, _ in saving.storages.values():
            record(f"data/{number}", data.data)
        record("version", b"3\n")


# Reading.

class _Loading:
    """One call of ``load``: the file, and the storages that have been read."""

    def __init__(self, archive: Archive | Stream, map_location: Any):
        self.archive, self.map_location = archive, map_location
        self.storages: dict[str, TypedStorage] = {}

    def run(self, encoding: str) -> Any:
        """The object, read without running anything."""
        table = {**GLOBALS, **safe_table()}
        self._survey(table)
        return Reader(self.archive.structure(), table, self.storage, encoding).load()

    def run_whole(self, library: Any, arguments: dict) -> Any:
        """The object, read by Python's pickle."""
        self._survey(GLOBALS)
        return load_whole(self.archive.structure(), GLOBALS, self.storage, library, **arguments)

    def _survey(self, table: dict) -> None:
        """Of the older layout: which storages there are, because the file does not say where they begin."""
        archive = self.archive
        if not isinstance(archive, Stream):
            return

        def note(id: Any) -> Any:
            if isinstance(id, tuple) and len(id) == 5 and id[0] == "module":
                return id[1]
            kind, key, _, count = self._parts(id)
            archive.expect(key, count, kind.itemsize)
            return Window(None)
        Scanner(archive.structure(), table, note).load()

    @staticmethod
    def _parts(id: Any) -> tuple[dtype, str, str, int]:
        if isinstance(id, tuple):  # of Python 2, read with encoding="bytes"
            id = tuple(part.decode("latin-1") if isinstance(part, bytes) else part for part in id)
        kind = id[1] if isinstance(id, tuple) and len(id) in (5, 6) and id[0] == "storage" else None
        if isinstance(kind, str) and kind in STORAGE_TYPES:
            kind = STORAGE_TYPES[kind]
        if not (isinstance(kind, StorageType) and isinstance(id[2], str) and isinstance(id[3], str)
                and type(id[4]) is int and id[4] >= 0):
            raise UnpicklingError(f"unknown persistent id {id!r}"[:200])
        return kind.dtype, id[2], id[3], id[4]

    def storage(self, id: Any) -> Any:
        """The storage of a persistent id."""
        if isinstance(id, tuple) and len(id) == 5 and id[0] in ("module", b"module"):
            return id[1]  # the older layout names a module's class together with its source
        kind, key, location, count = self._parts(id)
        found = self.storages.get(key)
        if found is None:
            found = self.storages[key] = TypedStorage(wrap_storage=self._bytes(kind, key, location, count), dtype=kind)
        if len(id) == 6 and id[5] is not None:
            _, offset, size = id[5]
            if not (type(offset) is int and type(size) is int and offset >= 0 and 0 <= size <= count - offset):
                raise UnpicklingError("a view of a storage that is not within it")
            return Window(found.tensor()[offset:offset + size])
        return found

    def _bytes(self, kind: dtype, key: str, location: str, count: int) -> UntypedStorage:
        data = self.archive.contents(key, count * kind.itemsize).view(kind.numpy)
        flat = copying.from_array(data.byteswap() if self.archive.swap else data, kind, device("cpu"))
        return self._placed(flat.untyped_storage(), location)

    def _placed(self, storage: UntypedStorage, location: str) -> UntypedStorage:
        wanted = self.map_location
        if wanted is None:
            return default_restore_location(storage, location)
        if isinstance(wanted, Mapping):
            return default_restore_location(storage, str(wanted.get(location, location)))
        if callable(wanted) and not isinstance(wanted, device):
            made = wanted(storage, location)
            if made is None:
                return default_restore_location(storage, location)
            if not isinstance(made, (TypedStorage, UntypedStorage)):
                raise RuntimeError(f"load(): map_location must return a storage or None, got {type(made).__name__}")
            return made.untyped()
        return default_restore_location(storage, str(device(wanted)))


class LoadEndianness(Enum):
    """The order of bytes in a file that does not say it."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


_endianness: LoadEndianness | None = None


def get_default_load_endianness() -> LoadEndianness | None:
    """What :func:`set_default_load_endianness` set; None, the default, is the machine's own order."""
    return _endianness


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Says in which order :func:`load` takes the bytes of files without a mark of it, as PyTorch before 2.0 wrote them.

    Raises:
        TypeError: it is neither a :class:`LoadEndianness` nor None.
    """
    global _endianness
    if not isinstance(endianness, LoadEndianness) and endianness is not None:
        raise TypeError(f"set_default_load_endianness: expected a LoadEndianness or None, got {type(endianness).__name__}")
    _endianness = endianness


def _as_the_environment_says(data_only: bool, given: bool) -> bool:
    """Whether data alone is read, which variables of the environment can say for a whole program."""
    forced, forbidden = (os.environ.get(name, "0").lower() in ("1", "y", "yes", "true")
                         for name in ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"))
    if forced and forbidden:
        raise RuntimeError("load(): TORCH_FORCE_WEIGHTS_ONLY_LOAD and TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD contradict each "
                           "other: both are set, expected at most one")
    if forbidden and not given:
        warnings.warn("load(): weights_only is not given and TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set: the file is loaded "
                      "with weights_only=False, which runs its code", UserWarning, stacklevel=3)
        return False
    return forced or data_only


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """Reads what :func:`save` or ``torch.save`` wrote, in today's files and in those from before PyTorch 1.6.

    Args:
        f: a path, or an object with ``read`` and ``seek``.
        map_location: where tensors are put: None for where they were saved, a device, a dict from saved to wanted
            devices, or a function of a storage on the host and the saved device's name that returns the storage where
            it is to be, or None.
        weights_only: read data alone, without running anything (the default); False lets Python's pickle make whole
            objects, which runs the code that the file names: only for files that you trust. The environment's
            ``TORCH_FORCE_WEIGHTS_ONLY_LOAD=1`` makes it True everywhere, ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1`` False where
            it is not given, with a UserWarning.
        mmap: map a file's storages into memory in place of reading them; changes stay in memory.
        pickle_module, pickle_load_args: with ``weights_only=False``, whose Unpickler is used, and its arguments. Of them,
            ``encoding`` holds everywhere: of the strings that Python 2 wrote, "utf-8" by default, or "bytes".

    Raises:
        pickle.UnpicklingError: the file refers to classes or functions that are not data, or is damaged.
        RuntimeError: the file is damaged, or of another format; a device that is not there.
        FileNotFoundError: there is no such file.
    """
    data_only = _as_the_environment_says(pickle_module is None if weights_only is None else bool(weights_only),
                                         weights_only is not None)
    if data_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if mmap and not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file path in order to use the mmap argument")

    def read(file: Any, name: str) -> Any:
        archive = opened(file, os.fspath(f) if mmap else None, name)
        if isinstance(archive, Archive) and not archive.marked:
            archive.swap = _endianness is LoadEndianness.BIG
        loading = _Loading(archive, map_location)
        if data_only:
            return loading.run(pickle_load_args.get("encoding", "utf-8"))
        return loading.run_whole(pickle_module or pickle, pickle_load_args)
    return at_path(f, read)


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names of classes and functions in a file that :func:`load` refuses, as ``module.name``.

    Raises:
        ValueError: the file is none of :func:`save`.
    """
    def read(file: Any, name: str) -> list[str]:
        archive = opened(file, None, name)
        if isinstance(archive, Stream):
            raise ValueError("Expected input to be a checkpoint returned by torch.save")
        scanner = NameScanner(archive.structure(), {**GLOBALS, **safe_table()}, lambda id: Window(None))
        scanner.load()
        return sorted(scanner.unknown)
    return at_path(f, read)


def check_module_version_greater_or_equal(module: Any, req_version_tuple: tuple, error_if_malformed: bool = True) -> bool:
    """Whether a module's ``__version__`` is at least the one of the tuple, whose fields give the types to compare.

    Raises:
        RuntimeError: the version cannot be compared; without ``error_if_malformed`` that is a warning, and True.
    """
    try:
        fields = module.__version__.split(".")
        return tuple([type(wanted)(fields[n]) for n, wanted in enumerate(req_version_tuple)]) >= req_version_tuple
    except Exception as error:
        message = (f"'{module.__name__}' module version string is malformed '{module.__version__}' and cannot be compared "
                   f"with tuple {req_version_tuple}")
        if error_if_malformed:
            raise RuntimeError(message) from error
        warnings.warn(message + ", but continuing assuming that requirement is met", stacklevel=2)
        return True
