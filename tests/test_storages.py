"""Storages: alone in files, from buffers and files, converted."""

from __future__ import annotations

import copy
import gc
import io
import multiprocessing
import pickle
import types
import weakref

import numpy as np
import pytest

import clgrad
from clgrad import serialization
from clgrad.storage import TypedStorage, UntypedStorage

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # says PyTorch
KINDS = {"FloatStorage": clgrad.float32, "DoubleStorage": clgrad.float64, "LongStorage": clgrad.int64,
         "ByteStorage": clgrad.uint8, "BoolStorage": clgrad.bool, "BFloat16Storage": clgrad.bfloat16,
         "HalfStorage": clgrad.float16}


def _reloaded(value, save=clgrad.save, load=clgrad.load, **options):
    file = io.BytesIO()
    save(value, file)
    file.seek(0)
    return load(file, **options)


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_a_storage_alone_in_a_file(name, weights_only):
    storage = getattr(clgrad, name)([1, 0, 1])
    found = _reloaded(storage, weights_only=weights_only)
    assert isinstance(found, TypedStorage) and found.dtype is KINDS[name] and found.tolist() == storage.tolist()


def test_bytes_alone_in_a_file_come_back_as_pytorch_has_them(torch):
    found = _reloaded({"a": clgrad.ones(2).untyped_storage()})["a"]
    expected = _reloaded({"a": torch.ones(2).untyped_storage()}, torch.save, torch.load)["a"]
    assert isinstance(found, TypedStorage) and found.dtype is clgrad.uint8 and found.tolist() == expected.tolist()


@pytest.mark.parametrize("make", [
    lambda library: library.arange(3.).untyped_storage(), lambda library: library.arange(3.).storage(),
    lambda library: [library.ones(2).storage(), library.ones(2)],
])
def test_storages_in_files_of_each_other(torch, make):
    assert str(_reloaded(make(clgrad), clgrad.save, torch.load)) == str(_reloaded(make(torch), torch.save, torch.load))
    assert str(_reloaded(make(torch), torch.save, clgrad.load)) == str(_reloaded(make(clgrad)))


def test_a_storage_and_a_tensor_share_memory_in_a_file():
    x = clgrad.arange(4.)
    for weights_only in (True, False):
        loaded = _reloaded([x, x.storage(), x[1:]] + ([] if weights_only else [types.SimpleNamespace(x=x)]),
                           weights_only=weights_only)
        assert loaded[0].data_ptr() == loaded[1].data_ptr()
        loaded[1][1] = 9.
        assert loaded[2].tolist() == [9., 2., 3.]


def test_map_location_is_given_storages():
    seen = []

    def place(storage, location):
        seen.append((type(storage), storage.nbytes(), location))
        return storage
    assert _reloaded(clgrad.ones(3), map_location=place).tolist() == [1., 1., 1.]
    assert _reloaded(clgrad.ones(3), map_location=lambda s, _: serialization.default_restore_location(s, "cpu")).sum() == 3
    assert seen == [(UntypedStorage, 12, "cpu")]
    with pytest.raises(RuntimeError, match="don't know how to restore data location of torch.storage.UntypedStorage"):
        _reloaded(clgrad.ones(3), map_location=lambda s, _: serialization.default_restore_location(s, "nowhere"))


def test_a_package_names_and_restores_locations(monkeypatch):
    monkeypatch.setattr("clgrad.locations._packages", [])
    serialization.register_package(1, lambda s: "shelf" if s.nbytes() == 8 else None,
                                   lambda s, location: s if location == "shelf" else None)
    assert serialization.location_tag(clgrad.ones(2).untyped_storage()) == "shelf"
    assert _reloaded([clgrad.ones(2), clgrad.zeros(3)])[0].tolist() == [1., 1.]


@pytest.mark.parametrize("method", ["float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool"])
def test_conversions(torch, method):
    expected, found = (getattr(library.IntStorage([-1, 0, 1, 4]), method)() for library in (torch, clgrad))
    assert (found.tolist(), found.type(), str(found.dtype)) == (expected.tolist(), expected.type(), str(expected.dtype))
    assert getattr(clgrad.UntypedStorage([1, 2]), method)().size() == 2


