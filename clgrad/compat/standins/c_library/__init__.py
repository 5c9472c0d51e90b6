"""``torch._C``: what programs take from PyTorch's C++ library by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any

from clgrad._C import (
    DisableTorchFunction,
    DisableTorchFunctionSubclass,
    Generator,
    Size,
    TensorBase,
    _disabled_torch_dispatch_impl,
    _disabled_torch_function_impl,
    _get_tracing_state,
    _is_torch_function_all_disabled,
    _is_torch_function_enabled,
    _is_torch_function_mode_enabled,
    _nn,
    _TensorBase,
    _TensorMeta,
)
from clgrad.accelerator import current_accelerator
from clgrad.compat.names import SCRIPT_TYPES
from clgrad.compat.standins.c_library import _autograd, _functorch
from clgrad.cuda import Event, Stream
from clgrad.errors import LinAlgError as _LinAlgError
from clgrad.fx import Graph, Node
from clgrad.jit import Future
from clgrad.runtime import default_device, device

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass", "Event", "Function", "Future", "Generator", "Graph",
           "Node", "PyTorchFileReader", "ScriptObject", "Size", "Stream", "TensorBase", "Type", "Value", "_LinAlgError",
           "_TensorBase", "_TensorMeta", "_autograd", "_nn", "_functorch", "_disabled_torch_dispatch_impl",
           "_disabled_torch_function_impl",
           "_get_tracing_state", "_is_torch_function_all_disabled", "_is_torch_function_enabled",
           "_is_torch_function_mode_enabled", "device"]


has_lapack = True
has_cuda = has_cudnn = has_mkl = has_mkldnn = has_mps = has_openmp = False


class _Absent:
    """A class of no object, for ``isinstance`` and annotations."""


Function = ScriptObject = Type = Value = FunctionSchema = _Absent

# The types of TorchScript's values, of which there are none.
globals().update({f"{kind}Type": type(f"{kind}Type", (_Absent,), {"__module__": "torch"}) for kind in SCRIPT_TYPES})


class PyTorchFileReader:
    """Reads the records of a file that ``torch.save`` wrote.

    Args:
        name_or_buffer: a path, or an open binary file.
    """

    def __init__(self, name_or_buffer: Any):
        self._zip = zipfile.ZipFile(name_or_buffer)
        self._root = self._zip.namelist()[0].partition("/")[0] + "/"

    def get_record(self, name: str) -> bytes:
        """The bytes of a record, ``data.pkl`` for one."""
        return self._zip.read(self._root + name)

    def has_record(self, name: str) -> bool:
        """Whether there is such a record."""
        return self._root + name in self._zip.namelist()

    def get_all_records(self) -> list[str]:
        """The names of all records."""
        return [name[len(self._root):] for name in self._zip.namelist()]

    def version(self) -> int:
        """The number of the format."""
        return int(self.get_record("version"))


def _false(*args: Any, **kwargs: Any) -> bool:
    return False


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Nothing to set or count."""


_are_functorch_transforms_active = _is_tracing = _jit_can_fuse_on_cpu = _jit_can_fuse_on_gpu = _cuda_isInBadFork = _false
_log_api_usage_once = _cuda_clearCublasWorkspaces = _set_math_sdp_allow_fp16_bf16_reduction = _nothing


def _get_accelerator(check: bool | None = None) -> Any:
    return current_accelerator() or device("cpu")


def _get_default_device() -> str:
    return default_device().type


def _get_privateuse1_backend_name() -> str:
    return "privateuseone"


def _is_alias_of(data: Any, other: Any) -> bool:
    """Whether two tensors share a storage."""
    return data.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def __getattr__(name: str) -> Callable:
    # Switches of TorchScript: there is none.
    if name.startswith(("_jit_set_", "_jit_override_")):
        return _nothing
    raise AttributeError(f"clgrad has no torch._C.{name}")
