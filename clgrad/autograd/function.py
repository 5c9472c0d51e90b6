"""``Function``: operations whose forward and backward users write."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from clgrad.autograd.grad_mode import mode, no_grad
from clgrad.autograd.graph import Node, Saved, TensorBase, attach, rebase, wrap
from clgrad.autograd.listening import applying, outside_of
from clgrad.autograd.saved_attributes import raw
from clgrad.autograd.saved_hooks import freed
from clgrad.autograd.shared_memory import FUNCTION, SEVERAL, view_of

_signatures: WeakKeyDictionary[Callable, inspect.Signature] = WeakKeyDictionary()  # of forward functions


class FunctionCtx:
    """What ``forward`` hands to ``backward``: tensors by :meth:`save_for_backward`, anything else as attributes."""

    _saved: Saved | None = None
    _to_save: tuple = ()
    _saved_forward: Saved | None = None
    _to_save_forward: tuple = ()
    _moves_forward = False  # jvp is running
    _dirty: tuple = ()
    _non_differentiable: tuple = ()
    _silent: list[bool]  # of each result: whether it has no derivative
    _materialize = True
    _materialize_non_diff_grads = True  # zeros also for the results that are marked as not differentiable
    needs_input_grad: tuple = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors; a change in place afterwards is noticed.

        Where the call is recorded, what is neither a tensor nor None is a TypeError.
        """
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keeps tensors for ``jvp``, which finds them in ``saved_tensors``."""
        self._to_save_forward = _checked("save_for_forward", tensors)

    def mark_dirty(self, *tensors: Any) -> None:
        """Says which inputs ``forward`` changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Says which results have no gradient."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (default) or None for results to which no gradient came."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple:
        """What was saved."""
        if self._moves_forward:
            return tuple(self._saved_forward.unpack()) if self._saved_forward is not None else ()
        return tuple(self._saved.unpack()) if self._saved is not None else self._to_save

    @property
    def saved_variables(self) -> tuple:
        """What was saved, by its old name."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    @property
    def _raw_saved_tensors(self) -> tuple:
        """What was saved, as objects that take hooks."""
        if self._saved is None:
            return ()
        if self._saved.entries is None:
            raise freed()
        return tuple([raw(self._saved, place) for place in range(len(self._saved.entries))])

    @property
    def materialize_grads(self) -> bool:
        """Whether ``backward`` gets zeros for results to which no gradient came."""
        return self._materialize


def _checked(name: str, tensors: tuple) -> tuple:
    """TypeError where one of them is neither a tensor nor None."""
    for number, t in enumerate(tensors):
        if t is not None and not isinstance(t, TensorBase):
            raise TypeError(f"{name} can only save variables, but argument {number} is of type {type(t).__name__}")
    return tensors


class _FunctionNode(Node):
    """The node of a user's function: what ``forward`` put on its context is found on it as well."""

    ctx: FunctionCtx

    def __getattr__(self, name: str) -> Any:
        if name == "ctx":
            raise AttributeError(name)
        return getattr(self.ctx, name)

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {hex(id(self))}>"


class _NodeClass:
    """The class of the nodes that a user's function records, made when it is first asked for."""

    def __get__(self, instance: Any, function: type[Function]) -> type[Node]:
        own = function.__dict__.get("_node")
        if own is None:
            own = function._node = type(f"{function.__name__}Backward", (_FunctionNode,), {})
        return own


