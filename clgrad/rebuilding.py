"""What files of tensors name: storages, and the functions that make tensors and parameters of them.

Every function checks its arguments: a file is data that anybody may have written.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from pickle import UnpicklingError
from typing import Any

from clgrad import dtypes
from clgrad.creation import empty_strided
from clgrad.dtypes import dtype
from clgrad.formats import layout, sparse_bsc, sparse_bsr, sparse_coo, sparse_csc, sparse_csr, strided
from clgrad.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter
from clgrad.pickles import Allowed
from clgrad.runtime import device
from clgrad.shapes import Size, extent
from clgrad.sparse import sparse_compressed_tensor, sparse_coo_tensor
from clgrad.spec import spec
from clgrad.storage import TypedStorage
from clgrad.tensor import TYPE_NAMES, Tensor

_LAYOUTS = {repr(kind): kind for kind in (strided, sparse_coo, sparse_csr, sparse_csc, sparse_bsr, sparse_bsc)}


class Window:
    """A part of a storage, as files of older programs name it."""

    def __init__(self, flat: Any):
        self.flat = flat


def _whole(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(v) is int and v >= 0 for v in values)


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None,
                   metadata: Any = None) -> Any:
    if not (isinstance(storage, (TypedStorage, Window)) and type(offset) is int and offset >= 0 and _whole(size)
            and _whole(stride) and len(size) == len(stride)):
        raise UnpicklingError("a tensor without a proper storage, offset, size or stride")
    flat = storage.flat if isinstance(storage, Window) else storage.tensor()
    need = offset + extent(size, stride)
    if need > flat.numel():
        raise RuntimeError(f"load(): the file is damaged: a tensor of size {list(size)}, strides {list(stride)} and "
                           "offset "
                           f"{offset} needs {need} elements, and its storage has {flat.numel()}")
    made = flat.detach()
    made.spec = spec(size, stride, flat.dtype, flat.device)
    made.offset = flat.offset + offset
    made._view = None
    if requires_grad is True:
        made.requires_grad = True
    return made


def rebuild_parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    if not isinstance(data, Tensor):
        raise UnpicklingError("a parameter without a tensor")
    return _given(Parameter(data.detach(), requires_grad=bool(requires_grad)), state)


def rebuild_meta(kind: Any, size: Any, stride: Any, requires_grad: Any = False) -> Any:
    if not (isinstance(kind, dtype) and _whole(size) and _whole(stride) and len(size) == len(stride)):
        raise UnpicklingError("a tensor on meta without a proper dtype, size or stride")
    return empty_strided(size, stride, dtype=kind, device="meta", requires_grad=bool(requires_grad))


def rebuild_sparse(kind: Any, parts: Any) -> Any:
    number = 2 if kind is sparse_coo else 3
    if not (isinstance(kind, layout) and kind is not strided and isinstance(parts, tuple) and len(parts) in (3, 4)
            and all(isinstance(part, Tensor) for part in parts[:number]) and isinstance(parts[number], (Size, tuple, list))):
        raise UnpicklingError("a sparse tensor without a proper layout, indices, values or size")
    size = tuple(parts[number])
    # A file's indices are not trusted.
    if kind is sparse_coo:
        coalesced = bool(parts[3]) if len(parts) == 4 else None
        return sparse_coo_tensor(parts[0], parts[1], size, check_invariants=True, is_coalesced=coalesced)
    lines, places, values = parts[:3]
    return sparse_compressed_tensor(lines, places, values, size, layout=kind, check_invariants=True)


def _layout(name: Any) -> Any:
    found = _LAYOUTS.get(name)
    if found is None:
        raise UnpicklingError(f"unknown layout {name!r}"[:200])
    return found


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    rebuild = function.call if isinstance(function, Allowed) else function
    if rebuild not in (rebuild_tensor, rebuild_parameter, rebuild_meta, rebuild_sparse) or not isinstance(arguments, tuple):
        raise UnpicklingError("a tensor with attributes that is not made as tensors are")
    made = rebuild(*arguments)
    if isinstance(kind, type) and issubclass(kind, Tensor) and not isinstance(made, kind):
        made = made.as_subclass(kind)
    return _given(made, state)


def _given(made: Any, state: Any) -> Any:
    """The tensor, with the attributes that the program gave it: a dict, or a pair of it and of what slots hold."""
    attributes = state[0] if isinstance(state, tuple) and len(state) == 2 else state
    if attributes:
        if not isinstance(attributes, dict):
            raise UnpicklingError("attributes of a tensor that are no dict")
        made.__dict__.update(attributes)
    return made


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnpicklingError("refused to encode something else than latin-1 text")
    return text.encode("latin-1")


def _size(*sizes: Any) -> Size:
    return Size(sizes[0] if len(sizes) == 1 else ())


def _ordered(*pairs: Any) -> OrderedDict:
    return OrderedDict(*pairs[:1])


class StorageType:
    """The type of a storage, as a persistent id names it."""

    def __init__(self, kind: dtype):
        self.dtype = kind


STORAGES = {name.replace("Tensor", "Storage"): kind for kind, name in TYPE_NAMES.items()}
STORAGE_TYPES = {name: StorageType(kind) for name, kind in STORAGES.items()}
_BYTES = StorageType(dtypes.uint8)
GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Allowed(_ordered),
    ("collections", "Counter"): Allowed(lambda items=(): Counter(dict(items))),
    ("collections", "defaultdict"): Allowed(lambda *_: {}),
    ("_codecs", "encode"): Allowed(_encode),
    ("torch", "Size"): Allowed(_size),
    ("torch", "device"): Allowed(lambda kind, index=None: device(kind, index)),
    ("torch", "Tensor"): Tensor,
    ("torch.storage", "UntypedStorage"): _BYTES,
    ("torch", "UntypedStorage"): _BYTES,
    **{("torch", name): kind for name, kind in STORAGE_TYPES.items()},
    ("torch._utils", "_rebuild_tensor"): Allowed(rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Allowed(rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): Allowed(rebuild_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Allowed(rebuild_parameter),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): Allowed(rebuild_meta),
    ("torch._utils", "_rebuild_sparse_tensor"): Allowed(rebuild_sparse),
    ("torch._utils", "_rebuild_sparse_csr_tensor"): Allowed(rebuild_sparse),
    ("torch.serialization", "_get_layout"): Allowed(_layout),
    ("torch._tensor", "_rebuild_from_type_v2"): Allowed(_rebuild_from_type),
    ("torch.nn.parameter", "Parameter"): Allowed(rebuild_parameter),
    ("torch.nn.parameter", "UninitializedParameter"): Allowed(UninitializedParameter),
    ("torch.nn.parameter", "UninitializedBuffer"): Allowed(UninitializedBuffer),
    **{(f"clgrad.{module}", f"{prefix}rebuild_{what}"): Allowed(function)  # files of whole objects have had both
       for module, prefix in (("serialization", "_"), ("rebuilding", ""))
       for what, function in (("tensor", rebuild_tensor), ("parameter", rebuild_parameter), ("meta", rebuild_meta),
                              ("sparse", rebuild_sparse))},
    **{("torch", name): kind for name, kind in dtypes.BY_NAME.items()},
    **{(module, "set"): Allowed(lambda items=(): set(items)) for module in ("__builtin__", "builtins")},
    **{(module, "frozenset"): Allowed(lambda items=(): frozenset(items)) for module in ("__builtin__", "builtins")},
    **{(module, "complex"): Allowed(lambda real, imag=0.0: complex(float(real), float(imag)))
       for module in ("__builtin__", "builtins")},
    **{(module, "bytearray"): Allowed(lambda data=b"", encoding=None: bytearray(
        data if isinstance(data, bytes) else _encode(data, encoding))) for module in ("__builtin__", "builtins")},
}

# What programs find in torch._utils.
_rebuild_tensor = _rebuild_tensor_v2 = rebuild_tensor
_rebuild_parameter = _rebuild_parameter_with_state = rebuild_parameter
_rebuild_meta_tensor_no_storage = rebuild_meta
_rebuild_sparse_tensor = _rebuild_sparse_csr_tensor = rebuild_sparse
