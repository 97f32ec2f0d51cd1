"""Damage that knows nothing of frames: to bytes, to lines of text, to JSON values."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

NUMBERS = (
    *(0, 1, 2, 3, 9, 32, 33, 127, 128, 255, 256, 4095, 4096, 4097, 65535, 65536, 65537),
    *(2**20, 2**30 - 1, 2**30, 2**30 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62),
    *(2**63 - 1, 2**63, 2**64 - 1),
)
"""Where sizes and counts tend to go wrong: limits of the format and of integers."""
NAMES = (
    *("", "a" * 255, "a" * 256, "none", "lmc-3m", "hf:evil/model", "../tiny", "/etc"),
    *("line\nline", "\x1b[31mred", "safe\u202eexe", "zero\u200bwidth", "\x85", "%s{0}"),
)
"""What a terminal, a path or a message may choke on."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", [], {}, 0, 1, -1, 2, 3, 0.5, 1e308, float("nan"), float("inf")),
    *(256, 4096, 2**20, 2**31, 2**63, 10**30, [0], [[]], {"a": []}, *NAMES),
)
_DEPTH = 3000
"""Brackets that no parser without a limit of its own survives."""


def near(value: int, rng: random.Random) -> int:
    """Returns another number: near the value, or where numbers go wrong."""
    choices = (value - 1, value + 1, 2 * value, value // 2, rng.choice(NUMBERS))
    return max(0, rng.choice(choices))


def damaged(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Returns data with one to three accidents; `other` is what it may be spliced with."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_ACCIDENTS)(data, other, rng)
    return data


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, 8, 32, len(data))))


def _flip(data: bytes, other: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= rng.choice((1, 0x80, 0xFF, 1 << rng.randrange(8)))
    return bytes(changed)


def _overwrite(data: bytes, other: bytes, rng: random.Random) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice(NUMBERS) % (1 << 8 * width)
    at = rng.randrange(len(data) + 1)
    return data[:at] + value.to_bytes(width, "little") + data[at + width :]


def _insert(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 1, 2, 4, 16))) + data[at:]


def _delete(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def _duplicate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start, stop = _span(data, rng)
    return data[:stop] + data[start:]


def _truncate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


_ACCIDENTS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _overwrite, _insert, _delete, _duplicate, _truncate, _splice),
)


def changed_json(text: str, rng: random.Random) -> str:
    """Returns JSON of which one to three members were changed, lost, doubled or renamed."""
    value = [json.loads(text)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        if value:
            _change(rng.choice(_containers(value)), rng)
    packed = json.dumps(value[0]) if value else ""
    if rng.random() < 0.02:
        at = rng.randrange(len(packed) + 1)
        packed = packed[:at] + rng.choice(("[", '{"a":')) * _DEPTH + packed[at:]
    return packed


def _containers(value: Any) -> list[Any]:
    """Returns the lists and objects in a value that have members, itself included."""
    found = [value] if isinstance(value, list | dict) and value else []
    members = value.values() if isinstance(value, dict) else value if found else []
    return found + [inner for member in members for inner in _containers(member)]


def _change(container: Any, rng: random.Random) -> None:
    key: Any = rng.choice([*container]) if isinstance(container, dict) else None
    if key is None:
        key = rng.randrange(len(container))
    action = rng.random()
    if action < 0.6:
        container[key] = _other_value(container[key], rng)
    elif action < 0.75:
        del container[key]
    elif isinstance(container, list):
        container.insert(key, container[key])
    else:
        container[rng.choice(("", "unknown", key.upper(), *container))] = container.pop(key)


def _other_value(value: Any, rng: random.Random) -> Any:
    if type(value) is int and rng.random() < 0.5:
        return near(value, rng)
    if isinstance(value, str) and rng.random() < 0.3:
        return damaged(value.encode(), value.encode(), rng).decode("utf-8", "ignore")
    return copy.deepcopy(rng.choice(VALUES))


def changed_toml(text: str, rng: random.Random) -> str:
    """Returns TOML of which a line or two have another value, or are lost, doubled or moved."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(lines))
        name, equals, value = lines[at].partition(" = ")
        action = rng.random()
        if equals and action < 0.75:
            lines[at] = f"{name} = {_toml_value(value, rng)}"
        elif action < 0.85:
            lines.insert(rng.randrange(len(lines)), lines[at])
        else:
            lines.insert(rng.randrange(len(lines)), lines.pop(at))
    return "\n".join(lines)


def _toml_value(value: str, rng: random.Random) -> str:
    if value.isdigit() and len(value) < 20 and rng.random() < 0.4:
        return str(near(int(value), rng))
    if rng.random() < 0.05:
        return rng.choice(("[" * _DEPTH, "9" * 5000, "1979-05-27", "nan", "-inf", "{}", "'"))
    found = json.dumps(rng.choice(VALUES))
    return re.sub("NaN", "nan", found).replace("Infinity", "inf").replace("null", "0")
