"""What ``compile`` makes of a module."""

from __future__ import annotations

from typing import Any

from clgrad.nn.modules.module import Module


class OptimizedModule(Module):
    """A module around another one, ``_orig_mod``, whose attributes it shows and whose ``forward`` it calls.

    The keys of its state begin with ``_orig_mod.``, as in PyTorch; save ``model._orig_mod.state_dict()`` to have others.
    """

    def __init__(self, mod: Module):
        super().__init__()
        self._modules["_orig_mod"] = mod

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self._orig_mod(*args, **kwargs)

    @property  # type: ignore[override]
    def training(self) -> bool:
        """Whether the module is in training mode."""
        return self._orig_mod.training

    @training.setter
    def training(self, mode: bool) -> None:
        if "_orig_mod" in self._modules:
            self._orig_mod.training = mode

    def __getattr__(self, name: str) -> Any:
        mod = self.__dict__.get("_modules", {}).get("_orig_mod")
        if mod is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return mod if name == "_orig_mod" else getattr(mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ or hasattr(type(self), name) or "_orig_mod" not in self.__dict__.get("_modules", {}):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)
