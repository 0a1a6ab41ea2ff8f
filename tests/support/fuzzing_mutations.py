"""Mutations of valid inputs: of bytes, of JSON values and of the parts of zip files."""

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from typing import Any

import numpy as np

_TOKENS = (
    b"", b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r\n", b"\x1b[31m", b"[" * 3000, b"{" * 99,
    b"(" * 300, b"a." * 200, b"9" * 5000, b"-1", b"1e999", b"nan", b"0x", b"1e9", b"4294967296",
    b'"', b"'", b'"""', b"\\", b"=", b",", b";", b"|", b"#", b"[[a]]", b"null", b"true", b"../" * 9,
    b"__class__", b"\xc3\xa9", b"\xed\xa0\x80", b"\xe2\x80\xae", b"{}" , b"[]", b"1979-05-27",
)  # fmt: skip
_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -0.5, 1e308, float("nan"), float("inf"), "",
    "x", "é\u202e", "\x1b[31m\n", "a" * 1000, "../../etc/passwd", [], {}, [[]], [None], {"": None},
    [1, "x", None], {"a": {"b": []}}, "0", "nan",
)  # fmt: skip


def mutate_bytes(sample: bytes, rng: random.Random) -> bytes:
    """Returns a sample with one to four changes: of bits, bytes, numbers, runs or its end."""
    content = bytearray(sample)
    for _ in range(rng.choice((1, 1, 2, 4))):
        start = rng.randrange(len(content) + 1)
        stop = min(len(content), start + rng.choice((1, 2, 4, 8, 30, 200)))
        kind = rng.randrange(8)
        if kind == 0 and start < len(content):
            content[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[start:stop] = rng.randbytes(stop - start)
        elif kind == 2:
            del content[start:stop]
        elif kind == 3:
            content[start:start] = content[start:stop] * rng.choice((1, 1, 50))
        elif kind == 4:
            content[start:stop] = rng.choice(_TOKENS)
        elif kind == 5:
            content[start:start] = rng.choice(_TOKENS)
        elif kind == 6:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(_INTEGERS) % 256**size
            content[start : start + size] = number.to_bytes(size, rng.choice(("little", "big")))
        else:
            del content[start:]
    return bytes(content)


def mutate_value(sample: Any, rng: random.Random) -> Any:
    """Returns a JSON value with one or two of its parts exchanged, doubled or left out."""
    value = copy.deepcopy(sample)
    for _ in range(rng.choice((1, 1, 2))):
        places = list(_places(value))
        if not places or rng.random() < 0.02:
            return rng.choice(_VALUES)
        parent, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice((f"{key}x", "", str(key) * 2))] = parent.pop(key)
        elif kind == 1:
            parent.append(copy.deepcopy(parent[key]))
        elif kind == 2:
            parent[key] = copy.deepcopy(rng.choice(places)[0])
        else:
            parent[key] = copy.deepcopy(rng.choice(_VALUES))
    return value


def mutate_json(sample: Any, rng: random.Random) -> bytes:
    """Returns the JSON text of a changed value, or a changed text."""
    if rng.random() < 0.75:
        return json.dumps(mutate_value(sample, rng)).encode()
    return mutate_bytes(json.dumps(sample).encode(), rng)


def mutate_zip(sample: bytes, rng: random.Random) -> bytes:
    """Returns a zip file with changed bytes, or one whose checksums fit a changed part."""
    if rng.random() < 0.4:
        return mutate_bytes(sample, rng)
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(parts))
    kind = rng.randrange(6)
    if kind == 0:
        del parts[name]
    elif kind == 1:
        parts[mutate_bytes(name.encode(), rng).decode("latin-1")[:60000]] = parts.pop(name)
    elif kind == 2 and name.endswith(".npy"):
        parts[name] = _mutate_array(parts[name], rng)
    else:
        parts[name] = mutate_bytes(parts[name], rng)
    return pack(parts, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def pack(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Returns a zip file of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def _mutate_array(content: bytes, rng: random.Random) -> bytes:
    """Returns an array file with another shape, type or header."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    key, value = rng.choice((
        ("shape", (2**40,)), ("shape", (-1,)), ("shape", ()), ("shape", (0, 10**9)), ("shape", "x"),
        ("descr", "|O"), ("descr", "<U4"), ("descr", "<M8[s]"), ("descr", "<c16"), ("descr", "|V0"),
        ("descr", [("a", "<f4")]), ("fortran_order", True), ("other", 1),
    ))  # fmt: skip
    text = repr(header | {key: value}).ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + array.tobytes()


def _places(value: Any, depth: int = 0) -> Any:
    """Yields each container of a value with each of its keys or indices."""
    if depth > 20 or not isinstance(value, dict | list):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        yield from _places(value[key], depth + 1)
