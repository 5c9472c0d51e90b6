"""Data sets, samplers, collation, loaders."""

from __future__ import annotations

import collections.abc
import pickle
import sys
import typing
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import clgrad
from clgrad.utils import data
from clgrad.utils.data import collate as rules


class Squares(data.Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return index, clgrad.tensor([float(index**2)])


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter(range(5))


class Endless:
    """A sampler that begins anew where it ends."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        while True:
            yield from self.sampler


def test_a_loader_of_a_programs_own_may_repeat_its_sampler_for_ever():
    class OneIterator(clgrad.utils.data.DataLoader):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._DataLoader__initialized = False
            self.batch_sampler = Endless(self.batch_sampler)
            self._DataLoader__initialized = True
            self.iterator = super().__iter__()

        def __len__(self):
            return len(self.batch_sampler.sampler)

        def __iter__(self):
            return (next(self.iterator) for _ in range(len(self)))
    loader = OneIterator([10, 20, 30], batch_size=2)
    assert [[batch.tolist() for batch in loader] for _ in range(2)] == [[[10, 20], [30]]] * 2
    with pytest.raises(ValueError, match="sampler attribute should not be set"):
        loader.sampler = None


def test_loader():
    loader = data.DataLoader(Squares(), batch_size=3)
    assert len(loader) == 3
    first = next(iter(loader))
    assert first[0].tolist() == [0, 1, 2] and first[1].tolist() == [[0.0], [1.0], [4.0]]
    assert [len(x) for x, _ in data.DataLoader(Squares(), batch_size=3, drop_last=True)] == [3, 3]
    assert [x.tolist() for x in data.DataLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert list(data.DataLoader(Stream(), batch_size=None)) == [0, 1, 2, 3, 4]
    firsts = data.DataLoader(Squares(), batch_size=2, collate_fn=lambda batch: batch[0][0])
    assert list(firsts) == [0, 2, 4, 6]
    assert [x.tolist() for x, _ in data.DataLoader(Squares(), batch_sampler=[[1, 2], [6]])] == [[1, 2], [6]]


def test_shuffling_follows_the_seed():
    def order():
        return [n for x, _ in data.DataLoader(Squares(), batch_size=2, shuffle=True) for n in x.tolist()]
    clgrad.manual_seed(3)
    first, second = order(), order()
    clgrad.manual_seed(3)
    assert [order(), order()] == [first, second] and first != second and sorted(first) == list(range(7))
    own = [list(data.RandomSampler(range(20), generator=clgrad.Generator().manual_seed(5))) for _ in range(2)]
    assert own[0] == own[1]


def test_tensor_dataset_batches_equal_collated_ones():
    x, y = clgrad.arange(24.0).view(6, 4)[:, ::2], clgrad.arange(6)
    pairs = data.TensorDataset(x, y)
    for dataset in (pairs, data.Subset(pairs, [5, 0, 3]), data.Subset(data.Subset(pairs, [5, 0, 3]), [2, 0])):
        fast = list(data.DataLoader(dataset, batch_size=2))
        slow = list(data.DataLoader(dataset, batch_size=2, collate_fn=lambda b: data.default_collate(b)))
        assert [[t.tolist() for t in b] for b in fast] == [[t.tolist() for t in b] for b in slow]
        assert all(t.dtype is s.dtype for a, b in zip(fast, slow, strict=True) for t, s in zip(a, b, strict=True))
    with pytest.raises(AssertionError, match="Size mismatch"):
        data.TensorDataset(x, clgrad.arange(5))


def test_collate_keeps_containers_and_takes_functions_for_classes():
    class Row(list):
        pass

    class Words:
        def __init__(self, text):
            self.text = text
    made = data.default_collate([OrderedDict(a=1, b=Row([1, 2])), OrderedDict(a=3, b=Row([3, 4]))])
    assert type(made) is OrderedDict and type(made["b"]) is Row and made["b"][1].tolist() == [2, 4]
    rules.default_collate_fn_map[Words] = lambda batch, *, collate_fn_map: " ".join(w.text for w in batch)
    try:
        assert data.default_collate([(1, Words("a")), (2, Words("b"))])[1] == "a b"
    finally:
        del rules.default_collate_fn_map[Words]
    assert rules.collate([1, 2], collate_fn_map={int: lambda batch, *, collate_fn_map: sum(batch)}) == 3


def test_collate(torch):
    Point = namedtuple("Point", "x y")
    samples = [({"a": 1.5, "b": (n, "s")}, np.float32(n), np.arange(2), True, Point(n, [n])) for n in range(3)]
    ours = data.default_collate(samples)
    theirs = torch.utils.data.default_collate(samples)
    flat = [ours[0]["a"], *ours[0]["b"], ours[1], ours[2], ours[3], ours[4].x, ours[4].y[0]]
    want = [theirs[0]["a"], *theirs[0]["b"], theirs[1], theirs[2], theirs[3], theirs[4].x, theirs[4].y[0]]
    for a, b in zip(flat, want, strict=True):
        assert (a.tolist(), str(a.dtype)) == (b.tolist(), str(b.dtype)) if hasattr(b, "tolist") else a == b
    with pytest.raises(TypeError, match="found <class 'object'>"):
        data.default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([clgrad.ones(2), clgrad.ones(3)])


def test_data_sets():
    both = Squares() + Squares()
    assert len(both) == 14 and both[8][0] == 1 and both[-1][0] == 6
    assert list(data.ChainDataset([Stream(), Stream()])) == [*range(5), *range(5)]
    parts = data.random_split(range(10), [0.7, 0.3], clgrad.Generator().manual_seed(1))
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(n for p in parts for n in p) == list(range(10))
    with pytest.raises(ValueError, match="does not equal"):
        data.random_split(range(10), [3, 3])
    stack = data.StackDataset(a=range(3), b=[5, 6, 7])
    assert stack[1] == {"a": 1, "b": 6}


def test_samplers():
    assert list(data.BatchSampler(data.SequentialSampler(range(5)), 2, False)) == [[0, 1], [2, 3], [4]]
    assert len(data.BatchSampler(range(5), 2, True)) == 2
    assert sorted(data.SubsetRandomSampler([3, 5, 9])) == [3, 5, 9]
    drawn = list(data.WeightedRandomSampler([0.0, 1.0, 3.0], 2000))
    assert 0 not in drawn and 0.68 < drawn.count(2) / 2000 < 0.82
    assert sorted(data.WeightedRandomSampler([1.0, 1.0, 0.0, 5.0], 3, replacement=False)) == [0, 1, 3]
    assert len(list(data.RandomSampler(range(3), replacement=True, num_samples=8))) == 8
    assert len(set(list(data.RandomSampler(range(5), num_samples=7))[:5])) == 5


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"batch_size": 0}, ValueError, "batch_size should be a positive integer"),
    ({"prefetch_factor": 2}, ValueError, "num_workers > 0"),
    ({"persistent_workers": True}, ValueError, "num_workers > 0"),
    ({"multiprocessing_context": "fork"}, ValueError, "num_workers > 0"),
    ({"num_workers": 1, "multiprocessing_context": "nothing"}, ValueError, "valid start method"),
    ({"timeout": -1}, ValueError, "non-negative"),
    ({"num_workers": -1}, ValueError, "non-negative"),
    ({"sampler": [1], "shuffle": True}, ValueError, "mutually exclusive with shuffle"),
    ({"batch_sampler": [[1]], "drop_last": True}, ValueError, "mutually exclusive"),
    ({"batch_size": None, "drop_last": True}, ValueError, "disables auto-batching"),
])
def test_loader_errors(options, error, words):
    with pytest.raises(error, match=words):
        data.DataLoader(Squares(), **options)


def test_distributed_sampler(torch):
    for count, replicas, shuffle, drop_last in ((10, 3, False, False), (10, 3, False, True), (2, 4, False, False)):
        for rank in range(replicas):
            arguments = dict(num_replicas=replicas, rank=rank, shuffle=shuffle, drop_last=drop_last)
            ours = data.DistributedSampler(range(count), **arguments)
            theirs = torch.utils.data.DistributedSampler(range(count), **arguments)
            assert (list(ours), len(ours)) == (list(theirs), len(theirs))
    parts = [data.DistributedSampler(range(9), 3, rank) for rank in range(3)]
    first = [list(part) for part in parts]
    assert sorted(sum(first, [])) == list(range(9)) and first == [list(part) for part in parts]
    parts[0].set_epoch(1)
    assert list(parts[0]) != first[0]
    with pytest.raises(ValueError, match="Invalid rank 3"):
        data.DistributedSampler(range(9), 3, 3)
    with pytest.raises(ValueError, match="not been initialized"):
        data.DistributedSampler(range(9))


def test_a_loader_keeps_what_it_was_made_with():
    loader = data.DataLoader(Squares(), batch_size=2)
    with pytest.raises(ValueError, match="batch_size attribute should not be set"):
        loader.batch_size = 3
    assert len(iter(loader)) == 4


def test_public_attributes_are_arguments():
    """Programs make a loader like another from them."""
    loader = data.DataLoader(list(range(6)), batch_size=2, drop_last=True)
    taken = {name: value for name, value in vars(loader).items() if not name.startswith("_")}
    for name in ("batch_size", "drop_last", "sampler"):
        del taken[name]
    taken["batch_sampler"] = [[5, 4], [0]]
    assert [batch.tolist() for batch in data.DataLoader(**taken)] == [[5, 4], [0]]


def test_stacked_data_sets_are_asked_for_several_samples_together():
    class Together(Squares):
        def __getitems__(self, indices):
            return [-index for index in indices]
    assert data.StackDataset(Squares(), Together()).__getitems__([2, 3])[1] == ((3, clgrad.tensor([9.0])), -3)
    named = data.StackDataset(a=range(7), b=Together())
    assert named.__getitems__([0, 2]) == [{"a": 0, "b": 0}, {"a": 2, "b": -2}]

    class TooFew(Squares):
        def __getitems__(self, indices):
            return indices[1:]
    with pytest.raises(ValueError, match="output size mismatch. Expected 2, got 1"):
        data.StackDataset(TooFew()).__getitems__([0, 1])


def test_a_stream_longer_than_it_says():
    class Sized(Stream):
        def __len__(self):
            return 3
    loader = data.DataLoader(Sized())
    assert len([batch for batch in loader]) == 5  # noqa: C416 - list() would ask for the length
    assert len(loader) == 3
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    with pytest.warns(UserWarning, match=r"was reported to be 3 \(when accessing len\(dataloader\)\), but 4 samples"):
        next(batches)


def test_loaders_have_types():
    class Own(data.DataLoader[int]):
        pass
    assert list(Own([1])) == [clgrad.tensor([1])]
    assert data.DataLoader[int] is not data.DataLoader


def test_indices_out_of_range_are_refused():
    rows = data.TensorDataset(clgrad.arange(6.0).view(3, 2))
    assert next(iter(data.DataLoader(rows, batch_sampler=[[0, -1]])))[0].tolist() == [[0.0, 1.0], [4.0, 5.0]]
    for places in ([0, 3], [-4, 0]):
        with pytest.raises(IndexError, match="out of bounds for dimension 0 with size 3"):
            list(data.DataLoader(rows, batch_sampler=[places]))


def test_types_of_samples():
    """Data sets and samplers can be subscripted, also by their subclasses."""
    kind = typing.TypeVar("kind")

    class Own(data.IterableDataset[kind]):
        def __iter__(self):
            return iter([1, 2])

    assert list(Own[int]()) == [1, 2] and isinstance(Own(), collections.abc.Iterable)
    for known in (data.Dataset, data.IterableDataset, data.ConcatDataset, data.Subset, data.StackDataset, data.Sampler,
                  data.DataLoader, data.IterDataPipe, data.MapDataPipe):
        assert typing.get_origin(known[int]) is known


class Around:
    """Has what its loader has, as wrappers of loaders in programs do."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        if name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python before 3.11: objects have no __getstate__")
def test_wrappers_of_loaders_survive_a_pickle():
    loader = data.DataLoader(clgrad.arange(5), batch_size=2)
    made = pickle.loads(pickle.dumps(Around(loader)))
    assert list(vars(made)) == ["loader"] and [batch.tolist() for batch in made.loader] == [[0, 1], [2, 3], [4]]
