"""Ways to convert the parameters of modules that programs choose: ``torch.__future__``."""

from __future__ import annotations

from clgrad.nn.modules import conversions

__all__ = ["get_overwrite_module_params_on_conversion", "get_swap_module_params_on_conversion",
           "set_overwrite_module_params_on_conversion", "set_swap_module_params_on_conversion"]


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Whether ``Module.to``, ``half`` and the like put new parameters into the module. Default: False."""
    conversions.overwrite = value


def get_overwrite_module_params_on_conversion() -> bool:
    """What :func:`set_overwrite_module_params_on_conversion` set."""
    return conversions.overwrite


def set_swap_module_params_on_conversion(value: bool) -> None:
    """Whether a converted parameter is exchanged with :func:`clgrad.utils.swap_tensors`. Default: False."""
    conversions.swap = value


def get_swap_module_params_on_conversion() -> bool:
    """What :func:`set_swap_module_params_on_conversion` set."""
    return conversions.swap
