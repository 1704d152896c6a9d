# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pickles without pickle: reads and writes the few kinds of values that LeRobot's server speaks, and runs nothing.

Its unit is one pickle. Reading gives plain values and inert records of what a pickle wants called and with which arguments;
nothing is imported, called or set, so no pickle can do anything. Names outside the caller's list and opcodes outside ours
are refused, and work and memory are bounded by the input's size and a limit of operations. Opcodes as in Python's
pickletools.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

OPERATIONS_MAX = 100_000


class PickleRefused(ValueError):
    """A pickle holds what it should not, or is broken; the text says what."""


@dataclass(frozen=True)
class Global:
    """The name of a class or function, "module name"."""

    name: str


@dataclass(eq=False)
class Made:
    """What a pickle wants made: a callable's name, its arguments, and the state that is set afterwards."""

    by: Global
    arguments: tuple[Any, ...]
    state: dict[str, Any] | None = None


@dataclass(frozen=True)
class Persistent:
    """A reference to something outside the pickle."""

    identity: Any


_MARK = object()
_OPCODES: dict[int, str] = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}


class Reader:
    """Reads pickles that follow each other in one buffer. position: where the next one begins."""

    def __init__(self, data: bytes, allowed: Collection[str], operations: int = OPERATIONS_MAX) -> None:
        """allowed: names, "module name", that may occur. operations: of all pickles of this buffer together."""
        self._data = data
        self._allowed = allowed
        self._operations = operations
        self.position = 0

    def read(self) -> Any:
        """Read one pickle. PickleRefused says what is wrong with it."""
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        try:
            while True:
                self._operations -= 1
                if self._operations < 0:
                    raise PickleRefused("a pickle of too many operations")
                code = self._take(1)[0]
                name = _OPCODES.get(code, "")
                if name == "STOP":
                    (value,) = self._stack
                    return value
                handler = _HANDLERS.get(name)
                if handler is None:
                    raise PickleRefused(
                        f"the opcode {name or hex(code)} is not one of those that are expected"
                    )
                handler(self)
        except (IndexError, KeyError, TypeError, UnicodeDecodeError, struct.error) as error:
            raise PickleRefused(f"a broken pickle: {type(error).__name__} {error}") from None
        except ValueError as error:
            if isinstance(error, PickleRefused):
                raise
            raise PickleRefused(f"a broken pickle: {error}") from None

    def rest(self) -> bytes:
        """Return what comes after the pickles that were read."""
        return self._data[self.position :]

    # ---- input and stack

    def _take(self, count: int) -> bytes:
        piece = self._data[self.position : self.position + count]
        if len(piece) != count:
            raise PickleRefused("a pickle that is cut off")
        self.position += count
        return piece

    def _skip(self, count: int) -> None:
        self._take(count)

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _line(self) -> str:
        end = self._data.find(b"\n", self.position, self.position + 1024)
        if end < 0:
            raise PickleRefused("a name without an end")
        return self._take(end + 1 - self.position)[:-1].decode()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise PickleRefused("a broken pickle: a mark in the wrong place")
        return value

    def _pop_to_mark(self) -> list[Any]:
        items = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    # ---- opcodes

    def _global(self, module: Any, name: Any) -> None:
        # Only text is ever put into text: what stands for itself many times over would fill all memory.
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleRefused("a name that is no text")
        full = f"{module} {name}"
        if full not in self._allowed:
            raise PickleRefused(f"the name '{full[:100]}' is not one of those that are expected")
        self._push(Global(full))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _make(self) -> None:
        arguments, by = self._pop(), self._pop()
        if not isinstance(by, Global) or not isinstance(arguments, tuple):
            raise PickleRefused("something that is no name is called")
        self._push(Made(by, arguments))

    def _build(self) -> None:
        state, made = self._pop(), self._stack[-1]
        if not isinstance(made, Made) or made.state is not None or not isinstance(state, dict):
            raise PickleRefused("a state is set where there should be none")
        made.state = state

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise PickleRefused("values are appended to what is no list")
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise PickleRefused("items are set in what is no dictionary")
        for key, value in zip(values[::2], values[1::2]):
            if not isinstance(key, str):
                raise PickleRefused("a dictionary's key that is no text")
            target[key] = value

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(values[::-1]))

    def _put(self, index: int) -> None:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleRefused("a broken pickle: nothing to remember")
        self._memo[index] = self._stack[-1]


