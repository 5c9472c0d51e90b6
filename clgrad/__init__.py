"""clgrad: deep learning on any OpenCL device, with PyTorch's API.

>>> import clgrad as torch
>>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from math import e, inf, nan, pi

from clgrad import autograd, cuda, errors, multiprocessing, nn, optim, utils, vision
from clgrad import creation as _creation
from clgrad import sampling as _sampling
from clgrad.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from clgrad.cuda import synchronize
from clgrad.dtypes import (
    bfloat16,
    bool,
    can_cast,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    uint8,
)
from clgrad.errors import OutOfMemoryError
from clgrad.formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from clgrad.info import (
    finfo,
    iinfo,
    is_complex,
    is_floating_point,
    is_nonzero,
    is_storage,
    is_tensor,
    numel,
    result_type,
    set_default_dtype,
)
from clgrad.ops.random import Generator, default_generator, manual_seed
from clgrad.ops.registry import FUNCTIONS as _FUNCTIONS
from clgrad.printing import get_printoptions, set_printoptions
from clgrad.runtime import default_device as get_default_device
from clgrad.runtime import device, set_default_device
from clgrad.serialization import load, save
from clgrad.shapes import Size
from clgrad.storage import CLASSES as _STORAGE_CLASSES
from clgrad.storage import TypedStorage, UntypedStorage
from clgrad.tensor import Tensor
from clgrad.typed import CLASSES as _CLASSES
from clgrad.version import __version__

# PyTorch's short names of dtypes.
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

# Every operator of the registry, every constructor: ``clgrad.exp``, ``clgrad.zeros``, ``clgrad.FloatTensor``.
globals().update({name: function for name, function in _FUNCTIONS.items() if not name.startswith("_")})
globals().update(_creation.CREATORS)
globals().update(_sampling.CREATORS)
globals().update(_CLASSES)
globals().update(_STORAGE_CLASSES)
