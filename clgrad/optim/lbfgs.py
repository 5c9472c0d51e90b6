"""L-BFGS with an optional line search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from clgrad.autograd import enable_grad, no_grad
from clgrad.ops.registry import FUNCTIONS
from clgrad.optim.line_search import Point, strong_wolfe
from clgrad.optim.optimizer import Optimizer
from clgrad.optim.settings import check_lr


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal 1980): steps along an estimate of the inverse Hessian times the gradient.

    ``step(closure)`` makes up to ``max_iter`` iterations; the closure computes the loss with its gradients. There can be
    one group only.

    Args:
        params: tensors, or (name, tensor) pairs.
        lr: length of a step, or where the line search begins. Default: 1.
        max_iter: iterations a step. Default: 20.
        max_eval: calls of the closure a step. Default: max_iter * 5 // 4.
        tolerance_grad: stop where no element of the gradient is larger. Default: 1e-7.
        tolerance_change: stop where parameters or loss change less. Default: 1e-9.
        history_size: how many changes make up the estimate. Default: 100.
        line_search_fn: "strong_wolfe" or None (default).

    Raises:
        ValueError: a negative rate, several groups.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None):
        check_lr(lr)
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list:
        return self.param_groups[0]["params"]

    def _gradient(self) -> Any:
        """The gradients of all parameters as one vector."""
        return FUNCTIONS["cat"]([p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1)
                                 for p in self._params])

    def _move(self, length: float, direction: Any) -> None:
        start = 0
        for p in self._params:
            p.add_(direction[start:start + p.numel()].view(p.shape), alpha=length)
            start += p.numel()

    def step(self, closure: Callable) -> Any:  # type: ignore[override]
        """Makes iterations until one of the limits is reached; returns the loss before them."""
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")

        def evaluate() -> Any:
            with enable_grad():
                return closure()
        with no_grad():
            first = evaluate()
            state = self.state[self._params[0]]
            state["func_evals"] = state.get("func_evals", 0) + 1
            state.setdefault("n_iter", 0)
            gradient = self._gradient()
            if _largest(gradient) > group["tolerance_grad"]:
                self._iterate(group, state, evaluate, float(first), gradient)
        return first

    def _iterate(self, group: dict, state: dict, evaluate: Callable, loss: float, gradient: Any) -> None:
        evaluations = 1
        for number in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, gradient, group["history_size"])
            state["d"], state["prev_flat_grad"], state["prev_loss"] = direction, gradient.clone(), loss
            length = float(group["lr"])
            if state["n_iter"] == 1:
                size = gradient.abs().sum().item()
                length *= min(1.0, 1.0 / size) if size else 1.0
            state["t"] = length
            slope = gradient.dot(direction).item()
            if slope > -group["tolerance_change"]:
                break
            calls = 0
            if group["line_search_fn"] is not None:
                found, calls = self._search(Point(0.0, loss, gradient, slope), length, direction, evaluate,
                                            group["max_eval"] - evaluations)
                length, loss, gradient = found.t, found.value, found.gradient
                state["t"] = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                if number < group["max_iter"]:
                    loss, calls = float(evaluate()), 1
                    gradient = self._gradient()
            evaluations += calls
            state["func_evals"] += calls
            if (evaluations >= group["max_eval"] or _largest(gradient) <= group["tolerance_grad"]
                    or _largest(direction) * abs(length) <= group["tolerance_change"]
                    or abs(loss - state["prev_loss"]) < group["tolerance_change"]):
                break

    def _search(self, begin: Point, length: float, direction: Any, evaluate: Callable,
                most: int) -> tuple[Point, int]:
        start = [p.clone() for p in self._params]

        def measure(t: float) -> Point:
            self._move(t, direction)
            value = float(evaluate())
            gradient = self._gradient()
            for p, old in zip(self._params, start, strict=True):
                p.copy_(old)
            return Point(t, value, gradient, gradient.dot(direction).item())
        return strong_wolfe(measure, begin, length, _largest(direction), most)


def _largest(x: Any) -> float:
    return x.abs().max().item()


def _direction(state: dict, gradient: Any, history_size: int) -> Any:
    """The downhill direction, by the two-loop recursion; remembers the last step first."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return gradient.neg()
    state.setdefault("al", [None] * history_size)  # scratch, without which PyTorch would not take the state over
    changes, steps, shares = state["old_dirs"], state["old_stps"], state["ro"]
    change, step = gradient - state["prev_flat_grad"], state["d"] * float(state["t"])
    product = change.dot(step).item()
    if product > 1e-10:
        if len(changes) == history_size:
            for past in (changes, steps, shares):
                past.pop(0)
        changes.append(change)
        steps.append(step)
        shares.append(1.0 / product)
        state["H_diag"] = product / change.dot(change).item()
    found = gradient.neg()
    weights = []
    for y, s, share in zip(reversed(changes), reversed(steps), reversed(shares), strict=True):
        weights.append(s.dot(found).item() * float(share))
        found.add_(y, alpha=-weights[-1])
    found.mul_(float(state["H_diag"]))
    for y, s, share, weight in zip(changes, steps, shares, reversed(weights), strict=True):
        found.add_(s, alpha=weight - y.dot(found).item() * float(share))
    return found
