"""``torch.backends.cpu``: what the host's processor can do is the OpenCL driver's business."""

from __future__ import annotations


def get_cpu_capability() -> str:
    """``"OpenCL"``: kernels are compiled for the processor that is there."""
    return "OpenCL"
