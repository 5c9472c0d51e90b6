"""Weights as a length times a direction."""

from __future__ import annotations

from typing import Any

from clgrad.nn.parameter import Parameter, is_lazy
from clgrad.ops.registry import FUNCTIONS


class WeightNorm:
    """The hook that computes the weight before each forward pass."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Any) -> Any:
        """g * v / norm(v)."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return FUNCTIONS["_weight_norm"](v, g, self.dim)

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Replaces a parameter by ``name_g`` * ``name_v`` / norm(``name_v``) (Salimans and Kingma 2016).

    Args:
        module: is changed, and returned.
        name: the parameter. Default: "weight".
        dim: along which lengths differ; None for one length. Default: 0.

    Raises:
        RuntimeError: the parameter has been replaced already.
        ValueError: the parameter of a lazy module has no shape yet.
    """
    if any(isinstance(hook, WeightNorm) and hook.name == name for hook in module._forward_pre_hooks.values()):
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight = getattr(module, name)
    if is_lazy(weight):
        raise ValueError("weight_norm: the module can't have uninitialized parameters. Call it once before")
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(FUNCTIONS["norm_except_dim"](weight, 2, hook.dim).detach()))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Makes the weight an ordinary parameter again.

    Raises:
        ValueError: there is no such weight.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            weight = hook.compute_weight(module)
            delattr(module, name)
            del module._parameters[name + "_g"], module._parameters[name + "_v"]
            setattr(module, name, Parameter(weight.detach()))
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
