"""``torch.utils._pytree``: :mod:`clgrad.trees`, and the paths to the leaves of trees."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clgrad.trees import (
    _LEAF,
    SUPPORTED_NODES,
    Context,
    LeafSpec,
    NodeDef,
    PyTree,
    TreeSpec,
    _dict_flatten,
    _dict_unflatten,
    _get_node_type,
    _list_flatten,
    _list_unflatten,
    _node,
    _register_pytree_node,
    is_namedtuple_class,
    register_pytree_node,
    tree_all,
    tree_all_only,
    tree_any,
    tree_any_only,
    tree_flatten,
    tree_iter,
    tree_leaves,
    tree_map,
    tree_map_,
    tree_map_only,
    tree_map_only_,
    tree_structure,
    tree_unflatten,
)

__all__ = ["SUPPORTED_NODES", "Context", "GetAttrKey", "KeyEntry", "KeyPath", "LeafSpec", "MappingKey", "NodeDef",
           "PyTree", "SequenceKey", "TreeSpec", "_dict_flatten", "_dict_flatten_with_keys", "_dict_unflatten",
           "_get_node_type", "_list_flatten", "_list_flatten_with_keys", "_list_unflatten", "_register_pytree_node",
           "arg_tree_leaves", "is_namedtuple", "is_namedtuple_class", "is_namedtuple_instance", "is_structseq",
           "is_structseq_class", "is_structseq_instance", "key_get", "keystr", "register_pytree_node", "tree_all",
           "tree_all_only", "tree_any", "tree_any_only", "tree_flatten", "tree_flatten_with_path", "tree_is_leaf",
           "tree_iter", "tree_leaves", "tree_leaves_with_path", "tree_map", "tree_map_", "tree_map_only",
           "tree_map_only_", "tree_map_with_path", "tree_structure", "tree_unflatten", "treespec_leaf"]

# Private names that programs take from here.
_LEAF_SPEC = _LEAF
_tuple_flatten, _tuple_unflatten = SUPPORTED_NODES[tuple][1:3]
_ordereddict_flatten, _ordereddict_unflatten = SUPPORTED_NODES[OrderedDict][1:3]
_defaultdict_flatten, _defaultdict_unflatten = SUPPORTED_NODES[defaultdict][1:3]
_deque_flatten, _deque_unflatten = SUPPORTED_NODES[deque][1:3]


@dataclass(frozen=True)
class SequenceKey:
    """The way to an item of a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        """The item."""
        return sequence[self.idx]


@dataclass(frozen=True)
class MappingKey:
    """The way to a value of a dictionary."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """The value."""
        return mapping[self.key]


@dataclass(frozen=True)
class GetAttrKey:
    """The way to an attribute, a field of a named tuple for one."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """The attribute."""
        return getattr(obj, self.name)


KeyEntry = Any
KeyPath = tuple[KeyEntry, ...]


def _list_flatten_with_keys(items: Any) -> tuple[list, Context]:
    values, context = SUPPORTED_NODES[type(items)].flatten_fn(items)
    return [(SequenceKey(place), value) for place, value in enumerate(values)], context


def _dict_flatten_with_keys(d: Any) -> tuple[list, Context]:
    values, context = SUPPORTED_NODES[type(d)].flatten_fn(d)
    return [(MappingKey(key), value) for key, value in zip(d, values, strict=True)], context


def _namedtuple_flatten_with_keys(items: Any) -> tuple[list, Context]:
    return [(GetAttrKey(name), value) for name, value in zip(items._fields, items, strict=True)], type(items)


_tuple_flatten_with_keys = _deque_flatten_with_keys = _list_flatten_with_keys
_ordereddict_flatten_with_keys = _defaultdict_flatten_with_keys = _dict_flatten_with_keys
_WITH_KEYS: dict[Any, Callable] = {
    list: _list_flatten_with_keys, tuple: _list_flatten_with_keys, deque: _list_flatten_with_keys,
    namedtuple: _namedtuple_flatten_with_keys,
    dict: _dict_flatten_with_keys, OrderedDict: _dict_flatten_with_keys, defaultdict: _dict_flatten_with_keys}


def _with_keys(tree: Any, node: NodeDef) -> list[tuple[Any, Any]]:
    """A container's children with their keys."""
    flatten = node.flatten_with_keys_fn or _WITH_KEYS.get(node.type)
    if flatten is None:
        raise ValueError(f"Did not find a flatten_with_keys_fn for type: {node.type}. Please pass a flatten_with_keys_fn "
                         "argument to register_pytree_node.")
    return list(flatten(tree)[0])