_HANDLERS: dict[str, Callable[[Reader], None]] = {
    "PROTO": lambda r: r._skip(1),
    "FRAME": lambda r: r._skip(8),
    "MARK": lambda r: r._push(_MARK),
    "NONE": lambda r: r._push(None),
    "NEWTRUE": lambda r: r._push(True),
    "NEWFALSE": lambda r: r._push(False),
    "BININT": lambda r: r._push(r._number("<i")),
    "BININT1": lambda r: r._push(r._number("<B")),
    "BININT2": lambda r: r._push(r._number("<H")),
    "LONG1": lambda r: r._push(int.from_bytes(r._take(r._number("<B")), "little", signed=True)),
    "BINFLOAT": lambda r: r._push(struct.unpack(">d", r._take(8))[0]),
    "SHORT_BINUNICODE": lambda r: r._push(r._take(r._number("<B")).decode()),
    "BINUNICODE": lambda r: r._push(r._take(r._number("<I")).decode()),
    "SHORT_BINBYTES": lambda r: r._push(r._take(r._number("<B"))),
    "BINBYTES": lambda r: r._push(r._take(r._number("<I"))),
    "EMPTY_LIST": lambda r: r._push([]),
    "EMPTY_DICT": lambda r: r._push({}),
    "EMPTY_TUPLE": lambda r: r._push(()),
    "APPEND": lambda r: r._append([r._pop()]),
    "APPENDS": lambda r: r._append(r._pop_to_mark()),
    "SETITEM": lambda r: r._set_item(),
    "SETITEMS": lambda r: r._set_items(r._pop_to_mark()),
    "TUPLE": lambda r: r._push(tuple(r._pop_to_mark())),
    "TUPLE1": lambda r: r._tuple(1),
    "TUPLE2": lambda r: r._tuple(2),
    "TUPLE3": lambda r: r._tuple(3),
    "MEMOIZE": lambda r: r._put(len(r._memo)),
    "BINPUT": lambda r: r._put(r._number("<B")),
    "LONG_BINPUT": lambda r: r._put(r._number("<I")),
    "BINGET": lambda r: r._push(r._memo[r._number("<B")]),
    "LONG_BINGET": lambda r: r._push(r._memo[r._number("<I")]),
    "GLOBAL": lambda r: r._global(r._line(), r._line()),
    "STACK_GLOBAL": lambda r: r._stack_global(),
    "REDUCE": lambda r: r._make(),
    "NEWOBJ": lambda r: r._make(),
    "BUILD": lambda r: r._build(),
    "BINPERSID": lambda r: r._push(Persistent(r._pop())),
}


# ---- writing


@dataclass(frozen=True)
class Instance:
    """An object of a class at the other end: "module name" and its attributes."""

    of: str
    attributes: dict[str, Any]


def dumps(value: Any) -> bytes:
    """Pickle None, bool, int, float, str, tuple, list, dict, uint8 arrays and `Instance`s of those (protocol 5)."""
    pieces = [b"\x80\x05"]
    _write(value, pieces)
    pieces.append(b".")
    return b"".join(pieces)


def _write(value: Any, pieces: list[bytes]) -> None:
    if value is None:
        pieces.append(b"N")
    elif isinstance(value, bool):
        pieces.append(b"\x88" if value else b"\x89")
    elif isinstance(value, int):
        pieces.append(b"J" + struct.pack("<i", value))
    elif isinstance(value, float):
        pieces.append(b"G" + struct.pack(">d", value))
    elif isinstance(value, str):
        text = value.encode()
        pieces += [b"X", struct.pack("<I", len(text)), text]
    elif isinstance(value, (tuple, list)):
        pieces += [b"(", b""] if isinstance(value, tuple) else [b"]", b"("]
        for item in value:
            _write(item, pieces)
        pieces.append(b"t" if isinstance(value, tuple) else b"e")
    elif isinstance(value, dict):
        pieces += [b"}", b"("]
        for key, item in value.items():
            _write(key, pieces)
            _write(item, pieces)
        pieces.append(b"u")
    elif isinstance(value, np.ndarray) and value.dtype == np.uint8:
        # numpy.ndarray(shape, dtype, buffer): the same name in every version of numpy.
        pieces += [b"cnumpy\nndarray\n", b"("]
        _write(value.shape, pieces)
        _write("|u1", pieces)
        pieces += [b"\x96", struct.pack("<Q", value.nbytes), value.tobytes()]
        pieces += [b"t", b"R"]
    elif isinstance(value, Instance):
        module, name = value.of.split(" ")
        pieces += [f"c{module}\n{name}\n".encode(), b")\x81"]
        _write(value.attributes, pieces)
        pieces.append(b"b")
    else:
        raise TypeError(f"{type(value).__name__} is not among what can be written")
