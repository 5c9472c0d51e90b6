"""``torch.distributed.optim``: an optimizer whose state is spread over processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clgrad.distributed.buckets import broadcast_coalesced
from clgrad.distributed.group import default_group, get_group_rank
from clgrad.distributed.objects import all_gather_object
from clgrad.optim import Optimizer

__all__ = ["ZeroRedundancyOptimizer"]

_BROADCAST = 25 << 20  # bytes


class ZeroRedundancyOptimizer(Optimizer):
    """An optimizer of class ``optimizer_class`` whose state is shared out: each member of a group holds that of its share of
    the parameters.

    All members have to have the same parameters and gradients. A step updates each member's share, and sends it to the
    others.

    Args:
        params: as for every optimizer.
        process_group: the group. Default: all processes.
        parameters_as_bucket_view: accepted; parameters stay where they are.
        overlap_with_ddp: True is refused.
        defaults: the optimizer's settings.

    Source: Rajbhandari et al., ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, 2020, stage 1.

    >>> import clgrad
    >>> import clgrad.distributed as dist
    >>> dist.init_process_group("gloo", rank=0, world_size=1)
    >>> x = clgrad.ones(2, requires_grad=True)
    >>> optimizer = ZeroRedundancyOptimizer([x], clgrad.optim.SGD, lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([0., 0.], requires_grad=True)
    >>> dist.destroy_process_group()
    """

    def __init__(self, params: Any, optimizer_class: Any, process_group: Any = None, parameters_as_bucket_view: bool = False,
                 overlap_with_ddp: bool = False, **defaults: Any):
        if overlap_with_ddp:
            raise NotImplementedError("ZeroRedundancyOptimizer: overlap_with_ddp is not written")
        self.process_group = default_group() if process_group is None else process_group
        self._class = optimizer_class
        self._everything: dict[int, Any] | None = None  # the state of all, where it was brought
        self.optim: Any = None
        super().__init__(params, defaults)
        self._share_out()

    def _share_out(self) -> None:
        """Gives each member parameters: the largest first, to who has least."""
        self._owner: dict[int, int] = {}
        held = [0] * self.process_group.size()
        every = [parameter for group in self.param_groups for parameter in group["params"]]
        for parameter in sorted(every, key=lambda p: p.numel(), reverse=True):
            self._owner[id(parameter)] = rank = held.index(min(held))
            held[rank] += parameter.numel()
        own = [{**group, "params": [p for p in group["params"] if self._is_own(p)]} for group in self.param_groups]
        self.optim = self._class(own, **self.defaults)
        self.state = self.optim.state
        for group, mine in zip(self.param_groups, self.optim.param_groups, strict=True):
            for name, value in mine.items():
                group.setdefault(name, value)

    def _is_own(self, parameter: Any) -> bool:
        return self._owner[id(parameter)] == self.process_group.rank()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters; the shares, and with them the state, begin anew."""
        super().add_param_group(param_group)
        if self.optim is not None:
            self._share_out()

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Updates all parameters; what ``closure`` returns."""
        for group, mine in zip(self.param_groups, self.optim.param_groups, strict=True):
            mine.update({name: value for name, value in group.items() if name != "params"})
        loss = self.optim.step(closure, **kwargs) if closure is not None else self.optim.step(**kwargs)
        if self.process_group.size() > 1:
            for rank in range(self.process_group.size()):
                theirs = [p for group in self.param_groups for p in group["params"] if self._owner[id(p)] == rank]
                if theirs:
                    broadcast_coalesced(self.process_group, theirs, _BROADCAST, rank)
        return loss

    def _numbers(self) -> dict[int, int]:
        """The parameters' numbers in a state, by their identities."""
        every = [parameter for group in self.param_groups for parameter in group["params"]]
        return {id(parameter): number for number, parameter in enumerate(every)}

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Brings the state of all shares to member ``to``, whose :meth:`state_dict` then has all of it. All members have to
        call it."""
        numbers = self._numbers()
        own = {numbers[id(parameter)]: state for parameter, state in self.optim.state.items()}
        parts: list[Any] = [None] * self.process_group.size()
        all_gather_object(parts, own, self.process_group)
        if self.process_group.rank() == get_group_rank(self.process_group, to):
            self._everything = {number: state for part in parts for number, state in part.items()}

    def state_dict(self) -> dict[str, Any]:
        """The state of all parameters, as the optimizer's own would be.

        Raises:
            RuntimeError: it was not brought to this member.
        """
        if self._everything is None:
            raise RuntimeError("Optimizer state has not been consolidated on this rank. Please call "
                               f"`consolidate_state_dict(to={self.process_group.rank()})` on all ranks beforehand if you "
                               "meant to save the global state.")
        numbers = self._numbers()
        groups = [{**group, "params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": dict(sorted(self._everything.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes this member's share of a state of all parameters."""
        numbers = self._numbers()
        state, groups = {}, []
        place = 0
        for group, given in zip(self.param_groups, state_dict["param_groups"], strict=True):
            settings = {name: value for name, value in given.items() if name != "params"}
            group.update(settings)
            own = [p for p in group["params"] if self._is_own(p)]
            for offset, parameter in enumerate(own):
                if numbers[id(parameter)] in state_dict["state"]:
                    state[place + offset] = state_dict["state"][numbers[id(parameter)]]
            groups.append({**settings, "params": list(range(place, place + len(own)))})
            place += len(own)
        self.optim.load_state_dict({"state": state, "param_groups": groups})
        self.state = self.optim.state
