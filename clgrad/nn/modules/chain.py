"""Layers one after the other as one node of the graph: what :class:`~clgrad.nn.Sequential` makes of runs of plain layers.

    x --stage--> . --stage--> . ... --stage--> y       forward: a launch each; a ReLU belongs to the layer before it
    gx <-------- . <--------- . ... <--------- gy      backward: the gradients of each stage, the last stage's first

Nobody sees what lies between, so it needs no place in the graph, and what a ReLU gave is a *gate* for the stage after it,
which takes the gradient of the ReLU's operand with its own, in the same launch.

The first call with certain specs and settings passes through the modules and their checks. Where everything is dense and
floating-point the chain is known from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, needs_graph, wrap
from clgrad.autograd.listening import switch
from clgrad.autograd.recorded import recorded_gradients
from clgrad.autograd.repeated import Repeated
from clgrad.autograd.walks import determined_by
from clgrad.nn import functional as F
from clgrad.nn.modules.activation import ReLU, Sigmoid, Tanh
from clgrad.nn.modules.conv import Conv2d
from clgrad.nn.modules.flatten import Flatten
from clgrad.nn.modules.hooks import EVERYWHERE
from clgrad.nn.modules.linear import Linear
from clgrad.nn.modules.pooling import MaxPool2d
from clgrad.ops import convolution
from clgrad.ops.linalg import linear_gradients
from clgrad.ops.matrices import of_rows
from clgrad.ops.pointwise import activation_gradient
from clgrad.ops.pooling import known_windows, max_pool_of
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.sparse import is_sparse
from clgrad.spec import Spec
from clgrad.tensor import Tensor


class _Stage:
    """A layer and the activation after it, planned for the specs of the input, the parameters and the result."""

    node = ""  # what PyTorch calls the layer's node
    begins = ends = True  # whether a chain may begin, and end, with this
    joins = False  # whether the layer's launch can compute a ReLU, too
    gates: str | None = None  # what of the stage tells the launch of its gradient that of a ReLU before it: x or y

    def __init__(self, settings: Any, x: Spec, parameters: tuple, result: Spec):
        self.settings, self.x, self.parameters, self.result = settings, x, parameters, result
        self.activation: str | None = None
        self.gated = False  # whether a ReLU gave what comes in, whose gradient this stage takes
        self.passed_on = False  # whether the next stage takes the gradient of the activation

    @staticmethod
    def suits(x: Spec, *parameters: Spec | None) -> bool:
        """Whether a layer that computed this is of the kind that the stage computes."""
        return True

    def forward(self, x: Any, *parameters: Any) -> tuple[Any, Any]:
        """The result, and what its gradient needs beside operands and result."""
        raise NotImplementedError

    def composed(self, x: Any, *parameters: Any) -> Any:
        """The layer's result, recorded."""
        raise NotImplementedError

    def gradients(self, g: Any, x: Any, y: Any, kept: Any, needs: tuple, *parameters: Any) -> tuple:
        """The gradients of the layer's input and parameters, as far as they are needed."""
        raise NotImplementedError


class _Linear(_Stage):
    node, joins, gates = "Addmm", True, "x"

    @staticmethod
    def suits(x: Spec, *parameters: Any) -> bool:
        weight, bias = parameters
        return weight.ndim == 2 and (bias is None or bias.shape == weight.shape[:1])

    def forward(self, x: Any, *parameters: Any) -> tuple[Any, Any]:
        weight, bias = parameters
        return of_rows(x, weight, bias, self.activation, flip_b=True), None

    def composed(self, x: Any, *parameters: Any) -> Any:
        return F.linear(x, *parameters)

    def gradients(self, g: Any, x: Any, y: Any, kept: Any, needs: tuple, *parameters: Any) -> tuple:
        need_x, need_weight, need_bias = needs
        operands = x if need_weight else None, parameters[0] if need_x else None
        return linear_gradients(g, operands, need_bias, x if self.gated else None)


