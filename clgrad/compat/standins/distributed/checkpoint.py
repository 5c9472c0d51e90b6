"""``torch.distributed.checkpoint`` and its modules: states are whole, ``torch.save`` writes them.

What reads and sets the state of a model does so for models that every process holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clgrad import distributed, nn
from clgrad.compat.standins.refusal import function, kind

_REASON = "every process of clgrad holds whole tensors, which torch.save and torch.load write and read"
_CLASSES = ("DefaultLoadPlanner", "DefaultSavePlanner", "FileSystemReader", "FileSystemWriter", "HuggingFaceStorageReader",
            "HuggingFaceStorageWriter", "LoadPlanner", "SavePlanner", "_EmptyStateDictLoadPlanner")
_FUNCTIONS = ("_load_state_dict", "async_save", "consolidate_safetensors_files", "get_optimizer_state_dict", "get_state_dict",
              "load", "load_sharded_optimizer_state_dict", "load_state_dict", "save", "save_state_dict",
              "set_optimizer_state_dict", "set_state_dict")

__all__ = ["StateDictOptions", "get_model_state_dict", "set_model_state_dict", *_CLASSES, *_FUNCTIONS]  # type: ignore

globals().update({name: kind(f"torch.distributed.checkpoint.{name}", _REASON) for name in _CLASSES})
globals().update({name: function(f"torch.distributed.checkpoint.{name}", _REASON) for name in _FUNCTIONS})


@dataclass
class StateDictOptions:
    """How states are read and set; those that tell whole tensors from parts change nothing."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


def _bare(model: nn.Module) -> nn.Module:
    """A model without the wrapper that averages its gradients."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def get_model_state_dict(model: nn.Module, *, submodules: Any = None, options: StateDictOptions | None = None) -> dict:
    """The state of a model, under the names that it has without a wrapper.

    Raises:
        NotImplementedError: ``submodules`` are given.
    """
    if submodules is not None:
        raise NotImplementedError("torch.distributed.checkpoint.get_model_state_dict: submodules are not looked up; call it "
                                  "with one of them")
    options = options or StateDictOptions()
    bare = _bare(model)
    state = bare.state_dict()
    if options.ignore_frozen_params:
        for name, parameter in bare.named_parameters():
            if not parameter.requires_grad:
                state.pop(name, None)
    if options.cpu_offload:
        for name, value in state.items():
            state[name] = value.cpu() if hasattr(value, "cpu") else value
    return state


def set_model_state_dict(model: nn.Module, model_state_dict: dict, *, options: StateDictOptions | None = None) -> Any:
    """Gives a model a state, with the names that it has without a wrapper; see :meth:`nn.Module.load_state_dict`.

    With ``broadcast_from_rank0`` all members of the default group get the state of the first.
    """
    options = options or StateDictOptions()
    given = [model_state_dict]
    if options.broadcast_from_rank0 and distributed.is_initialized():
        distributed.broadcast_object_list(given, src=0)
    return _bare(model).load_state_dict(given[0], strict=options.strict)
