"""ONNX models as modules: names, files, errors, gradients."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

import clgrad
from clgrad.onnx import OnnxError
from clgrad.optional import library

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402


def a_network(opset=17, **names):
    """Convolution, batch normalisation, a reshape by computed sizes, a linear layer."""
    rng = np.random.default_rng(0)

    def held(name, *shape):
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), names.get(name, name))
    w = names.get("features.0.weight", "features.0.weight")
    nodes = [
        helper.make_node("Conv", ["x", w, "features.0.bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Shape", ["c"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["c", "sizes"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["y"], transB=1),
    ]
    held_values = [held("features.0.weight", 2, 1, 3, 3), held("features.0.bias", 2), held("bn.weight", 2),
                   held("bn.bias", 2), held("bn.running_mean", 2),
                   numpy_helper.from_array(np.ones(2, np.float32), "bn.running_var"),
                   held("fc.weight", 3, 32), held("fc.bias", 3), numpy_helper.from_array(np.array(0), "zero"),
                   numpy_helper.from_array(np.array([0]), "axes"), numpy_helper.from_array(np.array([-1]), "rest")]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 4, 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])], held_values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


X = np.random.default_rng(1).normal(size=(5, 1, 4, 4)).astype(np.float32)


def expected(model):
    return ReferenceEvaluator(model).run(None, {"x": X})[0]


def test_a_network_computes_what_the_reference_does_and_has_its_names():
    model = a_network()
    module = clgrad.onnx.load(model)
    np.testing.assert_allclose(module(clgrad.tensor(X)).detach().numpy(), expected(model), rtol=1e-4, atol=1e-5)
    assert (module.input_names, module.output_names, module.opset_version) == (["x"], ["y"], 17)
    assert {"features.0.weight", "bn.weight", "fc.bias"} <= {name for name, _ in module.named_parameters()}
    assert {"bn.running_mean", "bn.running_var", "rest"} <= {name for name, _ in module.named_buffers()}
    np.testing.assert_array_equal(module(x=clgrad.tensor(X)).detach().numpy(), module(clgrad.tensor(X)).detach().numpy())


@pytest.mark.parametrize("way", ["path", "bytes", "file"])
def test_a_model_is_read_from_paths_bytes_and_files(way, tmp_path):
    model = a_network()
    onnx.save(model, tmp_path / "net.onnx")
    data = (tmp_path / "net.onnx").read_bytes()
    f = {"path": tmp_path / "net.onnx", "bytes": data, "file": io.BytesIO(data)}[way]
    np.testing.assert_allclose(clgrad.onnx.load(f)(X).detach().numpy(), expected(model), rtol=1e-4, atol=1e-5)


def test_a_loaded_model_learns_and_keeps_what_it_learnt():
    module = clgrad.onnx.load(a_network())
    optimizer = clgrad.optim.SGD(module.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = (module(X) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
    other = clgrad.onnx.load(a_network())
    other.load_state_dict(module.state_dict())
    np.testing.assert_array_equal(other(X).detach().numpy(), module(X).detach().numpy())


def test_names_that_no_module_can_have():
    model = a_network(**{"features.0.weight": "a..b/weight:0"})
    module = clgrad.onnx.load(model)
    assert "a__b/weight:0" in module.state_dict()
    np.testing.assert_allclose(module(X).detach().numpy(), expected(model), rtol=1e-4, atol=1e-5)
    taken = clgrad.onnx.load(a_network(**{"features.0.weight": "training"}))
    assert "training_" in taken.state_dict()


def test_weights_in_a_file_of_their_own(tmp_path):
    model = a_network()
    wanted = expected(model)
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    np.testing.assert_allclose(clgrad.onnx.load(path)(X).detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(OnnxError, match="from its path"):
        clgrad.onnx.load(path.read_bytes())
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(OnnxError, match="'features.0.weight' lies in the file 'weights.bin'"):
        clgrad.onnx.load(path)


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\x08\x07"])
def test_what_is_no_model_is_refused(data):
    with pytest.raises(OnnxError, match="not an ONNX model"):
        clgrad.onnx.load(data)


def test_a_truncated_file_is_refused():
    data = a_network().SerializeToString()
    for length in (len(data) // 3, len(data) - 1):
        with pytest.raises(OnnxError):
            clgrad.onnx.load(data[:length])


def test_wrong_inputs_are_refused(tmp_path):
    module = clgrad.onnx.load(a_network())
    with pytest.raises(OnnxError, match=r"input 'x' must be of shape \(\?, 1, 4, 4\), not \(5, 2, 4, 4\)"):
        module(clgrad.zeros(5, 2, 4, 4))
    with pytest.raises(OnnxError, match="input 'x' must be of torch.float32, not torch.float64"):
        module(clgrad.zeros(5, 1, 4, 4, dtype=clgrad.float64))
    with pytest.raises(TypeError, match="1 inputs"):
        module(X, X)
    with pytest.raises(TypeError, match="'x' is missing"):
        module()
    with pytest.raises(TypeError, match="no input 'z'"):
        module(z=X)
    with pytest.raises(FileNotFoundError):
        clgrad.onnx.load(tmp_path / "nothing.onnx")
    with pytest.raises(TypeError, match="path"):
        clgrad.onnx.load(7)


def test_a_branch_reads_values_of_the_graph_around_it():
    inner = {name: helper.make_graph([helper.make_node(op, ["x", f"{name}_c"], [f"{name}_y"])], name, [],
                                     [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)],
                                     [numpy_helper.from_array(np.float32(2), f"{name}_c")])
             for name, op in (("yes", "Mul"), ("no", "Add"))}
    graph = helper.make_graph(
        [helper.make_node("If", ["flag"], ["y"], then_branch=inner["yes"], else_branch=inner["no"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3]),
         helper.make_tensor_value_info("flag", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    module = clgrad.onnx.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    x = clgrad.tensor([1.0, 2.0, 3.0])
    assert module(x, clgrad.tensor(True)).tolist() == [2, 4, 6]
    assert module(x, clgrad.tensor(False)).tolist() == [3, 4, 5]


def test_functions_of_a_model_are_run():
    double = helper.make_function("own", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
                                  [helper.make_opsetid("", 17)])
    graph = helper.make_graph([helper.make_node("Double", ["x"], ["y"], domain="own")], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
                              functions=[double], ir_version=8)
    assert clgrad.onnx.load(model)(clgrad.tensor([1.0, 2.0])).tolist() == [2, 4]


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    library.cache_clear()
    monkeypatch.setitem(sys.modules, "onnx", None)
    try:
        with pytest.raises(ImportError, match="pip install onnx"):
            clgrad.onnx.load(b"")
    finally:
        library.cache_clear()
