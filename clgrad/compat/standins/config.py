"""``torch.__config__``: how the library was built."""

from clgrad.settings import get_num_threads
from clgrad.version import __version__

__all__ = ["parallel_info", "show"]


def show() -> str:
    """A text for reports: kernels are compiled as they are needed, so there is little to say."""
    return f"clgrad {__version__}, OpenCL C compiled by PyOpenCL at run time, USE_CUDA=OFF, USE_MKL=OFF, USE_MPI=OFF"


def parallel_info() -> str:
    """How many threads there are, as far as they can be chosen."""
    return f"torch.get_num_threads() : {get_num_threads()}"
