"""``functorch``: what became ``torch.func``, and the functions of modules that ``functional_call`` took the place of."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from clgrad.func import (
    functional_call,
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)
from clgrad.nn import Module, Parameter

__all__ = ["FunctionalModule", "FunctionalModuleWithBuffers", "combine_state_for_ensemble", "functionalize", "grad",
           "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "make_functional", "make_functional_with_buffers", "vjp",
           "vmap"]


class FunctionalModuleWithBuffers(Module):
    """A module that is called with its parameters and buffers: ``module(parameters, buffers, *args)``."""

    def __init__(self, model: Module):
        super().__init__()
        bare: dict[int, Any] = {id(p): Parameter(p.detach().to("meta"), p.requires_grad) for p in model.parameters()}
        bare |= {id(b): b.to("meta") for b in model.buffers()}
        self.stateless_model = copy.deepcopy(model, bare)  # what the module holds twice, the copy does too
        self.param_names = tuple([name for name, _ in model.named_parameters()])
        self.buffer_names = tuple([name for name, _ in model.named_buffers()])

    def forward(self, params: Sequence[Any], buffers: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """What the module gives with these parameters and buffers."""
        state = [dict(zip(self.param_names, params, strict=True)), dict(zip(self.buffer_names, buffers, strict=True))]
        return functional_call(self.stateless_model, state, args, kwargs)


class FunctionalModule(FunctionalModuleWithBuffers):
    """A module that is called with its parameters: ``module(parameters, *args)``."""

    def forward(self, params: Sequence[Any], *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """What the module gives with these parameters."""
        return super().forward(params, (), *args, **kwargs)


def make_functional_with_buffers(model: Module, disable_autograd_tracking: bool = False) -> tuple:
    """(the module as a function, its parameters, its buffers)."""
    parameters = tuple([p.detach() if disable_autograd_tracking else p for p in model.parameters()])
    return FunctionalModuleWithBuffers(model), parameters, tuple(model.buffers())


def make_functional(model: Module, disable_autograd_tracking: bool = False) -> tuple:
    """(the module as a function, its parameters).

    Raises:
        RuntimeError: the module has buffers.
    """
    if any(True for _ in model.buffers()):
        raise RuntimeError("make_functional(model): `model` has buffers. Please use make_functional_with_buffers(model) "
                           "instead.")
    return FunctionalModule(model), make_functional_with_buffers(model, disable_autograd_tracking)[1]


def combine_state_for_ensemble(models: Sequence[Module]) -> tuple:
    """(the function of modules of one kind, their parameters stacked, their buffers stacked)."""
    parameters, buffers = stack_module_state(models)
    return FunctionalModuleWithBuffers(models[0]), tuple(parameters.values()), tuple(buffers.values())
