"""Stores of keys and values, against PyTorch's."""

from __future__ import annotations

import gc
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


def test_operations_over_the_network(torch):
    assert_same_outcome(torch, lambda t: [entry for entry in in_turn(t.distributed.TCPStore("127.0.0.1", 0, 1, True))
                                          if not isinstance(entry, list)])


def test_a_file_is_one_store(torch, tmp_path):
    path = str(tmp_path / "store")
    first, second = (dist.FileStore(path, 2) for _ in range(2))
    first.set("x", "1")
    second.set("x", b"\x00" * 3)
    assert first.get("x") == b"\x00" * 3 and second.path == path and second.add("n", 2) == 2 and first.add("n", 1) == 3
    assert second.delete_key("x") and not first.check(["x"]) and not first.delete_key("x")
    turns = ("x", "b"), ("", "a"), ("x", "b"), ("a", "b")
    assert [first.compare_set("c", *turn) for turn in turns] == [b"x", b"a", b"a", b"b"]
    first.set_timeout(timedelta(milliseconds=30))
    with pytest.raises(dist.DistStoreError, match="wait timeout after 30ms, keys: never"):
        first.get("never")
    with pytest.raises(NotImplementedError, match="queue"):
        first.queue_push("q", "1")
    del first
    assert (tmp_path / "store").exists()
    del second
    assert not (tmp_path / "store").exists()


def test_a_port_is_one_store():
    short = timedelta(seconds=0.3)
    master = dist.TCPStore("localhost", 0, 2, is_master=True, wait_for_workers=False)
    member = dist.TCPStore("localhost", master.port, 2)
    master.set("x", "2")
    assert member.get("x") == b"2" and member.host == "localhost" and in_turn(dist.PrefixStore("part", member))
    threading.Timer(0.1, master.set, ("late", "here")).start()
    assert member.get("late") == b"here"
    with pytest.raises(dist.DistStoreError, match="wait timeout after 50ms, keys: never"):
        member.wait(["x", "never"], timedelta(milliseconds=50))
    with pytest.raises(dist.DistNetworkError, match="port"):
        dist.TCPStore("localhost", master.port, 2, is_master=True, wait_for_workers=False)
    assert dist.TCPStore("localhost", master.port, 2, True, wait_for_workers=False, multi_tenant=True).get("x") == b"2"
    with pytest.raises(dist.DistNetworkError, match="while trying to connect"):
        dist.TCPStore("localhost", 1, timeout=short)
    with pytest.raises(dist.DistStoreError, match="1/2 clients joined"):
        dist.TCPStore("localhost", 0, 2, True, timeout=short)
    del master
    gc.collect()
    with pytest.raises(dist.DistNetworkError, match="is lost"):
        member.get("x")


def test_a_key_is_waited_for():
    store = dist.HashStore()
    threading.Timer(0.05, lambda: store.clone().set("late", "here")).start()
    assert store.get("late") == b"here"
    store.set_timeout(timedelta(milliseconds=20))
    for wait in (lambda: store.get("never"), lambda: store.wait(["late", "never"]), lambda: store.queue_pop("q"),
                 lambda: store.queue_pop("q", block=False)):
        with pytest.raises(dist.DistStoreError, match="wait timeout|is empty"):
            wait()
    with pytest.raises(TypeError, match="incompatible function arguments"):
        store.set("key", 3)


def test_a_group_takes_a_store():
    dist.init_process_group("gloo", store=clgrad.distributed.HashStore(), rank=0, world_size=1)
    assert dist.get_world_size() == 1
    dist.destroy_process_group()
