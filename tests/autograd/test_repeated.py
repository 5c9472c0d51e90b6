"""Functions whose launches are recorded at the first call and made again at the next ones."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import clgrad
from clgrad.autograd.repeated import Repeated
from clgrad.profiler import profile
from clgrad.runtime.storage import DiscreteStorage


def of_tensors(function):
    """A function of a list of tensors, which it may empty, repeated."""
    repeated = Repeated()

    def call(tensors):
        return repeated([None if t is None else t.memory for t in tensors], [0 if t is None else t.offset for t in tensors],
                        lambda: function(tensors), tensors.clear)
    return call


def counted(function):
    """A repeated function, and how often the function itself was called, in a list."""
    calls = []
    return of_tensors(lambda tensors: calls.append(1) or function(tensors)), calls


def test_the_function_is_called_once():
    repeated, calls = counted(lambda tensors: [(tensors[0] * 2).exp().sum(0), None, tensors[1] + 1])
    for _ in range(4):
        x, y = clgrad.randn(3, 4), clgrad.randn(5)
        total, nothing, more = repeated([x, y])
        assert nothing is None and clgrad.equal(total, (x * 2).exp().sum(0)) and clgrad.equal(more, y + 1)
    assert len(calls) == 1


def test_operands_that_are_not_there():
    repeated, calls = counted(lambda tensors: [tensors[1] * 3])
    for _ in range(3):
        x = clgrad.randn(4)
        assert clgrad.equal(repeated([None, x])[0], x * 3)
    assert len(calls) == 1


def test_results_that_are_operands_or_views():
    repeated, calls = counted(lambda tensors: [tensors[0], tensors[0].view(2, 3)[1], (tensors[0] + 1).view(3, 2)[2]])
    for _ in range(3):
        x = clgrad.randn(6)
        same, part, moved = repeated([x])
        assert same.data_ptr() == x.data_ptr() and clgrad.equal(part, x[3:]) and clgrad.equal(moved, x[4:] + 1)
    assert len(calls) == 1


@pytest.mark.parametrize("make", [lambda: clgrad.from_numpy(clgrad.randn(6).numpy().copy()), lambda: clgrad.tensor([1.5] * 6),
                                  lambda: clgrad.full((6,), 2.5), lambda: clgrad.randn(6)],
                         ids=["NumPy's", "of the host", "a number", "of the device"])
def test_memory_of_every_kind(make):
    repeated, calls = counted(lambda tensors: [tensors[0] * 2 + 1])
    for _ in range(3):
        x = make()
        assert clgrad.equal(repeated([x])[0], x * 2 + 1)
    copied = isinstance(x.memory, DiscreteStorage) and x.memory.exported
    assert len(calls) == (3 if copied else 1)
    assert clgrad.equal(repeated([clgrad.ones(6)])[0], clgrad.full((6,), 3.0))
    repeated([clgrad.ones(6)])
    assert len(calls) == (4 if copied else 1)


def test_fills_and_words_of_bad_data():
    def function(tensors):
        x, index = tensors
        return [clgrad.zeros(5, 3).index_add_(0, index, x), x[index.clamp(max=1)]]
    repeated, calls = counted(function)
    for _ in range(4):
        x, index = clgrad.randn(9000, 3), clgrad.randint(0, 5, (9000,))  # fewer indices would be looked at
        for made, expected in zip(repeated([x, index]), function([x, index]), strict=True):
            assert clgrad.equal(made, expected)
    assert len(calls) <= 2  # a device with memory of its own gets the word by a copy, once


def test_given_memory_that_is_taken_again():
    def function(tensors):
        x = tensors.pop()
        y = x * 2
        del x  # nobody else holds it: what comes next takes its memory
        z = y.exp()
        return [z + 1]
    repeated, calls = counted(function)
    for _ in range(3):
        x = clgrad.randn(1000)
        expected = (x * 2).exp() + 1
        given = [x]
        del x
        assert clgrad.equal(repeated(given)[0], expected)
    assert len(calls) == 1


def test_the_same_tensor_twice():
    repeated, calls = counted(lambda tensors: [tensors[0] - 2 * tensors[1]])
    x, y = clgrad.randn(6), clgrad.randn(6)
    for a, b in ((x, y), (x, x), (y, x), (y, y)):
        assert clgrad.equal(repeated([a, b])[0], a - 2 * b)
    assert len(calls) == 1
    repeated, calls = counted(lambda tensors: [tensors[0] - 2 * tensors[1]])
    for a, b in ((x, x), (x, y), (y, y), (y, x)):
        assert clgrad.equal(repeated([a, b])[0], a - 2 * b)
    assert len(calls) == 3  # what was recorded for one tensor is not for two


def test_memory_that_is_used_again_within_a_call():
    def function(tensors):
        x = tensors[0]
        for _ in range(5):
            x = (x * 0.5).exp() - 1  # what was before is given back, and taken for what comes next
        return [x]
    repeated, calls = counted(function)
    for _ in range(3):
        x = clgrad.randn(1000)
        assert clgrad.equal(repeated([x])[0], function([x])[0])
    assert len(calls) == 1


def test_memory_is_given_back_on_the_way():
    def function(tensors):
        x = tensors.pop()
        for _ in range(10):
            x = x + 1
        return [x]
    repeated, nbytes = of_tensors(function), 1 << 20
    pool = clgrad.device("cpu").compute.pool
    for _ in range(3):
        given = [clgrad.randn(nbytes // 4)]
        before, pool.peak = pool.in_use, 0
        repeated(given)
        assert pool.peak <= before + 2 * nbytes and not given
        assert pool.in_use <= before - nbytes


@pytest.mark.parametrize("function", [lambda tensors: [tensors[0] + clgrad.tensor([float(clgrad.randn(()))] * 6)],
                                      lambda tensors: [tensors[0] * tensors[0].sum().item()],
                                      lambda tensors: [tensors[0] + clgrad.randn(6)]], ids=["a copy", "a look", "a draw"])
def test_what_is_more_than_launches_is_not_repeated(function):
    repeated, calls = counted(function)
    for _ in range(3):
        repeated([clgrad.randn(6)])
    assert len(calls) == 3


def test_memory_of_others_is_not_repeated():
    weight = clgrad.randn(6)
    repeated, calls = counted(lambda tensors: [tensors[0] * weight])
    for _ in range(3):
        weight = clgrad.randn(6)
        x = clgrad.randn(6)
        assert clgrad.equal(repeated([x])[0], x * weight)
    assert len(calls) == 3


def test_nothing_is_recorded_while_somebody_else_looks():
    repeated, calls = counted(lambda tensors: [tensors[0].exp()])
    x = clgrad.randn(6)
    with profile():
        repeated([x])
        repeated([x])
    assert len(calls) == 2
    repeated([x])
    with profile():
        assert clgrad.equal(repeated([x])[0], x.exp())
    assert len(calls) == 3


def test_threads_that_begin_together():
    """One of them records; what others take and launch meanwhile is not in it, and the device is left as it was."""
    device = clgrad.device("cpu").compute
    allocate, inside, go = device.allocate, threading.Event(), threading.Event()

    def function(tensors):
        inside.set()
        go.wait(10)
        return [(tensors[0] * 2).exp()]
    first, second = of_tensors(function), of_tensors(lambda tensors: [(tensors[0] - 1).sin()])
    x = clgrad.randn(300)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first, [x])
        inside.wait(10)
        for _ in range(5):
            assert clgrad.equal(second([x])[0], (x - 1).sin())
        go.set()
        assert clgrad.equal(running.result()[0], (x * 2).exp())
    for _ in range(3):
        y = clgrad.randn(300)
        assert clgrad.equal(first([y])[0], (y * 2).exp()) and clgrad.equal(second([y])[0], (y - 1).sin())
    assert device.allocate == allocate and device.recorder is None


def parts_of(size, number, data):
    """The part of each tensor that begins so many parts after its first."""
    return [x[number * size:(number + 1) * size] for x in data]


def test_parts_of_larger_tensors():
    repeated, calls = counted(lambda tensors: [tensors[0] * 2, tensors[0].sum(0) + tensors[1].float(), tensors[1]])
    x, labels = clgrad.randn(50, 3), clgrad.arange(30)
    for number in (0, 2, 1, 3, 9, 0):
        a, b = x[5 * number:5 * number + 5], labels[3 * number:3 * number + 3]
        twice, total, same = repeated([a, b])
        assert clgrad.equal(twice, a * 2) and clgrad.equal(total, a.sum(0) + b)
        assert same.data_ptr() == b.data_ptr() and clgrad.equal(same, b)
    assert len(calls) == 2  # the second one tells which numbers of the launches move


def test_parts_that_begin_equally_far_behind():
    def function(tensors):
        x, y, z = tensors
        return [x - 2 * y, clgrad.addcmul(z, x, y), clgrad.where(x > 0, z, y), y.sum() / z.sum()]
    repeated, calls = counted(function)
    data = [clgrad.randn(60) for _ in range(3)]
    for number in (1, 0, 3, 5, 2):
        for made, expected in zip(repeated(parts_of(10, number, data)), function(parts_of(10, number, data)), strict=True):
            assert clgrad.equal(made, expected)
    assert len(calls) == 2


def test_one_of_several_begins_elsewhere():
    repeated, calls = counted(lambda tensors: [tensors[0] - 2 * tensors[1]])
    x, y = clgrad.randn(60), clgrad.randn(60)
    for a, b in ((0, 0), (1, 0), (5, 0), (5, 3), (2, 3), (4, 5), (0, 0)):
        assert clgrad.equal(repeated([x[a:a + 10], y[b:b + 10]])[0], x[a:a + 10] - 2 * y[b:b + 10])
    assert len(calls) == 3  # each is learned by itself


def test_parts_of_the_same_tensor():
    repeated, calls = counted(lambda tensors: [tensors[0] - 2 * tensors[1]])
    x = clgrad.randn(60)
    for a, b in ((0, 10), (5, 15), (20, 30), (7, 17), (7, 18), (8, 19)):
        assert clgrad.equal(repeated([x[a:a + 10], x[b:b + 10]])[0], x[a:a + 10] - 2 * x[b:b + 10])
    assert len(calls) == 4  # two that lie otherwise to each other are another function's operands


def test_what_follows_from_a_place_in_another_way_is_not_repeated():
    def function(tensors):
        x = tensors[0]
        return [x * float(2 * x.storage_offset()), x + float(x.storage_offset())]
    repeated, calls = counted(function)
    x = clgrad.randn(60)
    for place in (0, 3, 7, 7, 9, 20, 0):
        for made, expected in zip(repeated([x[place:place + 5]]), function([x[place:place + 5]]), strict=True):
            assert clgrad.equal(made, expected)
    assert len(calls) == 7


@pytest.mark.parametrize("number", [float("inf"), -float("inf"), float("nan"), -0.0, 2.5])
def test_parts_and_numbers_of_every_kind(number):
    def function(tensors):
        return [tensors[0].masked_fill(tensors[0] > 0, number)]
    repeated, calls = counted(function)
    x = clgrad.randn(60)
    for place in (0, 10, 30, 20, 50):
        part = x[place:place + 10]
        np.testing.assert_array_equal(repeated([part])[0].numpy(), function([part])[0].numpy())
    assert len(calls) == 2
