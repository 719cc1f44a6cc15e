"""Tags: a comment before a query's text, by which any handle finds the query while it runs.

chDB drops a ``query_id`` and a read-only handle can't set a ``log_comment``, but ``system.processes`` keeps the text
as it was sent, in both of the engine's homes.
"""

from __future__ import annotations

import re

_TAG = re.compile(r"[A-Za-z0-9_:./-]{1,200}", re.ASCII)

#: The progress of the running queries that have one of ``tags``: the fields of ``Progress`` behind the tag.
PROGRESS = r"""
SELECT extract(query, '^/\\* (\\S+) \\*/') AS tag, sum(read_rows), sum(read_bytes), sum(total_rows_approx),
    intDiv(sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']), 1000), toUInt64(max(elapsed) * 1000)
FROM system.processes WHERE tag IN {tags:Array(String)} GROUP BY tag
"""


def mark(tag: str) -> str:
    """The comment itself.

    Raises:
        ValueError: The tag holds what might end the comment, or is empty or too long.
    """
    if not _TAG.fullmatch(tag):
        raise ValueError(f"a query's tag is 1 to 200 letters, digits and _:./-, not {tag!r}")
    return f"/* {tag} */"


def put(sql: str, tag: str | None) -> str:
    return f"{mark(tag)} {sql}" if tag is not None else sql
