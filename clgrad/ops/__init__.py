"""The operators: dtype and shape rule, forward and gradient of each, side by side.

``registry.FUNCTIONS`` holds every operator by name; pointwise ones are rows of ``table.py``.
"""

from clgrad.ops import composed, convolution, copying, linalg, loss, pointwise, pooling, random, reduction, scan, views  # noqa: F401
