"""The operators: dtype and shape rule, forward and gradient of each, side by side.

``registry.FUNCTIONS`` holds every operator by name; pointwise ones are rows of ``table.py``.
"""

from clgrad.ops import (  # noqa: F401
    composed,
    convolution,
    copying,
    gathering,
    linalg,
    loss,
    pointwise,
    pooling,
    random,
    recurrent,
    reduction,
    scan,
    views,
)
