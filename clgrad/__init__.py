"""clgrad: deep learning on any OpenCL device, with PyTorch's API.

>>> import clgrad as torch
>>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from importlib import import_module as _import_module
from math import e, inf, nan, pi
from typing import Any as _Any

from clgrad import autograd, cuda, errors, random, version
from clgrad import creation as _creation
from clgrad import sampling as _sampling
from clgrad import windows as _windows
from clgrad import wrappers as _wrappers
from clgrad.autograd import (
    enable_grad,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from clgrad.autograd import functional as _autograd_functional
from clgrad.cuda import Event, Stream, synchronize
from clgrad.dtypes import NAMES_ONLY as _NAMES_ONLY
from clgrad.dtypes import (
    bfloat16,
    bool,
    can_cast,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    uint8,
    uint16,
    uint32,
    uint64,
)
from clgrad.errors import OutOfMemoryError
from clgrad.formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    jagged,
    layout,
    memory_format,
    preserve_format,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from clgrad.info import (
    finfo,
    iinfo,
    is_complex,
    is_floating_point,
    is_nonzero,
    is_storage,
    is_tensor,
    numel,
    result_type,
    set_default_dtype,
)
from clgrad.ops.node_names import METHODS_ALONE as _METHODS_ALONE
from clgrad.ops.random import Generator, default_generator, manual_seed
from clgrad.ops.registry import FUNCTIONS as _FUNCTIONS
from clgrad.printing import get_printoptions, set_printoptions
from clgrad.random import get_rng_state, initial_seed, seed, set_rng_state
from clgrad.runtime import default_device as get_default_device
from clgrad.runtime import device, set_default_device
from clgrad.settings import (
    are_deterministic_algorithms_enabled,
    cond,
    get_deterministic_debug_mode,
    get_device_module,
    get_float32_matmul_precision,
    get_num_interop_threads,
    get_num_threads,
    is_deterministic_algorithms_warn_only_enabled,
    is_warn_always_enabled,
    set_default_tensor_type,
    set_deterministic_debug_mode,
    set_float32_matmul_precision,
    set_flush_denormal,
    set_num_interop_threads,
    set_num_threads,
    set_warn_always,
    typename,
    use_deterministic_algorithms,
    while_loop,
)
from clgrad.shapes import Size
from clgrad.spec import before_complex as _before_complex
from clgrad.spec import before_sparse as _before_sparse
from clgrad.storage import CLASSES as _STORAGE_CLASSES
from clgrad.storage import TypedStorage, UntypedStorage
from clgrad.storage import TypedStorage as Storage
from clgrad.tensor import Tensor
from clgrad.typed import CLASSES as _CLASSES
from clgrad.version import __version__

# PyTorch's short names of dtypes.
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128
newaxis = None
globals().update({name: kind for kind in _NAMES_ONLY for name in (kind.name, *kind.aliases)})
_assert = _FUNCTIONS["_assert"]

# What an operator does not need is imported when it is first asked for: ``import clgrad`` stays fast.
_LATER = frozenset({
    "_C", "__future__", "accelerator", "amp", "backends", "compiler", "cpu", "distributed", "distributions", "fft",
    "func", "futures", "fx", "hub", "jit", "library", "linalg", "masked", "mps", "mtia", "multiprocessing", "nn",
    "onnx", "optim", "overrides", "profiler", "quasirandom", "return_types", "safetensors", "signal", "sparse", "special",
    "testing", "types", "utils", "vision", "xpu",
})
_LATER_NAMES = {
    **dict.fromkeys((
        "GradScaler", "autocast", "clear_autocast_cache", "get_autocast_cpu_dtype", "get_autocast_dtype",
        "get_autocast_gpu_dtype", "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "is_autocast_enabled",
        "set_autocast_cache_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled", "set_autocast_dtype",
        "set_autocast_enabled", "set_autocast_gpu_dtype"), "amp"),
    **dict.fromkeys((
        "_check", "_check_index", "_check_is_size", "_check_not_implemented", "_check_tensor_all", "_check_type",
        "_check_value", "_check_with"), "checks"),
    **dict.fromkeys(("SymBool", "SymFloat", "SymInt"), "types"),
    **dict.fromkeys(("compile",), "compiler"),
    **dict.fromkeys(("Future",), "futures"),
    **dict.fromkeys(("vmap",), "func"),
    **dict.fromkeys(("sym_float", "sym_fresh_size", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt",
                     "sym_sum"), "symbolic"),
    **dict.fromkeys(("load", "save"), "serialization"),
    **dict.fromkeys((
        "sparse_bsc_tensor", "sparse_bsr_tensor", "sparse_compressed_tensor", "sparse_coo_tensor", "sparse_csc_tensor",
        "sparse_csr_tensor"), "sparse"),
    **dict.fromkeys((
        "alpha_dropout", "alpha_dropout_", "bilinear", "binary_cross_entropy_with_logits", "celu", "celu_",
        "cosine_embedding_loss", "ctc_loss", "dropout_", "feature_alpha_dropout", "feature_alpha_dropout_",
        "feature_dropout", "feature_dropout_", "hinge_embedding_loss", "kl_div", "margin_ranking_loss",
        "max_pool1d_with_indices", "native_channel_shuffle", "poisson_nll_loss", "rrelu", "rrelu_", "selu", "selu_",
        "threshold", "threshold_", "triplet_margin_loss"), "nn.top_level"),
}

_before_complex.append(lambda: _import_module("clgrad.complexes"))
_before_sparse.append(lambda: _import_module("clgrad.sparse"))

# Every operator of the registry, every constructor: ``clgrad.exp``, ``clgrad.zeros``, ``clgrad.FloatTensor``.
globals().update({name: function for name, function in _FUNCTIONS.items()
                  if not name.startswith("_") and name not in _LATER_NAMES and name not in _METHODS_ALONE})
globals().update(_creation.CREATORS)
globals().update(_sampling.CREATORS)
globals().update(_windows.CREATORS)
globals().update(_CLASSES)
globals().update(_STORAGE_CLASSES)

_ABSENT = {
    **dict.fromkeys(("qint8", "quint8", "qint32", "quantize_per_tensor", "quantize_per_channel", "quantization"),
                    "clgrad has no quantised tensors"),
    "export": "clgrad has no torch.export: torch.fx traces programs, torch.onnx writes them to files",
}


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        return _import_module(f"clgrad.{name}")
    if name in _LATER_NAMES:
        found = globals()[name] = getattr(_import_module(f"clgrad.{_LATER_NAMES[name]}"), name)
        return found
    # Operators that PyTorch has under a private name, such as ``_foreach_add``.
    if name in _FUNCTIONS and name not in _METHODS_ALONE:
        return _FUNCTIONS[name]
    if name in _ABSENT:
        raise AttributeError(f"module 'clgrad' has no attribute '{name}': {_ABSENT[name]}")
    raise AttributeError(f"module 'clgrad' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_LATER_NAMES})
