"""Groups of one process, in which every operation has its result at hand, and what all groups refuse."""

from __future__ import annotations

import pytest

import clgrad
import clgrad.distributed as dist
from clgrad.nn.parallel import DistributedDataParallel, gather, scatter, scatter_kwargs


@pytest.fixture
def world():
    dist.init_process_group("gloo", rank=0, world_size=1)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def test_a_group_of_one(world):
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
    assert dist.group.WORLD.size() == 1 and dist.get_process_group_ranks(dist.group.WORLD) == [0]
    x, y = clgrad.tensor([1.0, 2.0]), clgrad.zeros(2)
    assert dist.all_reduce(x, op=dist.ReduceOp.MAX) is None and x.tolist() == [1, 2]
    assert dist.all_reduce(x, async_op=True).wait()
    dist.all_gather([y], x)
    assert y.tolist() == [1, 2]
    for copy in (dist.all_gather_into_tensor, dist.reduce_scatter_tensor, dist.all_to_all_single):
        target = clgrad.zeros(2)
        copy(target, x)
        assert target.tolist() == [1, 2]
    objects = [None]
    dist.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    dist.barrier()


def test_collectives_that_gradients_pass(world):
    x, y = clgrad.tensor([1.0, 2.0], requires_grad=True), clgrad.zeros(2)
    made = [dist.nn.all_reduce(x), dist.nn.reduce(x, 0), dist.nn.broadcast(x, 0), *dist.nn.all_gather(x), *dist.nn.gather(x),
            dist.nn.scatter([x]), dist.nn.reduce_scatter(y, [x]), *dist.nn.all_to_all([y], [x]),
            dist.nn.all_to_all_single(y, x)]
    assert all(t.tolist() == [1, 2] and t.data_ptr() != x.data_ptr() for t in made)
    sum(made).sum().backward()
    assert x.grad.tolist() == [9, 9]
    with pytest.raises(RuntimeError, match="one tensor"):
        dist.nn.scatter([x, x])


def test_what_a_group_of_one_refuses(world):
    with pytest.raises(ValueError, match="twice"):
        dist.init_process_group("gloo", rank=0, world_size=1)
    one, two = clgrad.zeros(1), clgrad.zeros(2)
    for call, error, words in (
            (lambda: dist.all_gather([one, one], one), RuntimeError, "expected 1, but got 2"),
            (lambda: dist.all_gather([two], one), RuntimeError, r"size at index 0 \(expected \(1,\), got \(2,\)\)"),
            (lambda: dist.all_gather([one.double()], one), ValueError, "different dtypes"),
            (lambda: dist.all_reduce([one]), TypeError, "Expected parameter `tensor`"),
            (lambda: dist.all_reduce(one, "sum"), RuntimeError, "expected op to be a ReduceOp"),
            (lambda: dist.all_reduce(one, dist.ReduceOp.BAND), RuntimeError, "non-integral dtype"),
            (lambda: dist.broadcast(one), ValueError, "Must specify src"),
            (lambda: dist.broadcast(one, 0, group_src=0), ValueError, "Can't specify both"),
            (lambda: dist.broadcast(one, 3), ValueError, "invalid src 3"),
            (lambda: dist.gather(one), ValueError, "must be specified on rank 0"),
            (lambda: dist.scatter(one), ValueError, "must be specified on rank 0"),
            (lambda: dist.reduce_scatter_tensor(one, two), ValueError, "expected 1 elements, but got 2"),
            (lambda: dist.all_gather_into_tensor(two, one), ValueError, "expected 1 elements, but got 2"),
            (lambda: dist.all_to_all_single(two, two, [1], [2]), RuntimeError, "Split sizes doesn't match"),
            (lambda: dist.send(one, dst=0), ValueError, "destination rank"),
            (lambda: dist.recv(one, src=0), ValueError, "source rank"),
            (lambda: dist.P2POp(dist.all_reduce, one, 0), ValueError, "Invalid ``op``"),
            (lambda: dist.batch_isend_irecv([]), ValueError, "Invalid ``p2p_op_list``"),
            (lambda: dist.new_group([0, 1]), ValueError, "world_size"),
            (lambda: dist.new_subgroups(2), ValueError, "must not exceed the world size"),
            (lambda: dist.get_group_rank(dist.group.WORLD, 1), ValueError, "not part of group")):
        with pytest.raises(error, match=words):
            call()


def test_a_process_that_is_not_in_a_group(world):
    nobody = dist.new_group([])
    assert nobody == dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(nobody) == dist.get_world_size(nobody) == -1
    with pytest.warns(UserWarning, match="does not belong to the given group"):
        assert dist.all_reduce(clgrad.ones(1), group=nobody) is None


def test_without_a_group(monkeypatch):
    assert dist.is_available() and not dist.is_initialized()
    for call in (dist.get_rank, dist.barrier, dist.destroy_process_group, lambda: dist.nn.all_reduce(clgrad.ones(1))):
        with pytest.raises(ValueError, match="not been initialized"):
            call()
    for options, error, words in (({}, ValueError, "environment variable RANK expected"),
                                  ({"init_method": "tcp://localhost:1"}, ValueError, "rank parameter missing"),
                                  ({"init_method": "nowhere://"}, RuntimeError, "No rendezvous handler for nowhere://"),
                                  ({"rank": 0}, ValueError, "environment variable WORLD_SIZE expected"),
                                  ({"store": dist.HashStore()}, AssertionError, "world_size must be positive"),
                                  ({"store": dist.HashStore(), "rank": 2, "world_size": 2}, ValueError, "got rank 2")):
        with pytest.raises(error, match=words):
            dist.init_process_group("gloo", **options)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="environment variable MASTER_ADDR expected"):
        dist.init_process_group("nccl")
    with pytest.raises(ValueError, match="not been initialized"):
        DistributedDataParallel(clgrad.nn.Linear(1, 1))


def test_the_wrapper_trains_the_module(world):
    net = DistributedDataParallel(clgrad.nn.Linear(2, 1))
    with net.no_sync():
        net(clgrad.ones(3, 2)).sum().backward()
    assert net.module.weight.grad.tolist() == [[3, 3]]
    assert list(net.state_dict()) == ["module.weight", "module.bias"]
    with pytest.raises(RuntimeError, match="requires a gradient"):
        DistributedDataParallel(clgrad.nn.ReLU())


def test_batches_are_split_and_put_together():
    batch = {"x": clgrad.arange(6).view(3, 2), "name": "n"}
    parts = scatter(batch, ["cpu", "cpu"])
    assert [part["x"].tolist() for part in parts] == [[[0, 1], [2, 3]], [[4, 5]]] and parts[1]["name"] == "n"
    assert gather(parts, "cpu")["x"].tolist() == batch["x"].tolist()
    args, kwargs = scatter_kwargs((clgrad.arange(2),), {"y": clgrad.arange(2)}, ["cpu", "cpu"])
    assert args[1][0].tolist() == [1] and kwargs[0]["y"].tolist() == [0]
