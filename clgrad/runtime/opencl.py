"""pyopencl, imported when it is first used: ``import clgrad`` stays fast and touches no driver."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import NoReturn


class _Missing(ModuleType):
    """Stands for a module that is not installed: ``import clgrad`` works, using OpenCL is an error."""

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise ImportError(f"clgrad needs {self.__name__}: pip install {self.__name__} ('python -m clgrad doctor' shows "
                          "what else is missing)", name=self.__name__)


def _lazy(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return _Missing(name)
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


cl = _lazy("pyopencl")
