"""Weights divided by their largest singular value."""

from __future__ import annotations

from typing import Any

from clgrad.autograd import no_grad
from clgrad.nn import functional as F
from clgrad.nn.parameter import Parameter, is_lazy


def weight_matrix(weight: Any, dim: int) -> Any:
    """The weight as a matrix, with a row for each index of ``dim``."""
    return weight.movedim(dim, 0).flatten(1)


class SpectralNorm:
    """The hook that computes the weight before each forward pass."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute_weight(self, module: Any, iterate: bool) -> Any:
        """weight / sigma, after power iterations if these are wanted."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = weight_matrix(weight, self.dim)
        if iterate:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    # Into the buffers as ``out``: functions of torch.func allow that, but no change in place.
                    F.normalize(matrix.t().mv(u), dim=0, eps=self.eps, out=v)
                    F.normalize(matrix.mv(v), dim=0, eps=self.eps, out=u)
        return weight / u.clone().dot(matrix.mv(v.clone()))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None) -> Any:
    """Divides a parameter by its largest singular value, estimated by power iteration (Miyato et al. 2018).

    Args:
        module: is changed, and returned: its parameter is called ``name_orig`` from now on.
        name: the parameter. Default: "weight".
        n_power_iterations: in each forward pass of training. Default: 1.
        eps: the smallest length that is divided by. Default: 1e-12.
        dim: of the outputs. Default: 1 for transposed convolutions, else 0.

    Raises:
        RuntimeError: the parameter has been replaced already.
        ValueError: no iterations; the parameter of a lazy module has no shape yet.
    """
    if n_power_iterations <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
    if name + "_orig" in module._parameters:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    if is_lazy(getattr(module, name)):
        raise ValueError("spectral_norm: the module can't have uninitialized parameters. Call it once before")
    if dim is None:
        dim = int(type(module).__name__.startswith("ConvTranspose"))
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = module._parameters[name]
    rows, columns = weight_matrix(weight.detach(), dim).shape
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    module.register_buffer(name + "_u", F.normalize(weight.detach().new_empty(rows).normal_(), dim=0, eps=eps))
    module.register_buffer(name + "_v", F.normalize(weight.detach().new_empty(columns).normal_(), dim=0, eps=eps))
    setattr(module, name, weight.detach())
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Makes the divided weight an ordinary parameter again.

    Raises:
        ValueError: there is no such weight.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            weight = hook.compute_weight(module, False)
            delattr(module, name)
            del module._parameters[name + "_orig"], module._buffers[name + "_u"], module._buffers[name + "_v"]
            setattr(module, name, Parameter(weight.detach()))
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"spectral_norm of '{name}' not found in {module}")
