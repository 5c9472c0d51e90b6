"""What a tensor is to autograd: its gradient, its node, its hooks, and leaving the graph."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from clgrad.autograd import engine
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import (
    Node,
    TensorBase,
    current_node,
    edge_of,
    grad_dtype,
    post_hooks,
    retain,
    take_place,
    wrap,
)
from clgrad.autograd.handles import RemovableHandle, add_hook
from clgrad.autograd.listening import WRAPPERS, switch, without_classes
from clgrad.autograd.shared_memory import refuse_change
from clgrad.dtypes import as_dtype, dtype, get_default_dtype
from clgrad.formats import strided
from clgrad.from_data import place_of
from clgrad.ops.interception import stands
from clgrad.ops.no_memory import NoMemory
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import as_shape, contiguous_strides
from clgrad.spec import spec


def _is_leaf(tensor: Any) -> bool:
    return current_node(tensor) is None


class History(TensorBase):
    """The methods of Tensor that concern gradients."""

    @property
    def requires_grad(self) -> bool:
        """Whether gradients with respect to this tensor are wanted or flow through it."""
        if self._view is None or self._view.origin is None:
            current_node(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not value and not _is_leaf(self):
            raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed "
                               "variable in a subgraph that doesn't require differentiation use var_no_grad = "
                               "var.detach().")
        if value and not self.spec.dtype.differentiable:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        if value and self._inference and not mode.inference and not self._requires_grad:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Sets :attr:`requires_grad` and returns the tensor."""
        if requires_grad and not self.spec.dtype.differentiable:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        self.requires_grad = requires_grad
        return self

    @property
    def grad_fn(self) -> Node | None:
        """The node that made this tensor; None for a leaf.

        Raises:
            RuntimeError: this is a view that was made unrecorded, and its memory was changed in place since.
        """
        view = self._view
        if view is not None and view.origin is not None and self._requires_grad and view.version != self.memory.version:
            refuse_change(view, self._grad_fn, self._output_nr, indirect=True)
        return current_node(self)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor is not the result of a recorded operation."""
        return _is_leaf(self)

    @property
    def output_nr(self) -> int:
        """Which of its node's results this is."""
        return self._output_nr

    @property
    def grad(self) -> Any:
        """The accumulated gradient, or None."""
        if self._grad is None and self._grad_fn is not None and not self._retains_grad:
            warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute "
                          "won't be populated during autograd.backward(). If you indeed want the .grad field to be populated "
                          "for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.", UserWarning, stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            self._check_gradient(value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def _check_gradient(self, value: Any) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError("assigned grad expected to be a Tensor or None but got grad of type "
                            f"{type(value).__name__}")
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        own, given, wanted = self.spec, value.spec, grad_dtype(self)
        if wanted is not None and given.dtype is not wanted:
            raise RuntimeError(f"attempting to assign a gradient with dtype '{given.dtype}' to a tensor with grad_dtype "
                               f"'{wanted}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's "
                               "dtype). You can set the tensor's grad_dtype attribute with a specific dtype, or None to "
                               "allow any dtype. Set grad_dtype with caution.")
        if given.device is not own.device:
            raise RuntimeError(f"attempting to assign a gradient located on device '{given.device}' to a tensor located "
                               f"on device '{own.device}'. Please ensure that the gradient and the tensor are on the same "
                               "device")
        if given.shape != own.shape:
            raise RuntimeError(f"attempting to assign a gradient of size '{list(given.shape)}' to a tensor of size "
                               f"'{list(own.shape)}'. Please ensure that the gradient and the tensor are the same size")

    @property
    def grad_dtype(self) -> dtype | None:
        """The dtype of a leaf's gradient, the leaf's own unless another was set; None: that of what arrives first.

        Raises:
            RuntimeError: the tensor is no leaf, or has a gradient of another dtype already.
        """
        self._check_grad_dtype("accessed")
        return grad_dtype(self)

    @grad_dtype.setter
    def grad_dtype(self, wanted: dtype | None) -> None:
        self._check_grad_dtype("set")
        if wanted is not None and not isinstance(wanted, dtype):
            raise RuntimeError(f"grad_dtype must be a torch.dtype or None, but got {type(wanted).__name__}")
        if self._grad is not None and wanted is not None and self._grad.dtype is not wanted:
            raise RuntimeError(f"Cannot set grad_dtype to '{wanted}' because there is already a gradient with dtype "
                               f"'{self._grad.dtype}'. Please clear the gradient (.grad = None) before changing grad_dtype, "
                               "or ensure the new grad_dtype matches the existing gradient's dtype.")
        self._grad_dtype = wanted

    def _check_grad_dtype(self, done: str) -> None:
        if not _is_leaf(self):
            raise RuntimeError(f"grad_dtype can only be {done} on leaf tensors.")

    @property
    def data(self) -> Any:
        """The same memory outside of the graph; changes through it are not noticed by autograd."""
        plain = wrap(self.memory, self.offset, self.spec)
        plain._untracked = True
        return plain

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._requires_grad and not value.spec.dtype.differentiable:
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        self.memory, self.offset, self.spec = value.memory, value.offset, value.spec

    @property
    def _version(self) -> int:
        if self._inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self.memory.version

    @property
    def _base(self) -> Any:
        return None if self._view is None else self._view.base

    def _is_view(self) -> bool:
        return self._view is not None

    def is_inference(self) -> bool:
        """Whether the tensor was made within :class:`clgrad.inference_mode`."""
        return self._inference

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
                 inputs: Any = None) -> None:
        """Computes the gradients of this tensor with respect to the leaves; see :func:`clgrad.autograd.backward`."""
        engine.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach_(self) -> Any:
        """Takes the tensor out of its graph."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._grad_fn, self._requires_grad, self._output_nr = None, False, 0
        return self

    def module_load(self, other: Any, assign: bool = False) -> Any:
        """What takes the place of this tensor in a module when ``other`` is loaded: itself with its values, or ``other``."""
        return other.detach() if assign else self.copy_(other).detach()

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(grad)`` whenever a gradient for this tensor is known; what it returns replaces it."""
        edge = edge_of(self)
        if edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node, number = edge
        if _is_leaf(self):
            if self._hooks is None:
                self._hooks = OrderedDict()
            return add_hook(self._hooks, hook)
        if node.pre_hooks is None:
            node.pre_hooks = OrderedDict()
        return add_hook(node.pre_hooks, (number, hook))

    @property
    def _backward_hooks(self) -> dict | None:
        """The hooks of :meth:`register_hook` by their handles' numbers; None where there are none."""
        edge = edge_of(self) if self.requires_grad else None
        if edge is None or _is_leaf(self):
            return self._hooks
        node, number = edge
        return {key: hook for key, (place, hook) in (node.pre_hooks or {}).items() if place == number} or None

    @_backward_hooks.setter
    def _backward_hooks(self, hooks: dict | None) -> None:
        edge = edge_of(self) if self.requires_grad else None
        if edge is None or _is_leaf(self):
            self._hooks = hooks
            return
        node, number = edge
        others = {key: entry for key, entry in (node.pre_hooks or {}).items() if entry[0] != number}
        node.pre_hooks = OrderedDict(others | {key: (number, hook) for key, hook in (hooks or {}).items()})

    def register_post_accumulate_grad_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(tensor)`` each time after a gradient was added to this leaf's ``grad``."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not _is_leaf(self):
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._post_hooks is None:
            self._post_hooks = OrderedDict()
        post_hooks.used = True
        return add_hook(self._post_hooks, hook)

    def retain_grad(self) -> None:
        """Keeps the gradient of a tensor that is not a leaf in its ``grad``."""
        node = current_node(self)
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if node is not None:
            retain(self)
            self._retains_grad = True

    @property
    def retains_grad(self) -> bool:
        """Whether :meth:`retain_grad` was called."""
        return self._retains_grad

    def reinforce(self, reward: Any) -> None:
        """Gone from PyTorch as well: use ``clgrad.distributions`` and their ``log_prob``."""
        raise RuntimeError("reinforce() was removed. Use torch.distributions instead.")

    def as_subclass(self, cls: type) -> Any:
        """The same memory and history as an instance of a subclass of Tensor."""
        if not (isinstance(cls, type) and issubclass(cls, TensorBase)):
            raise TypeError(f"as_subclass(): argument 'cls' must be a subclass of Tensor, got {cls!r}")
        with without_classes():
            alias = FUNCTIONS["alias"](self)
        made: Any = object.__new__(cls)
        take_place(made, alias)
        if stands(cls):
            switch.set(WRAPPERS, True)
        return made

    @staticmethod
    def _make_subclass(cls: type, data: Any, require_grad: bool = False) -> Any:
        made = wrap(data.memory, data.offset, data.spec, cls)
        if stands(cls):
            switch.set(WRAPPERS, True)
        made.requires_grad = require_grad
        return made

    @staticmethod
    def _make_wrapper_subclass(cls: type, size: Any, strides: Any = None, storage_offset: int | None = None,
                               memory_format: Any = None, dtype: Any = None, layout: Any = strided, device: Any = None,
                               pin_memory: bool = False, requires_grad: bool = False, **dispatching: Any) -> Any:
        """A tensor that stands for others: it has a shape and no memory, and ``cls.__torch_dispatch__`` answers for it."""
        if not stands(cls):
            raise RuntimeError(f"{cls.__name__} must define __torch_dispatch__")
        if layout is not strided:
            raise NotImplementedError(f"_make_wrapper_subclass: expected layout torch.strided, got {layout}")
        shape = as_shape(size)
        steps = contiguous_strides(shape) if strides is None else as_shape(strides)
        kind = get_default_dtype() if dtype is None else as_dtype(dtype)
        memory: Any = NoMemory()
        made = wrap(memory, storage_offset or 0, spec(shape, steps, kind, place_of(device)), cls)
        switch.set(WRAPPERS, True)
        made.requires_grad = requires_grad
        return made
