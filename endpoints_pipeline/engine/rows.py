"""Rows as the engine wrote them: JSON bytes that are spliced into an answer and never parsed by us.

``JSONCompactEachRowWithNamesAndTypes`` puts names and types on the first two lines and one row on each further line; a
row never holds a line break, since JSON escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass

FORMAT = "JSONCompactEachRowWithNamesAndTypes"

#: Contract 10.15: integers up to 64 bits are numbers, decimals strings, NaN and infinities null, times ISO 8601 in UTC.
SETTINGS: dict[str, object] = {
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_decimals": 1,
    "output_format_json_quote_denormals": 0,
    "output_format_json_escape_forward_slashes": 0,
    "output_format_json_named_tuples_as_objects": 1,
    "output_format_json_validate_utf8": 1,
    "date_time_output_format": "iso",
}


@dataclass(frozen=True, slots=True)
class JsonRows:
    """``data`` is the inside of a JSON array (``[1,"a"],[2,"b"]``) of ``count`` rows; ``more``: some were cut off."""

    data: bytes
    count: int
    more: bool


def split(answer: bytes, *, limit: int | None = None) -> JsonRows:
    """Cut the engine's answer into rows, keeping the first ``limit`` of them."""
    lines = answer.rstrip(b"\n").split(b"\n")[2:]
    kept = lines if limit is None else lines[:limit]
    return JsonRows(data=b",".join(kept), count=len(kept), more=len(kept) < len(lines))
