"""The operators: dtype and shape rule, forward and gradient of each, side by side.

``registry.FUNCTIONS`` holds every operator by name; pointwise ones are rows of ``table.py``.
"""

from clgrad.ops import (  # noqa: F401
    arranging,
    attention,
    composed,
    convolution,
    convolution3d,
    copying,
    ctc,
    diagonals,
    distances,
    einsum,
    gathering,
    grid_sampling,
    identities,
    interpolation,
    linalg,
    loss,
    padding,
    pointwise,
    pooling,
    products,
    random,
    recurrent,
    reduction,
    scan,
    shuffles,
    unfolding,
    unpooling,
    views,
)
