"""PyTorch's names of the tensors that operators save for the backward pass: ``y.grad_fn._saved_result``."""

from __future__ import annotations

from clgrad.autograd.saved_attributes import SAVED_NAMES

_OWN_AND_RESULT, _INDICES = ("self", "result"), ("indices",)
SAVED_NAMES.update({
    # Products and convolutions.
    "Mm": ("self", "mat2"), "Bmm": ("self", "mat2"), "mv": ("self", "vec"), "cross": ("self", "other"),
    "convolution": ("input", "weight"), "conv_transpose": ("input", "weight"),
    # Reductions, scans and distances.
    "prod": ("self",), "std": _OWN_AND_RESULT, "var": ("self",), "norm": _OWN_AND_RESULT, "amax": _OWN_AND_RESULT,
    "amin": _OWN_AND_RESULT, "MaxBackward1": _OWN_AND_RESULT, "MinBackward1": _OWN_AND_RESULT,
    "MedianBackward0": _OWN_AND_RESULT, "NanmedianBackward0": _OWN_AND_RESULT, "logsumexp": _OWN_AND_RESULT,
    "cumprod": _OWN_AND_RESULT, "logcumsumexp": _OWN_AND_RESULT, "cdist": ("x1", "x2", "result"),
    "pdist": _OWN_AND_RESULT,
    "softmax": ("result",), "log_softmax": ("result",), "glu": ("self",),
    # What picks elements.
    "max": _INDICES, "min": _INDICES, "median": _INDICES, "nanmedian": _INDICES, "mode": _INDICES, "kthvalue": _INDICES,
    "cummax": _INDICES, "cummin": _INDICES, "sort": _INDICES, "topk": _INDICES, "gather": ("index",),
    "scatter": ("index",), "scatter_add": ("index",), "masked_select": ("mask",),
    # Linear algebra.
    "LinalgSvd": ("U", "S", "Vh"), "LinalgQr": ("Q", "R"), "LinalgEigh": ("eigenvalues", "eigenvectors"),
    "LinalgCholeskyEx": ("L",), "LinalgInvEx": ("inverse",), "pinv": _OWN_AND_RESULT, "det": ("A", "result"),
    "slogdet": ("A",), "linalg.solve": ("A", "result"), "linalg.solve_triangular": _OWN_AND_RESULT,
    "cholesky_solve": ("input2", "result"), "cholesky_inverse": _OWN_AND_RESULT,
    # Layers and losses.
    "NativeBatchNorm": ("input", "weight"), "NativeLayerNorm": ("input", "weight"), "NativeGroupNorm": ("input", "weight"),
    "grid_sampler": ("input", "grid"), "nll_loss": ("self", "target", "weight"),
})

# Operands of pointwise rows: the usual names, and those of single operators.
_OPERANDS = {"x": "self", "a": "self", "b": "other", "e": "other", "q": "other", "t": "target", "low": "min", "high": "max",
             "y": "result"}
_OF_OPERATOR = {("pow", "b"): "exponent", ("lerp", "b"): "end", ("_masked_fill", "condition"): "mask",
                ("addcmul", "a"): "tensor1", ("addcmul", "b"): "tensor2", ("addcdiv", "a"): "tensor1",
                ("addcdiv", "b"): "tensor2"}


def saved_name(operator: str, operand: str) -> str:
    """PyTorch's name of an operand of a pointwise row, or of its value ``y``."""
    return _OF_OPERATOR.get((operator, operand)) or _OPERANDS.get(operand, operand)
