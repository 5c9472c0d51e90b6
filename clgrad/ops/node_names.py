"""How PyTorch spells operators in the names of their nodes."""

from __future__ import annotations

_NODES = {"square": "Pow", "_cube": "Pow", "_add_scaled": "Add", "_div_floor": "Div", "_div_trunc": "Div",
          "_clamp": "ClampBackward1"}
# Of operators whose overloads have names of their own: which operands are tensors.
OVERLOADS: dict[tuple[str, tuple[bool, ...]], str] = {
    ("pow", (True, True)): "PowBackward1", ("pow", (False, True)): "PowBackward2",
    ("sub", (False, True)): "RsubBackward1", ("div", (False, True)): "MulBackward0"}


def node_name(name: str) -> str:
    """PyTorch's spelling of an operator in its node's name: ``leaky_relu`` is ``LeakyRelu``."""
    if name in _NODES:
        return _NODES[name]
    return "".join(part.capitalize() for part in name.strip("_").split("_"))
