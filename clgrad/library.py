"""Operators of the program's own, called by a qualified name.

An operator is a Python function; autograd sees it as one node, whose derivative :func:`register_autograd` gives. Programs
that import clgrad as torch (:mod:`clgrad.compat`) find it as ``torch.ops.namespace.name``, too.

>>> import clgrad
>>> from clgrad import Tensor
>>> @custom_op("documentation::cube", mutates_args=())
... def cube(x: Tensor) -> Tensor:
...     return x ** 3
>>> cube.register_autograd(lambda ctx, g: g * 3 * ctx.saved_tensors[0] ** 2,
...                        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]))
>>> x = clgrad.tensor(2.0, requires_grad=True)
>>> cube(x).backward(); x.grad
tensor(12.)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from clgrad.autograd import Function, no_grad
from clgrad.autograd.grad_mode import is_grad_enabled
from clgrad.autograd.graph import TensorBase
from clgrad.autograd.listening import applying, outside_of
from clgrad.trees import tree_leaves

__all__ = ["CustomOpDef", "Library", "custom_op", "define", "fallthrough_kernel", "get_ctx", "impl", "infer_schema",
           "opcheck", "register_autocast", "register_autograd", "register_fake", "register_kernel",
           "register_torch_dispatch", "register_vmap", "triton_op", "wrap_triton"]

OPERATORS: dict[str, CustomOpDef] = {}  # by qualified name
_GENERAL = ("CPU", "CompositeExplicitAutograd", "CompositeImplicitAutograd", "", "default", "CUDA")


def _split(qualname: str) -> tuple[str, str]:
    namespace, _, name = qualname.partition("::")
    if not namespace or not name:
        raise ValueError(f"Expected `name` to be of the form 'namespace::name', but got {qualname!r}")
    return namespace, name


class CustomOpDef:
    """An operator of the program's own; :func:`custom_op` makes it.

    Args:
        qualname: ``"namespace::name"``.
        function: what it computes; None until a kernel is registered.
        schema: its arguments and results as PyTorch writes them.
        device_types: what ``function`` is for; None for everything.
    """

    def __init__(self, qualname: str, function: Callable | None, schema: str = "", device_types: Any = None):
        self._namespace, self._name = _split(qualname)
        self._qualname, self._init_fn, self._schema = qualname, function, schema
        self._kernels: dict[str, Callable] = {}
        self._backward: Callable | None = None
        self._setup: Callable | None = None
        self._vmap: Callable | None = None
        self._signature = inspect.signature(function) if function is not None else None
        if function is not None:
            self.__doc__ = function.__doc__
            self.register_kernel(device_types, function)
        OPERATORS[qualname] = self

    def register_kernel(self, device_types: str | Sequence[str | None] | None, func: Callable | None = None, /) -> Callable:
        """What computes the operator on tensors of some devices ("cpu", "cuda"); None means all. May decorate."""
        def register(f: Callable) -> Callable:
            kinds = [device_types] if device_types is None or isinstance(device_types, str) else device_types
            self._kernels.update({kind or "default": f for kind in kinds})
            return f
        return register if func is None else register(func)

    def register_fake(self, fn: Callable, /) -> Callable:
        """Accepted: there are no tensors without data to run it on."""
        return fn

    register_torch_dispatch = register_autocast = register_fake

    def register_vmap(self, func: Callable, /) -> Callable:
        """What :func:`clgrad.func.vmap` calls for all entries of a batch, which is called for each entry otherwise.

        ``func(info, in_dims, *args, **kwargs)`` gets ``info.batch_size``, ``info.randomness``, the mapped dimension of each
        argument (None where there is none), and gives results and their mapped dimensions. May decorate.
        """
        self._vmap = func
        return func

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None:
        """The derivative: ``backward(ctx, *grads)`` gives a gradient, or None, for each argument.

        ``setup_context(ctx, inputs, output)`` saves what it needs; where the operator has arguments by keyword only it gets
        them as ``keyword_only_inputs``.
        """
        self._backward, self._setup = backward, setup_context

    def _kernel(self, args: Any) -> Callable:
        for leaf in tree_leaves(args):
            if isinstance(leaf, TensorBase) and leaf.device.type in self._kernels:
                return self._kernels[leaf.device.type]
        for kind in ("default", "cpu", "cuda"):
            if kind in self._kernels:
                return self._kernels[kind]
        raise NotImplementedError(f"{self._qualname}: There was no kernel registered for these arguments")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the operator."""
        named: dict[str, Any] = {}
        if self._signature is not None:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, named = bound.args, bound.kwargs
        elif kwargs:
            named = kwargs
        applier = applying()
        if applier is not None:
            with outside_of(applier):
                return applier.apply_function(self, self._vmap, args, named)
        leaves = tree_leaves((args, named))
        if not is_grad_enabled() or not any(isinstance(leaf, TensorBase) and leaf.requires_grad for leaf in leaves):
            return self._kernel((args, named))(*args, **named)
        return _Node.apply(self, named, *args)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"


