"""ONNX's operators, by ONNX's own cases and, for older operator sets, by ONNX's reference evaluator."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.onnx import OnnxError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from tests.onnx import cases  # noqa: E402

# Cases of what is random, and of what clgrad says it has not.
NOT_HERE = {"test_scan_sum"}
CASES = {case.name: case for case in cases.collected()
         if case.name not in NOT_HERE and not case.name.startswith("test_training_dropout")}


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_onnx(name):
    case = CASES[name]
    module = clgrad.onnx.load(case.model)
    for inputs, outputs in case.data_sets:
        found = module(*[cases.given(value) for value in inputs])
        found = found if isinstance(found, tuple) else (found,)
        for one, other in zip(found, outputs, strict=True):
            cases.check(one, other, max(case.rtol, 1e-4), max(case.atol, 1e-5))


def model_of(op, inputs, opset, outputs=1, constants=(), domain="", **attributes):
    """A model of one node; inputs at the places in ``constants`` are initialisers."""
    names = [f"i{n}" if value is not None else "" for n, value in enumerate(inputs)]
    node = helper.make_node(op, names, [f"o{n}" for n in range(outputs)], name="the_node", domain=domain, **attributes)
    kept = [n for n, value in enumerate(inputs) if value is not None]
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(names[n], helper.np_dtype_to_tensor_dtype(inputs[n].dtype), inputs[n].shape)
         for n in kept if n not in constants],
        [helper.make_tensor_value_info(f"o{n}", TensorProto.UNDEFINED, None) for n in range(outputs)],
        [numpy_helper.from_array(inputs[n], names[n]) for n in kept if n in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=8)


def ints(*values):
    return np.array(values, np.int64)


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


OLD = {  # operator, inputs, operator set, outputs, attributes
    "sum over an attribute's axes": ("ReduceSum", [floats(2, 3, 4)], 11, 1, {"axes": [0, -1], "keepdims": 0}),
    "mean over an attribute's axes": ("ReduceMean", [floats(2, 3, 4)], 13, 1, {"axes": [1]}),
    "mean over axes that are an input": ("ReduceMean", [floats(2, 3, 4), ints(1)], 18, 1, {"keepdims": 0}),
    "slice by attributes": ("Slice", [floats(4, 5)], 9, 1, {"starts": [1, -3], "ends": [4, 1000], "axes": [0, 1]}),
    "clip by attributes": ("Clip", [floats(3, 4)], 6, 1, {"min": -0.5, "max": 0.5}),
    "clip by one input": ("Clip", [floats(3, 4), None, np.float32(0.5)], 13, 1, {}),
    "squeeze by attribute": ("Squeeze", [floats(1, 3, 1)], 11, 1, {"axes": [0]}),
    "unsqueeze by attribute": ("Unsqueeze", [floats(3, 2)], 11, 1, {"axes": [0, 2]}),
    "split by attribute": ("Split", [floats(6, 2)], 11, 2, {"split": [2, 4]}),
    "split alike": ("Split", [floats(6, 2)], 11, 3, {}),
    "pad by attributes": ("Pad", [floats(2, 3)], 10, 1, {"pads": [0, 1, 1, 2], "value": 1.5}),
    "top k of an attribute": ("TopK", [floats(3, 5)], 9, 2, {"k": 2}),
    "dropout is nothing": ("Dropout", [floats(3, 4)], 10, 1, {"ratio": 0.5}),
    "flatten a negative axis": ("Flatten", [floats(2, 3, 4)], 13, 1, {"axis": -1}),
    "reshape with 0 and -1": ("Reshape", [floats(2, 3, 4), ints(0, -1)], 13, 1, {}),
    "gemm with a vector": ("Gemm", [floats(2, 3), floats(4, 3), floats(4)], 13, 1, {"transB": 1}),
    "gemm scaled": ("Gemm", [floats(3, 2), floats(3, 4), floats(1, 4)], 13, 1,
                    {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    "matmul of a vector": ("MatMul", [floats(3), floats(2, 3, 4)], 13, 1, {}),
    "asymmetric padding of a convolution": ("Conv", [floats(1, 2, 5, 6), floats(3, 2, 3, 2), floats(3)], 13, 1,
                                            {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    "grouped convolution 1d": ("Conv", [floats(2, 4, 9), floats(4, 2, 3)], 13, 1, {"group": 2, "dilations": [2]}),
    "convolution 3d": ("Conv", [floats(1, 2, 4, 4, 4), floats(2, 2, 2, 2, 2)], 13, 1, {"pads": [1] * 6}),
    "max pool rounded up": ("MaxPool", [floats(1, 2, 6, 7)], 12, 1,
                            {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
    "max pool asymmetric": ("MaxPool", [floats(1, 2, 6, 7)], 12, 1,
                            {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    "average pool with padding": ("AveragePool", [floats(1, 2, 6, 7)], 11, 1,
                                  {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    "gather by negative places": ("Gather", [floats(4, 3), np.array([[0, -1], [2, -4]])], 13, 1, {"axis": 0}),
    "gather one": ("Gather", [floats(4, 3), np.array(-1)], 13, 1, {"axis": 1}),
    "resize of set 11": ("Resize", [floats(1, 1, 4, 5), None, np.array([1, 1, 2, 1.5], np.float32)], 11, 1,
                         {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}),
    "where": ("Where", [floats(3, 1) > 0, floats(3, 4), floats(4)], 9, 1, {}),
    "cast": ("Cast", [floats(3, 4) * 5], 13, 1, {"to": TensorProto.INT32}),
    "integer division": ("Div", [np.array([7, -7, 8]), np.array([2, 2, -3])], 14, 1, {}),
    "power of integers": ("Pow", [np.array([1, 2, 3]), np.array([2, 0, 3])], 13, 1, {}),
    "gru whose reset gate comes last": (
        "GRU", [floats(3, 2, 4), floats(1, 9, 4), floats(1, 9, 3), floats(1, 18)], 14, 2,
        {"hidden_size": 3, "linear_before_reset": 1}),
    "lstm with states": ("LSTM", [floats(3, 2, 4), floats(1, 12, 4), floats(1, 12, 3), floats(1, 24), None,
                                  floats(1, 2, 3), floats(1, 2, 3, seed=1)], 14, 3, {"hidden_size": 3}),
    "einsum": ("Einsum", [floats(2, 3, 4), floats(2, 5, 4)], 13, 1, {"equation": "bij,bkj->bik"}),
}


@pytest.mark.parametrize("name", OLD)
def test_an_operator_of_an_older_set(name):
    op, inputs, opset, outputs, attributes = OLD[name]
    model = model_of(op, inputs, opset, outputs, **attributes)
    expected = ReferenceEvaluator(model).run(None, {f"i{n}": value for n, value in enumerate(inputs) if value is not None})
    found = clgrad.onnx.load(model)(*[clgrad.tensor(np.array(value)) for value in inputs if value is not None])
    for one, other in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
        cases.check(one, other, 1e-4, 1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_softmax_before_operator_set_13_is_over_all_from_an_axis_on(axis):
    x = floats(2, 3, 4)
    rows = np.exp(x.reshape(int(np.prod(x.shape[:axis])), -1))
    expected = (rows / rows.sum(1, keepdims=True)).reshape(x.shape)
    for op, value in (("Softmax", expected), ("LogSoftmax", np.log(expected))):
        found = clgrad.onnx.load(model_of(op, [x], 11, axis=axis))(clgrad.tensor(x))
        cases.check(found, value, 1e-5, 1e-6)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_with_lengths_and_in_both_directions(torch, op, direction):
    """Against PyTorch's layers: ONNX's evaluator has no lengths."""
    d, gates = (2 if direction == "bidirectional" else 1), {"RNN": 1, "LSTM": 4, "GRU": 3}[op]
    order = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}[op]  # PyTorch's gates in ONNX's order
    layer = getattr(torch.nn, op)(4, 3, bidirectional=d == 2)
    x, lengths = floats(5, 2, 4), np.array([5, 3], np.int32)

    def laid(kind):
        parts = [getattr(layer, f"{kind}_l0{suffix}").detach().numpy().reshape(gates, 3, -1)[order].reshape(3 * gates, -1)
                 for suffix in ("", "_reverse")[:d]]
        return np.stack(parts)
    bias = np.concatenate([laid("bias_ih"), laid("bias_hh")], 1)[..., 0]
    extra = {"linear_before_reset": 1} if op == "GRU" else {}
    for given in (None, lengths):
        inputs = [x, laid("weight_ih"), laid("weight_hh"), bias] + ([] if given is None else [given])
        model = model_of(op, inputs, 14, 2, (1, 2, 3), hidden_size=3, direction=direction, **extra)
        y, last = clgrad.onnx.load(model)(*[clgrad.tensor(inputs[n]) for n in (0, 4) if n < len(inputs)])
        rows = torch.tensor(x) if direction != "reverse" else torch.tensor(x).flip(0)
        if direction == "reverse" and given is not None:
            rows = torch.tensor(np.stack([np.concatenate([x[:n, b][::-1], x[n:, b]]) for b, n in enumerate(lengths)], 1))
        packed = torch.nn.utils.rnn.pack_padded_sequence(rows, torch.tensor([5, 5] if given is None else lengths))
        expected, state = layer(packed)
        expected = torch.nn.utils.rnn.pad_packed_sequence(expected)[0].detach().numpy()
        if direction == "reverse":
            sizes = [5, 5] if given is None else lengths
            expected = np.stack([np.concatenate([expected[:n, b][::-1], expected[n:, b]]) for b, n in enumerate(sizes)], 1)
        expected = expected.reshape(5, 2, d, 3).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-5)
        state = state[0] if isinstance(state, tuple) else state
        np.testing.assert_allclose(last.detach().numpy(), state.detach().numpy(), atol=1e-5)


def test_operator_sets_before_7_say_where_axes_lie():
    a, b = floats(2, 3, 4), floats(3)
    for op, expected in (("Add", a + b[:, None]), ("Mul", a * b[:, None]), ("PRelu", np.where(a < 0, a * b[:, None], a))):
        attributes = {} if op == "PRelu" else {"broadcast": 1, "axis": 1}
        found = clgrad.onnx.load(model_of(op, [a, b], 6, **attributes))(clgrad.tensor(a), clgrad.tensor(b))
        cases.check(found, expected, 1e-6, 1e-6)


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"])
def test_a_seed_is_used_in_every_run(op):
    x = np.full((4, 9), 0.5, np.float32)
    module, other = (clgrad.onnx.load(model_of(op, [x], 15, seed=seed)) for seed in (3.0, 4.0))
    assert module(x).tolist() == module(x).tolist() != other(x).tolist()


def test_an_unknown_operator_is_named():
    with pytest.raises(OnnxError, match=r"node 'the_node' \(Unheard\): clgrad has no operator Unheard of operator set 13"):
        clgrad.onnx.load(model_of("Unheard", [floats(1)], 13))
    with pytest.raises(OnnxError, match=r"\(com.example.Relu\)"):
        clgrad.onnx.load(model_of("Relu", [floats(1)], 1, domain="com.example"))


def test_an_unknown_attribute_is_named():
    with pytest.raises(OnnxError, match="'the_node'.*'sharpness'"):
        clgrad.onnx.load(model_of("Relu", [floats(1)], 13, sharpness=2.0))


def test_statistics_for_each_element_are_refused():
    x, c = floats(2, 3, 4), floats(3, 4)
    with pytest.raises(OnnxError, match="spatial=0"):
        clgrad.onnx.load(model_of("BatchNormalization", [x, c, c, c, c], 7, spatial=0))(x, c, c, c, c)


def test_an_operator_that_fails_names_its_node():
    module = clgrad.onnx.load(model_of("MatMul", [floats(2, 3), floats(2, 3)], 13))
    with pytest.raises(OnnxError, match=r"node 'the_node' \(MatMul\)"):
        module(clgrad.zeros(2, 3), clgrad.zeros(2, 3))
