"""``torch.nn.modules.module`` with the private name that programs import from it."""

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


def _addindent(s_: str, numSpaces: int) -> str:
    """All lines but the first moved to the right."""
    return s_.replace("\n", "\n" + " " * numSpaces)
