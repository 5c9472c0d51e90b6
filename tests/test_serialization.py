"""Files: both ways with PyTorch, sharing, places, and files that want to do harm or are damaged."""

from __future__ import annotations

import argparse
import io
import operator
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import clgrad
from clgrad import serialization
from clgrad.pickles import Reader


def saved(obj):
    file = io.BytesIO()
    clgrad.save(obj, file)
    return file.getvalue()


def again(obj, **options):
    return clgrad.load(io.BytesIO(saved(obj)), **options)


def repacked(change):
    """A saved file in which ``change(name, data)`` replaced records."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved({"w": clgrad.ones(3)}))) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = change(name.partition("/")[2], old.read(name))
            if data is not None:
                new.writestr(name, data)
    return io.BytesIO(out.getvalue())


def hostile(payload):
    return repacked(lambda name, data: payload if name == "data.pkl" else data)


def plain():
    loop: list = [1]
    return {"numbers": [0, 255, 256, -1, 65536, 2**31, -(2**40), 2**2100, 1.5, float("inf")],
            "text": "ü\n", b"k": b"\x00\xff",
            (1, 2, 3, 4): (None, True, False), "set": {1, 2}, "ordered": OrderedDict(b=1, a=2), "same": [loop, loop],
            "complex": 1 + 2j, "size": clgrad.Size((1, 2)), "dtype": clgrad.float16, "device": clgrad.device("cpu")}


def test_plain_data_round_trip():
    found = again(plain())
    assert found == plain() and found["same"][0] is found["same"][1]
    assert isinstance(found["size"], clgrad.Size) and list(found["ordered"]) == ["b", "a"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8",
                                   "uint8", "bool"])
def test_tensors_both_ways(torch, tmp_path, dtype):
    path = tmp_path / "t.pth"
    for first, second in ((clgrad, torch), (torch, clgrad)):
        base = first.arange(12).view(3, 4).to(getattr(first, dtype))
        first.save([base, base.t()[1:], base[0, 0], base[:0]], path)
        found = second.load(path)
        assert [str(t.dtype) for t in found] == [f"torch.{dtype}"] * 4
        assert [t.tolist() for t in found] == [base.tolist(), base.t()[1:].tolist(), base[0, 0].tolist(), []]
        assert found[1].stride() == (1, 4) and found[1].data_ptr() - found[0].data_ptr() == base.element_size()


def test_parameters_and_state_dicts_both_ways(torch, tmp_path):
    path = tmp_path / "m.pth"
    for first, second in ((clgrad, torch), (torch, clgrad)):
        models = [lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4)) for lib in (first, second)]
        first.save({"model": models[0].state_dict(), "p": first.nn.Parameter(first.ones(2), requires_grad=False)}, path)
        found = second.load(path)
        assert str(models[1].load_state_dict(found["model"])) == "<All keys matched successfully>"
        assert models[1][0].weight.tolist() == models[0][0].weight.tolist()
        assert isinstance(found["p"], second.nn.Parameter) and not found["p"].requires_grad


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_other_protocols(torch, protocol):
    file = io.BytesIO()
    torch.save({"t": torch.ones(2), "b": b"x", "s": {1}}, file, pickle_protocol=protocol)
    found = clgrad.load(io.BytesIO(file.getvalue()))
    assert found["t"].tolist() == [1, 1] and found["b"] == b"x" and found["s"] == {1}


def test_mapped_memory(torch, tmp_path):
    clgrad.save({"t": clgrad.arange(1000.0), "u": clgrad.ones(3)}, tmp_path / "t.pth")
    assert torch.load(tmp_path / "t.pth", mmap=True)["t"][999] == 999


def test_requires_grad_and_sharing():
    x = clgrad.ones(3, requires_grad=True)
    found = again({"x": x, "y": x.detach(), "z": x * 2})
    assert found["x"].requires_grad and not found["y"].requires_grad and found["z"].is_leaf
    found["y"].fill_(7)
    assert found["x"].tolist() == [7, 7, 7]


@pytest.mark.parametrize("where", ["cpu", clgrad.device("cpu"), {"cpu": "cpu"}, lambda storage, location: storage,
                                   lambda storage, location: None, None])
def test_map_location(where):
    assert again([clgrad.ones(2)], map_location=where)[0].device.type == "cpu"


def test_unknown_places():
    if not clgrad.cuda.is_available():
        with pytest.raises(RuntimeError, match="deserialize object on a CUDA device"):
            again([clgrad.ones(2)], map_location="cuda")
    with pytest.raises(RuntimeError):
        again([clgrad.ones(2)], map_location={"cpu": "moon"})


def test_saving_is_atomic(tmp_path):
    path = tmp_path / "a.pth"
    clgrad.save({"x": 1}, path)
    with pytest.raises(pickle.PicklingError, match="lambda"):
        clgrad.save({"x": lambda: 1}, path)
    assert clgrad.load(path) == {"x": 1} and [p.name for p in tmp_path.iterdir()] == ["a.pth"]
    with pytest.raises(RuntimeError, match="does not exist"):
        clgrad.save(1, tmp_path / "no" / "a.pth")


class Net(clgrad.nn.Module):
    """A module of a user's, as a whole-object pickle finds it again."""

    def __init__(self):
        super().__init__()
        self.fc = clgrad.nn.Linear(2, 3)
        self.tied = self.fc.weight
        self.register_buffer("mean", clgrad.ones(2))

    def forward(self, x):
        return self.fc(x - self.mean)


