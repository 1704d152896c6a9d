# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A real answer of LeRobot's PolicyServer, and hostile ones.

data/lerobot_actions.pickle is what lerobot 0.6.1 with torch 2.11 pickles for three TimedAction (time steps 7 to 9) of six
values, rows of torch.randn(18) after torch.manual_seed(0).
"""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

REAL = (Path(__file__).parent / "data" / "lerobot_actions.pickle").read_bytes()
ACTION = b"clerobot.async_inference.helpers\nTimedAction\n"
STORAGE = b"ctorch.storage\n_load_from_bytes\n"


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.made


MARKER = "executed-by-a-pickle"
CREATE = f"open({MARKER!r}, 'w').close()"


def nested(inner: bytes) -> bytes:
    """Put a storage's bytes into an otherwise real answer."""
    start = REAL.index(b"B", REAL.index(b"_load_from_bytes"))
    (length,) = struct.unpack_from("<I", REAL, start + 1)
    return REAL[:start] + b"B" + struct.pack("<I", len(inner)) + inner + REAL[start + 5 + length :]


def storage() -> bytes:
    start = REAL.index(b"B", REAL.index(b"_load_from_bytes"))
    (length,) = struct.unpack_from("<I", REAL, start + 1)
    return REAL[start + 5 : start + 5 + length]


def deep(levels: int) -> bytes:
    return b"\x80\x04" + b"]" * levels + b"a" * (levels - 1) + b"."


def doubling(levels: int) -> bytes:
    """A list of two references to a list of two references to ...: 2 ** levels values for whoever walks through it."""
    return (
        b"\x80\x04]\x94"
        + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(levels))
        + b"."
    )


