"""``FusedOptimizer``: optimizers whose step is a few formulas, computed for all parameters by one launch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clgrad.autograd.grad_mode import is_grad_enabled, set_grad_enabled
from clgrad.autograd.graph import check_in_place
from clgrad.formats import strided
from clgrad.ops import optimizer_step
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.update_rule import UpdateRule
from clgrad.optim.optimizer import Optimizer
from clgrad.optim.rows import RowsOf
from clgrad.optim.settings import plain
from clgrad.tensor import Tensor

_rules: dict[tuple, UpdateRule] = {}


class FusedOptimizer(Optimizer):
    """Base class of optimizers that change each element by itself.

    A subclass names the tensors that it keeps for a parameter, STATES, and the numbers, COUNTERS, which are 0-d tensors
    on the host. From a group's settings and its counters it makes the statements of a rule (see
    :class:`clgrad.ops.update_rule.UpdateRule`) and the values of the rule's scalars.

    With ``differentiable=True`` the same statements are evaluated over tensors, and recorded; so is what becomes of a
    counter that requires a gradient.
    """

    STATES: tuple[str, ...] = ()

    def _states(self, settings: dict[str, Any]) -> tuple[str, ...]:
        """Which STATES these settings need."""
        return self.STATES

    def _start(self, settings: dict[str, Any], name: str) -> float:
        """What a state or counter begins with."""
        return 0.0

    def _advance(self, settings: dict[str, Any], counters: tuple) -> tuple:
        """The counters after one more step."""
        return (counters[0] + 1.0,)

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        """Statements and scalars of the step that changes the counters from ``before`` to ``counters``."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any]) -> None:
        settings = group if group.get("differentiable", False) else plain(group)
        names = self._states(settings)
        members = [(p, p._grad, self.state[p] if names or self.COUNTERS else {})
                   for p in group["params"] if p._grad is not None]
        if members:
            self._change(settings, names, members)

    @classmethod
    def change(cls, params: list, grads: list, states: dict[str, list], differentiable: bool = False, grad_scale: Any = None,
               found_inf: Any = None, **settings: Any) -> None:
        """One step without an optimizer, over lists of parameters, gradients, states and counters, which change in place.

        A None among the states becomes the state that the step makes.

        Raises:
            AssertionError: a scaler's tensors: gradients are not unscaled here.
            RuntimeError: a counter that is no tensor; a leaf that requires a gradient, where the step is recorded.
        """
        if grad_scale is not None or found_inf is not None:
            raise AssertionError("Expected grad_scale and found_inf to be None")
        if not all(isinstance(t, Tensor) for name in cls.COUNTERS for t in states[name]):
            raise RuntimeError("API has changed, `state_steps` argument must contain a list of singleton tensors")
        for p in params:
            check_in_place(p, False)
        self = cls.__new__(cls)  # its rule follows from the settings alone
        settings = settings if differentiable else plain(settings)
        settings["differentiable"] = differentiable
        names = self._states(settings)
        given = {name: states[name] for name in (*names, *cls.COUNTERS)}
        members = [(p, grads[n], {name: row[n] for name, row in given.items()}) for n, p in enumerate(params)]
        with set_grad_enabled(differentiable and is_grad_enabled()):
            self._change(settings, names, members)
            for name, row in given.items():
                for n, (_, _, state) in enumerate(members):
                    if row[n] is None:
                        row[n] = state[name]
                    elif row[n] is not state[name]:
                        row[n].copy_(state[name])

    def _change(self, settings: dict[str, Any], names: tuple[str, ...], members: list) -> None:
        """A step of ``members``: parameters, their gradients, and their states, of which some may have to be made."""
        differentiable = settings.get("differentiable", False)
        for counters, before, chosen in self._cohorts(settings, members):
            self._fill(chosen, settings, names)
            statements, numbers = self._rule(settings, counters, before)
            key = (tuple(statements), names)
            rule = _rules.get(key)
            if rule is None:
                rule = _rules[key] = UpdateRule(statements, names)
            if differentiable:
                _evaluate(rule, chosen, numbers)
            else:
                tensors: list = []
                rows: list[RowsOf] = []
                for p, g, state in chosen:
                    held = [p, *[state[name] for name in rule.states]]
                    if g.spec.layout is not strided:
                        self._check_sparse(settings)
                        rows.append(RowsOf(held, g))
                        held, g = rows[-1].rows, rows[-1].values
                    tensors += (held[0], g, *held[1:])
                optimizer_step.step(rule, tensors, numbers)
                for each in rows:
                    each.put_back()

    def _check_sparse(self, settings: dict[str, Any]) -> None:
        """RuntimeError unless a sparse gradient may change the rows alone that it has."""
        raise RuntimeError(f"{type(self).__name__} does not support sparse gradients, please consider SparseAdam instead")

    def _fill(self, members: Iterable[tuple], settings: dict[str, Any], names: tuple[str, ...]) -> None:
        """Makes the tensors that states lack, of (parameter, gradient, state)."""
        for name in names:
            for p, _, state in members:
                if state.get(name) is None:
                    state[name] = optimizer_step.state_like(p, self._start(settings, name))

    def _cohorts(self, settings: dict[str, Any], members: list) -> Iterator[tuple[tuple, tuple, list]]:
        """Advances the counters; yields them, what they were, and the members that have them: nearly always all.

        Members that began together share their counters' tensors, which are replaced each time.
        """
        cohorts: dict[tuple, list] = {}
        last: tuple = ()
        values: tuple = ()
        for member in members:
            state = member[2]
            known = tuple([state.get(name) for name in self.COUNTERS])
            if not last or any(a is not b for a, b in zip(known, last, strict=True)):
                last = known
                values = tuple([self._start(settings, name) if counter is None else _value(counter)
                                for name, counter in zip(self.COUNTERS, known, strict=True)])
            cohorts.setdefault(values, []).append(member)
        for before, chosen in cohorts.items():
            tensors = [value if isinstance(value, Tensor) else optimizer_step.counter(value)
                       for value in self._advance(settings, before)]
            for _, _, state in chosen:
                state.update(zip(self.COUNTERS, tensors, strict=True))
            yield tuple([_value(t) for t in tensors]), before, chosen