class Function:
    """An operation with static methods ``forward(ctx, ...)`` and ``backward(ctx, *grad_outputs)``.

    >>> import clgrad
    >>> class Square(clgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = clgrad.tensor(3., requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    generate_vmap_rule = False
    _node: type[Node] | None = None
    _backward_cls = _NodeClass()

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn(f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
                      "invoke them on the class itself.", DeprecationWarning, stacklevel=2)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Legacy autograd function with non-static forward method is deprecated. Please use new-style "
                           "autograd function with static forward method.")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the result; nothing inside is recorded."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Computes a gradient an argument of ``forward`` (None where there is none). May be called ``vjp``."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it with backward mode AD.")

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Computes the tangents of the results from those of the arguments (None for what is no tensor)."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward "
                                  "mode AD.")

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        """Gives the results of all entries of a batch and their mapped dimensions: ``clgrad.func.vmap`` asks a class that has
        one, and calls ``forward`` for each entry otherwise. ``info`` has ``batch_size`` and ``randomness``."""
        raise NotImplementedError("You must implement the vmap staticmethod on the autograd.Function to use it with vmap.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs ``forward`` and records a node whose backward is this class's."""
        applier = applying()
        if applier is not None:
            with outside_of(applier):
                return applier.apply_function(cls.apply, None if cls.vmap is Function.vmap else cls.vmap, args, kwargs)
        ctx = type(f"{cls.__name__}Backward", (FunctionCtx,), {})()
        ctx.needs_input_grad = tuple(isinstance(a, TensorBase) and a._requires_grad for a in args)
        recorded = mode.enabled and any(ctx.needs_input_grad)
        setup = getattr(cls, "setup_context", None)
        with no_grad():
            if setup is None:
                result = cls.forward(ctx, *args, **kwargs)
            else:
                result = cls.forward(*args, **kwargs)
                setup(ctx, cls._with_defaults(args, kwargs), result)
        if ctx._dirty:
            _check_dirty(ctx._dirty, args, result)
        if recorded:
            return cls._record(ctx, args, result)
        if mode.enabled:
            for t in result if isinstance(result, tuple) else (result,):
                if isinstance(t, TensorBase) and t._view is not None and all(t is not a for a in args):
                    t._view.origin = FUNCTION
        return result

    @classmethod
    def _with_defaults(cls, args: tuple, kwargs: dict) -> tuple:
        """The arguments of ``forward`` with those that were left out."""
        signature = _signatures.get(cls.forward)
        if signature is None:
            signature = _signatures[cls.forward] = inspect.signature(cls.forward)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args

    @classmethod
    def _gradients(cls, ctx: Any, grads: tuple, count: int) -> tuple:
        """What the user's backward gives, one entry for each of ``count`` arguments."""
        if cls.backward is not Function.backward and cls.vjp is not Function.vjp:
            raise RuntimeError("Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
                               "implement one of them.")
        rule = cls.backward if cls.backward is not Function.backward else cls.vjp
        found = rule(ctx, *grads)
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        if len(found) < count or any(g is not None for g in found[count:]):
            raise RuntimeError(f"function {cls.__name__}Backward returned an incorrect number of gradients (expected "
                               f"{count}, got {len(found)})")
        for g in found:
            if g is not None and not isinstance(g, TensorBase):
                raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
        return found[:count]

    @classmethod
    def _linear_in(cls, grads: tuple, ctx: Any, count: int, specs: dict[int, Any]) -> tuple:
        """Stands for the gradients of the tensor arguments, as a function of ``grads`` whose derivative is ``jvp``.

        Such a walk is made to be differentiated: its values matter to nobody, and what arrives at the arguments are their
        tangents.
        """
        like = next(g for g in grads if g is not None)

        def move(*tangents: Any) -> tuple:
            full: list[Any] = [None] * count
            for (place, spec), tangent in zip(specs.items(), tangents, strict=True):
                if tangent is None and ctx._materialize and spec.dtype.differentiable:
                    tangent = like.new_zeros(spec.shape, dtype=spec.dtype)
                full[place] = tangent.clone() if ctx._dirty and tangent is not None else tangent
            found = cls._tangents(ctx, full, len(grads))
            return tuple([t for t, g in zip(found, grads_given, strict=True) if g])
        grads_given = [g is not None for g in grads]
        rows = tuple([like.new_zeros(spec.shape, dtype=spec.dtype) if spec.dtype.differentiable else None
                      for spec in specs.values()])
        attach(rows, f"{cls.__name__}Jvp", [g for g in grads if g is not None], move)
        return rows

    @classmethod
    def _tangents(cls, ctx: Any, given: list, outputs: int) -> tuple:
        """What the user's jvp gives, one entry for each result."""
        ctx._moves_forward = True
        try:
            found = cls.jvp(ctx, *given)
        finally:
            ctx._moves_forward = False
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        if len(found) != outputs:
            raise RuntimeError(f"{cls.__name__}: jvp must return as many tangents as forward returns results, {outputs}, "
                               f"but gave {len(found)}")
        for number, (tangent, silent) in enumerate(zip(found, ctx._silent, strict=True)):
            if tangent is not None and not isinstance(tangent, TensorBase):
                raise RuntimeError(f"{cls.__name__}: expected Variable or None from jvp (got {type(tangent).__name__})")
            if tangent is not None and silent:
                raise RuntimeError(f"{cls.__name__}: jvp gives a tangent for result {number}, which is not differentiable. "
                                   "You should return None at that position instead.")
        return found

    @classmethod
    def _record(cls, ctx: Any, args: tuple, result: Any) -> Any:
        several = isinstance(result, tuple)  # a list is no tensor and no tuple of them: it passes as it is
        outputs = list(result) if several else [result]
        dirty = {id(t) for t in ctx._dirty}
        silent = {id(t) for t in ctx._non_differentiable}
        inputs = {id(a) for a in args if isinstance(a, TensorBase)}
        # A result that is an input becomes a new tensor on its memory: it has a history of its own.
        made = [_own_history(t) if isinstance(t, TensorBase) and (id(t) in inputs or t._view is not None) else t
                for t in outputs]
        marked = tuple([t if isinstance(t, TensorBase) and id(old) not in silent else None
                        for old, t in zip(outputs, made, strict=True)])
        positions = [n for n, a in enumerate(args) if isinstance(a, TensorBase)]
        owners = {id(old): new for old, new in zip(outputs, made, strict=True)
                  if isinstance(new, TensorBase) and id(old) not in silent and new.dtype.differentiable}
        ctx._silent = [not isinstance(t, TensorBase) or id(t) in silent or not t.dtype.differentiable for t in outputs]
        saved = ctx._saved = _saved(cls.__name__, _checked("save_for_backward", ctx._to_save), owners, inputs)
        has_jvp = cls.jvp is not Function.jvp
        if has_jvp and ctx._to_save_forward:
            ctx._saved_forward = _saved(cls.__name__, ctx._to_save_forward, owners, inputs)
        filled = [t.spec if isinstance(t, TensorBase) and (id(t) not in silent or ctx._materialize_non_diff_grads) else None
                  for t in outputs]
        count = len(args)
        given = [args[n].spec for n in positions]
        for t in ctx._dirty:
            if t._requires_grad and t.is_leaf:
                raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")

        def backward(*grads: Any) -> tuple:
            if has_jvp and mode.tangents:
                return cls._linear_in(grads, ctx, count, dict(zip(positions, given, strict=True)))
            if ctx._materialize:
                like = next(g for g in grads if g is not None)
                grads = tuple([g if g is not None or own is None else like.new_zeros(own.shape, dtype=own.dtype)
                               for g, own in zip(grads, filled, strict=True)])
            found = cls._gradients(ctx, grads, count)
            return tuple([found[n] for n in positions])
        node = attach(marked, cls._backward_cls, [args[n] for n in positions], backward, saved)
        node.ctx = ctx  # type: ignore[attr-defined]
        _save_outputs(saved, ctx._to_save, owners, inputs)
        if ctx._saved_forward is not None:
            _save_outputs(ctx._saved_forward, ctx._to_save_forward, owners, inputs)
        several_views = sum(owners.get(id(old)) is new for old, new in zip(outputs, made, strict=True)) > 1
        for old, new in zip(outputs, made, strict=True):
            if id(old) in dirty:
                rebase(old, node, new)
            elif several_views and isinstance(new, TensorBase) and new._view is not None:
                new._view.origin = SEVERAL
        final = [old if id(old) in dirty else new for old, new in zip(outputs, made, strict=True)]
        return type(result)(final) if several else final[0]


