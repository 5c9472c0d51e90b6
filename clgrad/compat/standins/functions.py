"""Classes of ``torch.autograd.function`` that programs derive their own functions from."""

from __future__ import annotations

from typing import Any

from clgrad.autograd import Function


class InplaceFunction(Function):
    """A function that can be asked to write into its input: ``self.inplace`` is what it was asked for."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace: Any = inplace