def test_whole_modules():
    net, x = Net(), clgrad.randn(4, 2)
    data = saved({"net": net, "options": argparse.Namespace(lr=0.1)})
    with pytest.raises(pickle.UnpicklingError, match=r"refused to load .*Net.*weights_only=False"):
        clgrad.load(io.BytesIO(data))
    found = clgrad.load(io.BytesIO(data), weights_only=False)
    assert found["net"](x).tolist() == net(x).tolist() and found["options"].lr == 0.1
    assert found["net"].tied is found["net"].fc.weight and isinstance(found["net"].tied, clgrad.nn.Parameter)
    with pytest.raises(pickle.PicklingError, match="lambda"):
        saved([lambda: 1])


def test_whole_modules_of_pytorch(torch):
    source = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU()).eval()
    file = io.BytesIO()
    torch.save(source, file)
    with pytest.raises(pickle.UnpicklingError, match="refused to load torch.nn.modules.container.Sequential"):
        clgrad.load(io.BytesIO(file.getvalue()))
    found = clgrad.load(io.BytesIO(file.getvalue()), weights_only=False)
    x = np.ones((4, 2), np.float32)
    np.testing.assert_allclose(found(clgrad.tensor(x)).tolist(), source(torch.tensor(x)).tolist(), atol=1e-6)
    assert isinstance(found[0], clgrad.nn.Linear) and list(found.state_dict()) == list(source.state_dict())


def test_safe_globals():
    data = saved({"options": argparse.Namespace(lr=0.1, name="x"), "n": np.arange(3), "t": clgrad.ones(1)})
    with pytest.raises(pickle.UnpicklingError, match=r"refused to load .*add_safe_globals\("):
        clgrad.load(io.BytesIO(data))
    arrays = [(clgrad.serialization.np._core.multiarray._reconstruct if hasattr(np, "_core") else None,
               "numpy._core.multiarray._reconstruct"), np.ndarray, np.dtype, type(np.dtype("int64"))]
    with serialization.safe_globals([argparse.Namespace, *arrays]):
        assert argparse.Namespace in serialization.get_safe_globals()
        found = clgrad.load(io.BytesIO(data))
    assert vars(found["options"]) == {"lr": 0.1, "name": "x"} and found["n"].tolist() == [0, 1, 2]
    assert serialization.get_safe_globals() == []
    serialization.add_safe_globals([argparse.Namespace])
    assert serialization.get_safe_globals() == [argparse.Namespace]
    serialization.clear_safe_globals()
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        clgrad.load(hostile(pickle.dumps(argparse.Namespace(a=1), 2)))