class _Conv2d(_Stage):
    node, joins = "Convolution", True

    def __init__(self, settings: Any, x: Spec, parameters: tuple, result: Spec):
        super().__init__(settings, x, parameters, result)
        self.geometry = convolution.known_geometry(x, *parameters, *settings)

    @staticmethod
    def suits(x: Spec, *parameters: Spec | None) -> bool:
        return x.ndim == 4

    def forward(self, x: Any, *parameters: Any) -> tuple[Any, Any]:
        weight, bias = parameters
        return convolution.forward(x, weight, bias, self.geometry, self.activation), None

    def composed(self, x: Any, *parameters: Any) -> Any:
        return F.conv2d(x, *parameters, *self.settings)

    def gradients(self, g: Any, x: Any, y: Any, kept: Any, needs: tuple, *parameters: Any) -> tuple:
        need_x, need_weight, need_bias = needs
        operands = x if need_weight else None, parameters[0] if need_x else None
        return convolution.gradients(g, operands, self.x.shape, self.parameters[0].shape, need_bias, self.geometry)


class _MaxPool2d(_Stage):
    node, gates = "MaxPool2DWithIndices", "y"

    def __init__(self, settings: Any, x: Spec, parameters: tuple, result: Spec):
        super().__init__(settings, x, parameters, result)
        self.pool = max_pool_of(x, known_windows("max_pool2d", x, 2, *settings), dtypes.int32)

    def forward(self, x: Any, *parameters: Any) -> tuple[Any, Any]:
        return self.pool.forward(x)

    def composed(self, x: Any, *parameters: Any) -> Any:
        return F.max_pool2d(x, *self.settings)

    def gradients(self, g: Any, x: Any, y: Any, kept: Any, needs: tuple, *parameters: Any) -> tuple:
        return (self.pool.gradient(g, kept, y if self.gated else None),)


class _Activation(_Stage):
    """An activation by itself."""

    def __init__(self, settings: Any, x: Spec, parameters: tuple, result: Spec):
        super().__init__(settings, x, parameters, result)
        self.activation = settings

    def forward(self, x: Any, *parameters: Any) -> tuple[Any, Any]:
        return FUNCTIONS[self.settings](x), None

    def composed(self, x: Any, *parameters: Any) -> Any:
        return x

    def gradients(self, g: Any, x: Any, y: Any, kept: Any, needs: tuple, *parameters: Any) -> tuple:
        return (g,)


class _InPlaceActivation(_Activation):
    """One that changes its input: of what is between, nobody sees it."""

    begins = False


class _Flatten(_Stage):
    """Another view of the same memory, which is no result of its own."""

    ends = False

    def forward(self, x: Any, *parameters: Any) -> tuple[Any, Any]:
        return wrap(x.memory, x.offset, self.result), None

    def composed(self, x: Any, *parameters: Any) -> Any:
        return x.flatten(*self.settings)

    def gradients(self, g: Any, x: Any, y: Any, kept: Any, needs: tuple, *parameters: Any) -> tuple:
        return (wrap(g.memory, g.offset, self.x),)


def _parameter(module: Any, name: str) -> Any:
    found = module._parameters.get(name)
    return getattr(module, name) if found is None else found


def _linear(module: Any) -> tuple:
    return _Linear, (), _parameter(module, "weight"), _parameter(module, "bias")


def _conv2d(module: Any) -> tuple | None:
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        return None
    return (_Conv2d, (module.stride, module.padding, module.dilation, module.groups), _parameter(module, "weight"),
            _parameter(module, "bias"))


def _max_pool2d(module: Any) -> tuple | None:
    if module.return_indices:
        return None
    return _MaxPool2d, (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)


# What a chain has to know of a layer: its kind of stage, its settings, its parameters; None where it is no stage. A subclass
# may compute something else, so it has no entry.
_STAGES: dict[type, Callable[[Any], tuple | None]] = {
    Linear: _linear, Conv2d: _conv2d, MaxPool2d: _max_pool2d,
    ReLU: lambda module: (_InPlaceActivation if module.inplace else _Activation, "relu"),
    Sigmoid: lambda module: (_Activation, "sigmoid"), Tanh: lambda module: (_Activation, "tanh"),
    Flatten: lambda module: (_Flatten, (module.start_dim, module.end_dim))}


