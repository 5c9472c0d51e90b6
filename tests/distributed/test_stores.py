"""Stores of keys and values, against PyTorch's."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

import clgrad
from clgrad import distributed as dist
from tests.compare import assert_same_outcome


def in_turn(store):
    """Every operation once; what they return."""
    store.set("k", "v")
    store.set("raw", b"\x00v")
    found = [store.get("k"), store.get("raw"), store.add("n", 1), store.add("n", 5), store.get("n"), store.add("n", -2),
             store.compare_set("c", "", "a"), store.compare_set("c", "x", "b"), store.compare_set("c", "a", "b"),
             store.compare_set("none", "x", "b"), store.delete_key("k"), store.delete_key("nothing"), store.num_keys(),
             store.check(["n"]), store.check(["n", "nothing"])]
    store.multi_set(["a", "b"], ["1", "2"])
    store.append("a", "x")
    store.queue_push("q", "1")
    store.queue_push("q", "2")
    store.wait(["a", "b"])
    return [*found, store.multi_get(["a", "b"]), store.queue_len("q"), store.queue_pop("q"), store.queue_pop("q"),
            store.has_extended_api(), sorted(store.list_keys()), store.clone().get("n")]


@pytest.mark.parametrize("make", [lambda d: d.HashStore(), lambda d: d.PrefixStore("p", d.HashStore()),
                                  lambda d: d.PrefixStore("p", d.PrefixStore("q", d.HashStore()))])
def test_operations(torch, make):
    assert_same_outcome(torch, lambda t: in_turn(make(t.distributed)))


def test_the_same_path_or_port_is_the_same_store(tmp_path):
    first, second = (dist.FileStore(str(tmp_path / "store"), 2) for _ in range(2))
    first.set("x", "1")
    assert second.get("x") == b"1" and second.path == str(tmp_path / "store") and not (tmp_path / "store").exists()
    master = dist.TCPStore("localhost", 0, 2, is_master=True)
    member = dist.TCPStore("localhost", master.port, 2)
    master.set("x", "2")
    assert member.get("x") == b"2" and member.host == "localhost" and in_turn(member)
    with pytest.raises(dist.DistNetworkError, match="port"):
        dist.TCPStore("localhost", master.port, 2, is_master=True)
    with pytest.raises(dist.DistNetworkError, match="while trying to connect"):
        dist.TCPStore("localhost", 1)


def test_a_key_is_waited_for():
    store = dist.HashStore()
    threading.Timer(0.05, lambda: store.clone().set("late", "here")).start()
    assert store.get("late") == b"here"
    store.set_timeout(timedelta(milliseconds=20))
    for wait in (lambda: store.get("never"), lambda: store.wait(["late", "never"]), lambda: store.queue_pop("q"),
                 lambda: store.queue_pop("q", block=False)):
        with pytest.raises(dist.DistStoreError, match="Wait timeout"):
            wait()
    with pytest.raises(TypeError, match="incompatible function arguments"):
        store.set("key", 3)


def test_a_group_takes_a_store():
    dist.init_process_group("gloo", store=clgrad.distributed.HashStore(), rank=0, world_size=1)
    assert dist.get_world_size() == 1
    dist.destroy_process_group()