def test_classes_and_functions_that_are_data():
    """A file holds an allowed class itself, beside its objects; None stays nothing that could be called."""
    content = {"class": argparse.Namespace, "object": argparse.Namespace(a=1), "function": operator.add}
    data = saved(content)
    with serialization.safe_globals([argparse.Namespace, (operator.add, "_operator.add")]):
        assert clgrad.load(io.BytesIO(data)) == content
        with pytest.raises(pickle.UnpicklingError, match="refused to call None"):
            clgrad.load(hostile(b"\x80\x02N)R."))


def test_files_from_before_zip_archives(torch, tmp_path):
    base = torch.arange(12.0).view(3, 4)
    model = torch.nn.Linear(4, 2)
    content = {"views": [base, base.t()[1:], base[:0]], "model": model.state_dict(), "p": model.weight, "n": 3,
               "i": torch.tensor([1, 2], dtype=torch.int16), "b": torch.ones(3).bfloat16()}
    path = tmp_path / "old.pt"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    for options in ({}, {"weights_only": False}, {"map_location": "cpu"}):
        found = clgrad.load(path, **options)
        assert [t.tolist() for t in found["views"]] == [t.tolist() for t in content["views"]]
        assert found["views"][1].stride() == (1, 4)
        assert found["p"].tolist() == model.weight.tolist() and isinstance(found["p"], clgrad.nn.Parameter)
        assert found["model"]["bias"].tolist() == model.bias.tolist() and found["n"] == 3
        assert found["i"].tolist() == [1, 2] and found["b"].dtype is clgrad.bfloat16
    data = path.read_bytes()
    for end in (30, 200, len(data) - 20):
        with pytest.raises((RuntimeError, pickle.UnpicklingError), match="damaged|ends"):
            clgrad.load(io.BytesIO(data[:end]))
    with pytest.raises(RuntimeError, match="mmap"):
        clgrad.load(path, mmap=True)
    torch.save({"evil": Evil()}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(pickle.UnpicklingError, match="refused to load posix.system"):
        clgrad.load(path)


def test_memory_that_is_mapped(torch, tmp_path):
    path = tmp_path / "t.pth"
    torch.save({"t": torch.arange(400000.0), "u": torch.ones(3)}, path)
    for options in ({}, {"mmap": True}):
        found = clgrad.load(path, **options)
        assert found["t"].add_(1)[-1].item() == 400000 and found["u"].tolist() == [1, 1, 1]
    assert torch.load(path)["t"][0] == 0
    with pytest.raises(ValueError, match="file path"):
        clgrad.load(io.BytesIO(path.read_bytes()), mmap=True)
    with pytest.raises(RuntimeError, match="pickle_module"):
        clgrad.load(path, pickle_module=pickle, weights_only=True)


def test_nesting_is_limited():
    deep: list = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(pickle.PicklingError, match="nested deeper"):
        saved(deep)


class Evil:
    def __reduce__(self):
        import os  # noqa: PLC0415
        return os.system, ("touch /tmp/owned",)


@pytest.mark.parametrize("payload", [
    pickle.dumps(Evil(), 2), pickle.dumps(Evil(), 4),
    b"cos\nsystem\n(S'echo'\ntR.", b"c__builtin__\neval\n(X\x03\x00\x00\x001+1tR.", b"cbuiltins\ngetattr\n.",
    b"\x80\x02ctorch\nfloat32\n)R.", b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.",
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02))K\x00NtR.", b"\x80\x02(i__main__\nx\n.",
    b"\x80\x02)\x81.", b"\x80\x02X\xff\xff\xff\xffabc.", b"\x80\x02h\x07.", b"\x80\x02]e.", b"\x80\x02e.",
    b"\x80\x02t.",
    b"", b"\x80", b"\x80\x09.", b"\x80\x02K\x01Q.", b"\x80\x02}]K\x01s.", b"\x80\x02N", b"\xff.", b"\x80\x02R.",
    b"\x80\x02c__builtin__\nset\nK\x01\x85R.", b"\x80\x02ctorch\ndevice\nK\x01\x85R\x85R.",
])
def test_hostile_pickles(payload):
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        clgrad.load(hostile(payload))


