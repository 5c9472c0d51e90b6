"""``torch.utils._contextlib``: contexts that are decorators as well."""

from __future__ import annotations

from typing import Any

from clgrad.autograd.grad_mode import _Context

__all__ = ["_DecoratorContextManager", "_NoParamDecoratorContextManager"]


class _DecoratorContextManager(_Context):
    """A context that a decorated function enters for each of its calls; ``clone()`` makes one for a call."""

    def _fresh(self) -> Any:
        return self.clone()

    def clone(self) -> Any:
        """Another one, made without arguments."""
        return type(self)()


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One without arguments, which may be written without brackets: ``@mode`` for ``@mode()``."""

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        return made if function is None else made(function)
