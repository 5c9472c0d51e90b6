"""Neural networks: modules, their functions, initial values, helpers.

>>> import clgrad
>>> from clgrad import nn
>>> clgrad.nn.Sequential(nn.Linear(2, 3), nn.Tanh())(clgrad.zeros(1, 2)).shape
torch.Size([1, 3])
"""

from clgrad.nn import attention, functional, grad, init, modules, parallel, parameter, utils
from clgrad.nn.modules import *  # noqa: F403
from clgrad.nn.modules import __all__ as _modules
from clgrad.nn.parallel import DataParallel
from clgrad.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = ["Buffer", "DataParallel", "Parameter", "UninitializedBuffer", "UninitializedParameter", "attention", "functional",
           "grad", "init", "modules", "parallel", "parameter", "utils", *_modules]