_BYTES = bytearray([0x40, 0x10, 0, 0, 1, 2, 3, 4])


@pytest.mark.parametrize("program", [
    "torch.FloatStorage.from_buffer(b, 'big')", "torch.ShortStorage.from_buffer(b, 'little')",
    "torch.BoolStorage.from_buffer(b)", "torch.IntStorage.from_buffer(b, 'native', 1, 4)",
    "torch.FloatStorage.from_buffer(b)", "torch.CharStorage.from_buffer(b)",
    "torch.FloatStorage.from_buffer(b[:5], 'big')", "torch.FloatStorage.from_buffer(b, 'middle')",
    "torch.FloatStorage.from_buffer(b, 'big', 3)", "torch.ByteStorage.from_buffer(b, 'big', 1, 9)",
    "torch.UntypedStorage.from_buffer(b, 'little', dtype=torch.int16)", "torch.UntypedStorage.from_buffer(b)",
    "torch.TypedStorage.from_buffer(b, dtype=torch.uint8)", "torch.UntypedStorage([1, 2]).new()",
])
def test_from_buffer(torch, program):
    outcomes = []
    for library in (torch, clgrad):
        try:
            outcomes.append(str(eval(program, {"torch": library, "b": _BYTES})))
        except (RuntimeError, ValueError) as error:
            outcomes.append((type(error), str(error)))
    assert outcomes[0] == outcomes[1]


def test_from_file_shares_the_file(tmp_path):
    path = str(tmp_path / "numbers")
    np.arange(4, dtype=np.float32).tofile(path)
    storage = clgrad.FloatStorage.from_file(path, True, 4)
    storage[1] = 7.
    clgrad.synchronize()
    assert storage.tolist() == clgrad.FloatStorage.from_file(path, False, 4).tolist() == [0., 7., 2., 3.]


@pytest.mark.parametrize("make", [lambda: clgrad.arange(3.).storage(), lambda: clgrad.arange(3.).untyped_storage()])
def test_pickles_and_copies(make):
    for found in (pickle.loads(pickle.dumps(make())), copy.deepcopy(make()), copy.copy(make())):
        assert type(found) is type(make()) and found.tolist() == make().tolist()


def test_the_same_memory_has_the_same_number():
    x = clgrad.arange(4.)
    assert x.storage()._cdata == x[1:].untyped_storage()._cdata != clgrad.ones(1).storage()._cdata
    assert x.storage().get_device() == x.get_device()


def test_the_same_memory_has_one_object(torch):
    for t in (clgrad, torch):
        x = t.zeros(3)
        held = x.untyped_storage()
        seen = weakref.ref(held)
        held.note = "mine"
        assert held is x[1:].untyped_storage() is x.storage().untyped() and seen() is held
        assert x.untyped_storage().note == "mine" and not hasattr(x.clone().untyped_storage(), "note")
        assert copy.copy(held) is not held and copy.copy(held).tolist() == held.tolist()
        del held, x
        gc.collect()
        assert seen() is None


@pytest.mark.parametrize("make", [
    lambda t, x, i: t.tensor(x.storage()), lambda t, x, i: t.as_tensor(i.storage(), dtype=t.int64),
    lambda t, x, i: t.tensor(x.untyped_storage(), dtype=t.int16), lambda t, x, i: t.asarray(x.untyped_storage()),
    lambda t, x, i: x.new_tensor(x.storage(), requires_grad=True), lambda t, x, i: t.tensor(i.storage()),
    lambda t, x, i: t.tensor(x.storage(), dtype=t.float64)])
def test_a_tensor_of_a_storage_is_over_its_memory(make, torch):
    results = []
    for t in (clgrad, torch):
        x, i = t.arange(4.0), t.arange(3)
        try:
            made = make(t, x, i)
            shares = made.data_ptr() in (x.data_ptr(), i.data_ptr())
            results.append((made.tolist(), str(made.dtype), made.requires_grad, shares))
        except RuntimeError as error:
            results.append(str(error).splitlines()[0])
    assert results[0] == results[1]


