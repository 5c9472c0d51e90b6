"""Pickles of plain data, written and read without running anything.

:class:`Writer` emits protocol 2 for a fixed set of types. :class:`Reader` is a pickle machine of its own: it knows the
opcodes that such files use, and calls nothing but the functions of a table that its user gives. So no file, however it
was made, runs code.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pickle import PicklingError, UnpicklingError
from typing import Any, NamedTuple

MAX_DEPTH = 200


class Global(NamedTuple):
    """A name in a module, as a pickle refers to it."""

    module: str
    name: str


class Call(NamedTuple):
    """An object that a pickle makes by calling ``function``."""

    function: Global
    arguments: tuple


class Persistent(NamedTuple):
    """An object that the pickle only names; the file holds it elsewhere."""

    id: tuple


_ORDERED_DICT = Global("collections", "OrderedDict")
_ENCODE = Global("_codecs", "encode")


class Writer:
    """Writes one object.

    ``reduce(value)`` turns what is not plain data into a :class:`Call`, :class:`Global` or :class:`Persistent`; it
    raises for what cannot be saved.
    """

    def __init__(self, reduce: Callable[[Any], Any]):
        self._reduce = reduce
        self._out = bytearray()
        self._memo: dict[int, tuple[int, Any]] = {}

    def dump(self, value: Any) -> bytes:
        """The pickle of a value."""
        self._out += b"\x80\x02"
        self._value(value, 0)
        self._out += b"."
        return bytes(self._out)

    def _remember(self, value: Any) -> None:
        number = len(self._memo)
        self._memo[id(value)] = number, value
        self._out += b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def _known(self, value: Any) -> bool:
        found = self._memo.get(id(value))
        if found is None:
            return False
        number = found[0]
        self._out += b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number)
        return True

    def _value(self, value: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise PicklingError(f"save(): the object is nested deeper than {MAX_DEPTH} levels")
        simple = self._simple.get(type(value))
        if simple is not None:
            simple(self, value)
        elif not self._known(value):
            self._compound(value, depth + 1)

    def _none(self, value: None) -> None:
        self._out += b"N"

    def _bool(self, value: bool) -> None:
        self._out += b"\x88" if value else b"\x89"

    def _int(self, value: int) -> None:
        if 0 <= value < 256:
            self._out += b"K" + bytes([value])
        elif 0 <= value < 65536:
            self._out += b"M" + struct.pack("<H", value)
        elif -(1 << 31) <= value < 1 << 31:
            self._out += b"J" + struct.pack("<i", value)
        else:
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            self._out += b"\x8a" + bytes([len(data)]) if len(data) < 256 else b"\x8b" + struct.pack("<i", len(data))
            self._out += data

    def _float(self, value: float) -> None:
        self._out += b"G" + struct.pack(">d", value)

    def _text(self, value: str) -> None:
        if not self._known(value):
            data = value.encode("utf-8", "surrogatepass")
            self._out += b"X" + struct.pack("<I", len(data)) + data
            self._remember(value)

    def _bytes(self, value: bytes) -> None:
        self._value(Call(_ENCODE, (value.decode("latin-1"), "latin1")), 0)

    _simple: dict[type, Callable] = {type(None): _none, bool: _bool, int: _int, float: _float, str: _text,
                                     bytes: _bytes}

    def _compound(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind is tuple:
            self._tuple(value, depth)
        elif kind is list:
            self._out += b"]"
            self._remember(value)
            self._items([(item,) for item in value], b"e", depth)
        elif kind is dict:
            self._out += b"}"
            self._remember(value)
            self._items(list(value.items()), b"u", depth)
        elif kind is OrderedDict:
            self._global(_ORDERED_DICT)
            self._out += b")R"
            self._remember(value)
            self._items(list(value.items()), b"u", depth)
        elif kind is Global:
            self._global(value)
        elif kind is Call:
            self._global(value.function)
            self._tuple(value.arguments, depth)
            self._out += b"R"
        elif kind is Persistent:
            self._tuple(value.id, depth)
            self._out += b"Q"
        else:
            self._value(self._reduce(value), depth)
            self._remember(value)

    def _items(self, items: list[tuple], end: bytes, depth: int) -> None:
        if items:
            self._out += b"("
            for parts in items:
                for part in parts:
                    self._value(part, depth)
            self._out += end

    def _tuple(self, value: tuple, depth: int) -> None:
        short = {0: b")", 1: b"\x85", 2: b"\x86", 3: b"\x87"}
        if len(value) > 3:
            self._out += b"("
        for item in value:
            self._value(item, depth)
        self._out += short.get(len(value), b"t")

    def _global(self, value: Global) -> None:
        self._out += b"c" + f"{value.module}\n{value.name}\n".encode()


class _Mark:
    """Where a group of stack items begins."""


_MARK = _Mark()


class Reader:
    """Reads one object.

    Args:
        data: the pickle.
        globals_: what may be referred to: by (module, name) a value, or a :class:`Allowed` that may be called.
        persistent: gives the object of a persistent id.
        encoding: of the strings of Python 2, or ``"bytes"``, which leaves them as bytes.

    Raises:
        UnpicklingError: the data is damaged, or refers to what is not allowed.
    """

    def __init__(self, data: bytes, globals_: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any],
                 encoding: str = "utf-8"):
        self._data, self._at, self._encoding = data, 0, encoding
        self._globals, self._persistent = globals_, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object."""
        try:
            while True:
                code = self._take(1)[0]
                if code == ord("."):
                    return self._pop()
                action = _OPCODES.get(code)
                if action is None:
                    raise UnpicklingError(f"unsupported pickle opcode {code:#04x} at byte {self._at - 1}: only plain "
                                          "data "
                                          "and tensors can be loaded")
                action(self)
        except UnpicklingError:
            raise
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error, AttributeError,
                RecursionError, MemoryError) as error:
            raise UnpicklingError(f"damaged pickle near byte {self._at}: {type(error).__name__}: {error}") from error

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise UnpicklingError(f"the pickle ends too early: {count} bytes wanted at byte {self._at} of "
                                  f"{len(self._data)}")
        self._at += count
        return self._data[self._at - count:self._at]

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _string(self, form: str) -> str | bytes:
        """A string of Python 2, whose bytes may mean anything."""
        found = self._take(self._number(form))
        return found if self._encoding == "bytes" else found.decode(self._encoding)

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise UnpicklingError(f"the pickle ends within a line at byte {self._at}")
        text = self._data[self._at:end].decode("utf-8")
        self._at = end + 1
        return text

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise UnpicklingError(f"the pickle's stack is empty at byte {self._at}")
        return self._stack.pop()

    def _group(self) -> list:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                items = self._stack[place + 1:]
                del self._stack[place:]
                return items
        raise UnpicklingError(f"the pickle lacks a mark at byte {self._at}")

    # Opcodes.

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(items[::-1]))

    def _top(self, kinds: tuple) -> Any:
        if not self._stack or type(self._stack[-1]) not in kinds:
            raise UnpicklingError(f"the pickle adds items to something else than {kinds[0].__name__} at byte "
                                  f"{self._at}")
        return self._stack[-1]

    def _append(self, items: list) -> None:
        self._top((list,)).extend(items)

    def _set_items(self, items: list) -> None:
        if len(items) % 2:
            raise UnpicklingError("a dict with a key but no value")
        self._top((dict, OrderedDict)).update(zip(items[::2], items[1::2], strict=True))

    def _global(self, module: str, name: str) -> None:
        found = self._globals.get((module, name))
        if found is None:
            raise UnpicklingError(f"refused to load {module}.{name}: the file refers to it, and only tensors, parameters, "
                                  "numbers, strings, lists, tuples, sets and dicts of them are loaded with "
                                  "weights_only=True, the default. Save model.state_dict() instead of whole objects; or "
                                  f"allow it by torch.serialization.add_safe_globals([{name}]); or, for a file from a "
                                  "source that you trust, load it with weights_only=False, which runs its code")
        self._push(found.value if isinstance(found, Allowed) and found.value is not None else found)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise UnpicklingError("a global's name is not a string")
        self._global(module, name)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        allowed = self._allowed(function)
        if allowed is None or not isinstance(arguments, tuple):
            raise UnpicklingError(f"refused to call {function!r}")
        self._push(allowed.call(*arguments))

    def _allowed(self, value: Any) -> Allowed | None:
        """What the table says of a value that is to be called."""
        if value is None or isinstance(value, Allowed):
            return value
        return next((a for a in self._globals.values() if isinstance(a, Allowed) and a.value is value), None)

    def _new(self) -> None:
        arguments, kind = self._pop(), self._pop()
        if not isinstance(kind, type) or self._allowed(kind) is None or not isinstance(arguments, tuple):
            raise UnpicklingError(f"refused to make an object of {kind!r}")
        self._push(kind.__new__(kind, *arguments))

    def _build(self) -> None:
        state = self._pop()
        target: Any = self._stack[-1] if self._stack else None
        if self._allowed(type(target)) is not None:
            if hasattr(target, "__setstate__"):
                target.__setstate__(state)
            else:
                target.__dict__.update(state)
        elif type(target) is not OrderedDict or not isinstance(state, dict):
            raise UnpicklingError("refused to set the state of an object")
        # The only state that PyTorch's own files have: the version numbers of a state_dict. They are not needed.

    def _get(self, number: int) -> None:
        self._push(self._memo[number])

    def _put(self, number: int) -> None:
        if not self._stack:
            raise UnpicklingError(f"the pickle's stack is empty at byte {self._at}")
        self._memo[number] = self._stack[-1]

    def _long(self, size: int) -> None:
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _add_to_set(self) -> None:
        items = self._group()
        self._top((set,)).update(items)