def test_damaged_files(tmp_path):
    whole = saved({"w": clgrad.ones(100)})
    for end in (0, 10, len(whole) // 2, len(whole) - 5):
        with pytest.raises(RuntimeError, match="not a zip archive"):
            clgrad.load(io.BytesIO(whole[:end]))
    with pytest.raises(RuntimeError, match="should have 12 bytes and has 4"):
        clgrad.load(repacked(lambda name, data: data[:4] if name == "data/0" else data))
    with pytest.raises(RuntimeError, match="no storage '0'"):
        clgrad.load(repacked(lambda name, data: None if name == "data/0" else data))
    with pytest.raises(RuntimeError, match="holds no data.pkl"):
        clgrad.load(repacked(lambda name, data: None if name == "data.pkl" else data))
    with pytest.raises(RuntimeError, match="byte order"):
        clgrad.load(repacked(lambda name, data: b"middle" if name == "byteorder" else data))
    with pytest.raises(RuntimeError, match="needs 3 elements"):
        clgrad.load(repacked(lambda name, data: data.replace(b"K\x03tQ", b"K\x02tQ") if name == "data.pkl" else data))
    with pytest.raises(FileNotFoundError):
        clgrad.load(tmp_path / "none.pth")
    with pytest.raises(AttributeError, match="file-like"):
        clgrad.load(3)


def test_random_bytes_do_no_harm(rng):
    for _ in range(300):
        data = bytes(rng.integers(0, 256, 40).astype(np.uint8))
        try:
            Reader(data, {}, lambda id: id).load()
        except pickle.UnpicklingError:
            continue


def test_big_endian():
    swapped = repacked(lambda name, data: b"big" if name == "byteorder" else
                       np.frombuffer(data, "<f4").astype(">f4").tobytes() if name == "data/0" else data)
    assert clgrad.load(swapped)["w"].tolist() == [1, 1, 1]


def test_attributes_and_tensors_without_memory_both_ways(torch):
    for library, other in ((clgrad, torch), (torch, clgrad)):
        x, p = library.ones(2), library.nn.Parameter(library.zeros(3))
        x.note, p.scale = "kept", 0.5
        meta = library.empty_strided((2, 3), (1, 2), device="meta", dtype=library.float64)
        file = io.BytesIO()
        library.save({"x": x, "p": p, "meta": meta}, file)
        found = other.load(io.BytesIO(file.getvalue()))
        assert found["x"].note == "kept" and found["x"].tolist() == [1, 1]
        assert isinstance(found["p"], other.nn.Parameter) and found["p"].scale == 0.5
        assert found["meta"].device.type == "meta" and found["meta"].stride() == (1, 2)
    layer = clgrad.nn.Linear(2, 2, device="meta")
    layer.weight.note = "kept"
    assert again(layer, weights_only=False).weight.note == "kept"


class Minimal:
    """A file with the four methods that reading takes."""

    def __init__(self, data):
        file = io.BytesIO(data)
        self.read, self.readline, self.seek, self.tell = file.read, file.readline, file.seek, file.tell


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_begin_later_and_files_of_few_methods(torch, zipped):
    file = io.BytesIO()
    pickle.dump(41, file)
    torch.save(torch.ones(2), file, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    assert pickle.load(file) == 41 and clgrad.load(file).tolist() == [1, 1]
    file.seek(0)
    rest = Minimal(file.getvalue())
    rest.seek(len(pickle.dumps(41)))
    assert clgrad.load(rest).tolist() == [1, 1]


def test_the_environment_says_whether_whole_objects_are_loaded(monkeypatch):
    file = io.BytesIO()
    clgrad.save(clgrad.nn.Linear(2, 2), file)
    data = file.getvalue()
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.warns(UserWarning, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        assert isinstance(clgrad.load(io.BytesIO(data)), clgrad.nn.Linear)
    with pytest.raises(pickle.UnpicklingError, match="refused to load"):
        clgrad.load(io.BytesIO(data), weights_only=True)
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "yes")
    with pytest.raises(RuntimeError, match="both are set"):
        clgrad.load(io.BytesIO(data))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0")
    with pytest.raises(pickle.UnpicklingError, match="refused to load"):
        clgrad.load(io.BytesIO(data), weights_only=False)


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_sparse_tensors_go_both_ways(torch, weights_only):
    def of(library):
        return {"coalesced": library.eye(2).to_sparse(), "rows": library.eye(2).to_sparse_csr(),
                "twice": library.sparse_coo_tensor([[1, 0, 1], [0, 0, 0]], [1.0, 2, 3], (2, 2)),
                "columns": library.eye(2).to_sparse_csc(), "blocks": library.eye(4).to_sparse_bsr((2, 2)),
                "parameter": library.nn.Parameter(library.eye(2).to_sparse()), "layout": library.sparse_coo}
    for writer, reader in ((torch, clgrad), (clgrad, torch), (clgrad, clgrad)):
        file = io.BytesIO()
        writer.save(of(writer), file)
        assert repr(reader.load(io.BytesIO(file.getvalue()), weights_only=weights_only)) == repr(of(reader))


def test_indices_of_a_file_are_not_trusted():
    bad = clgrad.sparse_coo_tensor([[0, 7]], [1.0, 2.0], (2,), check_invariants=False)
    with pytest.raises(RuntimeError, match="size is 2 but found index 7"):
        again(bad)


def test_modules_with_sparse_buffers():
    module = clgrad.nn.Linear(2, 2)
    module.register_buffer("adjacency", clgrad.eye(2).to_sparse())
    assert again(module, weights_only=False).adjacency.to_dense().tolist() == [[1, 0], [0, 1]]
    module.load_state_dict({**again(module.state_dict()), "adjacency": clgrad.ones(2, 2).to_sparse()})
    assert module.adjacency._nnz() == 4


@pytest.mark.filterwarnings("ignore:pickle_load_args only works")
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "latin1", "bytes"])
def test_strings_of_python_2_are_read_as_in_pytorch(encoding, weights_only, torch):
    """A file of the older layout, with a text and a storage's id in strings as Python 2 wrote them."""
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x03NtQ"
    long = b"" if weights_only else b"T\x02\0\0\0ab"  # PyTorch reads it with Python's pickle alone
    data = (b"\x80\x02](ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0K\x03\x85K\x01\x85\x89NtRU\x02\xc3\xb3"
            + long + b"e.")
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
    file = b"".join([*(pickle.dumps(part, 2) for part in (0x1950a86a20f9469cfc6c, 1001, machine)), data,
                     b"\x80\x02]U\x010a.", struct.pack("<q3f", 3, 1, 2, 3)])
    (own, *texts), (other, *expected) = (t.load(io.BytesIO(file), weights_only=weights_only, encoding=encoding)
                                         for t in (clgrad, torch))
    assert texts == expected and own.tolist() == other.tolist() == [1, 2, 3]


@pytest.mark.parametrize("order", [None, "NATIVE", "LITTLE", "BIG"])
def test_the_order_of_bytes_in_files_that_do_not_say_it_can_be_set(order, torch):
    swapped = np.ones(3, np.float32).byteswap().tobytes()
    files = [repacked(lambda name, old, dropped=dropped: dropped if name == "byteorder" else
                      swapped if name.startswith("data/") else old).getvalue() for dropped in (None, b"big", b"little")]
    results = []
    for t in (torch, clgrad):
        t.serialization.set_default_load_endianness(order and getattr(t.serialization.LoadEndianness, order))
        try:
            results.append([t.load(io.BytesIO(file)).get("w").tolist() for file in files])
        finally:
            t.serialization.set_default_load_endianness(None)
    assert results[1] == results[0]
    assert clgrad.serialization.get_default_load_endianness() is None
    with pytest.raises(TypeError, match="LoadEndianness"):
        clgrad.serialization.set_default_load_endianness("big")
