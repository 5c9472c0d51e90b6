"""Pruning: parameters some of whose elements are held at zero by masks.

A pruned parameter is called ``name_orig`` from then on, the mask is the buffer ``name_mask``, and ``name`` is the product
of both, computed before each forward pass.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from clgrad.nn.utils.convert_parameters import parameters_to_vector
from clgrad.ops.registry import FUNCTIONS


def _ones_like(t: Any) -> Any:
    return FUNCTIONS["ones_like"](t.detach())


def _check_scores(scores: Any, t: Any, what: str) -> Any:
    """The importance scores of a tensor: itself where none are given."""
    if scores is None:
        return t
    if scores.shape != t.shape:
        raise AssertionError(f"importance_scores should have the same shape as {what}, got {scores.shape} vs {t.shape}")
    return scores


class BasePruningMethod(ABC):
    """A way to choose what is pruned, and the hook that applies the mask.

    Subclasses define :meth:`compute_mask`, and ``PRUNING_TYPE``: what a second pruning of the same parameter is to look
    at: "unstructured", the elements that are left; "structured", the slices along ``self.dim`` that are left; "global",
    everything.
    """

    _tensor_name: str
    PRUNING_TYPE: str

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for a tensor of importance scores, on top of ``default_mask``, which has the same shape."""

    def apply_mask(self, module: Any) -> Any:
        """The pruned tensor."""
        orig = getattr(module, self._tensor_name + "_orig")
        return getattr(module, self._tensor_name + "_mask").to(dtype=orig.dtype) * orig

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prunes a parameter with a method ``cls(*args, **kwargs)``, on top of what has been pruned of it before.

        Args:
            module: is changed.
            name: the parameter.
            importance_scores: what the mask is computed of, in place of the parameter.

        Returns:
            The method; or the :class:`PruningContainer` of all methods that the parameter has been pruned with.

        Raises:
            AssertionError: the scores have another shape.
        """
        parameter = getattr(module, name)
        scores = _check_scores(importance_scores, parameter, f"parameter {name} of {module}")
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        key, old = _hook_of(module, name)
        if old is None:
            mask = method.compute_mask(scores, default_mask=_ones_like(parameter))
            module.register_parameter(name + "_orig", parameter)
            del module._parameters[name]
        else:
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            method = container
            mask = method.compute_mask(scores, default_mask=getattr(module, name + "_mask").detach().clone())
            del module._forward_pre_hooks[key]
        module.register_buffer(name + "_mask", mask.detach())
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """A tensor times the mask that the method finds for it, or for ``importance_scores``."""
        scores = _check_scores(importance_scores, t, "tensor t")
        mask = _ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module: Any) -> None:
        """Makes the pruned value the parameter's value, and takes the mask away; the hook stays."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        parameter = module._parameters.pop(name + "_orig")
        parameter.data = weight.data
        del module._buffers[name + "_mask"]
        setattr(module, name, parameter)


def _hook_of(module: Any, name: str) -> tuple[Any, Any]:
    """Key and pruning method of a parameter; (None, None) where it is not pruned."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None, None


class PruningContainer(BasePruningMethod):
    """The methods that one parameter has been pruned with, in this order; each only sees what those before it left."""

    def __init__(self, *args: Any):
        self._pruning_methods: tuple = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Adds a method for the same parameter.

        Raises:
            TypeError: it is not a pruning method.
            ValueError: it is one for another parameter.
        """
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to "
                             f"PruningContainer {self}. Found '{method._tensor_name}'")
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """``default_mask`` with what the last method prunes of the part that it looks at."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype).clone()
        part = self._part(method, t, default_mask)
        mask[part] = method.compute_mask(t.detach()[part], default_mask=default_mask[part]).to(dtype=mask.dtype)
        return mask

    @staticmethod
    def _part(method: Any, t: Any, mask: Any) -> Any:
        """The index of what a method looks at."""
        if method.PRUNING_TYPE == "unstructured":
            return mask == 1
        everything: list[Any] = [slice(None)] * t.dim()
        if method.PRUNING_TYPE == "structured":
            if not hasattr(method, "dim"):
                raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` '
                                     "defined.")
            dim = method.dim + t.dim() if method.dim < 0 else method.dim
            if dim < 0:
                raise IndexError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
            everything[dim] = mask.sum(dim=[d for d in range(t.dim()) if d != dim]) != 0
        elif method.PRUNING_TYPE != "global":
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        return tuple(everything)


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask as it is."""
        return default_mask

    @classmethod
    def apply(cls, module: Any, name: str) -> Any:  # type: ignore[override]
        """See :func:`identity`."""
        return super().apply(module, name)


def _compute_nparams_toprune(amount: Any, tensor_size: int) -> int:
    """How many units an amount, a number of them or a fraction, means."""
    return int(amount) if isinstance(amount, numbers.Integral) else round(float(amount) * tensor_size)


class _Amount(BasePruningMethod):
    """A method that prunes a fraction, if ``amount`` is a float, or a number of units."""

    def __init__(self, amount: Any):
        if not isinstance(amount, numbers.Real):
            raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
        if float(amount) < 0 or (not isinstance(amount, numbers.Integral) and float(amount) > 1):
            raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
        self.amount = amount

    def _count(self, size: int) -> int:
        """How many of ``size`` units are pruned."""
        count = _compute_nparams_toprune(self.amount, size)
        if count > size:
            raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={size}")
        return count


