"""ONNX's own test cases of single operators: models, inputs and the outputs that every implementation must give."""

from __future__ import annotations

import importlib
import re
import warnings

import numpy as np

import clgrad
from clgrad.onnx.protobuf import to_tensor

# The modules of onnx.backend.test.case.node whose operators clgrad has.
FAMILIES = re.findall(r"\w+", """
abs acos add and_ argmax argmin averagepool batch_normalization bitshift bitwiseand celu center_crop_pad clip compress
concat constant constantofshape conv convinteger convtranspose cumsum deformconv depthtospace dequantizelinear det div
dynamicquantizelinear einsum elu erf expand eyelike flatten gather gatherelements gathernd gelu gemm globalaveragepool
globalmaxpool greater gridsample groupnormalization gru hardmax hardsigmoid hardswish if_ instance_normalization isinf
isnan layernormalization leakyrelu logsoftmax loop lpnormalization lppool lrn lstm matmul matmulinteger max maxpool
maxunpool mean meanvariancenormalization mish mod negativeloglikelihoodloss nonmaxsuppression nonzero onehot pad pow
prelu qlinearconv qlinearmatmul quantizelinear rangeop reduce_log_sum_exp reducel2 reducemax reducemean reducesum
reshape resize reversesequence rmsnormalization rnn round scan scatter scatterelements scatternd selu sequence_map
sequenceinsert shape shrink size slice softmax softplus spacetodepth split splittosequence squeeze sum thresholdedrelu
tile topk transpose trilu unique unsqueeze upsample where
""")


def collected() -> list:
    """The cases, without those that are others with an operator written out, and without dtypes that clgrad lacks."""
    node = importlib.import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for family in FAMILIES:
            importlib.import_module(f"onnx.backend.test.case.node.{family}")
    found = {case.name: case for case in node._NodeTestCases}
    return [case for name, case in sorted(found.items()) if "_expanded" not in name and all(
        _has_dtype(value) for given, wanted in case.data_sets for value in (*given, *wanted))]


def _has_dtype(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_has_dtype, value))
    return isinstance(value, np.ndarray | np.generic) and value.dtype.name in (
        "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def given(value: object) -> object:
    """A case's input as clgrad takes it."""
    if isinstance(value, list):
        return [given(item) for item in value]
    return clgrad.tensor(np.asarray(value)) if not hasattr(value, "data_type") else to_tensor(value)


def check(found: object, wanted: object, rtol: float, atol: float) -> None:
    """Compares outputs: dtype, shape, values."""
    if isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            check(one, other, rtol, atol)
        return
    found, wanted = found.detach().numpy(), np.asarray(wanted)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)
