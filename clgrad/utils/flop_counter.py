"""How many floating-point operations a model takes: its products, convolutions and attention, forwards and backwards.

>>> import clgrad
>>> layer = clgrad.nn.Linear(3, 4)
>>> with FlopCounterMode(display=False) as counter:
...     layer(clgrad.ones(2, 3)).sum().backward()
>>> counter.get_total_flops(), counter.get_flop_counts()["Global"]
(96, {'addmm': 48, 'mm': 48})
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import prod
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.nn.modules import Module, register_module_forward_hook, register_module_forward_pre_hook
from clgrad.overrides import TorchFunctionMode
from clgrad.trees import tree_leaves

__all__ = ["FlopCounterMode", "register_flop_formula"]

_TENS = ["", "K", "M", "B", "T"]


def _product(result: Any, a: Any, b: Any, *rest: Any, **options: Any) -> int:
    """Of a product of (stacks of) matrices: two operations for each summand of each element."""
    return 2 * result.numel() * a.shape[-1]


def _added_product(result: Any, bias: Any, a: Any, b: Any, *rest: Any, **options: Any) -> int:
    return _product(result, a, b)


def _convolution(result: Any, x: Any, weight: Any, *rest: Any, **options: Any) -> int:
    return 2 * result.numel() * prod(weight.shape[1:])


def _transposed_convolution(result: Any, x: Any, weight: Any, *rest: Any, **options: Any) -> int:
    return 2 * x.numel() * prod(weight.shape[1:])


def _attention(result: Any, query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> int:
    return 2 * prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


# Function: the name it is counted under, forwards and backwards, and the formula over its result and its arguments.
_FORMULAS: dict[str, tuple[str, str, Callable]] = {
    "mm": ("mm", "mm", _product), "bmm": ("bmm", "bmm", _product), "matmul": ("mm", "mm", _product),
    "__matmul__": ("mm", "mm", _product), "linear": ("addmm", "mm", _product), "addmm": ("addmm", "mm", _added_product),
    "baddbmm": ("baddbmm", "bmm", _added_product),
    **{f"conv{n}d": ("convolution", "convolution_backward", _convolution) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": ("convolution", "convolution_backward", _transposed_convolution) for n in (1, 2, 3)},
    "scaled_dot_product_attention": ("_scaled_dot_product_attention", "_scaled_dot_product_attention_backward", _attention)}
# Functions that call others; those are counted.
_COMPOSED = frozenset({"einsum", "multi_head_attention_forward", "tensordot", "inner", "chain_matmul", "multi_dot",
                       "matrix_power"})
_own: dict[Any, Callable] = {}


def register_flop_formula(targets: Any, get_raw: bool = False) -> Callable:
    """A decorator: the function counts the operations of one or several functions, from their arguments and ``out_val``."""
    def register(formula: Callable) -> Callable:
        for target in targets if isinstance(targets, (list, tuple)) else [targets]:
            _own[target] = formula
        return formula
    return register


class FlopCounterMode(TorchFunctionMode):
    """Counts the operations of what runs in its block, for each module.

    Args:
        mods: not needed: modules are found as they are called.
        depth: levels of modules in the table. Default: 2.
        display: print the table at the end of the block. Default: True.
        custom_mapping: functions with formulas of the program's own.
    """

    def __init__(self, mods: Any = None, depth: int = 2, display: bool = True, custom_mapping: dict | None = None):
        super().__init__()
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._formulas = {**_own, **(custom_mapping or {})}
        self._path: list[str] = ["Global"]
        self._names: dict[int, str] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        self._hooks = [register_module_forward_pre_hook(self._enter),
                       register_module_forward_hook(self._leave, always_call=True)]
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        for hook in self._hooks:
            hook.remove()
        if self.display:
            print(self.get_table(self.depth))

    def _enter(self, module: Module, args: Any) -> None:
        if id(module) not in self._names:
            root = type(module).__name__
            for name, below in module.named_modules():
                self._names.setdefault(id(below), f"{root}.{name}" if name else root)
        self._path.append(self._names[id(module)])

    def _leave(self, module: Module, args: Any, output: Any) -> None:
        self._path.pop()

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Calls the function and counts."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if func not in self._formulas and name in _COMPOSED and hasattr(func, "__wrapped__"):
            with self:
                return func.__wrapped__(*args, **kwargs)
        result = func(*args, **kwargs)
        own = self._formulas.get(func)
        if own is not None:
            self._add(self._path, name, own(*args, **kwargs, out_val=result))
        elif name in _FORMULAS:
            forward, backward, formula = _FORMULAS[name]
            self._count(result, forward, backward, formula(result, *args, **kwargs), (args, kwargs))
        return result

    def _count(self, result: Any, forward: str, backward: str, flops: int, arguments: Any) -> None:
        path = list(self._path)
        self._add(path, forward, flops)
        if not result.requires_grad:
            return
        wanted = sum(leaf.requires_grad and leaf.dim() > 1 for leaf in tree_leaves(arguments) if isinstance(leaf, TensorBase))
        # Attention computes its scores again, and each of its two products has two derivatives.
        times = 2.5 if "attention" in forward else wanted
        result.register_hook(lambda grad: self._add(path, backward, int(times * flops)))

    def _add(self, path: list[str], name: str, flops: int) -> None:
        for place in set(path):
            self.flop_counts[place][name] += flops

    def get_total_flops(self) -> int:
        """All operations."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """Operations by module, ``"Global"`` for all, and by name of what was computed."""
        return {place: dict(counts) for place, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as a text, modules down to a level."""
        depth, total = self.depth if depth is None else depth, max(self.get_total_flops(), 1)
        lines = [("Module", "FLOP", "% Total")]
        for place, counts in sorted(self.flop_counts.items(), key=lambda item: (item[0] != "Global", item[0])):
            level = 0 if place == "Global" else place.count(".") + 1
            if level > depth:
                continue
            for name, flops in [("", sum(counts.values())), *counts.items()]:
                label = "  " * level + (f" - {name}" if name else place)
                lines.append((label, _short(flops, total), f"{100 * flops / total:.2f}%"))
        widths = [max(len(line[column]) for line in lines) for column in range(3)]
        rows = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in lines]
        return "\n".join([rows[0], "  ".join("-" * width for width in widths), *rows[1:]])


def _short(flops: int, total: int) -> str:
    """A number in the unit that suits the total."""
    unit = min((len(str(total)) - 1) // 3, len(_TENS) - 1)
    return f"{flops / 1000 ** unit:.3f}{_TENS[unit]}" if unit else str(flops)