def test_bytes_are_exchanged():
    storage = clgrad.UntypedStorage([1, 2, 3, 4])
    storage.byteswap(clgrad.int16)
    assert storage.tolist() == [2, 1, 4, 3]


def test_names_that_a_file_must_not_have():
    file = io.BytesIO()
    clgrad.save([types.SimpleNamespace(x=clgrad.ones(1))], file)
    assert serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(file.getvalue())) == ["types.SimpleNamespace"]
    with serialization.safe_globals([types.SimpleNamespace]):
        assert serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(file.getvalue())) == []


def test_versions_of_modules():
    check = serialization.check_module_version_greater_or_equal
    assert check(types.SimpleNamespace(__name__="m", __version__="1.10.2"), (1, 9)) is True
    assert check(types.SimpleNamespace(__name__="m", __version__="1.8"), (1, 9)) is False
    odd = types.SimpleNamespace(__name__="m", __version__="new")
    with pytest.raises(RuntimeError, match="'m' module version string is malformed 'new' and cannot be compared"):
        check(odd, (1, 0))
    with pytest.warns(UserWarning, match="malformed"):
        assert check(odd, (1, 0), error_if_malformed=False) is True


def _train(model, counts):
    optimizer = clgrad.optim.SGD(model.parameters(), lr=0.5)
    model(clgrad.ones(1, 2)).sum().backward()
    optimizer.step()
    counts[1:] += 3


def test_processes_see_what_others_write_into_shared_memory():
    model, counts = clgrad.nn.Linear(2, 1), clgrad.arange(4)
    before, part = model.weight.tolist(), counts[2:]
    model.share_memory()
    assert counts.share_memory_() is counts and part.is_shared() and model.weight.is_shared()
    assert (counts + part.sum()).tolist() == [5, 6, 7, 8] and model.weight.tolist() == before
    process = multiprocessing.get_context("spawn").Process(target=_train, args=(model, counts))
    process.start()
    process.join()
    assert counts.tolist() == [0, 4, 5, 6] and part.tolist() == [5, 6] and model.weight.grad is None
    assert model.weight.flatten().tolist() == pytest.approx([w - 0.5 for w in before[0]])


def _count(place, counts, layer):
    counts[place] += 1
    layer.weight.data[0, place] = place
    assert counts.is_shared() and layer.weight.is_shared()


def test_what_processes_are_started_with_is_shared():
    counts, layer, empty = clgrad.zeros(2), clgrad.nn.Linear(2, 1), clgrad.zeros(0)
    assert not counts.is_shared()
    clgrad.multiprocessing.spawn(_count, args=(counts, layer), nprocs=2)
    assert counts.tolist() == [1, 1] and layer.weight.tolist() == [[0, 1]] and counts.is_shared()
    process = multiprocessing.get_context("spawn").Process(target=_is_empty, args=(empty,))
    process.start()
    process.join()
    assert process.exitcode == 0


def _is_empty(empty):
    assert empty.shape == (0,)


def test_batches_are_collated_into_shared_memory():
    """As default_collate of PyTorch does, and programs after it."""
    samples = [clgrad.full((2, 3), float(number)) for number in range(4)]
    first = samples[0]
    for storage in (first.untyped_storage()._new_shared(4 * 6 * 4, device=first.device),
                    first._typed_storage()._new_shared(4 * 6, device=first.device)):
        assert storage.is_shared() and storage.nbytes() == 96
        out = first.new(storage).resize_(4, 2, 3)
        made = clgrad.stack(samples, out=out)
        assert made is out and out.is_shared() and out[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert not UntypedStorage._new_shared(0).is_shared()


def test_shared_memory_is_copied_into_files_and_not_shared_anew():
    x = clgrad.arange(3).share_memory_()
    address = x.data_ptr()
    assert x.share_memory_().data_ptr() == address and x.untyped_storage().is_shared()
    for copied in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), _reloaded(x)):
        copied += 1
        assert copied.tolist() == [1, 2, 3] and not copied.is_shared()
    assert x.tolist() == [0, 1, 2] and not clgrad.ones(2).is_shared()
