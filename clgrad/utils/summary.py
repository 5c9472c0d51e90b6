"""A module's layers as a table: shapes of their results, numbers of their parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

from clgrad.autograd import no_grad
from clgrad.creation import zeros
from clgrad.tensor import Tensor


class Layer(NamedTuple):
    """A row: the module's name and class, the depth at which it stands, its result's shape, its own parameters."""

    name: str
    kind: str
    depth: int
    output: Any
    parameters: int
    trainable: int


class Summary:
    """What :func:`summary` found; its text is the table."""

    def __init__(self, layers: list[Layer], total: int, trainable: int, nbytes: int):
        self.layers, self.total_params, self.trainable_params, self.nbytes = layers, total, trainable, nbytes

    def __str__(self) -> str:
        names = ["  " * layer.depth + f"{layer.name or 'model'} ({layer.kind})" for layer in self.layers]
        width = max([len(name) for name in names] + [5]) + 2
        shapes = [_text(layer.output) for layer in self.layers]
        across = max([len(shape) for shape in shapes] + [12]) + 2
        line = "=" * (width + across + 12)
        rows = [f"{name:<{width}}{shape:<{across}}{layer.parameters or '--':>12,}" if layer.parameters else
                f"{name:<{width}}{shape:<{across}}{'--':>12}"
                for name, shape, layer in zip(names, shapes, self.layers, strict=True)]
        return "\n".join([line, f"{'layer':<{width}}{'output shape':<{across}}{'parameters':>12}", line, *rows, line,
                          f"parameters: {self.total_params:,}, of which trained: {self.trainable_params:,} "
                          f"({self.nbytes / 2**20:.2f} MiB)", line])

    __repr__ = __str__


def _text(shape: Any) -> str:
    return "--" if shape is None else str(list(shape)) if isinstance(shape, tuple) else ", ".join(map(_text, shape))


def _shapes(result: Any) -> Any:
    """The shape of a tensor, or those in a structure."""
    if isinstance(result, Tensor):
        return tuple(result.shape)
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        found = [shape for shape in map(_shapes, result) if shape is not None]
        return found or None
    return None


def summary(model: Any, input_size: Any = None, input_data: Any = None, device: Any = None, dtypes: Any = None,
            verbose: int = 1) -> Summary:
    """Runs a module once, without gradients, and lists its layers.

    Args:
        input_size: the shape of its input, or a list of shapes.
        input_data: the input itself, or a list of arguments.
        device: where the zeros of ``input_size`` are made; by default where the parameters are.
        dtypes: of these zeros, one for each shape. Default: the default dtype.
        verbose: 1 prints the table, 0 does not.

    Raises:
        ValueError: neither or both of ``input_size`` and ``input_data``.

    >>> import clgrad
    >>> net = clgrad.nn.Sequential(clgrad.nn.Linear(4, 2), clgrad.nn.ReLU())
    >>> clgrad.utils.summary(net, (1, 4), verbose=0).total_params
    10
    """
    if (input_size is None) == (input_data is None):
        raise ValueError("summary(): give input_size or input_data")
    parameters = list(model.parameters())
    if input_data is None:
        sizes = [input_size] if isinstance(input_size[0], int) else list(input_size)
        place = device if device is not None else parameters[0].device if parameters else None
        kinds = dtypes or [None] * len(sizes)
        inputs = [zeros(*size, dtype=kind, device=place) for size, kind in zip(sizes, kinds, strict=True)]
    else:
        inputs = list(input_data) if isinstance(input_data, (tuple, list)) else [input_data]
    outputs: dict[int, Any] = {}
    handles = [module.register_forward_hook(lambda module, _, result: outputs.__setitem__(id(module), _shapes(result)))
               for module in model.modules()]
    training = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    layers = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        layers.append(Layer(name.rpartition(".")[2], type(module).__name__, name.count(".") + bool(name),
                            outputs.get(id(module)), sum(p.numel() for p in own),
                            sum(p.numel() for p in own if p.requires_grad)))
    found = Summary(layers, sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad),
                    sum(p.numel() * p.element_size() for p in parameters))
    if verbose:
        print(found)
    return found
