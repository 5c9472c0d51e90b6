"""Files of safetensors and NumPy, both ways with their own libraries."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad import safetensors

numpy_files = pytest.importorskip("safetensors.numpy")


def test_both_ways(tmp_path):
    path = tmp_path / "w.safetensors"
    kinds = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    tensors = {kind: clgrad.arange(6).view(2, 3).to(getattr(clgrad, kind)).t() for kind in kinds}
    tensors["empty"], tensors["number"] = clgrad.empty(0, 2), clgrad.tensor(3.0)
    safetensors.save_file(tensors, path, {"about": "a test"})
    found = safetensors.load_file(path)
    assert {n: (t.tolist(), t.dtype, t.shape) for n, t in found.items()} == {
        n: (t.tolist(), t.dtype, t.shape) for n, t in tensors.items()}
    del tensors["bfloat16"]
    safetensors.save_file(tensors, path)
    theirs = numpy_files.load_file(path)
    assert all(theirs[n].tolist() == t.tolist() and str(theirs[n].dtype) == t.dtype.name for n, t in tensors.items())
    numpy_files.save_file({"x": np.arange(4, dtype=np.int32)}, path)
    assert safetensors.load(path.read_bytes())["x"].add_(1).tolist() == [1, 2, 3, 4]


def test_models_that_tie_weights(tmp_path):
    net = clgrad.nn.Sequential(clgrad.nn.Linear(3, 3), clgrad.nn.Linear(3, 3))
    net[1].weight = net[0].weight
    with pytest.raises(RuntimeError, match="share memory"):
        safetensors.save_file(net.state_dict(), tmp_path / "net")
    safetensors.save_model(net, tmp_path / "net")
    before = net[0].weight.tolist()
    clgrad.nn.init.zeros_(net[0].weight)
    assert safetensors.load_model(net, tmp_path / "net") == ([], [])
    assert net[1].weight.tolist() == before


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="expected torch.Tensor"):
        safetensors.save({"x": 3})
    good = safetensors.save({"x": clgrad.ones(3)})
    for bad in (b"nonsense" * 4, b"", good[:-1], good[:20], good.replace(b"[3]", b"[4]"), good.replace(b"F32", b"F8_"),
                good.replace(b"[0,12]", b"[4,16]"), good.replace(b"shape", b"shabe"), (2).to_bytes(8, "little") + b"[]"):
        with pytest.raises(safetensors.SafetensorError):
            safetensors.load(bad)


def test_npz(tmp_path):
    tensors = {"a": clgrad.arange(6).view(2, 3), "b": clgrad.ones(2).bfloat16()}
    safetensors.save_npz(tensors, tmp_path / "x.npz", compressed=True)
    with np.load(tmp_path / "x.npz") as found:
        assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["b"].dtype == np.float32
    assert safetensors.load_npz(tmp_path / "x.npz")["a"].dtype is clgrad.int64
    np.savez(tmp_path / "y.npz", x=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        safetensors.load_npz(tmp_path / "y.npz")
