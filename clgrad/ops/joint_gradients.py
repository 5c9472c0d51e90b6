"""The gradients of several operands of a pointwise row by one launch, which reads once what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.autograd.walks import determined_by
from clgrad.kernels import elementwise
from clgrad.ops.execute import blank, check_specs, execute
from clgrad.ops.registry import Pointwise
from clgrad.ops.rows import result_strides
from clgrad.spec import Spec, spec


@determined_by()
class JointGradients:
    """Rows over what a node has: ``names`` are those of its values, tensors and parameters."""

    __slots__ = ("rows", "tensors", "parameters", "plans")

    def __init__(self, rows: Sequence[Pointwise], names: Sequence[str]):
        self.rows = rows
        self.tensors = [(n, name) for n, name in enumerate(names) if any(name in row.tensors for row in rows)]
        self.parameters = [(n, name) for n, name in enumerate(names) if any(name in row.parameters for row in rows)]
        self.plans: dict[tuple[Spec, ...], tuple[elementwise.Plan, list[Spec]] | None] = {}

    def __call__(self, values: Sequence[Any]) -> list | None:
        """The gradients, not recorded; None where tensors differ in shape or dtype, or are not of a dtype of arithmetic."""
        tensors = tuple([values[n] for n, _ in self.tensors])
        specs = tuple([t.spec for t in tensors])
        if specs not in self.plans:
            self.plans[specs] = self._planned(specs)
        planned = self.plans[specs]
        if planned is None:
            return None
        plan, made = planned
        results = [blank(own) for own in made]
        execute(plan, tensors, tuple(results), tuple([float(values[n]) for n, _ in self.parameters]))
        return results

    def _planned(self, specs: tuple[Spec, ...]) -> tuple[elementwise.Plan, list[Spec]] | None:
        shape, kind = specs[0].shape, specs[0].dtype
        if kind.is_complex or kind is not kind.compute or any(own.shape != shape or own.dtype is not kind for own in specs):
            return None
        named = dict(zip([name for _, name in self.tensors], specs, strict=True))
        made = [spec(shape, result_strides(shape, [named[name] for name in row.tensors]), kind, specs[0].device)
                for row in self.rows]
        inputs = [elementwise.Operand(name, kind, own.strides) for name, own in named.items()]
        outputs = [elementwise.Operand(f"out{number}", kind, own.strides) for number, own in enumerate(made)]
        plan = elementwise.plan(check_specs(self.rows[0].name, *specs), f"{self.rows[0].name}_and_others".lstrip("_"),
                                elementwise.calc_type(kind), [row.value.c for row in self.rows], inputs, outputs,
                                [name for _, name in self.parameters], shape)
        return plan, made
