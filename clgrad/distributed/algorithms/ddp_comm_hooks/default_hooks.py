"""Hooks for ``DistributedDataParallel.register_comm_hook``.

A hook gets a state and a bucket, and returns a future of the bucket's mean over all members.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.distributed.buckets import GradBucket
from clgrad.distributed.collectives import all_reduce
from clgrad.distributed.group import default_group
from clgrad.futures import Future

__all__ = ["allreduce_hook", "bf16_compress_hook", "bf16_compress_wrapper", "fp16_compress_hook", "fp16_compress_wrapper"]


def _mean(group: Any, tensor: Any) -> Future:
    found = group if group is not None else default_group()
    tensor.div_(found.size())
    work = all_reduce(tensor, group=found, async_op=True)
    assert work is not None
    return work.get_future().then(lambda future: future.value()[0])


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The mean over all members; ``process_group`` None: of the default group."""
    return _mean(process_group, bucket.buffer())


def _compressed(kind: Any, group: Any, bucket: GradBucket) -> Future:
    buffer = bucket.buffer()

    def widen(future: Future) -> Any:
        buffer.copy_(future.value())
        return buffer
    return _mean(group, buffer.to(kind)).then(widen)


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The mean over all members, which travels as float16."""
    return _compressed(dtypes.float16, process_group, bucket)


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The mean over all members, which travels as bfloat16."""
    return _compressed(dtypes.bfloat16, process_group, bucket)


def _wrapper(kind: Any, hook: Callable) -> Callable:
    def wrapped(state: Any, bucket: GradBucket) -> Future:
        wide = bucket.buffer()
        bucket.set_buffer(wide.to(kind))

        def widen(future: Future) -> Any:
            wide.copy_(future.value())
            return wide
        return hook(state, bucket).then(widen)
    return wrapped


def fp16_compress_wrapper(hook: Callable) -> Callable:
    """A hook whose buckets are float16."""
    return _wrapper(dtypes.float16, hook)


def bf16_compress_wrapper(hook: Callable) -> Callable:
    """A hook whose buckets are bfloat16."""
    return _wrapper(dtypes.bfloat16, hook)