class _Unstructured(_Amount):
    """Prunes the elements with the lowest scores."""

    PRUNING_TYPE = "unstructured"

    def _scores(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the elements of the lowest scores."""
        count = self._count(t.numel())
        flat = default_mask.clone().reshape(-1)
        if count:
            flat[self._scores(t.detach()).reshape(-1).topk(count, largest=False).indices] = 0
        return flat.view(default_mask.shape)


class RandomUnstructured(_Unstructured):
    """Prunes elements at random: a fraction, or a number of them."""

    def _scores(self, t: Any) -> Any:
        return FUNCTIONS["rand_like"](t)

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any) -> Any:  # type: ignore[override]
        """See :func:`random_unstructured`."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prunes the elements of smallest magnitude."""

    def _scores(self, t: Any) -> Any:
        return t.abs()

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:  # type: ignore[override]
        """See :func:`l1_unstructured`."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_Amount):
    """Prunes the slices along ``dim`` with the lowest scores."""

    PRUNING_TYPE = "structured"
    dim: int

    def _scores(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the slices of the lowest scores."""
        if t.dim() <= 1:
            raise ValueError("Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                             f"{t.shape} with {t.dim()} dims")
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = t.shape[self.dim]
        count = self._count(size)
        if not count:
            return default_mask
        t = t.detach()
        kept = self._scores(t).topk(size - count).indices
        mask = FUNCTIONS["zeros_like"](t).index_fill(self.dim, kept, 1)
        return mask * default_mask.to(dtype=mask.dtype)


class RandomStructured(_Structured):
    """Prunes slices along ``dim`` at random."""

    def __init__(self, amount: Any, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def _scores(self, t: Any) -> Any:
        return t.new_empty(t.shape[self.dim]).uniform_()

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any, dim: int = -1) -> Any:  # type: ignore[override]
        """See :func:`random_structured`."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the slices along ``dim`` that have the smallest norm of order ``n``."""

    def __init__(self, amount: Any, n: Any, dim: int = -1):
        super().__init__(amount)
        self.n, self.dim = n, dim

    def _scores(self, t: Any) -> Any:
        dim = self.dim % t.dim()
        return FUNCTIONS["norm"](t, p=self.n, dim=[d for d in range(t.dim()) if d != dim])

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any, n: Any, dim: int,  # type: ignore[override]
              importance_scores: Any = None) -> Any:
        """See :func:`ln_structured`."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes what a given mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any):
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The product of both masks."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}")
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Any, name: str, mask: Any) -> Any:  # type: ignore[override]
        """See :func:`custom_from_mask`."""
        return super().apply(module, name, mask=mask)


# The methods as functions: each changes the module, and returns it.

def identity(module: Any, name: str) -> Any:
    """Gives a parameter a mask of ones."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """Prunes elements of a parameter at random: a fraction, if ``amount`` is a float, or a number of them."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:
    """Prunes the elements of a parameter that have the smallest magnitude, or importance.

    >>> import clgrad
    >>> layer = clgrad.nn.Linear(2, 1)
    >>> _ = layer.weight.data.copy_(clgrad.tensor([[-3.0, 0.5]]))
    >>> clgrad.nn.utils.prune.l1_unstructured(layer, "weight", amount=1).weight_mask
    tensor([[1., 0.]])
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """Prunes slices of a parameter along ``dim`` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Any:
    """Prunes the slices of a parameter along ``dim`` that have the smallest norm of order ``n``."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Prunes the elements of a parameter where ``mask`` is zero."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prunes several parameters as if they were one.

    Args:
        parameters: pairs of a module and a parameter's name.
        pruning_method: a class of type "unstructured", such as :class:`L1Unstructured`.
        importance_scores: a dict of such pairs and scores. Default: the parameters themselves.
        **kwargs: arguments of the class, such as ``amount``.

    Raises:
        TypeError: the parameters are not iterable, the scores no dict, or the method of another type.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
                        f"{pruning_method} of type {method.PRUNING_TYPE}")
    method._tensor_name = "all"
    pairs = [tuple(pair) for pair in parameters]
    tensors = [getattr(module, name) for module, name in pairs]
    masks = [getattr(module, name + "_mask", None) for module, name in pairs]
    mask = PruningContainer(method).compute_mask(
        parameters_to_vector([scores.get(pair, t) for pair, t in zip(pairs, tensors, strict=True)]),
        parameters_to_vector([_ones_like(t) if m is None else m for m, t in zip(masks, tensors, strict=True)]))
    parts = mask.split([t.numel() for t in tensors])
    for (module, name), t, part in zip(pairs, tensors, parts, strict=True):
        custom_from_mask(module, name, part.reshape(t.shape))


def remove(module: Any, name: str) -> Any:
    """Makes a pruned parameter an ordinary one again, with the pruned value; returns the module.

    Raises:
        ValueError: the parameter is not pruned.
    """
    key, hook = _hook_of(module, name)
    if hook is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module: Any) -> bool:
    """Whether a parameter of the module, or of one inside it, is pruned."""
    return any(isinstance(hook, BasePruningMethod)
               for part in module.modules() for hook in part._forward_pre_hooks.values())
