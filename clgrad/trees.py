"""Nested containers as trees: their leaves in order, and the same containers around other leaves.

Tuples, lists, dictionaries, named tuples and deques are nodes, and the classes that :func:`register_pytree_node` adds;
everything else, None too, is a leaf.

>>> from clgrad.trees import tree_flatten, tree_map, tree_unflatten
>>> leaves, spec = tree_flatten({"a": 1, "b": (2, [3])})
>>> leaves, tree_unflatten([10, 20, 30], spec)
([1, 2, 3], {'a': 10, 'b': (20, [30])})
>>> tree_map(lambda x: x + 1, (1, [2]))
(2, [3])
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from clgrad.shapes import Size

__all__ = ["SUPPORTED_NODES", "LeafSpec", "PyTree", "TreeSpec", "register_pytree_node", "tree_all", "tree_all_only",
           "tree_any", "tree_any_only", "tree_flatten", "tree_iter", "tree_leaves", "tree_map", "tree_map_",
           "tree_map_only", "tree_map_only_", "tree_structure", "tree_unflatten"]

PyTree = Any
Context = Any  # what besides its children a container consists of


class NodeDef(NamedTuple):
    """How containers of a class are taken apart and put together."""

    type: Any
    flatten_fn: Callable[[Any], tuple[list, Context]]
    unflatten_fn: Callable[[Iterable, Context], Any]
    flatten_with_keys_fn: Callable[[Any], tuple[list, Context]] | None = None


SUPPORTED_NODES: dict[Any, NodeDef] = {}


def register_pytree_node(cls: Any, flatten_fn: Callable, unflatten_fn: Callable, *,
                         flatten_with_keys_fn: Callable | None = None, **details: Any) -> None:
    """Makes a class of containers known.

    Args:
        flatten_fn: gives a container's children, and a context: all else that it consists of.
        unflatten_fn: makes a container of children and a context.
        flatten_with_keys_fn: ``flatten_fn`` with pairs of a key and a child for the children, for paths to leaves.
        details: accepted and not used: what PyTorch needs to write trees into files.

    Raises:
        ValueError: the class is known already.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)


_register_pytree_node = register_pytree_node


def _dict_flatten(d: dict) -> tuple[list, Context]:
    return list(d.values()), list(d)


def _dict_unflatten(values: Iterable, keys: Context) -> dict:
    return dict(zip(keys, values, strict=True))


def _list_flatten(items: list) -> tuple[list, Context]:
    return items, None


def _list_unflatten(values: Iterable, context: Context) -> list:
    return list(values)


register_pytree_node(list, _list_flatten, _list_unflatten)
register_pytree_node(tuple, lambda items: (list(items), None), lambda values, _: tuple(values))
register_pytree_node(dict, _dict_flatten, _dict_unflatten)
register_pytree_node(OrderedDict, _dict_flatten, lambda values, keys: OrderedDict(zip(keys, values, strict=True)))
register_pytree_node(defaultdict, lambda d: (list(d.values()), (d.default_factory, list(d))),
                     lambda values, context: defaultdict(context[0], zip(context[1], values, strict=True)))
register_pytree_node(deque, lambda d: (list(d), d.maxlen), lambda values, maxlen: deque(values, maxlen=maxlen))
register_pytree_node(namedtuple, lambda items: (list(items), type(items)), lambda values, made: made(*values))
_DICTIONARIES = (dict, OrderedDict, defaultdict)
register_pytree_node(Size, lambda sizes: (list(sizes), None), lambda values, _: tuple(values))


def is_namedtuple_class(cls: Any) -> bool:
    """Whether a class was made by ``namedtuple``."""
    return isinstance(cls, type) and issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _get_node_type(tree: Any) -> Any:
    """What ``SUPPORTED_NODES`` knows a container by: its class, of named tuples ``namedtuple``."""
    kind = type(tree)
    return namedtuple if isinstance(tree, tuple) and is_namedtuple_class(kind) else kind


def _node(tree: Any) -> NodeDef | None:
    """How ``tree`` is taken apart; None for a leaf."""
    return SUPPORTED_NODES.get(_get_node_type(tree))


