"""What the commands print: tables for people, JSON for programs, both on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

#: The option that every command with an answer has.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_UNBOUNDED = 10_000


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_encode))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = (), folding: Iterable[str] = ()
) -> None:
    """Print cells as they are.

    Args:
        columns: The titles.
        rows: The cells of each row.
        right: Titles of columns to align to the right.
        folding: Titles of columns that give way on a narrow terminal. None: all do.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    rigid = set(columns) - set(folding) if folding else set()
    for column in columns:
        table.add_column(
            Text(column), justify="right" if column in set(right) else "left", overflow="fold", no_wrap=column in rigid
        )
    for row in rows:
        table.add_row(*map(Text, row))
    # a file or another program has no width that rows could be folded to
    Console(width=None if sys.stdout.isatty() else _UNBOUNDED).print(table)


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path | StrEnum):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in our JSON")
