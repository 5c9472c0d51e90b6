"""``torch.utils.cpp_extension``: programs import it and go without what they cannot build."""

from clgrad.compat.standins.refusal import function, kind

__all__ = ["BuildExtension", "CUDAExtension", "CppExtension", "load", "load_inline"]

_REASON = "kernels of clgrad are OpenCL C; C++ and CUDA are not compiled for it"

CUDA_HOME = None
load, load_inline, CppExtension, CUDAExtension = (function(f"torch.utils.cpp_extension.{name}", _REASON) for name in (
    "load", "load_inline", "CppExtension", "CUDAExtension"))
BuildExtension = kind("torch.utils.cpp_extension.BuildExtension", _REASON)
