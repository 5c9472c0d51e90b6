"""The operators: dtype and shape rule, forward and gradient of each, side by side.

``registry.FUNCTIONS`` holds every operator by name; pointwise ones are rows of ``table.py``.
"""

from clgrad.ops import (  # noqa: F401
    attention,
    composed,
    convolution,
    convolution3d,
    copying,
    distances,
    gathering,
    grid_sampling,
    interpolation,
    linalg,
    loss,
    padding,
    pointwise,
    pooling,
    random,
    recurrent,
    reduction,
    scan,
    shuffles,
    unfolding,
    unpooling,
    views,
)
