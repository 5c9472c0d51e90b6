"""Single steps of LSTMs and GRUs: what follows the products with input and hidden state, one launch forward and one back.

    a = x W_ih^T + b_ih, b = h W_hh^T + b_hh     (n, gates * hidden): gates side by side, in PyTorch's order

    LSTM  c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c'), where (i, f, g, o) = a + b
    GRU   h' = (h - m) z + m, where r = s(a0 + b0), z = s(a1 + b1), m = tanh(a2 + r b2)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.autograd.recorded import recorded_gradients
from clgrad.kernels import elementwise
from clgrad.kernels.elementwise import Operand
from clgrad.ops.execute import blank, check_device, execute
from clgrad.ops.formula import Formula
from clgrad.spec import Spec, contiguous_spec


class _Rule(NamedTuple):
    """A launch: values r0, r1 ..., one after the other, of which the last ones are the outputs.

    Inputs and outputs are (name, number of gates): a tensor of several gates is ``a0``, ``a1`` ... in the formulas.
    """

    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    values: tuple[str, ...]


_LSTM = ("sigmoid(a0 + b0)", "sigmoid(a1 + b1)", "tanh(a2 + b2)", "sigmoid(a3 + b3)")
_GRU = ("sigmoid(a0 + b0)", "sigmoid(a1 + b1)", "tanh(a2 + r0 * b2)")
_FORWARD = {
    "LSTM": _Rule((("a", 4), ("b", 4), ("s", 1)), (("h", 1), ("c", 1)),
                  (*_LSTM, "r1 * s + r0 * r2", "r3 * tanh(r4)", "r4")),
    "GRU": _Rule((("a", 3), ("b", 3), ("s", 1)), (("h", 1),), (*_GRU, "(s - r2) * r1 + r2")),
}
_BACKWARD = {
    "LSTM": _Rule((("a", 4), ("b", 4), ("s", 1), ("dh", 1), ("dc", 1)), (("da", 4), ("ds", 1)),
                  (*_LSTM, "tanh(r1 * s + r0 * r2)", "dc + dh * r3 * (1 - r4 * r4)",
                   "r5 * r2 * r0 * (1 - r0)", "r5 * s * r1 * (1 - r1)", "r5 * r0 * (1 - r2 * r2)", "dh * r4 * r3 * (1 - r3)",
                   "r5 * r1")),
    "GRU": _Rule((("a", 3), ("b", 3), ("s", 1), ("dh", 1)), (("da", 3), ("db", 3), ("ds", 1)),
                 (*_GRU, "dh * (1 - r1) * (1 - r2 * r2)", "r3 * b2 * r0 * (1 - r0)", "dh * (s - r2) * r1 * (1 - r1)",
                  "r4", "r5", "r3", "r4", "r5", "r3 * r0", "dh * r1")),
}


class _Step:
    """A rule's launch for (n, hidden) of a dtype."""

    def __init__(self, rule: _Rule, name: str, state: Spec):
        n, hidden = state.shape

        def operands(described: tuple[tuple[str, int], ...]) -> list[Operand]:
            return [Operand(label if gates == 1 else f"{label}{gate}", state.dtype, (gates * hidden, 1))
                    for label, gates in described for gate in range(gates)]
        self.results = [contiguous_spec((n, gates * hidden), state.dtype, state.device) for _, gates in rule.outputs]
        # Where in its tensor each operand begins, and how many operands the tensors are.
        everything = (*rule.inputs, *rule.outputs)
        self.gates = [gates for _, gates in everything]
        self.starts = [gate * hidden for gates in self.gates for gate in range(gates)]
        self.plan = elementwise.plan(state.device.compute, name, elementwise.calc_type(state.dtype),  # type: ignore[attr-defined]
                                     [Formula(text).c for text in rule.values], operands(rule.inputs),
                                     operands(rule.outputs), (), (n, hidden))

    def _launch(self, buffers: tuple, offsets: tuple) -> None:
        each = [tensor for tensor, gates in enumerate(self.gates) for _ in range(gates)]
        self.plan(tuple([buffers[n] for n in each]),
                  tuple([offsets[n] + start for n, start in zip(each, self.starts, strict=True)]))

    def __call__(self, inputs: Sequence[Any]) -> list:
        """The outputs, not recorded."""
        made = [blank(result) for result in self.results]
        execute(self._launch, tuple(inputs), tuple(made))
        return made


_steps: dict[tuple[str, Spec, bool], _Step] = {}


def _step(kind: str, state: Spec, back: bool) -> _Step:
    found = _steps.get((kind, state, back))
    if found is None:
        rule, name = (_BACKWARD if back else _FORWARD)[kind], f"{kind.lower()}_cell{'_gradient' if back else ''}"
        found = _steps[kind, state, back] = _Step(rule, name, state)
    return found


def covers(kind: str, *operands: Any) -> bool:
    """Whether :func:`step` does this: an LSTM or a GRU over tensors of one floating-point dtype."""
    kinds = {t.spec.dtype for t in operands}
    return kind in _FORWARD and len(kinds) == 1 and kinds.pop().is_floating_point


def step(kind: str, a: Any, b: Any, state: Any, composed: Callable[[Any, Any, Any], Sequence[Any]]) -> list:
    """The new hidden state and, of an LSTM, the new cell: [h', c'] or [h'].

    Args:
        a, b: the products, (n, gates * hidden).
        state: the cell of an LSTM, the hidden state of a GRU, (n, hidden).
        composed: the same function of ``a``, ``b`` and ``state`` as operators, for derivatives of higher order.
    """
    check_device(f"{kind.lower()}_cell", a, b, state)
    operands = [t if t.spec.contiguous else t.contiguous() for t in (a, b, state)]
    found = _step(kind, operands[2].spec, False)(operands)
    if needs_graph(a, b, state):
        saved = Saved(kind, operands)

        def backward(*grads: Any) -> tuple:
            tensors = saved.unpack()
            if mode.enabled:
                return tuple(recorded_gradients(saved, composed, tensors, grads))
            given = next(g for g in grads if g is not None)
            grads = tuple([given.new_zeros(given.spec.shape) if g is None else g.contiguous() for g in grads])
            da, *db, ds = _step(kind, tensors[2].spec, True)([*tensors, *grads])
            return da, db[0] if db else da, ds
        attach(tuple(found), f"{kind.title()}Cell", operands, backward, saved)
    return found