def _saved(name: str, tensors: tuple, owners: dict, inputs: Any) -> Saved:
    """Keeps tensors; results of the call itself, which are no inputs, have their place filled by :func:`_save_outputs`."""
    return Saved(name, [None if t is None or id(t) in owners and id(t) not in inputs else t for t in tensors])


def _save_outputs(saved: Saved, tensors: tuple, owners: dict, inputs: Any) -> None:
    """Fills the places of results, once their node exists."""
    for place, t in enumerate(tensors):
        if t is not None and id(t) in owners and id(t) not in inputs and saved.entries is not None:
            saved.add_output(owners[id(t)])
            saved.entries[place] = saved.entries.pop()


def _own_history(tensor: Any) -> Any:
    """A new tensor on the memory of an input or a view, known as a view that may not be changed in place."""
    made = wrap(tensor.memory, tensor.offset, tensor.spec)
    view = tensor._view
    base, replay = (tensor, lambda whole: whole.view_as(whole)) if view is None else (view.base, view.replay)
    made._view = view_of(made, base, replay, FUNCTION)
    return made


def _check_dirty(dirty: tuple, args: tuple, result: Any) -> None:
    """RuntimeError where tensors that ``forward`` says it changed are not returned, or could not have a history."""
    outputs = result if isinstance(result, tuple) else (result,)
    if any(all(t is not out for out in outputs) for t in dirty):
        raise RuntimeError("Some elements marked as dirty during the forward method were not returned as output. The inputs "
                           "that are modified inplace must all be outputs of the Function.")
    if any(all(t is not a for a in args) for t in dirty):
        warnings.warn("Only input Tensors should be given to ctx.mark_dirty(). If a Tensor is not an input, there is no need "
                      "to pass it to mark_dirty().", UserWarning, stacklevel=3)
    if len(outputs) > 1 and any(t._view is not None for t in dirty):
        raise RuntimeError("If your Function modifies inplace an input that is a view of another Tensor, your Function "
                           "cannot return more than one Tensor. This is not supported by the current autograd engine. You "
                           "should either make sure the input is not a view (using .clone() for example) or make your "
                           "Function only return one Tensor.")


def once_differentiable(function: Callable) -> Callable:
    """For a ``backward`` that cannot be differentiated itself: nothing inside is recorded."""
    @functools.wraps(function)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        before, mode.enabled = mode.enabled, False
        try:
            found = function(ctx, *grads)
        finally:
            mode.enabled = before
        if before and any(isinstance(g, TensorBase) and g._requires_grad for g in grads):
            several = isinstance(found, tuple)
            listed = found if several else (found,)

            def refuse(*_: Any) -> Any:
                raise RuntimeError("trying to differentiate twice a function that was marked with "
                                   "@once_differentiable")
            fresh = tuple([None if g is None else wrap(g.memory, g.offset, g.spec) for g in listed])
            attach(fresh, "DelayedError", [g for g in grads if isinstance(g, TensorBase)], refuse)
            return fresh if several else fresh[0]
        return found
    return wrapped
