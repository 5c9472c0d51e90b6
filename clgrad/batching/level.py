"""A level of ``vmap`` at work: it sees the calls of operators, and has them computed for all entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.autograd.listening import outside_of, thread
from clgrad.batching.batched import Batched, behind, is_withheld
from clgrad.batching.own_rules import by_own_rule
from clgrad.batching.rules import RULES
from clgrad.ops.arguments import by_position
from clgrad.ops.random import default_generator
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.overrides import TorchFunctionMode
from clgrad.trees import tree_flatten, tree_leaves, tree_map, tree_unflatten

# What looks at an entry's form only.
_OF_FORM = frozenset({"size", "stride", "dim", "ndimension", "numel", "nelement", "element_size", "is_contiguous",
                      "is_floating_point", "is_signed", "is_same_size", "get_device", "__len__", "broadcast_shapes",
                      "is_neg", "is_conj", "is_inference", "finfo", "iinfo"})
_OF_HISTORY = frozenset({"requires_grad_", "detach_", "share_memory_"})  # in place, and no changes of values
_OF_FORM_ALONE = frozenset({"transpose_", "t_", "squeeze_", "unsqueeze_", "swapaxes_", "swapdims_"})  # in place, too
_CONTROL_FLOW = ("vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't "
                 "support that yet.")
_REFUSED = {
    "item": "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a Tensor, "
            "please try to rewrite what you're doing with other operations.",
    "backward": "backward() called inside a functorch transform. This is not supported, please use functorch.grad or "
                "functorch.vjp instead or call backward() outside of functorch transforms.",
    **{name: f"vmap: .{name}() of a tensor of the batch, whose values differ between the entries"
       for name in ("tolist", "numpy")},
    **{name: f"vmap: {name}() gives a tensor other memory, which the other entries of the batch share"
       for name in ("resize_", "resize_as_", "set_")},
    **dict.fromkeys(("__bool__", "__float__", "__int__", "__contains__", "equal", "allclose"), _CONTROL_FLOW)}
# What draws random numbers, of which all entries may have to get the same.
_RANDOM = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "bernoulli",
                     "bernoulli_", "rand_like", "randn_like", "randint_like", "normal", "normal_", "uniform_", "random_",
                     "exponential_", "cauchy_", "geometric_", "log_normal_", "multinomial", "poisson", "binomial", "rrelu",
                     "rrelu_", "native_dropout", "feature_dropout", "gumbel_softmax", "dropout_", "alpha_dropout_",
                     "scaled_dot_product_attention", "multi_head_attention_forward", "fractional_max_pool2d",
                     "fractional_max_pool3d", "_standard_gamma"})
_DRAWING_SIZES = frozenset({"rand", "randn", "randint"})  # size last
_DRAWN = ("vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
          "randomness flags on vmap or perform the randomness operation out of vmap")


class SharedEntriesError(RuntimeError):
    """A function changes a tensor in place that is one for all entries."""


def _name_of(func: Any) -> str:
    """An operator's name; of a property's ``__get__``, the property's."""
    reader: Any = getattr(getattr(func, "__self__", None), "fget", func)
    return str(getattr(reader, "operator_name", "") or getattr(func, "__name__", ""))


def _drawn(kwargs: dict) -> tuple[int, ...]:
    """How far the generators are that a call may draw from."""
    given = kwargs.get("generator")
    return (default_generator.get_offset(), *([] if given is None else [given.get_offset()]))


def check_randomness(randomness: str) -> None:
    """RuntimeError for what says nothing of random numbers."""
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")


@contextmanager
def no_draws() -> Iterator[None]:
    """A block in which random numbers are an error."""
    drawn = _drawn({})
    yield
    if _drawn({}) != drawn:
        raise RuntimeError(_DRAWN)


def _changed(name: str, args: tuple, kwargs: dict) -> Any:
    """What a call changes in place; None where it changes nothing."""
    if kwargs.get("out") is not None:
        return kwargs["out"]
    in_place = name.endswith("_") and not name.startswith("__") and name not in _OF_HISTORY
    return args[0] if in_place or name == "__setitem__" else None