def _value(counter: Any) -> Any:
    """The number in a counter's tensor (a plain number in old checkpoints); the tensor, where a graph of it is recorded."""
    if not isinstance(counter, Tensor):
        return float(counter)
    if counter.requires_grad and is_grad_enabled():
        return counter
    fill = counter.memory._fill
    return float(counter.item() if fill is None else fill)


def _evaluate(rule: UpdateRule, members: list, numbers: dict[str, Any]) -> None:
    """A rule as recorded operations: parameters change in place, states are replaced."""
    for p, g, state in members:
        values = {name: state[name] for name in rule.states}
        # A copy, since what the operations save must not change when the parameter does.
        found = rule.evaluate(FUNCTIONS, {**values, **numbers, "p": p.clone(), "g": g})
        state.update({name: value for name, value in found.items() if name in values})
        p.copy_(found["p"])


def descent(settings: dict[str, Any], decoupled: bool = False) -> tuple[list[str], dict[str, Any]]:
    """The statements with which most rules begin: the gradient's direction, and weight decay."""
    statements, numbers = [], {}
    if settings["maximize"]:
        statements.append("g = -g")
    decay = settings["weight_decay"]
    if isinstance(decay, Tensor) or decay != 0:
        if decoupled:
            statements.append("p = p * keep")
            numbers["keep"] = 1.0 - settings["lr"] * decay
        else:
            statements.append("g = g + p * weight_decay")
            numbers["weight_decay"] = decay
    return statements, numbers


def averages(settings: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The statements of Adam's relatives: running means of g and of its square."""
    beta1, beta2 = settings["betas"]
    return (["exp_avg = exp_avg + (g - exp_avg) * new1", "exp_avg_sq = exp_avg_sq * beta2 + g * g * new2"],
            {"new1": 1.0 - beta1, "beta2": beta2, "new2": 1.0 - beta2})
