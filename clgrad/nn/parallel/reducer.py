"""Averages gradients among processes while a backward pass goes on.

Gradients travel in buckets. Those of the last parameters, which the pass finds first, come first; a bucket is sent when its
last gradient is there, and its turn has come: all members send them in the same order (Li et al., PyTorch Distributed:
Experiences on Accelerating Data Parallel Training, 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from clgrad.autograd.grad_mode import mode, no_grad
from clgrad.autograd.graph import TensorBase, edge_of
from clgrad.autograd.listening import unseen
from clgrad.autograd.reachable import below
from clgrad.distributed import GradBucket, ProcessGroup, all_reduce, assign_buckets
from clgrad.dtypes import int32
from clgrad.formats import strided
from clgrad.ops.registry import FUNCTIONS
from clgrad.trees import tree_leaves

_NOT_ALL = ("Expected to have finished reduction in the prior iteration before starting a new one: the last backward pass "
            "left out parameters. Where that is meant, find_unused_parameters=True finds them in the graph of what "
            "`forward` returns, tensors in lists, tuples and dictionaries; else see that all outputs have a part in the "
            "loss. Parameters which did not receive grad for rank {rank}: {names}")


class _Bucket:
    """The parameters of a bucket by their numbers, and where it is in a pass."""

    def __init__(self, numbers: Sequence[int]):
        self.numbers = list(numbers)
        self.left = 0  # parameters whose gradients are not complete
        self.flat: Any = None
        self.future: Any = None


class Reducer:
    """The buckets of a module.

    Args:
        parameters, names: those that require gradients.
        group: whose members' gradients are averaged.
        first, others: limits of buckets, in bytes.
        find_unused: parameters may have no part in a pass; those of the outputs' graph are looked for.
        static: the same parameters have a part in every pass, perhaps several times in one (checkpoints); the first tells.
        as_view: gradients become views of the buckets.
    """

    def __init__(self, parameters: Sequence[Any], names: Sequence[str], group: ProcessGroup, first: int, others: int,
                 find_unused: bool, static: bool, as_view: bool):
        self.parameters, self.names, self.group = list(parameters), list(names), group
        self.find_unused, self.static, self.as_view = find_unused, static, as_view
        self.buckets = [_Bucket(numbers) for numbers in assign_buckets(self.parameters, first, others)]
        self._bucket_of = {number: bucket for bucket in self.buckets for number in bucket.numbers}
        self.divisor = group.size()
        self.hook: Callable[[GradBucket], Any] | None = None
        self._expecting = False  # a backward pass is to be averaged
        self._started = False  # one is being averaged
        self._queued = False  # somebody calls at its end
        self._next = 0  # the bucket whose turn it is
        self._unused: list[int] = []
        self._calls = [0] * len(self.parameters)  # in this pass
        self._expected: list[int] | None = None  # of a pass, where they are always the same
        self._handles = [parameter.register_post_accumulate_grad_hook(self._hook_of(number))
                         for number, parameter in enumerate(self.parameters)]

    def _hook_of(self, number: int) -> Callable[[Any], None]:
        def arrived(parameter: Any) -> None:
            if self._expecting:
                self._arrived(number)
        return arrived

    def remove(self) -> None:
        """Leaves the parameters alone from now on."""
        for handle in self._handles:
            handle.remove()

    def prepare_for_backward(self, outputs: Any) -> None:
        """Says that the gradients of the next backward pass are averaged. ``outputs``: of the module.

        Raises:
            RuntimeError: the gradients of the last one are not complete.
        """
        self.check_complete()
        self._expecting, self._next = True, 0
        self._calls = [0] * len(self.parameters)
        expected = self._expected
        if expected is not None:
            self._unused = [number for number, calls in enumerate(expected) if not calls]
        else:
            self._unused = self._not_reached(outputs) if self.find_unused and not self.static else []
        for bucket in self.buckets:
            bucket.left, bucket.flat, bucket.future = len(bucket.numbers), None, None

    def check_complete(self) -> None:
        """RuntimeError where a backward pass has left out parameters."""
        if self._started:
            self._started = self._expecting = False
            names = [self.names[number] for number, calls in enumerate(self._calls)
                     if not calls and number not in self._unused]
            raise RuntimeError(_NOT_ALL.format(rank=self.group.rank(), names=", ".join(names)))

    def _not_reached(self, outputs: Any) -> list[int]:
        """The parameters that are not in the graphs of the outputs."""
        starts = [edge_of(leaf) for leaf in tree_leaves(outputs) if isinstance(leaf, TensorBase)]
        reached = below([edge[0] for edge in starts if edge is not None])
        return [number for number, parameter in enumerate(self.parameters)
                if (edge := edge_of(parameter)) is None or edge[0] not in reached]

    @unseen
    def _arrived(self, number: int) -> None:
        if not self._queued:
            walk = mode.walk
            while walk.outer is not None:  # a checkpoint's pass is part of another
                walk = walk.outer
            walk.callbacks.append(self._end)
            self._queued = True
        if not self._started:
            self._started = True
            for unused in self._unused:
                self._complete(unused)
        self._calls[number] += 1
        expected = 1 if self._expected is None else self._expected[number]
        if self.static and self._expected is None:
            return  # how often it comes is known at the end
        if self._calls[number] > expected or number in self._unused:
            raise RuntimeError(
                "Expected to mark a variable ready only once: a parameter was used outside of the `forward` method, or by "
                "several checkpoints whose passes are parts of another; try static_graph=True for the latter. Parameter "
                f"{self.names[number]} has been marked as ready twice.")
        if self._calls[number] == expected:
            self._complete(number)

    def _complete(self, number: int) -> None:
        bucket = self._bucket_of[number]
        bucket.left -= 1
        while self._next < len(self.buckets) and not self.buckets[self._next].left:
            self._send(self._next)
            self._next += 1

    @no_grad()
    def _send(self, index: int, joined: bool = False) -> None:
        """Begins to average a bucket; with ``joined`` this process has no gradients, and helps the others."""
        bucket = self.buckets[index]
        parameters = [self.parameters[number] for number in bucket.numbers]
        flat = parameters[0].new_empty([sum(parameter.numel() for parameter in parameters)])
        if joined:
            flat.zero_()
        else:
            FUNCTIONS["cat"]([self._gradient(parameter) for parameter in parameters], out=flat)
        bucket.flat = flat
        if self.hook is not None:
            bucket.future = self.hook(GradBucket(index, flat, parameters, index + 1 == len(self.buckets)))
            return
        work = all_reduce(flat.div_(self.divisor), group=self.group, async_op=True)
        assert work is not None
        bucket.future = work.get_future()

    @staticmethod
    def _gradient(parameter: Any) -> Any:
        grad = parameter.grad
        if grad is None:
            return parameter.new_zeros(parameter.numel())
        if grad.spec.layout is not strided:
            raise RuntimeError("DistributedDataParallel: gradients that are sparse tensors cannot be averaged; make the "
                               "embedding with sparse=False")
        return grad.detach().reshape(-1)

    @unseen
    @no_grad()
    def _end(self) -> None:
        """Called at the end of the backward pass."""
        self._queued = False
        if not self._expecting:
            return
        if self.static and self._expected is None:
            self._expected = list(self._calls)
            self._unused = [number for number, calls in enumerate(self._calls) if not calls]
            for index in range(len(self.buckets)):
                self._send(index)
            self._next = len(self.buckets)
        if self._next < len(self.buckets):
            return  # another pass may bring the rest; else the next forward pass tells
        self._started = self._expecting = False
        used = self._used_by_any([0 if number in self._unused else 1 for number in range(len(self.parameters))])
        for bucket in self.buckets:
            self._take_back(bucket, used)

    def _used_by_any(self, own: list[int]) -> list[bool]:
        """Which parameters have a part in any member's pass."""
        if not (self.find_unused or self.static):
            return [True] * len(own)
        used = FUNCTIONS["tensor"](own, dtype=int32)
        all_reduce(used, group=self.group)
        return [bool(count) for count in used.tolist()]

    def _take_back(self, bucket: _Bucket, used: Sequence[bool]) -> None:
        """Puts the averages into the gradients."""
        averaged = _value(bucket.future)
        targets, sources = [], []
        for number, part in self._parts(bucket, averaged):
            parameter = self.parameters[number]
            if not used[number]:
                continue
            if self.as_view:
                parameter.grad = part
            elif parameter.grad is None:
                parameter.grad = part.clone()
            else:
                targets.append(parameter.grad)
                sources.append(part)
        if targets:
            FUNCTIONS["_foreach_copy_"](targets, sources)
        bucket.flat = bucket.future = None

    def _parts(self, bucket: _Bucket, flat: Any) -> Iterator[tuple[int, Any]]:
        parameters = [self.parameters[number] for number in bucket.numbers]
        parts = flat.split([parameter.numel() for parameter in parameters])
        for number, parameter, part in zip(bucket.numbers, parameters, parts, strict=True):
            yield number, part.view(parameter.shape)

    @no_grad()
    def help(self) -> None:
        """Does what the others' backward pass asks of a process that is done."""
        for index in range(len(self.buckets)):
            self._send(index, joined=True)
        for bucket in self.buckets:
            _value(bucket.future)
            bucket.flat = bucket.future = None
        self._used_by_any([0] * len(self.parameters))


def _value(future: Any) -> Any:
    """The vector of a future, whether it has that, or a list of it as an operation's own future does."""
    found = future.wait()
    return found[0] if isinstance(found, (list, tuple)) else found
