"""``torch.fx.experimental.proxy_tensor``."""

from clgrad.compat.standins.refusal import function

__all__ = ["get_proxy_mode", "make_fx"]


def get_proxy_mode() -> None:
    """None: no tensor stands for another."""


make_fx = function("torch.fx.experimental.proxy_tensor.make_fx",
                   "clgrad has no tracer of operators; see torch.fx.symbolic_trace")
