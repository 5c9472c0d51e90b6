"""The module objects that programs get for ``torch`` and ``torchvision``."""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from clgrad.compat.names import FROM_STANDINS, MISSING, RENAMED, mapped


class Facade(ModuleType):
    """A module with the names of another one, and submodules that the finder maps.

    It is a module of its own so that what only programs for PyTorch need is not added to clgrad.
    """

    def __init__(self, name: str, target: ModuleType, version: str):
        super().__init__(name, target.__doc__)
        self.__dict__.update({n: value for n, value in vars(target).items()
                              if not n.startswith("_") and f"{name}.{n}" not in RENAMED})
        self.__version__ = version
        self.__path__: list[str] = []  # a package, of which only the finder knows the parts
        self.__file__ = target.__file__
        self.__spec__ = ModuleSpec(name, None, is_package=True)  # importlib.util.find_spec asks for it
        self._target = target
        self.__dict__[name] = self  # PyTorch's own module holds itself by name

    def __getattr__(self, name: str) -> Any:
        target = self.__dict__.get("_target")
        full = f"{self.__name__}.{name}"
        if full not in RENAMED and (name.startswith("__") or target is None):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        if full not in RENAMED and hasattr(target, name):
            return getattr(target, name)
        if full in FROM_STANDINS:
            return getattr(importlib.import_module(FROM_STANDINS[full]), name)
        if mapped(full) is not None:
            return importlib.import_module(full)
        raise AttributeError(MISSING.get(full) or f"clgrad has no {full}")

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *dir(self._target)})
