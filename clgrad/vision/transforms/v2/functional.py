"""``torchvision.transforms.v2.functional``: transforms of pictures, their boxes, masks and points.

>>> import clgrad
>>> from clgrad.vision import tv_tensors
>>> boxes = tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(10, 20))
>>> horizontal_flip(boxes).tolist(), get_size(boxes)
([[17, 2, 19, 4]], [10, 20])
"""

from clgrad.vision.transforms.dispatch import *  # noqa: F403
from clgrad.vision.transforms.dispatch import __all__ as __all__
