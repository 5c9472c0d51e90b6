"""Rules of what tensors are, of copies and conversions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import attach, needs_graph, wrap
from clgrad.conversion import CASTS, parse_type
from clgrad.formats import sparse_coo, sparse_csc, sparse_csr, strided
from clgrad.from_data import checked, kind_of, place_of
from clgrad.ops.copying import parse_to, unwritten
from clgrad.ops.interception import OF_NO_MEMORY, refused, sparse_rules
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.ops.sparse import (
    OF_BLOCKS,
    Pattern,
    become,
    dense_of,
    is_sparse,
    pattern_of,
    plain,
    sparse,
    without_values,
)
from clgrad.ops.sparse_layouts import in_layout
from clgrad.sparse.rules import entrywise, rule
from clgrad.tensor import Tensor


def _itself(name: str) -> Any:
    """The operator without what listens to its calls."""
    found = getattr(Tensor, name, None) or FUNCTIONS.get(name)
    found = found.fget if isinstance(found, property) else found
    return getattr(found, "__wrapped__", found)


sparse_rules.update({name: _itself(name) for name in OF_NO_MEMORY})


def _refusing(name: str, kind: type[Exception], message: str) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise kind(message)
    sparse_rules[name] = refuse


for _name in ("reshape", "flatten", "reshape_as", "ravel"):
    _refusing(_name, RuntimeError, "reshape is not implemented for sparse tensors")
for _name in ("expand", "expand_as", "broadcast_to", "repeat", "tile"):
    _refusing(_name, RuntimeError, "expand is unsupported for Sparse tensors")
for _name in ("numpy", "__array__"):
    _refusing(_name, TypeError, "can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")
_refusing("tolist", RuntimeError, "Cannot access data pointer of Tensor that doesn't have storage")


def _one_element(x: Any) -> Any:
    """The only element, as a 0-d tensor."""
    return dense_of(x.detach()).reshape(())


def _scalar(name: str) -> None:
    method = getattr(Tensor, name)

    def read(x: Any) -> Any:
        # A strided tensor of more elements says what is wrong.
        return method(_one_element(x) if x.spec.numel == 1 else unwritten(x.spec.shape, x.spec.dtype, x.spec.device))
    sparse_rules[name] = read


for _name in ("item", "__bool__", "__float__", "__int__"):
    _scalar(_name)


# Copies and conversions.

@rule("clone")
def _clone(input: Any, *, memory_format: Any = None) -> Any:
    return entrywise(input, METHODS["clone"], "Clone", lambda g: g)


@rule("detach", "alias")
def _detach(input: Any) -> Any:
    return wrap(input.memory, 0, input.spec)


@rule("contiguous")
def _contiguous(input: Any, memory_format: Any = None) -> Any:
    if input.spec.layout is sparse_coo:
        raise RuntimeError("unsupported memory format option Contiguous")
    return input


@rule("to")
def _to(x: Any, *args: Any, **kwargs: Any) -> Any:
    place, kind, again, _ = parse_to(args, kwargs)
    if not is_sparse(x):
        return METHODS["to"](x, device=place, dtype=kind, copy=again)
    return _converted(x, place, kind, again)


def _converted(x: Any, place: Any, kind: Any, again: bool = False) -> Any:
    own = x.spec
    place, kind = own.device if place is None else place, own.dtype if kind is None else kind
    if own.dtype is kind and place == own.device:
        return _clone(x) if again else x
    if place == own.device:
        return entrywise(x, lambda values: values.to(kind), "ToCopy", lambda g: g)
    old = pattern_of(x)
    pattern = Pattern(old.layout, old.sizes, old.indices.to(place), old.coalesced,
                      None if old.compressed is None else old.compressed.to(place), old.block)
    made = sparse(pattern, plain(x.memory.values).to(place, kind))
    if needs_graph(x):
        here = own.device
        attach(made, "ToCopy", (x,), lambda g: g.to(here))
    return made


for _name, _kind in CASTS.items():
    def _cast(x: Any, memory_format: Any = None, _kind: Any = _kind) -> Any:
        return _converted(x, None, _kind)
    sparse_rules[_name] = _cast


@rule("cpu")
def _cpu(x: Any, memory_format: Any = None) -> Any:
    return _converted(x, place_of("cpu"), None)


@rule("cuda")
def _cuda(x: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
    return _converted(x, place_of("cuda" if device is None else device), None)


@rule("type")
def _type(x: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    if dtype is None:
        return plain(x.memory.values).type().replace("torch.", "torch.sparse.")
    if isinstance(dtype, str):
        dtype = parse_type(dtype.replace("torch.sparse.", "torch."))[0]
    return _converted(x, None, dtypes.as_dtype(getattr(dtype, "dtype", dtype)))


@rule("type_as")
def _type_as(x: Any, other: Any) -> Any:
    if is_sparse(x) != is_sparse(other):
        raise RuntimeError("to(options) doesn't support converting to a different layout, but got self.layout being "
                           f"{x.spec.layout} and options.layout set as {other.spec.layout}")
    return _converted(x, other.spec.device, other.spec.dtype)


@rule("copy_")
def _copy(x: Any, src: Any = None, non_blocking: bool = False, *, other: Any = None) -> Any:
    source = other if src is None else src
    if not is_sparse(x) or not is_sparse(source):
        raise RuntimeError("copy_() between dense and sparse Tensors is not implemented! Found self type = "
                           f"{x.type()} and src type = {source.type()}")
    if x.spec.shape != source.spec.shape or x.spec.layout is not source.spec.layout:
        raise RuntimeError(f"copy_(): expected a tensor of shape {list(x.spec.shape)} and layout {x.spec.layout}, got "
                           f"{list(source.spec.shape)} and {source.spec.layout}")
    return become(x, _converted(source, x.spec.device, x.spec.dtype, True))


@rule("zero_")
def _zero(input: Any) -> Any:
    return become(input, without_values(input.spec.shape, input.spec.layout, input.spec.dtype, input.spec.device)
                  if pattern_of(input).dense_dim(input) == 0 and input.spec.layout not in OF_BLOCKS
                  else _without_entries(input))


def _without_entries(x: Any, kind: Any = None, place: Any = None) -> Any:
    """A tensor of the same shape and dense dimensions without values."""
    pattern, values = pattern_of(x), x.memory.values
    along = len(pattern.batch)
    shape = values.spec.shape
    empty = values.new_empty((*shape[:along], 0, *shape[along + 1:]), dtype=kind, device=place)
    places = pattern.indices
    indices = places.new_empty((*places.spec.shape[:-1], 0), device=place)
    lines = None if pattern.compressed is None else FUNCTIONS["zeros_like"](pattern.compressed, device=place)
    return sparse(Pattern(pattern.layout, pattern.sizes, indices, pattern.compressed is None, lines, pattern.block), empty)


@rule("fill_", "fill")
def _fill(input: Any, value: Any) -> Any:
    if input.spec.layout is sparse_coo:
        refused("fill_", sparse_coo)
    input.memory.values.fill_(value)
    return input


def _like(input: Any, kwargs: dict) -> tuple[Any, Any, Any, bool]:
    layout = kwargs.get("layout") or input.spec.layout
    device = kwargs.get("device")
    return (layout, kind_of(kwargs.get("dtype"), input.spec.dtype),
            input.spec.device if device is None else place_of(device), bool(kwargs.get("requires_grad")))


@rule("zeros_like")
def _zeros_like(input: Any, **kwargs: Any) -> Any:
    layout, kind, place, requires_grad = _like(input, kwargs)
    if layout is strided:
        return FUNCTIONS["zeros"](input.spec.shape, dtype=kind, device=place, requires_grad=requires_grad)
    if layout is input.spec.layout:
        return checked(_without_entries(input, kind, place), requires_grad)
    if layout in OF_BLOCKS and input.spec.layout in OF_BLOCKS:
        return checked(in_layout(_without_entries(input, kind, place), layout, pattern_of(input).block), requires_grad)
    return checked(without_values(input.spec.shape, layout, kind, place), requires_grad)


@rule("empty_like")
def _empty_like(input: Any, **kwargs: Any) -> Any:
    layout, kind, place, requires_grad = _like(input, kwargs)
    if layout is sparse_coo or layout is not input.spec.layout:
        return _zeros_like(input, **kwargs)
    return _full_like(input, 0, **kwargs)


def _full_like(input: Any, fill_value: Any, **kwargs: Any) -> Any:
    return _with_values_like(input, lambda values: values.fill_(fill_value), kwargs)


def _with_values_like(input: Any, fill: Callable[[Any], Any], kwargs: dict) -> Any:
    """A tensor of the places of one of a compressed layout, with values that ``fill`` writes; or a strided one."""
    layout, kind, place, requires_grad = _like(input, kwargs)
    if layout is strided:
        return checked(fill(unwritten(input.spec.shape, kind, place)), requires_grad)
    if layout is sparse_coo or layout is not input.spec.layout:
        refused("fill_", layout)
    made = _converted(input.detach(), place, kind, True)
    fill(made.memory.values)
    return checked(made, requires_grad)


rule("full_like")(_full_like)


@rule("randn_like")
def _randn_like(input: Any, *, generator: Any = None, **kwargs: Any) -> Any:
    return _with_values_like(input, lambda values: values.normal_(generator=generator), kwargs)


@rule("rand_like")
def _rand_like(input: Any, *, generator: Any = None, **kwargs: Any) -> Any:
    return _with_values_like(input, lambda values: values.uniform_(generator=generator), kwargs)


@rule("ones_like")
def _ones_like(input: Any, **kwargs: Any) -> Any:
    return _full_like(input, 1, **kwargs)


def _new(name: str) -> Callable:
    def made(x: Any, *args: Any, **kwargs: Any) -> Any:
        layout = kwargs.get("layout") or x.spec.layout
        if layout not in (strided, sparse_coo, sparse_csr, sparse_csc):
            refused(name, layout)
        return FUNCTIONS["zeros"](*args, **{"dtype": x.spec.dtype, "device": x.spec.device, **kwargs, "layout": layout})
    return made


for _name in ("new_zeros", "new_empty"):
    rule(_name)(_new(_name))


@rule("new")
def _new_of(x: Any, *args: Any, device: Any = None) -> Any:
    return FUNCTIONS["zeros"](*(args or (0,)), dtype=x.spec.dtype, device=x.spec.device, layout=x.spec.layout)


@rule("resize_as_", "resize_as_sparse_")
def _resize_as(input: Any, the_template: Any, *, memory_format: Any = None) -> Any:
    pattern = pattern_of(the_template)
    if input.spec.shape == the_template.spec.shape:
        return input
    return METHODS["sparse_resize_"](input, the_template.spec.shape, len(pattern.sizes), pattern.dense_dim(the_template))
