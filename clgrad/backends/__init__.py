"""``torch.backends``: switches that programs set. Those without a meaning for OpenCL are kept as they are set."""

from clgrad.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum

__all__ = ["cpu", "cuda", "cudnn", "flags_frozen", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


def flags_frozen() -> bool:
    """Whether switches can be set in ``with`` blocks alone: False, they can be set anywhere."""
    return False
