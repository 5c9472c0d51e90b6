"""``clgrad.special``: the functions of PyTorch's ``torch.special`` that have kernels or are made of such.

>>> import clgrad
>>> clgrad.special.xlogy(clgrad.tensor([0.0, 1.0]), clgrad.tensor([0.0, 1.0]))
tensor([0., 0.])
"""

from collections.abc import Callable as _Callable
from typing import Any as _Any

from clgrad.ops.interception import intercepted as _intercepted
from clgrad.ops.registry import FUNCTIONS as _FUNCTIONS
from clgrad.ops.table import POLYNOMIALS as _POLYNOMIALS


def _named(name: str, existing: str) -> _Callable:
    """An operator under the name that it has in this module."""
    function = _FUNCTIONS[existing]

    def special(*args: _Any, **kwargs: _Any) -> _Any:
        return function(*args, **kwargs)
    special.__name__ = special.__qualname__ = name
    special.__doc__ = function.__doc__
    return special


def _of_x(name: str) -> _Callable:
    """A function whose operand PyTorch calls ``x`` instead of ``input``."""
    function = _FUNCTIONS[f"_{name}"]

    def special(x: _Any, *, out: _Any = None) -> _Any:
        return function(x, out=out)
    special.__name__ = special.__qualname__ = name
    special.__doc__ = function.__doc__
    return special


def _polynomial(name: str) -> _Callable:
    """A family of polynomials, whose second operand is the degree ``n``."""
    function = _FUNCTIONS[f"_{name}"]

    def special(x: _Any, n: _Any, *, out: _Any = None) -> _Any:
        return function(x, n, out=out)
    special.__name__ = special.__qualname__ = name
    family = name.replace("_polynomial", "").replace("_", " ").rpartition(" ")
    special.__doc__ = (f"{name}(x, n): the {family[0].title()} polynomial {family[2].title()} of degree n at each "
                       "element of x, operands broadcast; either may be a number, n is cut to an integer, and the "
                       "value is 0 where it is negative. Not differentiable.")
    return special


_SAME = ("digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "i0e", "i1", "i1e", "log1p", "log_softmax", "logit",
         "logsumexp", "polygamma", "round", "sinc", "softmax", "xlog1py", "xlogy")
_RENAMED = {"expit": "sigmoid", "gammainc": "igamma", "gammaincc": "igammac", "gammaln": "lgamma",
            "multigammaln": "mvlgamma", "psi": "digamma", "entr": "_entr", "erfcx": "_erfcx", "log_ndtr": "_log_ndtr",
            "ndtr": "_ndtr", "ndtri": "_ndtri", "zeta": "_zeta",
            **{name: f"_{name}" for name in (
                "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1",
                "modified_bessel_k0", "modified_bessel_k1")}}
_OF_X = ("airy_ai", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0")
__all__ = sorted([*_SAME, *_RENAMED, *_OF_X, *_POLYNOMIALS])

globals().update({name: _intercepted(_named(name, existing), f"special_{name}")
                  for name, existing in {**{name: name for name in _SAME}, **_RENAMED}.items()})
globals().update({name: _intercepted(_of_x(name), f"special_{name}") for name in _OF_X})
globals().update({name: _intercepted(_polynomial(name), f"special_{name}") for name in _POLYNOMIALS})
