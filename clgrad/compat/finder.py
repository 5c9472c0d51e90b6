"""The hook of Python's import statement that finds clgrad's modules under PyTorch's names."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from clgrad.compat.names import MISSING, RENAMED, ROOTS, mapped


class _Alias(Loader):
    """Loads a module by handing out another one, unchanged."""

    def __init__(self, target: str):
        self._target = target
        self._own: Any = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that the name stands for."""
        module = importlib.import_module(self._target)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module its own description back, over which the import machinery has written the alias's.

        What is a file here may be a folder in PyTorch: with a path of no folders Python asks the finder for its parts.
        """
        module.__spec__ = self._own
        if not hasattr(module, "__path__"):
            module.__path__ = []

    def get_code(self, fullname: str) -> CodeType | None:
        """The other module's code, by which Python runs it as a program (``-m torch.distributed.run``)."""
        own = importlib.util.find_spec(self._target)
        return None if own is None else own.loader.get_code(self._target)  # type: ignore[union-attr]


class Finder(MetaPathFinder):
    """Answers for ``torch``, ``torchvision`` and everything below them, so that no other finder is asked."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        """The description of a module of PyTorch's; ModuleNotFoundError where clgrad has none."""
        if fullname.partition(".")[0] not in ROOTS and fullname not in RENAMED:
            return None
        found = mapped(fullname)
        if found is None:
            reason = next((MISSING[name] for name in _upwards(fullname) if name in MISSING), f"clgrad has no {fullname}")
            raise ModuleNotFoundError(reason, name=fullname)
        return ModuleSpec(fullname, _Alias(found))


def _upwards(name: str) -> list[str]:
    """The name, its package, and so on to the root."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
