"""``clgrad.special``: the functions of PyTorch's ``torch.special`` that have kernels or are made of such.

>>> import clgrad
>>> clgrad.special.xlogy(clgrad.tensor([0.0, 1.0]), clgrad.tensor([0.0, 1.0]))
tensor([0., 0.])
"""

from collections.abc import Callable as _Callable
from typing import Any as _Any

from clgrad.ops.interception import intercepted as _intercepted
from clgrad.ops.registry import FUNCTIONS as _FUNCTIONS


def _named(name: str, existing: str) -> _Callable:
    """An operator under the name that it has in this module."""
    function = _FUNCTIONS[existing]

    def special(*args: _Any, **kwargs: _Any) -> _Any:
        return function(*args, **kwargs)
    special.__name__ = special.__qualname__ = name
    special.__doc__ = function.__doc__
    return special


_SAME = ("digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "i0e", "i1", "i1e", "log1p", "log_softmax", "logit",
         "logsumexp", "polygamma", "round", "sinc", "softmax", "xlog1py", "xlogy")
_RENAMED = {"expit": "sigmoid", "gammainc": "igamma", "gammaincc": "igammac", "gammaln": "lgamma",
            "multigammaln": "mvlgamma", "psi": "digamma", "entr": "_entr", "erfcx": "_erfcx", "log_ndtr": "_log_ndtr",
            "ndtr": "_ndtr", "ndtri": "_ndtri", "zeta": "_zeta"}
__all__ = sorted([*_SAME, *_RENAMED])

globals().update({name: _intercepted(_named(name, existing), f"special_{name}")
                  for name, existing in {**{name: name for name in _SAME}, **_RENAMED}.items()})