class Allowed:
    """A function that a pickle may call.

    Args:
        value: what a file that holds it as data gets. Of a class that is given here the file may also make objects and
            give them their state.
    """

    def __init__(self, call: Callable, value: Any = None):
        self.call, self.value = call, value


class _Anything:
    """What a :class:`Scanner` has in place of an object."""

    def __call__(self, *arguments: Any) -> _Anything:
        return self


class Scanner(Reader):
    """Reads a pickle for its persistent ids alone: what it would make or call is left out."""

    def __init__(self, data: bytes, globals_: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any]):
        super().__init__(data, globals_, persistent, "latin-1")  # in which all bytes are text: nobody gets the strings

    def _global(self, module: str, name: str) -> None:
        found = self._globals.get((module, name))
        self._push(_Anything() if found is None or isinstance(found, Allowed) else found)

    def _reduce(self) -> None:
        self._pop()
        self._pop()
        self._push(_Anything())

    _new = _reduce

    def _build(self) -> None:
        self._pop()

    def _append(self, items: list) -> None:
        """Nothing is put together."""

    def _set_items(self, items: list) -> None:
        """Nothing is put together."""


class NameScanner(Scanner):
    """A :class:`Scanner` that keeps the names that are not among its globals: ``unknown``, as ``module.name``."""

    def __init__(self, data: bytes, globals_: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any]):
        super().__init__(data, globals_, persistent)
        self.unknown: set[str] = set()

    def _global(self, module: str, name: str) -> None:
        if (module, name) not in self._globals:
            self.unknown.add(f"{module}.{name}")
        super()._global(module, name)