def _is_plain(module: Any) -> bool:
    """Whether a call of the module is its class's ``forward`` and nothing else, where nobody listens to all modules."""
    return not (module._hooked or "forward" in module.__dict__)


def sequence(modules: Iterable[Any], x: Any) -> Any:
    """What the last module returns, where each gets what the one before returned.

    Runs of layers become chains where nobody could see what is between them: they have no hooks, and nothing listens to
    operators.
    """
    run: list[tuple[Any, tuple]] = []  # layers that have not been computed yet
    stages = {} if EVERYWHERE.active or switch.watched or switch.on and is_sparse(x) else _STAGES
    for module in modules:
        read = stages.get(module.__class__)
        described = read(module) if read is not None and _is_plain(module) else None
        if described is not None and (run or described[0].begins):
            run.append((module, described))
            continue
        if run:
            x, run = _through(run, x), []
        x = module(x)
    return _through(run, x) if run else x


_chains: dict[tuple, _Chain | None] = {}


def _through(run: list[tuple[Any, tuple]], x: Any) -> Any:
    after = []
    while run and not run[-1][1][0].ends:
        after.append(run.pop()[0])
    if len(run) < 2 or not isinstance(x, Tensor) or mode.saved_hooks or mode.anomaly or mode.copies is not None:
        for module, _ in run:
            x = module(x)
    else:
        x = _chained(run, x)
    for module in reversed(after):
        x = module(x)
    return x


def _chained(run: list[tuple[Any, tuple]], x: Any) -> Any:
    key: list = [x.spec, x._requires_grad]
    parameters: list = []
    try:
        for _, described in run:
            key += described[:2]
            for t in described[2:]:
                parameters.append(t)
                key += (None, False) if t is None else (t.spec, t._requires_grad)
        known = tuple(key)
        chain = _chains.get(known)
    except (AttributeError, TypeError):  # parameters that are no tensors; settings in lists
        known, chain = (), None
    if chain is not None:
        return chain(x, parameters)
    specs = [x.spec]
    for module, _ in run:
        x = module(x)
        specs.append(x.spec)
    if known and known not in _chains:
        _chains[known] = _planned([described for _, described in run], specs, known[1])
    return x


def _planned(described: list[tuple], specs: list[Spec], needs_x: bool) -> _Chain | None:
    """The chain, where everything is dense, has elements, and is of one floating-point dtype."""
    first = specs[0]
    if not first.dtype.is_floating_point or not first.device.compute.has_memory:  # type: ignore[attr-defined]
        return None
    for (kind, _, *parameters), x, y in zip(described, specs[:-1], specs[1:], strict=True):
        own = [None if t is None else t.spec for t in parameters]
        if not kind.suits(x, *own) or not all(a.contiguous and a.numel and a.dtype is first.dtype for a in (x, y, *own) if a):
            return None
    return _Chain(described, specs, needs_x)


def _again(repeated: Repeated, tensors: list, function: Callable[[list], list]) -> list:
    """What a function makes of a list of tensors, which it may empty: by launches known before."""
    storages: list = []
    bases: list[int] = []
    for t in tensors:
        storages.append(None if t is None else t.memory)
        bases.append(0 if t is None else t.offset)
    return repeated(storages, bases, lambda: function(tensors), tensors.clear)


