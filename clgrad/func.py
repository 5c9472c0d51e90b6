"""``torch.func``: functions that make functions — of gradients, Jacobians, batches — and modules called as functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from clgrad import autograd
from clgrad.autograd.captured import Working
from clgrad.autograd.forward_ad import alias_of
from clgrad.autograd.grad_mode import enable_grad, is_grad_enabled, mode, tangents_wanted
from clgrad.autograd.graph import AccumulateGrad, TensorBase, edge_of, get_gradient_edge
from clgrad.autograd.tangents import Followed
from clgrad.batching import vmap
from clgrad.batching.batched import behind, physical
from clgrad.batching.level import check_randomness, no_draws, per_entry, without_levels
from clgrad.batching.walks import gradients_of_seeds
from clgrad.creation import eye
from clgrad.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module, SyncBatchNorm
from clgrad.nn.utils.stateless import replaced_call
from clgrad.ops.registry import FUNCTIONS
from clgrad.trees import tree_leaves, tree_map, tree_structure, tree_unflatten

__all__ = ["functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
           "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap"]


_RECORDED = {"retain_graph": True, "create_graph": True, "allow_unused": True}  # of a walk


# Levels of differentiation.

def _tensors_in(tree: Any) -> list:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, TensorBase)]


class _Level:
    """One function of this module at work on its arguments. Tensors that it makes to differentiate by carry it."""

    def __init__(self, *arguments: Any):
        self.working = Working(map(physical, _tensors_in(arguments)))

    def __enter__(self) -> _Level:
        self.recording, self.active = is_grad_enabled(), True
        self.forward, mode.forward = mode.forward, None  # what no_grad hides from this function, it hides for good
        self.mode = enable_grad()
        self.mode.__enter__()
        self.working.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.working.__exit__(*exception)
        self.mode.__exit__(*exception)
        mode.forward = self.forward
        self.active = False

    def fresh(self, tree: Any, changeable: bool = False) -> tuple[Any, list]:
        """The tensors of a tree as new ones to differentiate by, and a list of them; an outer level still sees them.

        ``changeable``: those of the tree may be changed in place, as is the way of forward modes.
        """
        made = []

        def renew(leaf: Any) -> Any:
            if not isinstance(leaf, TensorBase):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(leaf)}")
            if not leaf.spec.dtype.differentiable and changeable:
                raise ValueError(f"Expected primal to be floating point or complex, but got: {leaf.dtype}")
            if not leaf.spec.dtype.differentiable:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            followed, leaf = leaf.requires_grad, per_entry(leaf)
            with without_levels():
                made.append(behind(lambda t: t.view_as(t) if followed else t.detach().requires_grad_(), leaf))
                physical(made[-1])._func_level = self
                return behind(alias_of, made[-1]) if changeable and not followed else made[-1]
        return tree_map(renew, tree), made

    def settled(self, tree: Any, recording: bool | None = None) -> Any:
        """The results, outside of the graph where it leads to nothing but what this level and inner ones made."""
        def settle(leaf: Any) -> Any:
            if not isinstance(leaf, TensorBase) or not leaf.requires_grad:
                return leaf
            kept = self.recording if recording is None else recording
            if kept and self._leads_elsewhere(leaf):
                return leaf
            with without_levels():
                return behind(lambda t: t.detach(), leaf)
        return tree_map(settle, tree)

    def _leads_elsewhere(self, tensor: Any) -> bool:
        edge = edge_of(physical(tensor))
        waiting, seen = [edge[0]] if edge else [], set()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if isinstance(node, AccumulateGrad):
                maker = getattr(node.variable, "_func_level", None)
                if maker is None or maker is not self and maker.active:
                    return True
            waiting += [above[0] for above in node.edges if above is not None]
        return False


def _picked(args: tuple, argnums: int | Sequence[int], name: str) -> tuple[Any, Callable]:
    """The arguments to differentiate by, and how to put others in their places."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"{name}: argnum must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    if not numbers:
        raise RuntimeError(f"{name}: argnums must be non-empty")
    for number in numbers:
        if not isinstance(number, int):
            raise RuntimeError(f"{name}: argnum elements must be int, got {type(number)}")
        if not -len(args) <= number < len(args):
            raise RuntimeError(f"{name}: got argnum={number}, but only {len(args)} positional inputs")
    numbers = [n % len(args) for n in numbers]
    if len(set(numbers)) < len(numbers):
        raise RuntimeError(f"{name}: argnums elements must be unique, got {argnums}")

    def replaced(values: Any) -> tuple:
        listed = [values] if isinstance(argnums, int) else list(values)
        places = dict(zip(numbers, listed, strict=True))
        return tuple([places.get(n, a) for n, a in enumerate(args)])
    picked = args[numbers[0]] if isinstance(argnums, int) else tuple([args[n] for n in numbers])
    return picked, replaced


