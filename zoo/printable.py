"""Text from outside made fit to be shown: one line, and no control of the terminal."""

from __future__ import annotations

import re

# Controls (among them escape sequences, also of eight bits, and newlines), separators of
# lines, marks that turn the direction of writing, and what stands for undecodable bytes.
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: object) -> str:
    r"""Returns a text as one line that a terminal only shows.

    Names of files, classes and labels, answers of servers and messages of libraries may
    hold anything: a newline would forge a line, an escape sequence takes hold of the
    terminal. Each such character becomes an escape; a byte that is not UTF-8 becomes `\xe9`.

    Args:
        text: The text, or what `str` makes one of.

    Example:
        >>> print(printable("caf\udce9\n\x1b[31mred"))
        caf\xe9\n\x1b[31mred
    """
    return _UNFIT.sub(_escape, str(text))


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode maps the byte 0xE9 to U+DCE9
        code -= 0xDC00
    return rf"\x{code:02x}" if code < 0x100 else rf"\u{code:04x}"
