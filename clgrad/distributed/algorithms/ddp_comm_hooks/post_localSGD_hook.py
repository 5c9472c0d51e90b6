"""Averages gradients among all processes at first, and later among those of a part of the group, for local SGD.

Lin et al., Don't Use Large Mini-Batches, Use Local SGD, 2020; who uses it averages the parameters now and then.
"""

from __future__ import annotations

from typing import Any

from clgrad.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from clgrad.distributed.buckets import GradBucket
from clgrad.distributed.group import new_subgroups
from clgrad.futures import Future

__all__ = ["PostLocalSGDState", "post_localSGD_hook"]


class PostLocalSGDState:
    """What the hook knows.

    Args:
        process_group: among whose members gradients are averaged at first. Default: all processes.
        subgroup: among whose members later. Default: those of a machine.
        start_localSGD_iter: the number of the step that is the first of the latter.
        post_local_gradient_allreduce: whether gradients are averaged then at all. Default: True.
    """

    def __init__(self, process_group: Any, subgroup: Any, start_localSGD_iter: int,
                 post_local_gradient_allreduce: bool = True):
        self.process_group, self.subgroup = process_group, subgroup
        self.start_localSGD_iter = start_localSGD_iter
        self.post_local_gradient_allreduce = post_local_gradient_allreduce
        self.iter = 0

    def maybe_increase_iter(self, bucket: GradBucket) -> None:
        """Counts a step when its last bucket is sent."""
        self.iter += bucket.is_last()


def post_localSGD_hook(state: PostLocalSGDState, bucket: GradBucket) -> Future:
    """The mean over the group, or, from the given step on, over the part of it."""
    local = state.iter >= state.start_localSGD_iter
    state.maybe_increase_iter(bucket)
    if not local:
        return allreduce_hook(state.process_group, bucket)
    if not state.post_local_gradient_allreduce:
        future: Future = Future()
        future.set_result(bucket.buffer())
        return future
    if state.subgroup is None:
        state.subgroup = new_subgroups()[0]
    return allreduce_hook(state.subgroup, bucket)
