"""Data pipes, against PyTorch's."""

from __future__ import annotations

import pickle

import pytest

import clgrad
from tests.compare import assert_same_outcome


def wrapped(t, source=range(10)):
    return t.utils.data.datapipes.iter.IterableWrapper(source)


def keyed(t, source=range(5)):
    return t.utils.data.datapipes.map.SequenceWrapper(source)


def forked(t):
    a, b = wrapped(t, range(3)).fork(2)
    return [list(a), list(b), len(a), list(a), list(b)]


def shared_by_three(t):
    pipe = wrapped(t).sharding_filter()
    t.utils.data.graph_settings.apply_sharding(pipe.map(str), 3, 1)
    return [list(pipe), len(pipe)]


def loaded(t, pipe, **settings):
    return [batch.tolist() for batch in t.utils.data.DataLoader(pipe, **settings)]


PAIRS = [(1, 2, 3), (4, 5, 6)]
PROGRAMS = {
    "map": lambda t, w: [list(w(t).map(lambda x: x * 2)), len(w(t).map(str))],
    "map a column": lambda t, w: list(w(t, PAIRS).map(lambda a: a * 10, input_col=1)),
    "map columns": lambda t, w: list(w(t, PAIRS).map(lambda a, b: a + b, input_col=[0, 2])),
    "map into": lambda t, w: list(w(t, PAIRS).map(lambda a: a * 10, input_col=1, output_col=2)),
    "map into a new one": lambda t, w: list(w(t, [[1, 2]]).map(lambda a: a * 10, input_col=1, output_col=-1)),
    "map keys": lambda t, w: list(w(t, [{"a": 1, "b": 2}]).map(lambda a, b: a + b, input_col=("a", "b"))),
    "map a key": lambda t, w: list(w(t, [{"a": 1}]).map(lambda a: a + 1, input_col="a", output_col=["c"])),
    "filter": lambda t, w: [list(w(t).filter(lambda x: x % 2 == 0)), list(w(t, PAIRS).filter(lambda x: x > 2, input_col=0))],
    "batch": lambda t, w: [list(w(t).batch(3)), list(w(t).batch(3, True)), len(w(t).batch(3)), len(w(t).batch(3, True))],
    "batch of a class": lambda t, w: list(w(t).batch(4, wrapper_class=tuple)),
    "unbatch": lambda t, w: [list(w(t, [[0, 1], [2, [3]]]).unbatch(level)) for level in (1, -1)],
    "collate": lambda t, w: [x.tolist() for x in w(t).batch(4).collate()] + list(w(t).batch(4).collate(sum)),
    "shuffle": lambda t, w: [list(w(t).shuffle().set_seed(3)), list(w(t).shuffle(buffer_size=3).set_seed(3)),
                             list(w(t).shuffle().set_shuffle(False)), sorted(w(t).shuffle()), len(w(t).shuffle())],
    "shuffle batches": lambda t, w: list(w(t, [[0, 1], [2, 3]]).shuffle(unbatch_level=1).set_seed(1)),
    "sampler": lambda t, w: list(t.utils.data.datapipes.iter.Sampler(w(t))),
    "concat": lambda t, w: [list(w(t).concat(w(t, "ab"))), len(w(t).concat(w(t, "ab"))), list(w(t, "a") + w(t, "b"))],
    "zip": lambda t, w: [list(w(t).zip(w(t, "ab"))), len(w(t).zip(w(t, "ab")))],
    "mux": lambda t, w: [list(w(t).mux(w(t, "abc"), w(t, "xy"))), len(w(t).mux(w(t, "ab")))],
    "fork": lambda t, w: forked(t), "fork in turn": lambda t, w: list(zip(*w(t).fork(2, buffer_size=1), strict=True)),
    "demux": lambda t, w: [list(pipe) for pipe in w(t).demux(2, lambda x: x % 2 if x < 8 else None, drop_none=True)],
    "groupby": lambda t, w: [list(w(t).groupby(lambda x: x % 3, **settings)) for settings in (
        {}, {"group_size": 2}, {"group_size": 2, "keep_key": True},
        {"buffer_size": 5, "group_size": 3, "guaranteed_group_size": 1})],
    "sharding": lambda t, w: shared_by_three(t), "names": lambda t, w: [str(w(t).map(str)), repr(w(t).batch(2))],
    "keys": lambda t, w: [keyed(t)[2], list(keyed(t).map(lambda x: x * 2)), list(keyed(t).batch(2)), keyed(t).batch(2)[2],
                          len(keyed(t).batch(2, True)), list(keyed(t).concat(keyed(t, range(2)))),
                          list(keyed(t).zip(keyed(t, range(9, 12)))), list(keyed(t).shuffle().set_seed(2)),
                          list(keyed(t, {"a": 1, "b": 2}).shuffle(indices=["a", "b"]).set_seed(1))],
    "loader": lambda t, w: [loaded(t, w(t).map(lambda x: x * 2), batch_size=4), loaded(t, keyed(t), batch_size=4),
                            loaded(t, w(t).batch(4).collate(), batch_size=None),
                            loaded(t, w(t).shuffle(), batch_size=5, shuffle=False)],
    "chunk": lambda t, w: [t.utils.data.DataChunk([1, 2]).as_str(">"), list(t.utils.data.DataChunk("ab").raw_iterator())],
}
WRONG = [
    lambda t, w: w(t).map(lambda a: a, output_col="c"), lambda t, w: w(t).map(3), lambda t, w: len(w(t).filter(bool)),
    lambda t, w: w(t).map(lambda a: a, input_col="a", output_col=["c", "d"]), lambda t, w: w(t).batch(0),
    lambda t, w: w(t).shuffle(buffer_size=0), lambda t, w: t.utils.data.datapipes.iter.Concater(), lambda t, w: w(t).zip([1]),
    lambda t, w: w(t).fork(0), lambda t, w: list(w(t).demux(2, lambda x: 5)[0]), lambda t, w: keyed(t).batch(2)[3],
    lambda t, w: list(w(t).demux(2, lambda x: x % 2, buffer_size=2)[0]), lambda t, w: keyed(t).concat(keyed(t))[20],
    lambda t, w: w(t).groupby(str, guaranteed_group_size=2), lambda t, w: w(t).sharding_filter().apply_sharding(2, 3),
    lambda t, w: t.utils.data.functional_datapipe("map")(t.utils.data.IterDataPipe), lambda t, w: w(t).concat([1]),
    lambda t, w: t.utils.data.datapipes.iter.FileOpener(w(t), mode="q"), lambda t, w: keyed(t).zip(keyed(t, "a"))[3]]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(torch, name):
    assert_same_outcome(torch, lambda t: PROGRAMS[name](t, wrapped))


