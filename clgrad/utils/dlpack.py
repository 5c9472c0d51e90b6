"""``torch.utils.dlpack``: sharing memory with other libraries; see :mod:`clgrad.dlpack`."""

from clgrad.from_data import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
