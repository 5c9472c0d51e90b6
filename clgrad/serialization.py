"""``save`` and ``load``: tensors in PyTorch's ``.pth`` files.

A file is a zip archive: ``data.pkl`` (a pickle of the structure, in which tensors refer to storages by number),
``data/0``, ``data/1``, ... (the storages' bytes), ``byteorder`` and ``version``. PyTorch reads what clgrad writes and
the other way round. Nothing in a file is ever run.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pickle import PicklingError, UnpicklingError
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.cuda import is_available
from clgrad.dtypes import dtype
from clgrad.layout import layout
from clgrad.nn.parameter import Buffer, Parameter
from clgrad.ops import copying
from clgrad.pickles import Allowed, Call, Global, Persistent, Reader, Writer
from clgrad.runtime import canonical, device
from clgrad.shapes import Size, extent
from clgrad.tensor import TYPE_NAMES, Tensor

_ALIGNMENT = 64
_STORAGES = {name.replace("Tensor", "Storage"): kind for kind, name in TYPE_NAMES.items()}
_STORAGE_OF = {kind: name for name, kind in _STORAGES.items()}


# Writing.

class _Saving:
    """One call of ``save``: the storages that have been met, each written once."""

    def __init__(self) -> None:
        self.storages: dict[tuple, tuple[str, np.ndarray, Any]] = {}

    def reduce(self, value: Any) -> Any:
        """An object as a pickle's call or name."""
        if isinstance(value, Parameter):
            return Call(Global("torch._utils", "_rebuild_parameter"),
                        (value.detach(), value.requires_grad, OrderedDict()))
        if isinstance(value, Tensor) and type(value) in (Tensor, Buffer):
            return self._tensor(value)
        if isinstance(value, dtype):
            return Global("torch", value.name)
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
        raise PicklingError(f"save(): cannot save an object of type {kind.__module__}.{kind.__qualname__}: only "
                            "tensors, "
                            "parameters, numbers, strings, bytes, None, and lists, tuples, sets and dicts of them can "
                            "be saved. For a module or an optimizer save its state_dict()")

    def _tensor(self, value: Any) -> Call:
        if value.grad_fn is not None:
            value, requires_grad = value.detach(), True
        else:
            requires_grad = value.requires_grad
        kind = value.layout.dtype
        key = (id(value.memory), kind)
        found = self.storages.get(key)
        if found is None:
            found = self.storages[key] = (str(len(self.storages)), value.memory.read().copy(), value.memory)
        number, data, _ = found
        storage = Persistent(("storage", Global("torch", _STORAGE_OF[kind]), number, str(value.device),
                              data.nbytes // kind.itemsize))
        return Call(Global("torch._utils", "_rebuild_tensor_v2"),
                    (storage, value.offset, tuple(value.layout.shape), tuple(value.layout.strides), requires_grad,
                     OrderedDict()))


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Writes tensors, parameters, and lists, tuples and dicts of them and of plain values to a file.

    Tensors that share memory share it in the file. A file with a name is written beside its place first and put there
    when it is complete: an interrupted ``save`` leaves the old one.

    Args:
        obj: what to save, most often ``model.state_dict()``.
        f: a path, or an object with ``write``.

    Raises:
        pickle.PicklingError: something in ``obj`` is of another type.

    >>> import clgrad, io
    >>> file = io.BytesIO()
    >>> clgrad.save({"w": clgrad.ones(2)}, file)
    >>> clgrad.load(io.BytesIO(file.getvalue()))
    {'w': tensor([1., 1.])}
    """
    saving = _Saving()
    structure = Writer(saving.reduce).dump(obj)
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
            record(f"data/{number}", data.tobytes())
        record("version", b"3\n")


# Reading.

class _Storage:
    """Bytes of a file as a 1-d tensor on the device where they belong."""

    def __init__(self, flat: Any):
        self.flat = flat


class _Loading:
    """One call of ``load``: the archive, and the storages that have been read."""

    def __init__(self, archive: zipfile.ZipFile, map_location: Any):
        names = archive.namelist()
        roots = [name[:-len("data.pkl")] for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(roots) != 1:
            raise RuntimeError("load(): the zip archive holds no data.pkl: it was not written by save()")
        self.archive, self.root, self.map_location = archive, roots[0], map_location
        self.names = set(names)
        self.storages: dict[str, _Storage] = {}
        order = self.read("byteorder").strip() if f"{self.root}byteorder" in self.names else b"little"
        if order not in (b"little", b"big"):
            raise RuntimeError(f"load(): unknown byte order {order!r}")
        self.swap = order == b"big"

    def read(self, record: str) -> bytes:
        """The bytes of a record."""
        try:
            return self.archive.read(self.root + record)
        except (KeyError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
            raise RuntimeError(f"load(): the file is damaged: cannot read its record {record!r} ({error})") from error

    def run(self) -> Any:
        """The object."""
        table = {**_GLOBALS, **{("torch", name): kind for name, kind in _STORAGE_TYPES.items()}}
        return Reader(self.read("data.pkl"), table, self.storage).load()

    def storage(self, id: Any) -> _Storage:
        """The storage of a persistent id."""
        if not (isinstance(id, tuple) and len(id) == 5 and id[0] == "storage" and isinstance(id[1], _StorageType)
                and isinstance(id[2], str) and isinstance(id[3], str) and type(id[4]) is int and id[4] >= 0):
            raise UnpicklingError(f"unknown persistent id {id!r}"[:200])
        _, kind, number, location, count = id
        found = self.storages.get(number)
        if found is None:
            if not number.isalnum() or f"{self.root}data/{number}" not in self.names:
                raise RuntimeError(f"load(): the file is damaged: there is no storage {number!r}")
            found = self.storages[number] = _Storage(self._flat(kind.dtype, number, location, count))
        return found

    def _flat(self, kind: dtype, number: str, location: str, count: int) -> Any:
        wanted = count * kind.itemsize
        size = self.archive.getinfo(f"{self.root}data/{number}").file_size
        if size < wanted:
            raise RuntimeError(f"load(): the file is damaged: storage {number} should have {wanted} bytes and has "
                               f"{size}")
        data = np.frombuffer(self.read(f"data/{number}"), np.uint8)[:wanted].view(kind.numpy)
        values = data.byteswap() if self.swap else data.copy()
        flat = copying.from_array(values, kind, device("cpu"))
        return self._placed(flat, location)

    def _placed(self, flat: Any, location: str) -> Any:
        wanted = self.map_location
        if wanted is None:
            return _moved(flat, location)
        if isinstance(wanted, Mapping):
            return _moved(flat, str(wanted.get(location, location)))
        if callable(wanted) and not isinstance(wanted, device):
            made = wanted(flat, location)
            if made is None:
                return _moved(flat, location)
            if not isinstance(made, Tensor):
                raise RuntimeError(f"load(): map_location must return a storage or None, got {type(made).__name__}")
            return made
        return _moved(flat, str(device(wanted)))


def _moved(flat: Any, location: str) -> Any:
    try:
        place = canonical(device(location))
    except RuntimeError as error:
        raise RuntimeError("don't know how to restore data location of torch.storage (tagged with "
                           f"{location})") from error
    if place.type == "cuda" and not is_available():
        raise RuntimeError("Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. "
                           "If "
                           "you are running on a CPU-only machine, please use torch.load with "
                           "map_location=torch.device('cpu') to map your storages to the CPU.")
    return flat.to(place)


def _whole(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(v) is int and v >= 0 for v in values)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None,
                    metadata: Any = None) -> Any:
    if not (isinstance(storage, _Storage) and type(offset) is int and offset >= 0 and _whole(size) and _whole(stride)
            and len(size) == len(stride)):
        raise UnpicklingError("a tensor without a proper storage, offset, size or stride")
    flat = storage.flat
    need = offset + extent(size, stride)
    if need > flat.numel():
        raise RuntimeError(f"load(): the file is damaged: a tensor of size {list(size)}, strides {list(stride)} and "
                           "offset "
                           f"{offset} needs {need} elements, and its storage has {flat.numel()}")
    made = flat.detach()
    made.layout = layout(size, stride, flat.dtype, flat.device)
    made.offset = flat.offset + offset
    made._view = None
    if requires_grad is True:
        made.requires_grad = True
    return made


def _rebuild_parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    if not isinstance(data, Tensor):
        raise UnpicklingError("a parameter without a tensor")
    return Parameter(data.detach(), requires_grad=bool(requires_grad))


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnpicklingError("refused to encode something else than latin-1 text")
    return text.encode("latin-1")


def _size(*sizes: Any) -> Size:
    return Size(sizes[0] if len(sizes) == 1 else ())


def _ordered(*pairs: Any) -> OrderedDict:
    return OrderedDict(*pairs[:1])


class _StorageType:
    """The type of a storage, as a persistent id names it."""

    def __init__(self, kind: dtype):
        self.dtype = kind


_STORAGE_TYPES = {name: _StorageType(kind) for name, kind in _STORAGES.items()}
_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Allowed(_ordered),
    ("collections", "Counter"): Allowed(lambda items=(): Counter(dict(items))),
    ("collections", "defaultdict"): Allowed(lambda *_: {}),
    ("_codecs", "encode"): Allowed(_encode),
    ("torch", "Size"): Allowed(_size),
    ("torch", "device"): Allowed(lambda kind, index=None: device(kind, index)),
    ("torch", "Tensor"): Tensor,
    ("torch._utils", "_rebuild_tensor"): Allowed(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Allowed(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): Allowed(_rebuild_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Allowed(_rebuild_parameter),
    ("torch.nn.parameter", "Parameter"): Allowed(_rebuild_parameter),
    **{("torch", kind.name): kind for kind in dtypes.ALL},
    **{(module, "set"): Allowed(lambda items=(): set(items)) for module in ("__builtin__", "builtins")},
    **{(module, "frozenset"): Allowed(lambda items=(): frozenset(items)) for module in ("__builtin__", "builtins")},
    **{(module, "complex"): Allowed(lambda real, imag=0.0: complex(float(real), float(imag)))
       for module in ("__builtin__", "builtins")},
    **{(module, "bytearray"): Allowed(lambda data=b"", encoding=None: bytearray(
        data if isinstance(data, bytes) else _encode(data, encoding))) for module in ("__builtin__", "builtins")},
}


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """Reads what :func:`save` or ``torch.save`` wrote. Only data is read: no file makes this function run code.

    Args:
        f: a path, or an object with ``read`` and ``seek``.
        map_location: where tensors are put: None for where they were saved, a device, a dict from saved to wanted
            devices, or a function of a 1-d tensor on the host and the saved device's name that returns where it is
            now, or None.
        weights_only: accepted; it is always so.

    Raises:
        pickle.UnpicklingError: the file holds other objects than :func:`save` writes, or is damaged.
        RuntimeError: the file is damaged, or of another format; a device that is not there.
        FileNotFoundError: there is no such file.
    """
    if pickle_module is not None:
        raise RuntimeError("load(): pickle_module is not supported: files are read without running code")
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _load(file, map_location, str(f))
    if not hasattr(f, "read") or not hasattr(f, "seek"):
        raise AttributeError(f"expected 'f' to be string, path, or a file-like object with 'read' and 'seek' "
                             "attributes, "
                             f"got {type(f).__name__}")
    return _load(f, map_location, type(f).__name__)


def _load(file: Any, map_location: Any, name: str) -> Any:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise RuntimeError(f"load(): {name} is not a zip archive, so it was not written by save() or by torch.save() "
                           "since "
                           f"PyTorch 1.6, or it is damaged ({error})") from error
    with archive:
        return _Loading(archive, map_location).run()