HOSTILE: dict[str, bytes] = {
    "os.system": pickle.dumps([Call(os.system, f"touch {MARKER}")]),
    "os.system, protocol 0": pickle.dumps([Call(os.system, f"touch {MARKER}")], 0),
    "builtins.eval": pickle.dumps(Call(builtins.eval, CREATE)),
    "builtins.exec": pickle.dumps(Call(builtins.exec, CREATE)),
    "builtins.getattr": pickle.dumps([Call(getattr, "x", "join")]),
    "builtins.__import__": pickle.dumps(Call(builtins.__import__, "antigravity")),
    "call of what a call returned": b"\x80\x04(" + ACTION + b")R" + b"(X\x01\x00\x00\x00xtRt.",
    "dotted name of an allowed module": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__class__\x93.",
    "allowed module, other name": b"\x80\x04ccollections\nnamedtuple\n.",
    "old style INST": b"(S'touch " + MARKER.encode() + b"'\nios\nsystem\n.",
    "old style OBJ": b"(cos\nsystem\nX\x01\x00\x00\x00xo.",
    "NEWOBJ_EX": b"\x80\x04" + ACTION + b")}\x92.",
    "extension registry 1": b"\x80\x02\x82\x01.",
    "extension registry 2": b"\x80\x02\x83\x01\x00.",
    "extension registry 4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "persistent id": b"\x80\x04X\x01\x00\x00\x00aQ.",
    "persistent id, protocol 0": b"Pabc\n.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "BUILD with slots": b"\x80\x04]" + ACTION + b")\x81N}\x86ba.",
    "BUILD sets __class__": b"\x80\x04]" + ACTION + b")\x81}X\x09\x00\x00\x00__class__Nsba.",
    "BUILD sets __setstate__": b"\x80\x04]"
    + ACTION
    + b")\x81}X\x0c\x00\x00\x00__setstate__"
    + ACTION
    + b"sb}ba.",
    "BUILD on a function": b"\x80\x04]" + STORAGE + b"}ba.",
    "BUILD on a list": b"\x80\x04]}b.",
    "append to an object": b"\x80\x04" + ACTION + b")\x81Na.",
    "items of an object": b"\x80\x04" + ACTION + b")\x81NNs.",
    "a key that cannot be hashed": b"\x80\x04}]Ns.",
    "a key whose hash is deep": b"\x80\x04}" + b")" + b"\x85" * 5000 + b"Ns.",
    "nested os.system": nested(pickle.dumps(Call(os.system, f"touch {MARKER}"))),
    "nested eval behind the magic number": nested(
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(Call(eval, CREATE), 2)
    ),
    "nested zip": nested(b"PK\x03\x04" + b"\x00" * 100),
    "nested tar": nested(b"\x00" * 1024),
    "nested storage inside a storage": nested(nested(storage())),
    "nested storage of another size": nested(storage()[:-4]),
    "nested storage that says more": nested(
        storage()
        .replace(b"K\x12N", b"J\xff\xff\xff\x7fN")
        .replace(b"\x12" + b"\x00" * 7, b"\xff\xff\xff\x7f" + b"\x00" * 4)
    ),
    "nested storage of another type": nested(storage().replace(b"FloatStorage", b"QInt8Storage")),
    "nested location that is a file": nested(storage()[: storage().index(b"X\x03\x00\x00\x00cpu")]),
    "offset beyond the storage": REAL.replace(b"K\x0cK\x06\x85", b"K\x0dK\x06\x85"),
    "size beyond the storage": REAL.replace(b"K\x00K\x06\x85", b"K\x00K\x13\x85"),
    "stride beyond the storage": REAL.replace(b"K\x01\x85", b"K\xff\x85", 1),
    "stride of zero": REAL.replace(b"K\x01\x85", b"K\x00\x85", 1),
    "negative offset": REAL.replace(b"K\x00K\x06\x85", b"J\xff\xff\xff\xffK\x06\x85"),
    "rows of different lengths": REAL.replace(b"K\x00K\x06\x85", b"K\x00K\x05\x85"),
    "time steps that jump": REAL.replace(b"K\x09", b"K\x0a"),
    "time step that is no number": REAL.replace(b"K\x07", b"N", 1),
    "values that are not finite": nested(storage()[:-72] + struct.pack("<f", float("nan")) + storage()[-68:]),
    "infinite values": nested(storage()[:-72] + struct.pack("<f", float("inf")) + storage()[-68:]),
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
    "huge bytes that are not there": b"\x80\x04B\xff\xff\xff\xffx.",
    "huge text that is not there": b"\x80\x04X\xff\xff\xff\xffx.",
    "huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "huge whole number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
    "huge place in the memo": b"\x80\x04Nr\xff\xff\xff\xff.",
    "what the memo does not have": b"\x80\x04j\xff\xff\xff\xff.",
    "doubled references": doubling(200),
    "doubled references as a name": doubling(200)[:-1] + b"\x8c\x01x\x93.",
    "doubled references as a module": doubling(200)[:-1] + b"h\x14\x8c\x01x\x93.",
    "a list in itself": b"\x80\x04]\x94h\x00a.",
    "nested deeply": deep(90_000),
    "a million operations": b"\x80\x04" + b"N0" * 500_000 + b"N.",
    "a million lists": b"\x80\x04" + b"]" * 1_000_000 + b".",
    "nothing": b"",
    "only the end": b".",
    "a mark left over": b"\x80\x04(.",
    "no end": b"\x80\x04]",
    "two values": b"\x80\x04]].",
    "something behind": REAL + b"x",
    "no list": pickle.dumps({"a": 1}),
    "an empty list": pickle.dumps([]),
    "numbers": pickle.dumps([1, 2]),
    "text that is no text": b"\x80\x04\x8c\x02\xff\xfe.",
    "an attribute more": b"\x80\x04]" + ACTION + b")\x81}(X\x01\x00\x00\x00aNX\x01\x00\x00\x00bNuba.",
    "an ordered dictionary with a secret": pickle.dumps(collections.OrderedDict(a=Call(eval, CREATE))),
    "random bytes": bytes(range(256)),
}
