"""``torch.nn.modules.module`` with the private names that programs take from it."""

from clgrad.nn.modules.hooks import EVERYWHERE
from clgrad.nn.modules.module import (
    Module,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from clgrad.nn.modules.state import _EXTRA_STATE_KEY_SUFFIX, _IncompatibleKeys

__all__ = ["_EXTRA_STATE_KEY_SUFFIX", "Module", "_IncompatibleKeys", "_addindent", "register_module_backward_hook",
           "register_module_forward_hook", "register_module_forward_pre_hook", "register_module_full_backward_hook",
           "register_module_full_backward_pre_hook", "register_module_buffer_registration_hook",
           "register_module_module_registration_hook", "register_module_parameter_registration_hook"]

# The hooks of all modules, by the names of PyTorch's dictionaries.
_global_forward_hooks = EVERYWHERE._forward_hooks  # type: ignore[attr-defined]
_global_forward_hooks_with_kwargs = EVERYWHERE._forward_hooks_with_kwargs  # type: ignore[attr-defined]
_global_forward_hooks_always_called = EVERYWHERE._forward_hooks_always_called  # type: ignore[attr-defined]
_global_forward_pre_hooks = EVERYWHERE._forward_pre_hooks  # type: ignore[attr-defined]
_global_backward_hooks = EVERYWHERE._backward_hooks  # type: ignore[attr-defined]
_global_backward_pre_hooks = EVERYWHERE._backward_pre_hooks  # type: ignore[attr-defined]


def _addindent(s_: str, numSpaces: int) -> str:
    """All lines but the first moved to the right."""
    return s_.replace("\n", "\n" + " " * numSpaces)
