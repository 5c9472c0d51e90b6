"""Selective checkpoints: a policy says for each operator whether its result is kept or computed again.

Two modes see the operators that the checkpointed function calls. The first run's notes what a kept operator returned, and
which tensors its node saved; the second run's gives both, without calling the operator.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import TensorBase, attach, saved_tensors_hooks
from clgrad.ops.overloads import Packet, called
from clgrad.overrides import TorchFunctionMode
from clgrad.trees import tree_leaves, tree_map

__all__ = ["CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts"]


class CheckpointPolicy(enum.Enum):
    """What a selective checkpoint's policy answers for an operator: keep its result (also: on the host), or not."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_AGAIN = (CheckpointPolicy.MUST_RECOMPUTE, CheckpointPolicy.PREFER_RECOMPUTE)


class SelectiveCheckpointContext:
    """The first argument of a policy: what the operator returned. Policies are asked in the first run only."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None):
        self.is_recompute, self.op_output = is_recompute, op_output


class _Kept:
    """A result that is kept, and what its node saved: places among the arguments' and results' tensors, or tensors."""

    def __init__(self, result: Any, saved: list[Any], given: list[Any]):
        self.result = tree_map(lambda x: x.detach() if isinstance(x, TensorBase) else x, result)
        self.recorded = [isinstance(x, TensorBase) and x.requires_grad for x in tree_leaves(result)]
        self.versions = self._versions()
        tensors = [*given, *_tensors(result)]
        places = {(id(t.memory), t.offset, t.spec): n for n, t in reversed(list(enumerate(tensors)))}
        self.saved = [places.get((id(t.memory), t.offset, t.spec), t) for t in saved]

    def _versions(self) -> list[int]:
        return [t.memory.version for t in _tensors(self.result)]

    def check(self) -> None:
        """RuntimeError where the result was changed in place."""
        if self._versions() != self.versions:
            raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")


def _tensors(tree: Any) -> list[Any]:
    return [x for x in tree_leaves(tree) if isinstance(x, TensorBase)]


class _Storage:
    """What is known of each operator's calls, in order: what was kept, or None for those that are computed again."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Any]] = {}


def _plain(func: Callable, kwargs: dict) -> bool:
    """Whether a call is of an operator that makes a new result."""
    name = getattr(func, "operator_name", func.__name__)
    in_place = name.endswith("_") and not name.endswith("__") or name in ("__setitem__", "__get__", "__set__", "detach")
    return not in_place and kwargs.get("out") is None


class _FirstRun(TorchFunctionMode):
    """Asks the policy, and keeps."""

    def __init__(self, policy: Callable, storage: _Storage):
        super().__init__()
        self.policy, self.storage = policy, storage

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """The operator's result."""
        kwargs = kwargs or {}
        if not _plain(func, kwargs):
            return func(*args, **kwargs)
        saved: list[Any] = []
        pack, unpack = mode.saved_hooks[-1] if mode.saved_hooks else (lambda tensor: tensor, lambda tensor: tensor)

        def keep(tensor: Any) -> Any:
            saved.append(tensor)
            return pack(tensor)
        with saved_tensors_hooks(keep, unpack):
            result = func(*args, **kwargs)
        operator = called(func, args, kwargs)
        answer = self.policy(SelectiveCheckpointContext(is_recompute=False, op_output=result), operator, *args, **kwargs)
        again = not answer if isinstance(answer, bool) else answer in _AGAIN
        entry = None if again else _Kept(result, saved, _tensors((args, kwargs)))
        self.storage.calls.setdefault(repr(operator), []).append(entry)
        return result


_USED = object()


class _SecondRun(TorchFunctionMode):
    """Gives what is kept."""

    def __init__(self, storage: _Storage, allow_mutation: bool):
        super().__init__()
        self.storage, self.allow_mutation = storage, allow_mutation
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Any:
        self.counts = {}
        return super().__enter__()

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """The operator's result, computed or kept.

        Raises:
            RuntimeError: the first run did not call this operator as often, its result was changed, or is used again.
        """
        kwargs = kwargs or {}
        if not _plain(func, kwargs):
            return func(*args, **kwargs)
        name = repr(called(func, args, kwargs))
        number = self.counts[name] = self.counts.get(name, -1) + 1
        calls = self.storage.calls.get(name, [])
        if number >= len(calls):
            raise RuntimeError(f"{name} is called in the backward pass, but was not in the forward pass: a checkpointed "
                               "function must call the same operators whenever it runs.")
        entry = calls[number]
        if entry is None:
            return func(*args, **kwargs)
        if entry is _USED:
            raise RuntimeError("Trying to backward an extra time. You are only allowed to backward once on any region "
                               "computed under selective activation checkpoint.")
        if not self.allow_mutation:
            entry.check()
        calls[number] = _USED
        return _given(entry, _tensors((args, kwargs)))


def _given(entry: _Kept, inputs: list[Any]) -> Any:
    """What is kept of a call, as if the operator had been called with these tensors."""
    tensors = [*inputs, *_tensors(entry.result)]
    pack = mode.saved_hooks[-1][0]
    for saved in entry.saved:
        tensor = tensors[saved] if isinstance(saved, int) else saved
        pack(tensor.detach() if tensor.requires_grad else tensor)
    for result, recorded in zip(tree_leaves(entry.result), entry.recorded, strict=True):
        if recorded:
            attach(result, "SelectiveCheckpoint", (), lambda grad: ())  # what is computed of it saves tensors
    return entry.result


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple:
    """Two contexts for ``context_fn`` of :func:`clgrad.utils.checkpoint.checkpoint`.

    Args:
        policy_fn_or_list: the operators whose results are kept (``clgrad.ops.aten.mm.default``), or a function that is asked
            for each call, ``policy(context, operator, *args, **kwargs)``, and returns a :class:`CheckpointPolicy` or whether
            to keep the result.
        allow_cache_entry_mutation: results that are kept may be changed in place.

    Raises:
        TypeError: neither a function nor a list.
        ValueError: what is listed is no operator.

    >>> import functools
    >>> import clgrad
    >>> from clgrad.utils.checkpoint import checkpoint
    >>> x = clgrad.ones(2, 2, requires_grad=True)
    >>> keep_products = functools.partial(create_selective_checkpoint_contexts, [clgrad.ops.aten.mm.default])
    >>> checkpoint(lambda t: (t @ t).relu().sum(), x, use_reentrant=False, context_fn=keep_products).backward()
    >>> x.grad
    tensor([[4., 4.],
            [4., 4.]])
    """
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, Packet):
                raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}.")
        names = {repr(op) for op in policy_fn_or_list}

        def policy(context: Any, op: Any, *args: Any, **kwargs: Any) -> Any:
            return repr(op) in names
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    storage = _Storage()
    return _FirstRun(policy, storage), _SecondRun(storage, allow_cache_entry_mutation)
