"""The names that programs copied from before ``torch.nn.init`` was public use."""

from clgrad.nn.init import constant_ as _no_grad_fill_
from clgrad.nn.init import normal_ as _no_grad_normal_
from clgrad.nn.init import trunc_normal_ as _no_grad_trunc_normal_
from clgrad.nn.init import uniform_ as _no_grad_uniform_
from clgrad.nn.init import zeros_ as _no_grad_zero_

__all__ = ["_no_grad_fill_", "_no_grad_normal_", "_no_grad_trunc_normal_", "_no_grad_uniform_", "_no_grad_zero_"]
