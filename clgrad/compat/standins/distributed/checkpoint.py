"""``torch.distributed.checkpoint`` and its modules: states are whole, ``torch.save`` writes them."""

from clgrad.compat.standins.refusal import function, kind

_REASON = "every process of clgrad holds whole tensors, which torch.save and torch.load write and read"
_CLASSES = ("DefaultLoadPlanner", "DefaultSavePlanner", "FileSystemReader", "FileSystemWriter", "HuggingFaceStorageReader",
            "HuggingFaceStorageWriter", "LoadPlanner", "SavePlanner", "StateDictOptions", "_EmptyStateDictLoadPlanner")
_FUNCTIONS = ("_load_state_dict", "async_save", "consolidate_safetensors_files", "get_model_state_dict",
              "get_optimizer_state_dict", "get_state_dict", "load", "load_sharded_optimizer_state_dict", "load_state_dict",
              "save", "save_state_dict", "set_model_state_dict", "set_optimizer_state_dict", "set_state_dict")

__all__ = [*_CLASSES, *_FUNCTIONS]  # type: ignore

globals().update({name: kind(f"torch.distributed.checkpoint.{name}", _REASON) for name in _CLASSES})
globals().update({name: function(f"torch.distributed.checkpoint.{name}", _REASON) for name in _FUNCTIONS})
