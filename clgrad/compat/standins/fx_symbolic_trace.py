"""``torch.fx._symbolic_trace`` with the private names from which programs build tracers of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container
from contextlib import ExitStack
from types import FunctionType
from typing import Any

from clgrad.compat.standins.c_library import ScriptObject
from clgrad.fx.graph import Graph
from clgrad.fx.graph_module import GraphModule
from clgrad.fx.proxy import Proxy
from clgrad.fx.tracer import PH, Tracer, _assert_is_none, _by_name, _listed, _wrapped, symbolic_trace, wrap
from clgrad.nn.modules import Module

__all__ = ["PH", "FunctionType", "Graph", "GraphModule", "Proxy", "ScriptObject", "Tracer", "_assert_is_none",
           "compatibility", "functools", "symbolic_trace", "wrap"]

_orig_module_call = Module.__call__
_orig_module_getattr = Module.__getattr__


def compatibility(is_backward_compatible: bool) -> Callable:
    """A decorator that changes nothing."""
    return lambda function: function


class _Patcher(ExitStack):
    """A block after which what was put in place within it is as before."""

    def patch_method(self, cls: type, name: str, new_fn: Callable, deduplicate: bool = True) -> None:
        """Gives a class another method."""
        if name in vars(cls):
            self.callback(setattr, cls, name, vars(cls)[name])
        else:
            self.callback(delattr, cls, name)
        setattr(cls, name, new_fn)


def _patch_wrapped_functions(patcher: _Patcher) -> None:
    """Functions that were given to ``wrap`` are recorded as a whole."""
    patcher.enter_context(_wrapped(_by_name))


def _autowrap_check(patcher: _Patcher, frame_dict: dict[str, Any], function_ids: Container[int]) -> None:
    """So are functions with these ids, under the names of one module."""
    patcher.enter_context(_wrapped(_listed(function_ids, [frame_dict])))