def _split(name: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    """What a function returned, as (output, what it returns besides)."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    for leaf in tree_leaves(result[1]):
        if not isinstance(leaf, TensorBase):
            raise RuntimeError(f"{name}: Expected tensors, got unsupported type {type(leaf)} in aux")
    return result


def _tensors_of(name: str, output: Any) -> list:
    """The tensors that a function returned; RuntimeError where there are none, or something else."""
    leaves = tree_leaves(output)
    if output is None or not leaves:
        raise RuntimeError(f"{name}: Expected f to be a function that has non-empty output (got output = {output})")
    for leaf in leaves:
        if not isinstance(leaf, TensorBase):
            raise RuntimeError(f"{name}: expected f(*primals) to return only tensors, got unsupported type {type(leaf)}")
    return leaves


def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns ``(gradient, value)``, or ``(gradient, (value, aux))`` with ``has_aux``; see :func:`grad`."""
    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> tuple:
        picked, replaced = _picked(args, argnums, "grad")
        with _Level(args, kwargs) as level:
            values, own = level.fresh(picked)
            value, aux = _split("grad_and_value(f)(*args)", func(*replaced(values), **kwargs), has_aux)
            if not isinstance(value, TensorBase):
                raise RuntimeError("grad_and_value(f)(*args): Expected f(*args) to return a tensor, got "
                                   f"{type(value).__name__}")
            if value.ndim:
                raise RuntimeError("grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got tensor with "
                                   f"{value.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?")
            found = (autograd.grad(value, own, create_graph=True, allow_unused=True) if value.requires_grad
                     else (None,) * len(own))
            filled = iter([FUNCTIONS["zeros_like"](x) if g is None else g for g, x in zip(found, own, strict=True)])
        gradients = tree_map(lambda leaf: next(filled), values)
        return level.settled((gradients, (value, aux) if has_aux else value))
    return wrapped


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of ``func`` with respect to its arguments ``argnums``.

    Args:
        func: returns a 0-d tensor (with ``has_aux``, that and anything else).

    >>> import clgrad
    >>> clgrad.func.grad(clgrad.func.grad(lambda x: x ** 3))(clgrad.tensor(2.))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients
    return wrapped


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(``func(*primals)``, a function that multiplies its arguments with the Jacobian); with ``has_aux`` also aux."""
    with _Level(primals) as level:
        values, own = level.fresh(primals)
        output, aux = _split("vjp(f, *primals)", func(*values), has_aux)
        outputs = _tensors_of("vjp(f, *primals)", output)

    def product(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> tuple:
        recording = is_grad_enabled()
        if tree_structure(cotangents) != tree_structure(output):
            raise RuntimeError(f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to "
                               f"the function. cotangents: {tree_structure(cotangents)}, primal output: "
                               f"{tree_structure(output)}")
        pairs = [(o, s) for o, s in zip(outputs, tree_leaves(cotangents), strict=True) if o.requires_grad]
        with enable_grad():
            found = autograd.grad([o for o, _ in pairs], own, [s for _, s in pairs], True, True,
                                  allow_unused=True) if pairs else (None,) * len(own)
            filled = [FUNCTIONS["zeros_like"](x) if g is None else g for g, x in zip(found, own, strict=True)]
        return level.settled(tree_unflatten(filled, tree_structure(values)), recording)
    settled = level.settled(output)
    return (settled, product, aux) if has_aux else (settled, product)


def _tangents_of(tensors: list) -> Followed:
    """A block in which tangents follow from these tensors."""
    return Followed(get_gradient_edge(physical(tensor)).node for tensor in tensors)


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """(``func(*primals)``, the Jacobian times ``tangents``); with ``has_aux`` also aux.

    Raises:
        RuntimeError: ``strict``, and an output does not depend on the primals.
    """
    name = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{name}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    if tree_structure(primals) != tree_structure(tangents):
        raise RuntimeError(f"{name}: Expected primals and tangents to have the same python structure. For example, if "
                           "primals is a tuple of 3 tensors, tangents also must be.")
    for label, given in (("primals", primals), ("tangents", tangents)):
        leaves = tree_leaves(given)
        if not leaves:
            raise RuntimeError(f"{name}: Expected {label} to contain at least one Tensor")
        if not all(isinstance(leaf, TensorBase) for leaf in leaves):
            raise RuntimeError(f"{name}: Expected {label} to only contain Tensors")
    with _Level(primals) as level:
        values, own = level.fresh(primals, changeable=True)
        with _tangents_of(own):
            output, aux = _split(name, func(*values), has_aux)
        outputs = _tensors_of(name, output)
        moved = _moved(level, outputs, own, tree_leaves(tangents), functools.partial(autograd.grad, **_RECORDED))
        if strict and any(not o.requires_grad for o in outputs):
            raise RuntimeError("jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This "
                               "is not allowed with strict=True.")
        filled = [FUNCTIONS["zeros_like"](o) if t is None else t for t, o in zip(moved, outputs, strict=True)]
    settled = level.settled((output, tree_unflatten(filled, tree_structure(output))))
    return (*settled, aux) if has_aux else settled


def _moved(level: _Level, outputs: list, own: list, tangents: list, walk: Callable) -> list:
    """For each output how it changes along the tangents of ``own``; None where it does not.

    ``walk(rows, seeds, tangents)`` gives the gradients of ``seeds``.
    """
    following = [o for o in outputs if o.requires_grad]
    if not following:
        return [None] * len(outputs)
    # Gradients are linear in them, so that any would do but those at which a formula has no derivative of its own.
    with without_levels():
        ones = [behind(FUNCTIONS["ones_like"], o) for o in following]
    seeds = level.fresh(ones)[1]
    with tangents_wanted():
        rows = autograd.grad(following, own, seeds, **_RECORDED)
    used = [(r, t) for r, t in zip(rows, tangents, strict=True) if r is not None and r.requires_grad]
    found = iter(walk([r for r, _ in used], seeds, [t for _, t in used]) if used else (None,) * len(seeds))
    return [next(found) if o.requires_grad else None for o in outputs]


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """(``func(*primals)``, the function that multiplies the Jacobian there with its arguments)."""
    return func(*primals), lambda *tangents: jvp(func, primals, tangents)[1]


def jacrev(func: Callable, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False, chunk_size: int | None = None,
           _preallocate_and_copy: bool = False) -> Callable:
    """A function that returns the Jacobian of ``func``: one backward pass for all elements of an output.

    Args:
        chunk_size: how many elements are taken at once; None: all.

    >>> import clgrad
    >>> clgrad.func.jacrev(lambda x: x * x)(clgrad.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        picked, replaced = _picked(args, argnums, "jacrev")
        with _Level(args, kwargs) as level:
            values, own = level.fresh(picked)
            output, aux = _split("jacrev", func(*replaced(values), **kwargs), has_aux)
            _tensors_of("vjp(f, *primals)", output)
            found = tree_map(lambda o: tree_unflatten(_rows(o, own, chunk_size), tree_structure(values)), output)
        found = level.settled(found)
        return (found, level.settled(aux)) if has_aux else found
    return wrapped


def _rows(output: Any, own: list, chunk_size: int | None) -> list:
    """For each tensor of ``own`` the Jacobian of one output."""
    count, found = output.numel(), (None,) * len(own)
    if count == 1 and output.requires_grad:
        found = autograd.grad(output, own, FUNCTIONS["ones_like"](output), **_RECORDED)
    elif count and output.requires_grad:
        with without_levels():
            units = eye(count, dtype=output.dtype, device=output.device).reshape((count, *output.shape))
        chunks = [gradients_of_seeds((output,), own, (part,)) for part in units.split(chunk_size or count)]
        found = chunks[0] if len(chunks) == 1 else tuple([
            None if column[0] is None else FUNCTIONS["cat"](list(column)) for column in zip(*chunks, strict=True)])
    return [output.new_zeros((*output.shape, *x.shape)) if rows is None else rows.reshape((*output.shape, *x.shape))
            for rows, x in zip(found, own, strict=True)]


def jacfwd(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *,
           randomness: str = "error") -> Callable:
    """A function that returns the Jacobian of ``func``: the derivatives along all directions at once, as one batch.

    Args:
        randomness: whether ``func`` may draw random numbers (``"same"``, ``"different"``), which are one and the same for all
            directions, or not (``"error"``).

    >>> import clgrad
    >>> clgrad.func.jacfwd(lambda x: x * x)(clgrad.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    check_randomness(randomness)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        name = "jvp(f, primals, tangents)"
        picked, replaced = _picked(args, argnums, "jacfwd")
        with _Level(args, kwargs) as level:
            values, own = level.fresh(picked, changeable=True)
            with _tangents_of(own), no_draws() if randomness == "error" else nullcontext():
                output, aux = _split(name, func(*replaced(values), **kwargs), has_aux)
            outputs, sizes = _tensors_of(name, output), [x.numel() for x in own]
            columns = _moved(level, outputs, own, _directions(own, sizes), gradients_of_seeds) if sum(sizes) else outputs

            def by_input(output: Any, column: Any) -> Any:
                if column is None or not sum(sizes):
                    return tree_unflatten([output.new_zeros((*output.shape, *x.shape)) for x in own], tree_structure(values))
                parts = column.movedim(0, -1).split(sizes, -1)
                return tree_unflatten([part.reshape((*output.shape, *x.shape)) for part, x in zip(parts, own, strict=True)],
                                      tree_structure(values))
            found = tree_unflatten([by_input(o, column) for o, column in zip(outputs, columns, strict=True)],
                                   tree_structure(output))
        found = level.settled(found)
        return (found, level.settled(aux)) if has_aux else found
    return wrapped


def _directions(tensors: list, sizes: list[int]) -> list:
    """For each tensor as many as there are elements in all: 1 in one element of one tensor, 0 elsewhere."""
    total, begin, found = sum(sizes), 0, []
    with without_levels():
        for tensor, size in zip(tensors, sizes, strict=True):
            units = eye(total, dtype=tensor.dtype, device=tensor.device).narrow(1, begin, size)
            found.append(units.reshape((total, *tensor.shape)))
            begin += size
    return found


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """A function that returns the second derivatives of ``func``: the Jacobian of its Jacobian."""
    return jacfwd(jacrev(func, argnums), argnums)


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """The function itself: nothing here needs functions without changes in place."""
    return func


# Modules as functions.

def functional_call(module: Module, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: Mapping | None = None, *,
                    tie_weights: bool = True, strict: bool = False) -> Any:
    """Calls a module with other tensors in place of its parameters and buffers, which it has again afterwards.

    Args:
        parameter_and_buffer_dicts: names, as in ``named_parameters``, and tensors; or several such dictionaries. One
            dictionary holds afterwards what the module put in the places of its tensors.
        tie_weights: a tensor that the module holds under several names is replaced under all of them.
        strict: every parameter and buffer must be named, and nothing else.
    """
    if not isinstance(parameter_and_buffer_dicts, (Mapping, list, tuple)):
        raise ValueError("functional_call(): Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, "
                         f"but got {type(parameter_and_buffer_dicts)}")
    if isinstance(parameter_and_buffer_dicts, Mapping):
        return replaced_call(module, parameter_and_buffer_dicts, args, kwargs, tie_weights, strict)
    given: dict[str, Any] = {}
    for part in parameter_and_buffer_dicts:
        for name, value in part.items():
            if name in given:
                raise ValueError(f"{name!r} appears in multiple dictionaries")
            given[name] = value
    return replaced_call(module, given, args, kwargs, tie_weights, strict)


def stack_module_state(models: Sequence[Module]) -> tuple[dict, dict]:
    """(parameters, buffers) of several modules of one kind, each name's tensors stacked along a new first dimension."""
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) != 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) != 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    for name in parameters[0]:
        if len({p[name].requires_grad for p in parameters}) != 1:
            raise RuntimeError(f"stack_module_state: Expected {name} to have the same .requires_grad in all models.")
    buffers = [dict(m.named_buffers()) for m in models]
    stacked = {name: FUNCTIONS["stack"]([p[name] for p in parameters]).detach().requires_grad_(
        parameters[0][name].requires_grad) for name in parameters[0]}
    return stacked, {name: FUNCTIONS["stack"]([b[name] for b in buffers]).detach() for name in buffers[0]}


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Takes their running statistics from a module's batch norms, in place: :func:`vmap` cannot change them."""
    for module in root.modules():
        if isinstance(module, (BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm)) and module.track_running_stats:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