class _Node(Function):
    """The one node of a custom operator."""

    @staticmethod
    def forward(ctx: Any, op: CustomOpDef, named: dict, *args: Any) -> Any:
        with no_grad():
            output = op._kernel((args, named))(*args, **named)
        ctx._op = op
        if op._setup is not None:
            if named:
                op._setup(ctx=ctx, inputs=args, keyword_only_inputs=named, output=output)
            else:
                op._setup(ctx=ctx, inputs=args, output=output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        op = ctx._op
        if op._backward is None:
            raise RuntimeError(f"Trying to backward through {op._qualname} but no autograd formula was registered. Please "
                               "use register_autograd to add one.")
        found = op._backward(ctx, *grads)
        return (None, None, *(found if isinstance(found, tuple) else tuple(found) if isinstance(found, list) else (found,)))


def custom_op(name: str, fn: Callable | None = None, /, *, mutates_args: str | Sequence[str], device_types: Any = None,
              schema: str | None = None, tags: Any = None) -> Any:
    """Makes an operator of a function; decorates where ``fn`` is not given.

    Args:
        name: ``"namespace::name"``.
        mutates_args: names of arguments that it changes, or ``"unknown"``.
        device_types: the devices it is for; None for all.
        schema: arguments and results as PyTorch writes them. Default: from the annotations.

    Raises:
        ValueError: ``name`` has no namespace, or a parameter's annotation is missing or of an unknown kind.
    """
    def make(function: Callable) -> CustomOpDef:
        text = infer_schema(function, mutates_args=mutates_args) if schema is None else schema
        return CustomOpDef(name, function, text, device_types)
    _split(name)
    return make if fn is None else make(fn)


triton_op = custom_op


def wrap_triton(triton_kernel: Any, /) -> NoReturn:
    """RuntimeError: kernels are OpenCL C."""
    raise RuntimeError("wrap_triton: clgrad runs no Triton kernels")


# Schemas.

_KINDS = {"Tensor": "Tensor", "int": "SymInt", "float": "float", "bool": "bool", "str": "str", "dtype": "ScalarType",
          "device": "Device", "Number": "Scalar", "complex": "Scalar", "int|float|bool": "Scalar"}


def _kind(annotation: Any) -> str:
    """An annotation as a schema writes it; KeyError where it cannot."""
    plain = isinstance(annotation, type) and not getattr(annotation, "__args__", None)
    text = annotation.__name__ if plain else str(annotation)
    text = re.sub(r"(\w+\.)+", "", text).replace(" ", "")
    union = re.fullmatch(r"Union\[(.*)\]", text)
    if union:
        text = union[1].replace(",", "|").replace("NoneType", "None")
    optional = re.fullmatch(r"Optional\[(.*)\]|(.*)\|None", text)
    if optional:
        return _kind(next(part for part in optional.groups() if part)) + "?"
    several = re.fullmatch(r"(?:list|List|Sequence)\[(.*)\]", text)
    if several:
        return _kind(several.group(1)) + "[]"
    results = re.fullmatch(r"(?:tuple|Tuple)\[(.*)\]", text)
    if results:
        return f"({', '.join(_kind(part) for part in results.group(1).split(','))})"
    return _KINDS[text]


def infer_schema(prototype_function: Callable, /, *, mutates_args: str | Sequence[str], op_name: str | None = None) -> str:
    """A function's arguments and results as PyTorch writes them, from its annotations.

    Raises:
        ValueError: an annotation is missing, or of a kind that operators do not take.
    """
    signature, parts, keyword = inspect.signature(prototype_function), [], False
    for name, parameter in signature.parameters.items():
        if parameter.annotation is parameter.empty:
            raise ValueError(f"infer_schema(func): Parameter {name} must have a type annotation. Got func with signature "
                             f"{signature})")
        try:
            kind = _kind(parameter.annotation)
        except KeyError:
            raise ValueError(f"infer_schema(func): Parameter {name} has unsupported type {parameter.annotation}. Got func "
                             f"with signature {signature})") from None
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            parts.append("*")
        if kind.startswith("Tensor") and (mutates_args == "unknown" or name in mutates_args):
            kind = kind.replace("Tensor", f"Tensor(a{len(parts)}!)", 1)
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        parts.append(f"{kind} {name}{default}")
    given = signature.return_annotation
    try:
        result = "()" if given in (None, "None") else _kind(given)
    except KeyError:
        raise ValueError(f"infer_schema(func): Return has unsupported type {given}. Got func with signature "
                         f"{signature})") from None
    return f"{op_name or ''}({', '.join(parts)}) -> {result}"


# Registration by name.

def _found(op: Any) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    name = op if isinstance(op, str) else str(getattr(op, "qualname", op))
    if name.removesuffix(".default") not in OPERATORS:
        raise RuntimeError(f"operator {name} does not exist: define it with custom_op or define")
    return OPERATORS[name.removesuffix(".default")]


def register_kernel(op: Any, device_types: Any, func: Callable | None = None, /, *, lib: Any = None) -> Any:
    """:meth:`CustomOpDef.register_kernel` of an operator or of a name."""
    return _found(op).register_kernel(device_types, func)


def register_autograd(op: Any, backward: Callable, /, *, setup_context: Callable | None = None, lib: Any = None) -> None:
    """:meth:`CustomOpDef.register_autograd` of an operator or of a name."""
    _found(op).register_autograd(backward, setup_context=setup_context)


def register_fake(op: Any, func: Callable | None = None, /, *, lib: Any = None, _stacklevel: int = 1,
                  allow_override: bool = False) -> Any:
    """Accepted, and decorates: there are no tensors without data to run it on."""
    return (lambda f: f) if func is None else func


impl_abstract = register_fake


def register_vmap(op: Any, func: Callable | None = None, /, *, lib: Any = None) -> Any:
    """:meth:`CustomOpDef.register_vmap` of an operator or of a name."""
    return _found(op).register_vmap if func is None else _found(op).register_vmap(func)


def register_torch_dispatch(op: Any, torch_dispatch_class: Any, func: Callable | None = None, /, *,
                            lib: Any = None) -> Any:
    """Accepted, and decorates."""
    return (lambda f: f) if func is None else func


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    """Accepted: an operator's arguments are not converted."""


def get_ctx() -> NoReturn:
    """RuntimeError: it is for functions given to ``register_fake``, which are never called."""
    raise RuntimeError("get_ctx() can only be called inside of the implementation given to register_fake")


def fallthrough_kernel() -> NoReturn:
    """NotImplementedError: it is to be registered, not called."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def opcheck(op: Any, args: tuple, kwargs: dict | None = None, *, test_utils: Any = ("test_schema",),
            raise_exception: bool = True, atol: float | None = None, rtol: float | None = None) -> dict[str, str]:
    """Calls an operator; says of each test that it succeeded.

    Raises:
        Exception: the operator does, and ``raise_exception``.
    """
    outcome = "SUCCESS"
    try:
        op(*args, **(kwargs or {}))
    except Exception as error:
        if raise_exception:
            raise
        outcome = repr(error)
    return dict.fromkeys([test_utils] if isinstance(test_utils, str) else test_utils, outcome)


class Library:
    """Operators of one namespace, defined and implemented one by one.

    Args:
        ns: the namespace.
        kind: "DEF", "FRAGMENT" or "IMPL"; new operators are defined in the first two.
        dispatch_key: what :meth:`impl` is for where it is not told.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = ""):
        if kind not in ("DEF", "FRAGMENT", "IMPL"):
            raise ValueError("Unsupported kind: ", kind)
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Makes an operator of a schema, ``"name(Tensor x) -> Tensor"``, and gives its name."""
        if self.kind == "IMPL":
            raise RuntimeError("define() is not possible in a Library of kind IMPL")
        name = schema.partition("(")[0].strip()
        CustomOpDef(f"{self.ns}::{name}", None, schema[len(name):])
        return name

    def impl(self, op_name: Any, fn: Callable, dispatch_key: str = "", *, with_keyset: bool = False,
             allow_override: bool = True) -> None:
        """What computes an operator for a dispatch key, such as "CPU"; other keys than those of computing are accepted."""
        name = op_name if isinstance(op_name, str) else op_name._name
        key = dispatch_key or self.dispatch_key
        if key in _GENERAL:
            device_type = {"CPU": "cpu", "CUDA": "cuda"}.get(key)
            _found(name if "::" in name else f"{self.ns}::{name}").register_kernel(device_type, fn)


def define(qualname: str, schema: str, *, lib: Library | None = None, tags: Any = ()) -> Any:
    """Makes an operator of a name and a schema, for :func:`impl` to implement."""
    CustomOpDef(qualname, None, schema)


def impl(qualname: str, types: str | Sequence[str], func: Callable | None = None, *, lib: Library | None = None) -> Any:
    """What computes an operator on devices: "default", "cpu", "cuda", or several; decorates where ``func`` is not given."""
    kinds = [None if kind in ("default", "CompositeExplicitAutograd", "CompositeImplicitAutograd") else kind.lower()
             for kind in ([types] if isinstance(types, str) else types)]
    return _found(qualname).register_kernel(kinds, func)