class Level(TorchFunctionMode):
    """The block in which a function runs for ``size`` entries; see :mod:`clgrad.batching`."""

    def __init__(self, size: int, randomness: str):
        self.size, self.randomness = size, randomness

    def owns(self, value: Any) -> bool:
        """Whether a value is a tensor of this level's batch."""
        return type(value) is Batched and value.level is self

    def whole_of(self, value: Any) -> Any:
        """All entries of a tensor, which are the same where it is not of the batch."""
        return value.whole if self.owns(value) else value.expand((self.size, *value.shape))

    def holds(self, values: Iterable[Any]) -> bool:
        """Whether a tensor of this level's batch is among some values, or in what they contain."""
        for value in values:
            if type(value) is Batched:
                if value.level is self:
                    return True
            elif isinstance(value, (tuple, list, dict)) and self.holds(tree_leaves(value)):
                return True
        return False

    def batch(self, tree: Any) -> Any:
        """The tensors of a tree, with all entries along their first dimension, as such of the batch."""
        if isinstance(tree, TensorBase):
            return tree if self.owns(tree) else Batched(self, tree)
        return tree_map(self.batch, tree) if isinstance(tree, (tuple, list, dict)) else tree

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        named, name = kwargs or {}, _name_of(func)
        if named and "out" not in named:
            args, named = by_position(func, args, named)
        drawn = _drawn(named)
        if self.randomness == "error" and name in _RANDOM and name.endswith("_") and "dropout" not in name:
            raise RuntimeError(_DRAWN)  # before anything is overwritten
        given = self.holds(args) or bool(named) and self.holds(named.values())
        result = self._computed(name, func, args, named) if given else self._once(name, func, args, named, drawn)
        if self.randomness == "error" and _drawn(named) != drawn:
            raise RuntimeError(_DRAWN)
        return result

    def apply_function(self, call: Callable, own_rule: Callable | None, args: tuple, kwargs: dict) -> Any:
        """A call of an operator of the program's own: by the rule that the program gives, or entry by entry."""
        if not self.holds((*args, kwargs)):
            return call(*args, **kwargs)
        if own_rule is None:
            return self.entry_by_entry("", call, args, kwargs)
        return by_own_rule(self, own_rule, args, kwargs)

    def _computed(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        """A call with tensors of the batch."""
        if name in _OF_FORM:
            return func(*args, **kwargs)
        if name in _REFUSED:
            raise RuntimeError(_REFUSED[name])
        if name == "__repr__":
            whole = "\n".join(f"    {line}" for line in repr(args[0].whole).splitlines())
            return f"BatchedTensor(lvl={len(levels_at_work()) + 1}, bdim=0, value=\n{whole}\n)"
        if name in _OF_FORM_ALONE:
            with self:
                args[0].hold(METHODS[name[:-1]](*args, **kwargs).whole)
            return args[0]
        changed = _changed(name, args, kwargs)
        if changed is not None and self.owns(changed) and changed.whole.spec.repeats:
            raise SharedEntriesError(f"vmap: {name} changes a tensor in place that is one for all entries; clone it first")
        found = RULES.get(name)
        if found is not None and kwargs.get("out") is None and not (self.randomness == "same" and name in _RANDOM):
            result = found(self, func, args, kwargs)
            if result is not NotImplemented:
                return self.batch(result)
        if changed is None:
            result = self._taken_apart(func, args, kwargs)
            if result is not NotImplemented:
                return result
        return self.entry_by_entry(name, func, args, kwargs)

    def _taken_apart(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """A call as those of the operators that it is made of; NotImplemented where it is made of anything else, and where it
        looks at values or fails: entry by entry it may work, or says why not."""
        inner = getattr(func, "__wrapped__", None)
        if inner is None:
            return NotImplemented
        with self:
            return self._tried(inner, args, kwargs)

    def _tried(self, call: Callable, args: tuple, kwargs: dict) -> Any:
        drawn = _drawn(kwargs)
        try:
            result = call(*args, **kwargs)
        except Exception:
            return NotImplemented
        unseen = any(is_withheld(leaf) for leaf in tree_leaves(result)) or (
            self.randomness == "different" and _drawn(kwargs) != drawn)  # perhaps once for all entries
        return NotImplemented if unseen else result

    def run_node(self, node: Any, grads: list) -> tuple:
        """What a node of a graph gives for gradients of the batch: for all of them at once, or for each."""
        result = self._tried(node.run, (grads,), {})
        return self.entry_by_entry("", node.run, (grads,), {}) if result is NotImplemented else result

    def _once(self, name: str, func: Callable, args: tuple, kwargs: dict, drawn: tuple) -> Any:
        """A call without tensors of the batch. One that draws is made again for each entry, where those are to differ; if it
        draws a tensor of a size, one of all entries."""
        if self.randomness == "different" and name in _DRAWING_SIZES and kwargs.get("out") is None:
            return self.batch(func(*self._sized(args, kwargs), **kwargs))
        result = func(*args, **kwargs)
        if self.randomness != "different" or _drawn(kwargs) == drawn or name == "manual_seed":
            return result
        if name.endswith("_"):
            raise RuntimeError("vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear "
                               "like same randomness.")
        return self._stacked([result, *[func(*args, **kwargs) for _ in range(self.size - 1)]])

    def _sized(self, args: tuple, kwargs: dict) -> tuple:
        """The arguments of a call that draws, with the size of all entries."""
        if "size" in kwargs:
            kwargs["size"] = (self.size, *kwargs["size"])
            return args
        if args and isinstance(args[-1], (tuple, list)):
            return (*args[:-1], (self.size, *args[-1]))
        return (self.size, *args)

    def entry_by_entry(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Calls ``func`` for each entry and stacks the results; what it changes in place are the entries themselves."""
        leaves, form = tree_flatten((args, kwargs))
        changed = _changed(name, args, kwargs)
        changes = changed is not None
        if changes and any(not self.owns(leaf) for leaf in tree_leaves(changed) if isinstance(leaf, TensorBase)):
            raise SharedEntriesError("vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a "
                                     f"Tensor in extra_args that has more elements than `self` ({name}). This happened due "
                                     "to the Tensor being vmapped over but `self` not being vmapped over. Please try to use "
                                     "out-of-place operators instead of inplace arithmetic.")
        columns = [leaf.whole.unbind(0) if self.owns(leaf) else (leaf,) * self.size for leaf in leaves]
        if changes:  # not from unbind, whose results may not be changed
            columns = [[leaf.whole.select(0, n) for n in range(self.size)] if self.owns(leaf) else column
                       for leaf, column in zip(leaves, columns, strict=True)]
        state, results = default_generator.get_state() if self.randomness == "same" else None, []
        for entry in zip(*columns, strict=True):
            if state is not None:
                default_generator.set_state(state)
            given, named = tree_unflatten(list(entry), form)
            results.append(func(*given, **named))
        if changes:
            return None if name == "__setitem__" else changed
        return self._stacked(results)

    def _stacked(self, results: list) -> Any:
        """The results of the entries as those of the batch: tensors stacked; anything else has to be the same in all."""
        flat = [tree_flatten(result) for result in results]
        joined = []
        for column in zip(*[leaves for leaves, _ in flat], strict=True):
            first = column[0]
            if isinstance(first, TensorBase):
                if any(other.spec.shape != first.spec.shape for other in column):
                    raise RuntimeError("vmap: an operator's result has another shape for each entry: "
                                       f"{[tuple(other.shape) for other in column[:4]]}")
                joined.append(Batched(self, FUNCTIONS["stack"](list(column))))
            elif any(other != first for other in column):
                raise RuntimeError(_CONTROL_FLOW)
            else:
                joined.append(first)
        return tree_unflatten(joined, flat[0][1])


def levels_at_work() -> list[Level]:
    """This thread's levels, the innermost last."""
    return [mode for mode in thread.modes if isinstance(mode, Level)]


@contextmanager
def without_levels() -> Iterator[list[Level]]:
    """A region that no level sees, for work on physical tensors; gives those that are at work."""
    levels = levels_at_work()
    with outside_of(levels[0]) if levels else nullcontext():
        yield levels


def is_per_entry(tensor: Any) -> bool:
    """Whether each entry of the batches of all levels at work has one of its own."""
    for level in reversed(levels_at_work()):
        if not level.owns(tensor):
            return False
        tensor = tensor.whole
    return True


def per_entry(tensor: Any) -> Any:
    """The tensor as one of the batches of all levels at work, so that each entry has its own: to differentiate by."""
    with without_levels() as levels:
        return _per_entry(tensor, levels)


def _per_entry(tensor: Any, levels: list[Level]) -> Any:
    if not levels:
        return tensor
    *outer, level = levels
    if level.owns(tensor):
        return Batched(level, _per_entry(tensor.whole, outer))
    depth = len(outer)  # the dimensions of the outer levels' batches come first

    def widened(whole: Any) -> Any:
        shape = whole.shape
        return whole.unsqueeze(depth).expand((*shape[:depth], level.size, *shape[depth:]))
    return Batched(level, behind(widened, _per_entry(tensor, outer)))
