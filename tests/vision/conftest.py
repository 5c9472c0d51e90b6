"""torchvision, the reference for pictures."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType

import pytest

# They describe torchvision's compiled operators, which need not fit the installed PyTorch, and which no test uses.
_OF_COMPILED_OPERATORS = ("torchvision._meta_registrations", "torchvision._autograd_registrations")


@pytest.fixture(scope="session")
def torchvision(torch):
    """torchvision, where it is installed."""
    pytest.importorskip("PIL", reason="Pillow is not installed")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision, the reference, is not installed")
    for name in _OF_COMPILED_OPERATORS:
        sys.modules.setdefault(name, ModuleType(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("torchvision.transforms.v2")
            return importlib.import_module("torchvision")
        except (ImportError, RuntimeError) as error:
            pytest.skip(f"torchvision does not fit the installed PyTorch: {error}")
