"""Checkpointing: activations are not kept for the backward pass but computed again (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from typing import Any

from clgrad import autograd
from clgrad.amp import autocast
from clgrad.autograd.grad_mode import enable_grad, is_grad_enabled
from clgrad.autograd.graph import TensorBase, saved_tensors_hooks
from clgrad.nn import Module, Sequential
from clgrad.ops.autocast import state as autocasts
from clgrad.ops.random import default_generator

__all__ = ["CheckpointError", "CheckpointPolicy", "SelectiveCheckpointContext", "checkpoint", "checkpoint_sequential",
           "create_selective_checkpoint_contexts", "detach_variable", "get_device_states", "noop_context_fn",
           "set_checkpoint_early_stop", "set_device_states"]


class CheckpointError(RuntimeError):
    """The second forward pass saved other tensors than the first."""


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The devices of the arguments that have random numbers of their own, and their states: none, one stream serves all."""
    return [], []


def set_device_states(devices: Any, states: Any, *, device_type: str | None = None) -> None:
    """Goes back to the states of :func:`get_device_states`."""


def noop_context_fn() -> tuple:
    """Two contexts that do nothing: the default of ``context_fn``."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class CheckpointPolicy(enum.Enum):
    """What a selective checkpoint's policy answers for an operator: keep its result, or compute it again."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3


class SelectiveCheckpointContext:
    """The first argument of a policy: in which of the two runs it is asked."""

    def __init__(self, *, is_recompute: bool):
        self.is_recompute = is_recompute


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple:
    """Two contexts for ``context_fn`` of :func:`checkpoint`.

    The policy is a choice of memory against time, which is made here for the least memory: everything is computed again,
    and the results are those of any other choice.

    Raises:
        TypeError: neither a function nor a list of operators.
    """
    if not callable(policy_fn_or_list) and not isinstance(policy_fn_or_list, list):
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    return noop_context_fn()


class set_checkpoint_early_stop:
    """Accepted: the second forward pass always runs to its end."""

    def __init__(self, enable: bool):
        self.enable = enable

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *exception: object) -> None:
        """Nothing to do."""


def detach_variable(inputs: tuple) -> tuple:
    """The tensors among ``inputs`` as leaves on the same memory, with their ``requires_grad``."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple([x.detach().requires_grad_(x.requires_grad) if isinstance(x, TensorBase) else x for x in inputs])


class _Surroundings:
    """What the first run depends on: autocast and, if wanted, the state of the random stream."""

    def __init__(self, random: bool):
        self.state = default_generator.get_state() if random else None
        self.casts = [(kind, autocasts.dtypes[kind], enabled) for kind, enabled in autocasts.enabled.items()]

    @contextlib.contextmanager
    def again(self) -> Any:
        """All of it as it was, and as it is now afterwards."""
        with contextlib.ExitStack() as stack:
            for kind, dtype, enabled in self.casts:
                stack.enter_context(autocast(kind, dtype, enabled))
            if self.state is not None:
                stack.callback(default_generator.set_state, default_generator.get_state())
                default_generator.set_state(self.state)
            yield


class _Reentrant(autograd.Function):
    """The forward pass without a graph; the backward pass makes the graph, and walks it from within the outer walk."""

    @staticmethod
    def forward(ctx: Any, function: Callable, preserve: bool, *args: Any) -> Any:
        ctx.function, ctx.surroundings = function, _Surroundings(preserve)
        ctx.others = [None if isinstance(a, TensorBase) else a for a in args]
        ctx.places = [n for n, a in enumerate(args) if isinstance(a, TensorBase)]
        ctx.save_for_backward(*[args[n] for n in ctx.places])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        args = list(ctx.others)
        for n, x in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[n] = x.detach().requires_grad_(ctx.needs_input_grad[n + 2])
        with enable_grad(), ctx.surroundings.again():
            outputs = ctx.function(*args)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, TensorBase) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        autograd.backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, TensorBase) else None for a in args])


class _Frame:
    """One checkpointed call: how to repeat it, and the tensors that the repetition saved."""

    def __init__(self, repeat: Callable[[], None]):
        self.repeat = repeat
        self.expected: list[tuple] = []
        self.found: list[Any] | None = None

    def pack(self, tensor: Any) -> int:
        """Keeps what the tensor looks like, and gives it a number."""
        self.expected.append((tuple(tensor.shape), tensor.dtype, tensor.device))
        return len(self.expected) - 1

    def unpack(self, number: int) -> Any:
        """The tensor of that number, from a second forward pass."""
        if self.found is None:
            found: list[Any] = []

            def keep(tensor: Any) -> int:
                found.append(tensor)
                return len(found) - 1
            with saved_tensors_hooks(keep, lambda position: found[position]):
                self.repeat()
            self._check(found)
            self.found = found
        return self.found[number]

    def _check(self, found: list) -> None:
        if len(found) != len(self.expected):
            raise CheckpointError("torch.utils.checkpoint: A different number of tensors was saved during the original "
                                  f"forward and recomputation: {len(self.expected)} and {len(found)}")
        for number, (tensor, expected) in enumerate(zip(found, self.expected, strict=True)):
            actual = (tuple(tensor.shape), tensor.dtype, tensor.device)
            if actual != expected:
                raise CheckpointError("torch.utils.checkpoint: Recomputed values for the following tensors have different "
                                      f"metadata than during the forward pass: tensor {number} was {expected}, is {actual}")


def checkpoint(function: Callable, *args: Any, use_reentrant: bool | None = None,
               context_fn: Callable[[], tuple] = noop_context_fn, determinism_check: str = "default", debug: bool = False,
               early_stop: bool = True, preserve_rng_state: bool = True, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)``, of whose inside nothing is kept: the backward pass runs it a second time.

    Args:
        use_reentrant: True walks the graph of the second run from within the outer backward pass; only positional
            arguments that require gradients lead to it, and ``autograd.grad`` does not see the parameters inside. False,
            the default, has no such limits.
        preserve_rng_state: the second run sees the random numbers of the first.
        context_fn: gives two contexts, for the first and the second run.
        determinism_check: ``"none"`` does not compare the tensors that both runs save.

    >>> import clgrad
    >>> x = clgrad.tensor([2.], requires_grad=True)
    >>> clgrad.utils.checkpoint.checkpoint(lambda t: t * t, x, use_reentrant=False).backward()
    >>> x.grad
    tensor([4.])
    """
    if use_reentrant:
        if kwargs:
            raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return _Reentrant.apply(function, preserve_rng_state, *args)
    first, second = context_fn()
    if not is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    surroundings = _Surroundings(preserve_rng_state)

    def repeat() -> None:
        with enable_grad(), surroundings.again(), second:
            function(*args, **kwargs)
    frame = _Frame(repeat)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None,
                          preserve_rng_state: bool = True) -> Any:
    """A Sequential, or a list of functions, in ``segments`` parts of which all but the last are checkpointed."""
    parts = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(parts) // segments

    def run(chosen: list[Module]) -> Callable:
        def forward(x: Any) -> Any:
            for part in chosen:
                x = part(x)
            return x
        return forward
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(run(parts[start:start + size]), input, use_reentrant=use_reentrant,
                           preserve_rng_state=preserve_rng_state)
    return run(parts[size * (segments - 1):])(input)
