"""clgrad: deep learning on any OpenCL device, with PyTorch's API."""

from clgrad.autograd.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from clgrad.dtypes import (
    bfloat16, bool, float16, float32, float64, get_default_dtype, int8, int16, int32, int64, promote_types, uint8,
)
from clgrad.dtypes import dtype
from clgrad.ops import pointwise, views, copying, composed, reduction
from clgrad.ops.registry import FUNCTIONS
from clgrad.creation import *
from clgrad import creation
from clgrad.shapes import Size
from clgrad.runtime import device
from clgrad.tensor import Tensor
from clgrad import autograd
globals().update({n: f for n, f in FUNCTIONS.items()})
globals().update(creation.CREATORS)
