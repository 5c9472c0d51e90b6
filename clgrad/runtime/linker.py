"""Makes shared objects of what PoCL compiles, where the system has no linker that can: ``python linker.py -o OUT ... IN.o``.

A kernel is one object file of x86-64, which needs little: its sections are put into pages by what may be done with them, the
places that name each other are filled in, and its functions are listed for who loads it. What a kernel asks of the process
(``memcpy``) is looked up when it is loaded, through one table. Run by its path, as the linker that PoCL's compiler starts;
so it needs nothing but Python's own library, and arguments that are for other linkers are passed over.

The formats are those of the System V Application Binary Interface, "Object Files", and of its supplement for AMD64.

    | header | symbols, names, relocations, constants | code, jumps to the process | what is written: the table |
    |             may be read                         |     may be run             |     may be written         |
"""

from __future__ import annotations

import struct
import sys

PAGE = 4096
LEFT_OUT = -1
HEADER, SEGMENT, SECTION, SYMBOL, RELOCATION, FACT = (
    struct.Struct(form) for form in ("<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<IIQQQQIIQQ", "<IBBHQQ", "<QQq", "<QQ"))
RELOCATABLE, SHARED, X86_64 = 1, 3, 62
SYMBOLS, RELOCATIONS, NO_BITS, UNWINDING = 2, 4, 8, 0x70000001  # types of sections
WRITE, ALLOC, EXECUTE = 1, 2, 4  # what may be done with a section
LOADED, DYNAMIC, STACK = 1, 2, 0x6474E551  # types of segments
SEGMENTS, FACTS = 5, 10  # how many of each are written
# How a place names a symbol: by its address, its distance, or the distance of its entry in the table.
ABSOLUTE, DISTANCES, WIDE_DISTANCE, ENTRIES = 1, (2, 4), 24, (9, 41, 42)
OF_SYMBOL, OF_BASE = 6, 8  # what is filled in when the object is loaded: a symbol's address, one in the object
# The facts that a loader asks for.
END, HASHES, TEXTS, NAMES, AT_LOAD, AT_LOAD_BYTES, AT_LOAD_EACH, TEXTS_BYTES, NAMES_EACH, AT_ONCE = (
    0, 4, 5, 6, 7, 8, 9, 10, 11, 24)
JUMP, JUMP_BYTES = b"\xff\x25", 8  # to the address that stands at a distance


class LinkError(Exception):
    """The object file is none that a kernel needs."""


class _Section:
    """A section of an object file, and its address in the shared object once it has one."""

    def __init__(self, kind: int, flags: int, offset: int, size: int, link: int, target: int, align: int):
        self.kind, self.flags, self.offset, self.size = kind, flags, offset, size
        self.link, self.target, self.align, self.address = link, target, max(align, 1), LEFT_OUT

    @property
    def kept(self) -> bool:
        """Whether it is loaded. Tables to unwind stacks by are for exceptions, which kernels have none of."""
        return bool(self.flags & ALLOC) and self.kind != UNWINDING


class _Symbol:
    """A name, its place in a section, and, where it has them, its numbers among what is listed and in the table."""

    def __init__(self, name: bytes, info: int, section: _Section | None, value: int, size: int):
        self.name, self.info, self.section, self.value, self.size = name, info, section, value, size
        self.number, self.entry = 0, LEFT_OUT


class _Object:
    """A relocatable object file."""

    def __init__(self, data: bytes):
        if len(data) < HEADER.size:
            raise LinkError("it is no object file")
        ident, kind, machine, _, _, _, start, _, _, _, _, each, count, _ = HEADER.unpack_from(data)
        if ident[:6] != b"\x7fELF\x02\x01" or kind != RELOCATABLE or machine != X86_64:
            raise LinkError("it is no object file of x86-64")
        self.data = data
        self.sections: list[_Section] = []
        for at in range(start, start + each * count, each):
            _, kind, flags, _, offset, size, link, target, align, _ = SECTION.unpack_from(data, at)
            self.sections.append(_Section(kind, flags, offset, size, link, target, align))
        self.symbols = [symbol for section in self.sections if section.kind == SYMBOLS for symbol in self._symbols(section)]
        self.places = [place for section in self.sections if section.kind == RELOCATIONS for place in self._places(section)]

    def _symbols(self, section: _Section) -> list[_Symbol]:
        texts, found = self.sections[section.link].offset, []
        for at in range(section.offset, section.offset + section.size, SYMBOL.size):
            name, info, _, number, value, size = SYMBOL.unpack_from(self.data, at)
            text = self.data[texts + name:self.data.index(b"\0", texts + name)]
            where = self.sections[number] if 0 < number < len(self.sections) else None
            found.append(_Symbol(text, info, where, value, size))
        return found

    def _places(self, section: _Section) -> list[tuple[_Section, int, int, _Symbol, int]]:
        """(Section, offset in it, type, symbol, addend) of each place that names something."""
        target, found = self.sections[section.target], []
        if target.kept:
            for at in range(section.offset, section.offset + section.size, RELOCATION.size):
                offset, info, addend = RELOCATION.unpack_from(self.data, at)
                found.append((target, offset, info & 0xFFFFFFFF, self.symbols[info >> 32], addend))
        return found