def tree_leaves_with_path(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> list[tuple[KeyPath, Any]]:
    """A tree's leaves in order, each behind the keys that lead to it."""
    found: list = []

    def walk(path: KeyPath, part: Any) -> None:
        node = None if is_leaf is not None and is_leaf(part) else _node(part)
        if node is None:
            found.append((path, part))
            return
        for key, child in _with_keys(part, node):
            walk((*path, key), child)
    walk((), tree)
    return found


def tree_flatten_with_path(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> tuple[list, TreeSpec]:
    """:func:`tree_leaves_with_path`, and the tree without its leaves."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func: Callable, tree: PyTree, *rests: PyTree,
                       is_leaf: Callable[[PyTree], bool] | None = None) -> PyTree:
    """:func:`clgrad.trees.tree_map` where ``func`` gets the path to each leaf first."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    columns = [spec.flatten_up_to(rest) for rest in rests]
    return tree_unflatten([func(*pair, *others) for pair, *others in zip(pairs, *columns, strict=True)], spec)


def keystr(kp: KeyPath) -> str:
    """A path as Python would write it."""
    return "".join(map(str, kp))


def key_get(obj: Any, kp: KeyPath) -> Any:
    """What a path leads to."""
    for key in kp:
        obj = key.get(obj)
    return obj


def tree_is_leaf(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> bool:
    """Whether a tree is one leaf."""
    return (is_leaf is not None and is_leaf(tree)) or _node(tree) is None


_is_leaf = tree_is_leaf


def arg_tree_leaves(*args: PyTree, **kwargs: PyTree) -> list:
    """The leaves of all arguments."""
    return tree_leaves((args, kwargs))


def treespec_leaf() -> LeafSpec:
    """The spec of one leaf."""
    return _LEAF


def is_namedtuple_instance(obj: Any) -> bool:
    """Whether an object's class was made by ``namedtuple``."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj: Any) -> bool:
    """Whether an object, or a class, is one of ``namedtuple``."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


_is_namedtuple_instance = is_namedtuple_instance


def is_structseq_class(cls: Any) -> bool:
    """Whether a class is one of the interpreter's own tuples with named fields, such as ``time.struct_time``."""
    return (isinstance(cls, type) and cls.__bases__ == (tuple,) and isinstance(getattr(cls, "n_fields", None), int)
            and isinstance(getattr(cls, "n_sequence_fields", None), int))


def is_structseq_instance(obj: Any) -> bool:
    """Whether an object's class is such a one."""
    return is_structseq_class(type(obj))


def is_structseq(obj: Any) -> bool:
    """Whether an object, or a class, is such a one."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def _broadcast_to_and_flatten(tree: PyTree, treespec: TreeSpec,
                              is_leaf: Callable[[PyTree], bool] | None = None) -> list | None:
    """The leaves of a tree of fewer levels, repeated for the leaves of ``treespec``; None where they do not fit."""
    if treespec.is_leaf() or tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves if tree_is_leaf(tree, is_leaf) else None
    node = _node(tree)
    assert node is not None
    children, context = node.flatten_fn(tree)
    if node.type is not treespec.type or len(children) != treespec.num_children or context != treespec.context:
        return None
    found: list = []
    for child, spec in zip(children, treespec.children_specs, strict=True):
        part = _broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found += part
    return found