@pytest.mark.parametrize("program", WRONG)
def test_refusals(torch, program):
    assert_same_outcome(torch, lambda t: program(t, wrapped))


def test_errors_of_single_elements():
    with pytest.raises(BufferError, match="buffer size 3 is insufficient"):
        list(wrapped(clgrad).fork(2, buffer_size=3)[0])
    with pytest.raises(ValueError, match="Boolean output is required"):
        list(wrapped(clgrad).filter(lambda x: x))
    with pytest.raises(IndexError, match="exceeds the depth"):
        list(wrapped(clgrad).unbatch())
    with pytest.raises(RuntimeError, match="Failed to group items"):
        list(wrapped(clgrad).groupby(str, buffer_size=3, group_size=2))
    with pytest.raises(AttributeError, match="'IterableWrapperIterDataPipe' object has no attribute 'nope'"):
        _ = wrapped(clgrad).nope
    with pytest.warns(UserWarning, match="Unlimited buffer size"):
        wrapped(clgrad).fork(2, buffer_size=-1)


def test_pipes_of_ones_own():
    data = clgrad.utils.data

    @data.functional_datapipe("raised_by")
    class Raiser(data.IterDataPipe):
        def __init__(self, source, amount):
            self.source, self.amount = source, amount

        def __iter__(self):
            for x in self.source:
                yield x + self.amount
    assert list(wrapped(clgrad, range(3)).raised_by(5).batch(2)) == [[5, 6], [7]]
    del data.IterDataPipe.functions["raised_by"]
    with pytest.raises(TypeError, match="neither an IterDataPipe nor a MapDataPipe"):
        data.functional_datapipe("what")(int)


def test_files(torch, tmp_path):
    (tmp_path / "below").mkdir()
    for name, text in (("a.txt", "hello"), ("b.csv", "1,2"), ("below/c.txt", "c")):
        (tmp_path / name).write_text(text)

    def program(t):
        pipes = t.utils.data.datapipes.iter
        return [list(pipes.FileLister(str(tmp_path), masks, recursive=recursive).open_files().read_from_stream(chunk))
                for masks, recursive, chunk in (("*.txt", True, None), (["*.csv", "*.txt"], False, 3))] + [
            sorted(wrapped(t, [str(tmp_path)]).list_files()), len(pipes.FileLister(length=5))]
    assert_same_outcome(torch, program)


def test_loaders_shuffle_and_share():
    data = clgrad.utils.data
    pipe = pickle.loads(pickle.dumps(wrapped(clgrad).shuffle().sharding_filter()))
    loader = data.DataLoader(pipe, batch_size=None, num_workers=2, shuffle=True)
    orders = [[int(x) for x in loader] for _ in range(2)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    with pytest.warns(UserWarning, match="does not contain a `Shuffler`"):
        loader = data.DataLoader(wrapped(clgrad), batch_size=None, shuffle=True)
    assert sorted(int(x) for x in loader) == list(range(10))
