"""Runs programs that say ``import torch`` and ``import torchvision`` on clgrad, unchanged.

    python -m clgrad.compat program.py arguments...
    python -m clgrad.compat -m module arguments...

or, in a program of one's own, before anything imports PyTorch:

    import clgrad.compat
    clgrad.compat.install()

``torch`` is then a module that has clgrad's names, ``torch.nn`` is ``clgrad.nn`` itself, and so on; ``torchvision`` is
``clgrad.vision``. Processes that the program starts with this interpreter see the same. What clgrad lacks raises
ModuleNotFoundError or AttributeError with its name: nothing falls through to an installed PyTorch.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import clgrad
from clgrad import vision
from clgrad.compat.facade import Facade
from clgrad.compat.finder import Finder
from clgrad.compat.names import BELOW_MODULES, RENAMED, ROOTS
from clgrad.compat.private_names import PRIVATE
from clgrad.compat.standins import torch_version, version

__all__ = ["install", "installed"]

_FINDER = Finder()
# Holds a torch.py and a torchvision.py that install the mapping in processes which this one starts.
_PATH = str(Path(__file__).parent / "path")
_ROOT = str(Path(clgrad.__file__).parent.parent)


def installed() -> bool:
    """Whether ``import torch`` means clgrad in this process."""
    return _FINDER in sys.meta_path


def _give_to_parent(name: str) -> None:
    """Makes a module an attribute of the one above it, as it is once PyTorch has been imported."""
    above, _, own = name.rpartition(".")
    if above in ROOTS or not above.startswith(tuple(f"{root}." for root in ROOTS)):
        return
    parent = importlib.import_module(above)
    # A function of that name, torchvision.models.alexnet for one, stays.
    if isinstance(getattr(parent, own, parent), ModuleType):
        setattr(parent, own, importlib.import_module(name))


def _add_private_names() -> None:
    """Gives modules the names that only programs for PyTorch take from them, where they have none of that name."""
    for module, origins in PRIVATE.items():
        own = vars(importlib.import_module(module))
        for origin, names in origins.items():
            found = vars(importlib.import_module(origin))
            for name in names.split():
                own.setdefault(name, found[name])


def _name_origins() -> None:
    """Lets classes and functions say that they are PyTorch's.

    Programs take the library of an array, a layer or a data set from that, and whether a call sets initial values.
    """
    for kind, module in {clgrad.Tensor: "torch", clgrad.dtype: "torch", clgrad.Size: "torch", clgrad.device: "torch",
                         clgrad.nn.Parameter: "torch.nn.parameter"}.items():
        kind.__module__ = module
    for package in (clgrad.nn, clgrad.optim, clgrad.utils.data):
        for kind in vars(package).values():
            if isinstance(kind, type) and kind.__module__.startswith("clgrad."):
                kind.__module__ = "torch" + kind.__module__.removeprefix("clgrad")
    for function in vars(clgrad.nn.init).values():
        if getattr(function, "__module__", None) == "clgrad.nn.init":
            function.__module__ = "torch.nn.init"


def install() -> None:
    """Lets ``torch`` and ``torchvision`` stand for clgrad, in this process and in those that it starts.

    Raises:
        RuntimeError: PyTorch itself has been imported already.
    """
    if installed():
        return
    for name in ("torch", "torchvision"):
        loaded = sys.modules.get(name)
        if loaded is not None and not str(getattr(loaded, "__file__", "")).startswith(_PATH):
            raise RuntimeError(f"clgrad.compat.install(): {name} has been imported already; install() has to come first")
    sys.meta_path.insert(0, _FINDER)
    sys.modules["torch"] = Facade("torch", clgrad, torch_version.__version__)
    sys.modules["torchvision"] = Facade("torchvision", vision, version.VISION)
    for name, target in BELOW_MODULES.items():
        sys.modules[name] = importlib.import_module(target)
    for name in RENAMED:
        _give_to_parent(name)
    _add_private_names()
    _name_origins()
    if _PATH not in sys.path:
        sys.path.append(_PATH)
    known = os.environ.get("PYTHONPATH", "")
    wanted = [folder for folder in (_PATH, _ROOT) if folder not in known.split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*wanted, *([known] if known else [])])
    # Processes of multiprocessing take this process's sys.path, not the variable.
    sys.path.insert(1, sys.path.pop(sys.path.index(_PATH)))
    if not any(os.path.abspath(folder or os.curdir) == _ROOT for folder in sys.path):
        sys.path.append(_ROOT)
