"""What happens to the tensors that nodes keep for the backward pass: hooks that pack and unpack them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import mode


class saved_tensors_hooks:
    """Within the block, ``pack_hook(tensor)`` is kept instead of each saved tensor, and ``unpack_hook`` gives it back.

    >>> import clgrad
    >>> x = clgrad.tensor([2.], requires_grad=True)
    >>> with clgrad.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), clgrad.tensor):
    ...     y = x * x
    >>> y.backward()
    >>> x.grad
    tensor([4.])
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if mode.saved_hooks_refused is not None:
            raise RuntimeError(mode.saved_hooks_refused)
        mode.saved_hooks.append((self.pack_hook, self.unpack_hook))

    def __exit__(self, *exception: object) -> None:
        mode.saved_hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """Within the block, saved tensors are kept in host memory, and go back to their device for the backward pass."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda tensor: (tensor.device, tensor.cpu()), lambda packed: packed[1].to(packed[0]))


class disable_saved_tensors_hooks:
    """Within the block, entering :class:`saved_tensors_hooks` is a RuntimeError with this message."""

    def __init__(self, error_message: str):
        self.message = error_message

    def __enter__(self) -> None:
        if mode.saved_hooks:
            raise RuntimeError(self.message)
        self.previous, mode.saved_hooks_refused = mode.saved_hooks_refused, self.message

    def __exit__(self, *exception: object) -> None:
        mode.saved_hooks_refused = self.previous
