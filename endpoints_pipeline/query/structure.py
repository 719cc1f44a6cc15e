"""Structures: texts like ``'id UInt8, tags Array(String)'`` that table functions take for their columns."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_\s,()=.-]*", re.ASCII)
_ARGUMENTS = re.compile(r"\([^()]*\)")
_COLUMN = re.compile(r"\s*\w+\s+\w+\s*", re.ASCII)


def is_plain_structure(text: str) -> bool:
    """True if each column is a name and a type, and nothing after it: no DEFAULT, ALIAS or other expression."""
    bare = _QUOTED.sub("q", text)
    if not _PLAIN.fullmatch(bare) or "--" in bare:  # a comment could hide a quote from us
        return False
    while (shorter := _ARGUMENTS.sub("", bare)) != bare:
        bare = shorter
    return all(_COLUMN.fullmatch(column) for column in bare.split(","))
