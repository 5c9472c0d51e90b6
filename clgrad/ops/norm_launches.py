"""Normalisation by the launches of ``norm.cl``: one forward, one backward. Where there are none, compositions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, ends_in, mark_changed, needs_graph, wrap
from clgrad.autograd.recorded import recorded_gradients
from clgrad.autograd.walks import determined_by
from clgrad.kernels import norm as kernels
from clgrad.kernels.norm import Groups, Kind
from clgrad.ops import reduction
from clgrad.ops.composed_norms import in_arithmetic
from clgrad.ops.copying import cast
from clgrad.ops.execute import blank, check_specs, execute
from clgrad.spec import Spec, contiguous_spec


def _kind(own: Spec, weight: Spec | None, bias: Spec | None, running: tuple, **options: bool) -> Kind | None:
    """The kernel's variant for operands of these specs, None where there is none."""
    small = [t.dtype for t in (weight, bias, *running) if t is not None]
    if not own.device.compute.is_cpu or not own.numel or not own.dtype.is_floating_point:  # type: ignore[attr-defined]
        return None
    if any(t is not None and not t.contiguous for t in running):  # they are changed where they are
        return None
    if any(kind is not small[0] for kind in small) or (small and small[0] not in (own.dtype, own.dtype.compute)):
        return None
    return Kind(own.dtype, small[0] if small else own.dtype, weight is not None, bias is not None, **options)


@determined_by()
class Norm:
    """A normalisation of operands whose specs are known: its launches, and how it is composed where it has none.

    ``composed(x, weight, bias, running)`` gives the result by other operators, in the dtype of arithmetic.
    """

    def __init__(self, name: str, x: Spec, weight: Spec | None, bias: Spec | None, groups: Groups, eps: float,
                 composed: Callable, running: tuple = (), momentum: float = 0.0, **options: bool):
        self.name, self.groups, self.composed = name, groups, composed
        self.device = check_specs(name, x, weight, bias, *running)
        self.kind = _kind(x, weight, bias, running, **options)
        self.shapes = [None if t is None else t.shape for t in (weight, bias)]
        self.result = contiguous_spec(x.shape, x.dtype, x.device)
        self.statistics = contiguous_spec((groups.groups,), x.dtype.compute, x.device)
        self._backward: dict[bool, tuple[kernels.Plan, list[Spec]]] = {}
        if self.kind is not None:
            self.plan = kernels.plan(self.device, self.kind, groups, float(eps), float(momentum))

    def __call__(self, x: Any, weight: Any, bias: Any, running: tuple = (None, None)) -> Any:
        """The result, recorded; running statistics change where the variant tracks them."""
        if self.kind is None:
            return ends_in(in_arithmetic(self.composed, x, weight, bias, running), self.name)
        x, weight, bias = (t if t is None or t.spec.contiguous else t.contiguous() for t in (x, weight, bias))
        out, means, rstds = blank(self.result), blank(self.statistics), blank(self.statistics)
        if self.kind.track:
            for t in running:
                mark_changed(t)
        execute(self.plan, (x, weight, bias), (out, means, rstds, *running))
        if needs_graph(x, weight, bias):
            self._record(out, (x, weight, bias), (means, rstds), running)
        return out

    def _record(self, out: Any, operands: tuple, statistics: tuple, running: tuple) -> None:
        saved = Saved(self.name, [*operands[:2], *statistics])
        needed = [t is not None and t._requires_grad for t in operands]

        def backward(dy: Any) -> tuple:
            tensors = saved.unpack()
            if mode.enabled:
                return _recorded(saved, dy, tensors[:2], needed, self.groups, lambda x, w: self.composed(x, w, None, running))
            return self._gradients(dy if dy.spec.contiguous else dy.contiguous(), tensors, needed)
        attach(out, self.name, operands, backward, saved)

    def _gradients(self, dy: Any, tensors: list, needed: list[bool]) -> tuple:
        affine = needed[1] or needed[2]
        plan, specs = self._backward.get(affine) or self._plan_backward(affine)
        dx = blank(self.result)
        if not affine:
            execute(plan, (dy, *tensors), (dx, dx, dx))
            return dx, None, None
        # Two tensors with memory of their own: the engine keeps them as they are.
        parts = [blank(spec) for spec in specs]
        execute(plan, (dy, *tensors), (dx, *parts))
        dw, db = (None if not need else t if plan.parts == 1 else _sum_of_parts(t, shape)
                  for t, need, shape in zip(parts, needed[1:], self.shapes, strict=True))
        return dx, dw, db

    def _plan_backward(self, affine: bool) -> tuple[kernels.Plan, list[Spec]]:
        assert self.kind is not None
        plan, like = kernels.backward_plan(self.device, self.kind, self.groups, affine), self.statistics
        specs = [contiguous_spec(shape if plan.parts == 1 and shape is not None else (plan.parts, self.groups.weights),
                                     like.dtype, like.device) for shape in self.shapes]
        self._backward[affine] = plan, specs
        return plan, specs


def _sum_of_parts(parts: Any, shape: Any) -> Any:
    """The sum of rows, as a tensor of a shape with memory of its own."""
    total, _ = reduction.run(parts, "sum", (0,), False, parts.spec.dtype)
    return wrap(total.memory, 0, contiguous_spec(shape, total.spec.dtype, total.spec.device))


def _recorded(saved: Saved, dy: Any, operands: list, needed: list[bool], g: Groups, composed: Callable) -> tuple:
    """The gradients as Tensor operations in the dtype of arithmetic, for derivatives of higher order."""
    def computed(*operands: Any) -> Any:
        return composed(*(None if t is None else cast(t, t.spec.dtype.compute) for t in operands))
    dx, dw = recorded_gradients(saved, computed, operands, (cast(dy, operands[0].spec.dtype.compute),))
    if not needed[2]:
        return dx, dw, None
    # A bias of elements is summed to its shape by the engine; one of channels stands at dimension 1.
    return dx, dw, dy if g.affine == 1 else dy.sum([d for d in range(dy.spec.ndim) if d != 1])