@determined_by()
class _Chain:
    """The stages of a run of layers."""

    def __init__(self, described: list[tuple], specs: list[Spec], needs_x: bool):
        self.stages: list[_Stage] = []
        self.needs: list[tuple[bool, ...]] = []
        for (kind, settings, *parameters), x, y in zip(described, specs[:-1], specs[1:], strict=True):
            before = self.stages[-1] if self.stages else None
            if issubclass(kind, _Activation) and settings == "relu" and before and before.joins and not before.activation:
                before.activation = "relu"
                continue
            self.stages.append(kind(settings, x, tuple([None if t is None else t.spec for t in parameters]), y))
            self.needs.append((needs_x, *[t is not None and t._requires_grad for t in parameters]))
            needs_x = any(self.needs[-1])
        last = self.stages[-1]
        for before, stage in pairwise(self.stages):
            # The chain's own result is not kept where PyTorch keeps none: whoever gets it may change it in place.
            stage.gated = before.passed_on = before.activation == "relu" and (stage is not last if stage.gates == "y" else
                                                                              stage.gates is not None)
        self.uses = self._used_by_gradients()
        self._plain, self._kept, self._gradients = Repeated(), Repeated(), Repeated()
        self.node = (last.activation.capitalize() if last.activation else
                     "Mm" if last.node == "Addmm" and last.parameters[1] is None else last.node)

    def _used_by_gradients(self) -> tuple[bool, ...]:
        """For the input, the parameters and the result whether their values count: these may not change before."""
        first = next(needs for needs, stage in zip(self.needs, self.stages, strict=True) if type(stage) is not _Flatten)
        used = [first[1] if len(first) > 1 else False]
        for needs in self.needs:
            used += (needs[0], False) if len(needs) > 1 else ()
        return (*used, True) if self.stages[-1].activation else tuple(used)

    def __call__(self, x: Any, parameters: list) -> Any:
        """The result of the last stage."""
        if not needs_graph(x, *parameters):
            return _again(self._plain, [x, *parameters], lambda operands: self._run(operands)[:1])[0]
        out, *between = _again(self._kept, [x, *parameters], self._run)
        self._record(out, (x, *parameters), between)
        return out

    def _run(self, operands: list) -> list:
        """The result of the last stage, and for each stage what it got and what it kept.

        The first got the input, which is saved as others save it, since the caller may change it in place.
        """
        x, at = operands[0], 1
        between: list = []
        enabled, mode.enabled = mode.enabled, False
        try:
            for stage in self.stages:
                end = at + len(stage.parameters)
                y, kept = stage.forward(x, *operands[at:end])
                between += (x if between else None, kept)
                x, at = y, end
        finally:
            mode.enabled = enabled
        return [x, *between]

    def _record(self, out: Any, operands: tuple, between: list) -> None:
        saved = Saved("Sequential", operands)
        saved.between = between

        def backward(g: Any) -> tuple:
            if mode.enabled:
                return tuple(recorded_gradients(saved, self._composed, saved.unpack()[:len(operands)], (g,)))
            result = self.stages[-1].result
            given = [g if g.spec is result else g.to(result.dtype).contiguous(), *saved.unpack(self.uses), *saved.between]
            if mode.walk is not None and not mode.walk.retain:
                saved.clear()  # what is between is given up on the way
            del g
            return tuple(_again(self._gradients, given, self._run_gradients))
        attach(out, self.node, operands, backward, saved)
        if self.stages[-1].activation:
            saved.add_output(out)

    def _run_gradients(self, given: list) -> list:
        """The gradients of the operands. ``given``: that of the result, what is saved, and what is between."""
        found: list = [None] * (1 + sum(len(stage.parameters) for stage in self.stages))
        g, end, y = given[0], len(found), given[len(self.uses)]
        given[0] = None
        for number in range(len(self.stages) - 1, -1, -1):
            stage, needs = self.stages[number], self.needs[number]
            kept, x = given.pop(), given.pop()
            x, begin = x if number else given[1], end - len(stage.parameters)
            if stage.activation and not stage.passed_on:
                g = activation_gradient(stage.activation, g, y)
            g, *found[begin:end] = stage.gradients(g, x, y, kept, needs, *given[1 + begin:1 + end])
            if not needs[0]:
                break
            y, end = x, begin
        else:
            found[0] = g
        return found

    def _composed(self, y: Any, *parameters: Any) -> Any:
        """The result by recorded operators."""
        at = 0
        for stage in self.stages:
            end = at + len(stage.parameters)
            y = stage.composed(y, *parameters[at:end])
            y, at = FUNCTIONS[stage.activation](y) if stage.activation else y, end
        return y
