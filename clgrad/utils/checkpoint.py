"""Checkpointing: activations are not kept for the backward pass but computed again (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from clgrad import autograd
from clgrad.amp import autocast
from clgrad.autograd.grad_mode import enable_grad, is_grad_enabled, mode
from clgrad.autograd.graph import TensorBase, saved_tensors_hooks
from clgrad.nn import Module, Sequential
from clgrad.ops.autocast import state as autocasts
from clgrad.ops.random import default_generator
from clgrad.utils.recomputation import Arguments, CheckpointError, Frame
from clgrad.utils.selective import CheckpointPolicy, SelectiveCheckpointContext, create_selective_checkpoint_contexts

__all__ = ["CheckpointError", "CheckpointFunction", "CheckpointPolicy", "SelectiveCheckpointContext",
           "check_backward_validity", "checkpoint", "checkpoint_sequential", "create_selective_checkpoint_contexts",
           "detach_variable", "get_device_states", "noop_context_fn", "set_checkpoint_early_stop", "set_device_states"]


_IMPLICIT = ("torch.utils.checkpoint.{}: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
             "recommended; where it is left out, use_reentrant=True is used, as in older programs.")


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The devices of the arguments that have random numbers of their own, and their states: none, one stream serves all."""
    return [], []


def set_device_states(devices: Any, states: Any, *, device_type: str | None = None) -> None:
    """Goes back to the states of :func:`get_device_states`."""


def noop_context_fn() -> tuple:
    """Two contexts that do nothing: the default of ``context_fn``."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class set_checkpoint_early_stop:
    """Within the block, calls of :func:`checkpoint` stop their second run early, or do not, whatever they say."""

    forced: ClassVar[bool | None] = None

    def __init__(self, enable: bool):
        self.enable = enable

    def __enter__(self) -> None:
        self.previous, set_checkpoint_early_stop.forced = set_checkpoint_early_stop.forced, self.enable

    def __exit__(self, *exception: object) -> None:
        set_checkpoint_early_stop.forced = self.previous


def detach_variable(inputs: tuple) -> tuple:
    """The tensors among ``inputs`` as leaves on the same memory, with their ``requires_grad``."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple([x.detach().requires_grad_(x.requires_grad) if isinstance(x, TensorBase) else x for x in inputs])


def check_backward_validity(inputs: Any) -> None:
    """Warns where no tensor of ``inputs`` requires a gradient, so that none would arrive."""
    if not any(x.requires_grad for x in inputs if isinstance(x, TensorBase)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


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


class CheckpointFunction(autograd.Function):
    """The forward pass without a graph; the backward pass makes the graph, and walks it from within the outer walk."""

    @staticmethod
    def forward(ctx: Any, function: Callable, preserve: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.function, ctx.surroundings = function, _Surroundings(preserve)
        ctx.others = [None if isinstance(a, TensorBase) else a for a in args]
        ctx.places = [n for n, a in enumerate(args) if isinstance(a, TensorBase)]
        ctx.save_for_backward(*[args[n] for n in ctx.places])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        if mode.walk.needed is not None:
            raise RuntimeError("When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an "
                               "`inputs` parameter to .backward(). To resolve this error, you can either set "
                               "use_reentrant=False, or call .backward() without passing the `inputs` argument.")
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


def checkpoint(function: Callable, *args: Any, use_reentrant: bool | None = None,
               context_fn: Callable[[], tuple] = noop_context_fn, determinism_check: str = "default", debug: bool = False,
               early_stop: bool = True, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)``, of whose inside nothing is kept: the backward pass runs it a second time.

    Checkpoints may be nested, and their backward pass may be differentiated.

    Args:
        use_reentrant: True (with a warning also None) walks the graph of the second run from within the outer backward
            pass; only positional arguments that require gradients lead to it, and ``autograd.grad`` does not see the
            parameters inside. False has no such limits.
        preserve_rng_state: the second run sees the random numbers of the first. Default: True.
        context_fn: gives two contexts, for the first and the second run.
        determinism_check: ``"none"`` does not compare the tensors that both runs save.
        early_stop: the second run ends as soon as it has made the last tensor that is needed.

    >>> import clgrad
    >>> x = clgrad.tensor([2.], requires_grad=True)
    >>> clgrad.utils.checkpoint.checkpoint(lambda t: t * t, x, use_reentrant=False).backward()
    >>> x.grad
    tensor([4.])
    """
    if use_reentrant is None:
        warnings.warn(_IMPLICIT.format("checkpoint"), stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if debug and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    first, second = context_fn()
    if not is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    surroundings = _Surroundings(preserve)

    def repeat(*given: Any) -> None:
        with surroundings.again(), second:
            function(*given, **kwargs)
    forced = set_checkpoint_early_stop.forced
    frame = Frame(repeat, Arguments(args), early_stop if forced is None else forced, determinism_check == "default")
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        result = function(*args, **kwargs)
    frame.complete = True
    return result


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None,
                          **kwargs: Any) -> Any:
    """A Sequential, or a list of functions, in ``segments`` parts of which all but the last are checkpointed.

    The options are those of :func:`checkpoint`: ``use_reentrant`` and ``preserve_rng_state``.
    """
    if use_reentrant is None:
        warnings.warn(_IMPLICIT.format("checkpoint_sequential"), stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    parts = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(parts) // segments

    def run(chosen: list[Module]) -> Callable:
        def forward(x: Any) -> Any:
            for part in chosen:
                x = part(x)
            return x
        return forward
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(run(parts[start:start + size]), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return run(parts[size * (segments - 1):])(input)
