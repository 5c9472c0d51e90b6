"""Pictures: transforms, data sets, models, in torchvision's shape.

>>> import numpy as np
>>> from clgrad.vision import transforms
>>> transforms.ToTensor()(np.zeros((4, 5, 3), np.uint8)).shape
torch.Size([3, 4, 5])
"""

from clgrad.vision import datasets, io, models, ops, transforms, tv_tensors, utils

__all__ = ["datasets", "io", "models", "ops", "transforms", "tv_tensors", "utils"]
