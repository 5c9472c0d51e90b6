"""``GradScaler``: keeps gradients of float16 from vanishing."""

from __future__ import annotations

import math
from collections import defaultdict
from enum import Enum
from typing import Any

from clgrad.autograd import no_grad
from clgrad.creation import tensor
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor


class OptState(Enum):
    """What has been done with an optimizer's gradients since the last ``update()``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Multiplies losses by a factor, divides gradients by it, and leaves steps out whose gradients are not finite.

    The factor shrinks after such a step, and grows after ``growth_interval`` good ones in a row.

    Args:
        device: accepted. Default: "cuda".
        init_scale: the first factor. Default: 65536.
        growth_factor, backoff_factor: how it grows and shrinks. Default: 2, 0.5.
        growth_interval: Default: 2000.
        enabled: False makes every method do nothing. Default: True.

    ``scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()`` is a step; call ``unscale_(optimizer)``
    before clipping gradients.

    Raises:
        ValueError: factors that do not grow and shrink.
    """

    def __init__(self, device: str = "cuda", init_scale: float = 65536.0, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True):
        self._device, self._enabled = device, enabled
        if enabled and growth_factor <= 1.0:
            raise ValueError("The growth factor must be > 1.0.")
        if enabled and backoff_factor >= 1.0:
            raise ValueError("The backoff factor must be < 1.0.")
        self._scale, self._growth_factor, self._backoff_factor = init_scale, growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._clear()

    def _clear(self) -> None:
        self._stages: dict[int, OptState] = defaultdict(lambda: OptState.READY)
        self._found_inf: dict[int, bool] = {}

    def scale(self, outputs: Any) -> Any:
        """A tensor, or all tensors of an iterable, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * tensor(float(self._scale), device=outputs.device)
        if isinstance(outputs, (list, tuple)):
            return type(outputs)([self.scale(value) for value in outputs])
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of an optimizer's parameters by the factor.

        Raises:
            RuntimeError: it was done already, or after :meth:`step`.
        """
        if not self._enabled:
            return
        stage = self._stages[id(optimizer)]
        if stage == OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage == OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        inverse = 1.0 / float(self._scale)
        with no_grad():
            for grad in grads:
                grad.mul_(inverse)
            # A finite number times 0 is 0, any other is NaN; so one number is waited for.
            marks = [(grad * 0).sum().float() for grad in grads]
            found = bool(marks) and math.isnan(FUNCTIONS["stack"](marks).sum().item())
        self._found_inf[id(optimizer)] = found
        self._stages[id(optimizer)] = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(...)`` with unscaled gradients, where these are finite; returns what that returned.

        Raises:
            RuntimeError: a closure was passed, or the step was made since the last :meth:`update`.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if self._stages[id(optimizer)] == OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if self._stages[id(optimizer)] == OptState.READY:
            self.unscale_(optimizer)
        self._stages[id(optimizer)] = OptState.STEPPED
        return None if self._found_inf[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Ends a step: changes the factor, or sets it to ``new_scale``.

        Raises:
            RuntimeError: no gradients were unscaled.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found_inf:
            raise RuntimeError("No inf checks were recorded prior to update.")
        elif any(self._found_inf.values()):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._growth_tracker = 0
                grown = self._scale * self._growth_factor
                self._scale = grown if grown < 3.4e38 else self._scale
        self._clear()

    def get_scale(self) -> float:
        """The factor."""
        return float(self._scale) if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """By how much the factor grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets by how much the factor grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By how much the factor shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets by how much the factor shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many good steps the factor grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets after how many good steps the factor grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether the methods do anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The factor and how it changes; empty where the scaler is not enabled."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor,
                "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
                "_growth_tracker": self._growth_tracker}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave, also PyTorch's.

        Raises:
            RuntimeError: it is empty.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance "
                               "of GradScaler.")
        self._scale, self._growth_factor = state_dict["scale"], state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval, self._growth_tracker = state_dict["growth_interval"], state_dict["_growth_tracker"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_stages", "_found_inf")}

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)
        self._clear()