def _up(number: int, to: int) -> int:
    return -(-number // to) * to


class _Image:
    """The shared object of an object file. Addresses are places in the file, too."""

    def __init__(self, source: _Object):
        self.source = source
        # What others find by its name, and what is found in the process by its name.
        self.listed = [s for s in source.symbols if s.info >> 4 and s.name and (s.section is None or s.section.kept)]
        for number, symbol in enumerate(self.listed, 1):
            symbol.number = number
        self.table: list[_Symbol] = []
        for _, _, kind, symbol, _ in source.places:
            if symbol.entry == LEFT_OUT and (kind in ENTRIES or symbol.section is None):
                symbol.entry = len(self.table)
                self.table.append(symbol)
        self.at_load: list[tuple[int, int, int]] = []  # (address, symbol and type, addend)
        self._place(sum(kind == ABSOLUTE for _, _, kind, _, _ in source.places))

    def _place(self, absolute: int) -> None:
        """Gives everything its address."""
        self.texts = b"\0" + b"".join(symbol.name + b"\0" for symbol in self.listed)
        self.hash_at = HEADER.size + SEGMENTS * SEGMENT.size
        self.names_at = _up(self.hash_at + 4 * (4 + len(self.listed)), 8)
        self.texts_at = self.names_at + SYMBOL.size * (1 + len(self.listed))
        self.at_load_at = _up(self.texts_at + len(self.texts), 8)
        end = self._put(self.at_load_at + RELOCATION.size * (len(self.table) + absolute), 0)
        self.code_at = _up(end, PAGE)
        self.jumps_at = _up(self._put(self.code_at, EXECUTE), 16)
        self.written_at = _up(self.jumps_at + JUMP_BYTES * len(self.table), PAGE)
        self.table_at = self.written_at + FACT.size * FACTS
        self.size = self._put(self.table_at + 8 * len(self.table), WRITE)

    def _put(self, at: int, flags: int) -> int:
        """Places the sections that may be used like this, from an address on; gives the one behind them."""
        for section in self.source.sections:
            if section.kept and section.flags & (WRITE | EXECUTE) == flags:
                section.address = _up(at, section.align)
                at = section.address + section.size
        return at

    def _address(self, symbol: _Symbol) -> int:
        """Where a symbol is; of one that the process has, the jump there."""
        if symbol.section is None:
            return self.jumps_at + JUMP_BYTES * symbol.entry
        if symbol.section.address == LEFT_OUT:
            raise LinkError(f"'{symbol.name.decode()}' is in no section that is loaded")
        return symbol.section.address + symbol.value

    def bytes(self) -> bytes:
        """The file."""
        image = bytearray(self.size)
        for section in self.source.sections:
            if section.kept and section.kind != NO_BITS:
                contents = self.source.data[section.offset:section.offset + section.size]
                image[section.address:section.address + section.size] = contents
        for place in self.source.places:
            self._fill(image, *place)
        self._write_table(image)
        self._write_names(image)
        facts = [(HASHES, self.hash_at), (TEXTS, self.texts_at), (NAMES, self.names_at), (TEXTS_BYTES, len(self.texts)),
                 (NAMES_EACH, SYMBOL.size), (AT_LOAD, self.at_load_at), (AT_LOAD_BYTES, RELOCATION.size * len(self.at_load)),
                 (AT_LOAD_EACH, RELOCATION.size), (AT_ONCE, 0), (END, 0)]
        for number, fact in enumerate(facts):
            FACT.pack_into(image, self.written_at + FACT.size * number, *fact)
        self._write_header(image)
        return bytes(image) + bytes(SECTION.size)  # an empty section at the end: a file that was cut off is known by it

    def _fill(self, image: bytearray, section: _Section, offset: int, kind: int, symbol: _Symbol, addend: int) -> None:
        at = section.address + offset
        if kind == ABSOLUTE:
            if symbol.section is None:
                raise LinkError(f"data hold the address of '{symbol.name.decode()}', which the process has")
            self.at_load.append((at, OF_BASE, self._address(symbol) + addend))
        elif kind in ENTRIES:
            struct.pack_into("<i", image, at, self.table_at + 8 * symbol.entry + addend - at)
        elif kind in DISTANCES:
            struct.pack_into("<i", image, at, self._address(symbol) + addend - at)
        elif kind == WIDE_DISTANCE:
            struct.pack_into("<q", image, at, self._address(symbol) + addend - at)
        else:
            raise LinkError(f"relocations of type {kind} are none that kernels have")

    def _write_table(self, image: bytearray) -> None:
        """The addresses that are known when the object is loaded, and the jumps to them."""
        for symbol in self.table:
            entry, jump = self.table_at + 8 * symbol.entry, self.jumps_at + JUMP_BYTES * symbol.entry
            image[jump:jump + 2] = JUMP
            struct.pack_into("<i", image, jump + 2, entry - (jump + 6))
            self.at_load.append((entry, symbol.number << 32 | OF_SYMBOL, 0) if symbol.section is None else
                                (entry, OF_BASE, self._address(symbol)))
        for number, one in enumerate(self.at_load):
            RELOCATION.pack_into(image, self.at_load_at + RELOCATION.size * number, *one)

    def _write_names(self, image: bytearray) -> None:
        count = 1 + len(self.listed)
        # One bucket for all hashes: each name leads to the one before it.
        struct.pack_into(f"<{3 + count}I", image, self.hash_at, 1, count, count - 1, 0, *range(count - 1))
        image[self.texts_at:self.texts_at + len(self.texts)] = self.texts
        text = 1
        for symbol in self.listed:
            place = (0, 0) if symbol.section is None else (1, self._address(symbol))
            SYMBOL.pack_into(image, self.names_at + SYMBOL.size * symbol.number, text, symbol.info, 0, *place, symbol.size)
            text += len(symbol.name) + 1

    def _write_header(self, image: bytearray) -> None:
        HEADER.pack_into(image, 0, b"\x7fELF\x02\x01\x01" + bytes(9), SHARED, X86_64, 1, 0, HEADER.size, self.size, 0,
                         HEADER.size, SEGMENT.size, SEGMENTS, SECTION.size, 1, 0)
        segments = [(LOADED, 4, 0, self.code_at), (LOADED, 5, self.code_at, self.written_at),
                    (LOADED, 6, self.written_at, self.size), (DYNAMIC, 6, self.written_at, self.table_at), (STACK, 6, 0, 0)]
        for number, (kind, allowed, first, last) in enumerate(segments):
            SEGMENT.pack_into(image, HEADER.size + SEGMENT.size * number, kind, allowed, first, first, first, last - first,
                              last - first, PAGE if kind == LOADED else 8)


def link(data: bytes) -> bytes:
    """The shared object of an object file of x86-64.

    Raises:
        LinkError: it is none, or asks for what kernels do not need.
    """
    return _Image(_Object(data)).bytes()


def main(arguments: list[str]) -> int:
    """Links as ``ld`` would for PoCL: one file that ends in ``.o``, and ``-o`` with the result."""
    inputs = [argument for argument in arguments if argument.endswith(".o") and not argument.startswith("-")]
    if "-o" not in arguments[:-1] or len(inputs) != 1:
        print(f"clgrad's linker makes one shared object of one object file, not of {inputs}", file=sys.stderr)
        return 1
    try:
        with open(inputs[0], "rb") as file:
            made = link(file.read())
        with open(arguments[arguments.index("-o") + 1], "wb") as file:
            file.write(made)
    except (LinkError, OSError) as error:
        print(f"clgrad's linker: {inputs[0]}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
