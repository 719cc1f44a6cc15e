"""Tags: names under which any handle finds a query while it runs, in both of the engine's homes.

chDB drops a ``query_id``, so ``system.processes`` must tell by something else. A writer's query carries its tag as
``log_comment``. A reader's can't, its settings are locked; a comment before its text does. (A comment wouldn't do for
writers: the engine shows a text with an S3 secret anew, as it would print it, without comments.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from endpoints_pipeline.engine.handles import Role

_TAG = re.compile(r"[A-Za-z0-9_:./-]{1,300}", re.ASCII)

KILL = "KILL QUERY WHERE Settings['log_comment'] = {tag:String} OR startsWith(query, {comment:String}) ASYNC"

#: The progress of the running queries that have one of ``tags``: the fields of ``Progress`` behind the tag.
PROGRESS = r"""
SELECT if(log_comment IN {tags:Array(String)}, log_comment, comment) AS tag,
    sum(read_rows), sum(read_bytes), sum(total_rows_approx),
    intDiv(sum(ProfileEvents['OSCPUVirtualTimeMicroseconds']), 1000), toUInt64(max(elapsed) * 1000)
FROM (SELECT *, Settings['log_comment'] AS log_comment, extract(query, '^/\\* (\\S+) \\*/') AS comment
    FROM system.processes)
WHERE tag IN {tags:Array(String)} GROUP BY tag
"""


def check(tag: str) -> str:
    """The tag itself.

    Raises:
        ValueError: It holds what might end a comment, or is empty or too long.
    """
    if not _TAG.fullmatch(tag):
        raise ValueError(f"a query's tag is 1 to 300 letters, digits and _:./-, not {tag!r}")
    return tag


def comment(tag: str) -> str:
    return f"/* {check(tag)} */"


def with_tag(sql: str, tag: str, role: Role) -> str:
    """A SELECT, without settings of its own, that has its tag."""
    return f"{comment(tag)} {sql}" if role is Role.READER else f"{sql} SETTINGS log_comment = '{check(tag)}'"


@contextmanager
def tagged(handle: Client, sql: str, tag: str | None, role: Role) -> Iterator[str]:
    """The text to run in the block, on this handle, so that the query has its tag."""
    if tag is None:
        yield sql
    elif role is Role.READER:
        yield f"{comment(tag)} {sql}"
    else:
        handle.set_client_setting("log_comment", check(tag))
        yield sql
        handle.set_client_setting("log_comment", "")  # not after an error: the handle is thrown away then
