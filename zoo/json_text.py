"""JSON text that every parser reads, whatever bytes the names of files have."""

from __future__ import annotations

import json
import re
from typing import Any

# Controls of eight bits and marks of direction, which a terminal obeys.
_CONTROL = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    r"""Returns one JSON value as indented text.

    A path may hold bytes that are not UTF-8, which Python keeps as lone surrogates. No
    encoding of JSON has these, so each becomes an escape in the text, as for people: the
    byte 0xE9 is written `\xe9`.

    Args:
        value: Dictionaries, lists, texts, numbers, booleans and None.
        ascii_only: Whether to escape every character beyond ASCII, for an output whose
            encoding is not UTF-8.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON lacks.

    Example:
        >>> print(json_text({"image": "caf\udce9.jpg"}))
        {
          "image": "caf\\xe9.jpg"
        }
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    text = _SURROGATE.sub(_escape, text)
    # Control characters of seven bits are escaped already; these only occur in strings too.
    text = _CONTROL.sub(lambda match: rf"\u{ord(match[0]):04x}", text)
    return text if not ascii_only else re.sub(r"[^\x00-\x7f]", _escape_unicode, text)


def _escape(match: re.Match[str]) -> str:
    """Returns the escape of a lone surrogate, its backslash escaped for JSON."""
    code = ord(match[0])
    # os.fsdecode maps the byte 0xE9 to U+DCE9.
    return rf"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else rf"\\u{code:04x}"


def _escape_unicode(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
