"""``DistributedDataParallel``: a module that several processes train together, each on its part of the data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from clgrad.autograd.grad_mode import is_grad_enabled
from clgrad.autograd.graph import TensorBase
from clgrad.distributed import ProcessGroup, ReduceOp, all_gather_object, all_reduce, broadcast_coalesced, default_group
from clgrad.distributed.algorithms import Join, Joinable, JoinHook
from clgrad.dtypes import int32
from clgrad.nn.parallel.reducer import Reducer
from clgrad.nn.parallel.wrapper import Wrapped
from clgrad.ops.registry import FUNCTIONS
from clgrad.trees import tree_map

_FIRST_BUCKET = 1 << 20  # bytes
_BROADCAST = 250 << 20
_MIB = 1 << 20


class DistributedDataParallel(Wrapped, Joinable):
    """A module called ``module`` that the members of a group train together.

    All begin with the first member's parameters and buffers. Each backward pass gives every member the mean of all members'
    gradients, so that with the same optimizer their parameters stay the same. Buckets of gradients travel while the pass
    goes on.

    Args:
        module: the network. All members have to have parameters of the same names, shapes and dtypes.
        device_ids: a list of this process's one device, to which inputs are moved; None: they are where they belong.
        broadcast_buffers: whether each forward pass begins with the first member's buffers. Default: True.
        init_sync: whether parameters are compared and sent. Default: True.
        process_group: the group. Default: all processes.
        bucket_cap_mb: MiB of gradients that travel together. Default: 25.
        find_unused_parameters: whether parameters may have no part in a pass; they then keep their gradients. Default: False.
        gradient_as_bucket_view: whether gradients share the buckets' memory. Default: False.
        static_graph: whether the same parameters have a part in every pass, perhaps several times each. Default: False.
        options: PyTorch's others; those that would change results are refused.

    Raises:
        ValueError: there is no default group, or more than one device.
        RuntimeError: no parameter requires a gradient; the members' parameters differ; a backward pass leaves out parameters
            (when the next forward pass begins).

    Source: Li et al., PyTorch Distributed: Experiences on Accelerating Data Parallel Training, 2020.

    >>> import clgrad
    >>> import clgrad.distributed as dist
    >>> dist.init_process_group("gloo", rank=0, world_size=1)
    >>> net = DistributedDataParallel(clgrad.nn.Linear(2, 1))
    >>> net(clgrad.ones(3, 2)).sum().backward()
    >>> net.module.weight.grad
    tensor([[3., 3.]])
    >>> dist.destroy_process_group()
    """

    def __init__(self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
                 broadcast_buffers: bool | None = None, init_sync: bool = True, process_group: ProcessGroup | None = None,
                 bucket_cap_mb: float | None = None, find_unused_parameters: bool = False, check_reduction: bool = False,
                 gradient_as_bucket_view: bool = False, static_graph: bool = False, **options: Any):
        super().__init__(module, device_ids, output_device, dim)
        for name in ("mixed_precision", "delay_all_reduce_named_params", "device_mesh"):
            if options.get(name) is not None:
                raise NotImplementedError(f"DistributedDataParallel: {name} is not written")
        if len(self.device_ids) > 1:
            raise ValueError(f"device_ids can only be None or contain a single element, got {device_ids}")
        self.process_group = default_group() if process_group is None else process_group
        self.broadcast_buffers = broadcast_buffers is not False
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.bucket_bytes_cap = int((25 if bucket_cap_mb is None else bucket_cap_mb) * _MIB)
        self._first_bucket = _FIRST_BUCKET if bucket_cap_mb is None else self.bucket_bytes_cap
        self.parameters_to_ignore = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self._begin()
        if init_sync:
            self._compare_members()
            self._broadcast([*self._parameters_and_buffers()], 0)

    def _begin(self) -> None:
        """Finds the parameters, and watches their gradients."""
        named = [(name, parameter) for name, parameter in self.module.named_parameters()
                 if parameter.requires_grad and name not in self.parameters_to_ignore]
        if not named:
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that requires "
                               "a gradient.")
        self.reducer = Reducer([parameter for _, parameter in named], [name for name, _ in named], self.process_group,
                               self._first_bucket, self.bucket_bytes_cap, self.find_unused_parameters, self.static_graph,
                               self.gradient_as_bucket_view)

    def _parameters_and_buffers(self) -> Iterator[Any]:
        for name, tensor in (*self.module.named_parameters(), *self.module.named_buffers()):
            if name not in self.parameters_to_ignore:
                yield tensor

    def _compare_members(self) -> None:
        """RuntimeError in all members where their parameters differ."""
        if self.process_group.size() == 1:
            return
        own = [(name, tuple(parameter.shape), parameter.dtype.name, parameter.requires_grad)
               for name, parameter in self.module.named_parameters() if name not in self.parameters_to_ignore]
        everyone: list[Any] = [None] * self.process_group.size()
        all_gather_object(everyone, own, self.process_group)
        for rank, theirs in enumerate(everyone):
            if len(theirs) != len(everyone[0]):
                raise RuntimeError(f"DDP expects same model across all ranks, but rank 0 has {len(everyone[0])} params, "
                                   f"while rank {rank} has inconsistent {len(theirs)} params.")
            for first, other in zip(everyone[0], theirs, strict=True):
                if first != other:
                    raise RuntimeError(f"DistributedDataParallel: rank {rank} has the parameter {_described(other)} where "
                                       f"rank 0 has {_described(first)}")

    def _broadcast(self, tensors: list[Any], root: int) -> None:
        if tensors and self.process_group.size() > 1:
            broadcast_coalesced(self.process_group, tensors, _BROADCAST, root)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns, with the first member's buffers; its backward pass averages gradients."""
        synchronizes = is_grad_enabled() and self.require_backward_grad_sync
        root = self._tell_the_joined(synchronizes)
        if self.will_sync_module_buffers():
            self._broadcast(self._buffers_to_send(), root)
        if self.device_ids:
            place = self.device_ids[0]
            target = f"cuda:{place}" if isinstance(place, int) else place
            inputs, kwargs = tree_map(lambda leaf: leaf.to(target) if isinstance(leaf, TensorBase) else leaf,
                                      (inputs, kwargs))
        outputs = self.module(*inputs, **kwargs)
        self.require_forward_param_sync = synchronizes or not is_grad_enabled()
        if synchronizes:
            self.reducer.prepare_for_backward(outputs)
        return outputs

    def will_sync_module_buffers(self) -> bool:
        """Whether the next forward pass begins with the first member's buffers."""
        return self.require_forward_param_sync and self.broadcast_buffers and bool(self._buffers_to_send())

    def _buffers_to_send(self) -> list[Any]:
        return [buffer for name, buffer in self.module.named_buffers() if name not in self.parameters_to_ignore]

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A context whose forward passes belong to backward passes that average nothing: gradients add up, and are averaged
        by the first pass after it."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def register_comm_hook(self, state: Any, hook: Callable[[Any, Any], Any]) -> None:
        """Lets ``hook(state, bucket)`` average the gradients: it returns a future of the mean of ``bucket.buffer()``.

        Raises:
            TypeError: it cannot be called.
            RuntimeError: there is one already.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self.reducer.hook = lambda bucket: hook(state, bucket)

    def _set_static_graph(self) -> None:
        """Says that the same parameters have a part in every pass."""
        self.static_graph = self.reducer.static = True

    def _get_ddp_logging_data(self) -> dict[str, Any]:
        """Settings, as programs ask for them by PyTorch's private name."""
        return {"world_size": self.process_group.size(), "rank": self.process_group.rank(),
                "backend_name": self.process_group.name(), "bucket_cap_bytes": self.bucket_bytes_cap,
                "find_unused_parameters": self.find_unused_parameters, "static_graph": self.static_graph,
                "gradient_as_bucket_view": self.gradient_as_bucket_view, "can_set_static_graph": False}

    def scatter(self, inputs: Any, kwargs: Any, device_ids: Any) -> tuple:
        """The inputs themselves: a process has one device."""
        return inputs, kwargs

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name not in ("process_group", "reducer")}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        self.process_group = default_group()
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self._begin()

    # Unequal inputs

    def join(self, divide_by_initial_world_size: bool = True, enable: bool = True,
             throw_on_early_termination: bool = False) -> Join:
        """A context in which the members may have unequal numbers of inputs: who is done helps the others until all are.

        Args:
            divide_by_initial_world_size: divide sums of gradients by the number of members, not of those that still work.
            enable: False: the inputs are known to be of equal number.
            throw_on_early_termination: an error in all members as soon as one is done.
        """
        return Join([self], enable, throw_on_early_termination, divide_by_initial_world_size=divide_by_initial_world_size)

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What a member does that is done."""
        self._divide_by_all = kwargs.get("divide_by_initial_world_size", True)
        return _Helper(self)

    @property
    def join_device(self) -> Any:
        """The device of the parameters."""
        return self.reducer.parameters[0].device

    @property
    def join_process_group(self) -> ProcessGroup:
        """The group."""
        return self.process_group

    def _agree(self, synchronizes: bool, working: bool) -> tuple[bool, bool, int]:
        """Whether a step averages gradients and sends buffers, and whose buffers: the last's of those that still work."""
        flags = FUNCTIONS["tensor"]([int(synchronizes), int(working and self.will_sync_module_buffers()),
                                     self.process_group.rank() if working else -1], dtype=int32)
        all_reduce(flags, op=ReduceOp.MAX, group=self.process_group)
        averages, sends, root = flags.tolist()
        return bool(averages), bool(sends), root

    def _tell_the_joined(self, synchronizes: bool) -> int:
        """Tells members that are done of this step; the member whose buffers are everybody's."""
        work = Join.notify_join_context(self)
        if work is None:
            return 0
        self.reducer.divisor = self.process_group.size() if self._divide_by_all else int(work.result()[0])
        return self._agree(synchronizes, True)[2]


def _described(parameter: tuple) -> str:
    name, shape, kind, learns = parameter
    return f"{name} of shape {shape}, {kind}{'' if learns else ', without gradient'}"


class _Helper(JoinHook):
    """A member that has no more inputs."""

    def __init__(self, net: DistributedDataParallel):
        self._net = net

    def main_hook(self) -> None:
        averages, sends, root = self._net._agree(False, False)
        if sends:
            self._net._broadcast(self._net._buffers_to_send(), root)
        if averages:
            self._net.reducer.help()

    def post_hook(self, is_last_joiner: bool) -> None:
        net = self._net
        net.reducer.divisor = net.process_group.size()
        root = FUNCTIONS["tensor"]([net.process_group.rank() if is_last_joiner else -1], dtype=int32)
        all_reduce(root, op=ReduceOp.MAX, group=net.process_group)
        net._broadcast([*net._parameters_and_buffers()], int(root))