@dataclass(frozen=True)
class TreeSpec:
    """A tree without its leaves: the class of its root, its context, and the specs of its children."""

    type: Any
    context: Context
    children_specs: list[TreeSpec]

    @property
    def num_leaves(self) -> int:
        """How many leaves there are."""
        return sum(child.num_leaves for child in self.children_specs)

    @property
    def num_nodes(self) -> int:
        """How many containers and leaves there are."""
        return 1 + sum(child.num_nodes for child in self.children_specs)

    @property
    def num_children(self) -> int:
        """How many children the root has."""
        return len(self.children_specs)

    def child(self, index: int) -> TreeSpec:
        """The spec of a child of the root."""
        return self.children_specs[index]

    def children(self) -> list[TreeSpec]:
        """The specs of the root's children, in a list of their own."""
        return list(self.children_specs)

    def is_leaf(self) -> bool:
        """Whether the tree is one leaf."""
        return False

    def unflatten(self, leaves: Iterable) -> PyTree:
        """The tree with these leaves.

        Raises:
            ValueError: there are more leaves or fewer.
        """
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree "
                             f"that holds {self.num_leaves} items ({self}).")
        return self._around(iter(leaves))

    def _around(self, leaves: Iterator) -> PyTree:
        return SUPPORTED_NODES[self.type].unflatten_fn([child._around(leaves) for child in self.children_specs], self.context)

    def _split(self, tree: PyTree) -> list:
        """The parts of a tree of at least this shape that stand where the leaves are.

        A dictionary stands for any other one with its keys, in any order.
        """
        kind = _get_node_type(tree)
        dictionaries = kind in _DICTIONARIES and self.type in _DICTIONARIES
        if kind is not self.type and not dictionaries:
            raise ValueError(f"Node type mismatch; expected {self.type}, but got {kind}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if dictionaries:
            keys = self.context[1] if self.type is defaultdict else self.context
            if set(keys) != set(tree):
                raise ValueError(f"Node keys mismatch; missing key(s): {sorted(set(keys) - set(tree), key=str)}; "
                                 f"extra key(s): {sorted(set(tree) - set(keys), key=str)}.")
            children = [tree[key] for key in keys]
        elif kind is not deque and context != self.context:
            raise ValueError(f"Node context mismatch for node type {kind}; expected {self.context}, but got {context}.")
        return [part for spec, child in zip(self.children_specs, children, strict=True) for part in spec._split(child)]

    flatten_up_to = _split


class LeafSpec(TreeSpec):
    """The spec of one leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, [])

    @property
    def num_leaves(self) -> int:
        """1."""
        return 1

    def is_leaf(self) -> bool:
        """True."""
        return True

    def _around(self, leaves: Iterator) -> PyTree:
        return next(leaves)

    def _split(self, tree: PyTree) -> list:
        return [tree]

    flatten_up_to = _split

    def __repr__(self) -> str:
        return "*"


_LEAF = LeafSpec()


def _flatten(tree: PyTree, leaves: list, is_leaf: Callable | None) -> TreeSpec:
    node = None if is_leaf is not None and is_leaf(tree) else _node(tree)
    if node is None:
        leaves.append(tree)
        return _LEAF
    children, context = node.flatten_fn(tree)
    return TreeSpec(node.type, context, [_flatten(child, leaves, is_leaf) for child in children])


def tree_flatten(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> tuple[list, TreeSpec]:
    """A tree's leaves in order, and the tree without them; ``is_leaf`` makes containers leaves."""
    leaves: list = []
    return leaves, _flatten(tree, leaves, is_leaf)


def tree_unflatten(leaves: Iterable, treespec: TreeSpec) -> PyTree:
    """The tree of :func:`tree_flatten` with other leaves.

    Raises:
        TypeError: ``treespec`` is none.
        ValueError: the number of leaves is another one.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"tree_unflatten(leaves, treespec): Expected `treespec` to be instance of TreeSpec but got item of "
                        f"type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_leaves(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> list:
    """A tree's leaves in order."""
    leaves: list = []
    _collect(tree, leaves, is_leaf)
    return leaves


def _collect(tree: PyTree, leaves: list, is_leaf: Callable | None) -> None:
    node = None if is_leaf is not None and is_leaf(tree) else SUPPORTED_NODES.get(_get_node_type(tree))
    if node is None:
        leaves.append(tree)
    else:
        for child in node.flatten_fn(tree)[0]:
            _collect(child, leaves, is_leaf)


def tree_iter(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> Iterator:
    """An iterator over a tree's leaves."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> TreeSpec:
    """A tree without its leaves."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable, tree: PyTree, *rests: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> PyTree:
    """The tree with ``func`` of each leaf, and of what stands at its place in the other trees."""
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [leaves, *(spec._split(rest) for rest in rests)]
    return spec._around(iter([func(*row) for row in zip(*columns, strict=True)]))


def tree_map_(func: Callable, tree: PyTree, *rests: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> PyTree:
    """Calls ``func`` as :func:`tree_map` does, and gives back the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _chosen(wanted: Any) -> Callable[[Any], bool]:
    """Whether a leaf is of a class, of one of several, or one that a predicate holds for."""
    if isinstance(wanted, (type, tuple)):
        return lambda leaf: isinstance(leaf, wanted)
    return wanted


def tree_map_only(type_or_types_or_pred: Any, func: Callable, tree: PyTree,
                  is_leaf: Callable[[PyTree], bool] | None = None) -> PyTree:
    """:func:`tree_map` for the leaves of some classes, or those that a predicate holds for; others stay."""
    chosen = _chosen(type_or_types_or_pred)
    return tree_map(lambda leaf: func(leaf) if chosen(leaf) else leaf, tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred: Any, func: Callable, tree: PyTree,
                   is_leaf: Callable[[PyTree], bool] | None = None) -> PyTree:
    """Calls ``func`` as :func:`tree_map_only` does, and gives back the tree itself."""
    tree_map_only(type_or_types_or_pred, func, tree, is_leaf)
    return tree


def tree_all(pred: Callable, tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> bool:
    """Whether ``pred`` holds for all leaves."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable, tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> bool:
    """Whether ``pred`` holds for a leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(type_or_types: Any, pred: Callable, tree: PyTree,
                  is_leaf: Callable[[PyTree], bool] | None = None) -> bool:
    """Whether ``pred`` holds for all leaves of some classes."""
    chosen = _chosen(type_or_types)
    return all(pred(leaf) for leaf in tree_iter(tree, is_leaf) if chosen(leaf))


def tree_any_only(type_or_types: Any, pred: Callable, tree: PyTree,
                  is_leaf: Callable[[PyTree], bool] | None = None) -> bool:
    """Whether ``pred`` holds for a leaf of some classes."""
    chosen = _chosen(type_or_types)
    return any(pred(leaf) for leaf in tree_iter(tree, is_leaf) if chosen(leaf))