def _protocol(reader: Reader) -> None:
    version = reader._number("<B")
    if version > 5:
        raise UnpicklingError(f"unsupported pickle protocol: {version}")


_OPCODES: dict[int, Callable[[Reader], Any]] = {
    ord(code): action for code, action in {
        "\x80": _protocol,
        "\x95": lambda r: r._number("<Q"),  # a frame's size
        "(": lambda r: r._push(_MARK),
        "0": lambda r: r._pop(),
        "1": lambda r: r._group(),
        "2": lambda r: r._push(r._stack[-1]),
        "N": lambda r: r._push(None),
        "\x88": lambda r: r._push(True),
        "\x89": lambda r: r._push(False),
        "K": lambda r: r._push(r._number("<B")),
        "M": lambda r: r._push(r._number("<H")),
        "J": lambda r: r._push(r._number("<i")),
        "\x8a": lambda r: r._long(r._number("<B")),
        "\x8b": lambda r: r._long(r._number("<i")),
        "G": lambda r: r._push(r._number(">d")),
        "X": lambda r: r._push(r._take(r._number("<I")).decode("utf-8", "surrogatepass")),
        "\x8c": lambda r: r._push(r._take(r._number("<B")).decode("utf-8", "surrogatepass")),
        "\x8d": lambda r: r._push(r._take(r._number("<Q")).decode("utf-8", "surrogatepass")),
        "T": lambda r: r._push(r._string("<i")),
        "U": lambda r: r._push(r._string("<B")),
        "B": lambda r: r._push(r._take(r._number("<I"))),
        "C": lambda r: r._push(r._take(r._number("<B"))),
        "\x8e": lambda r: r._push(r._take(r._number("<Q"))),
        ")": lambda r: r._push(()),
        "]": lambda r: r._push([]),
        "}": lambda r: r._push({}),
        "\x8f": lambda r: r._push(set()),
        "\x85": lambda r: r._tuple(1),
        "\x86": lambda r: r._tuple(2),
        "\x87": lambda r: r._tuple(3),
        "t": lambda r: r._push(tuple(r._group())),
        "l": lambda r: r._push(r._group()),
        "\x91": lambda r: r._push(frozenset(r._group())),
        "a": lambda r: r._append([r._pop()]),
        "e": lambda r: r._append(r._group()),
        "s": lambda r: r._set_items([r._pop(), r._pop()][::-1]),
        "u": lambda r: r._set_items(r._group()),
        "\x90": Reader._add_to_set,
        "c": lambda r: r._global(r._line(), r._line()),
        "\x93": Reader._stack_global,
        "R": lambda r: r._reduce(),
        "\x81": lambda r: r._new(),
        "b": lambda r: r._build(),
        "Q": lambda r: r._push(r._persistent(r._pop())),
        "h": lambda r: r._get(r._number("<B")),
        "j": lambda r: r._get(r._number("<I")),
        "q": lambda r: r._put(r._number("<B")),
        "r": lambda r: r._put(r._number("<I")),
        "\x94": lambda r: r._put(len(r._memo)),
    }.items()
}
