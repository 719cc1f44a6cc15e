"""``endpoints run``: an endpoint's rows, from its snapshot or from the source, in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from endpoints_pipeline.cli.output import AsJson, print_table

if TYPE_CHECKING:
    from endpoints_pipeline.serving.answer import Answer

_SHOWN_ROWS = 50


def run(
    name: Annotated[str, typer.Argument(help="The endpoint's name.")],
    version: Annotated[int | None, typer.Option(min=1, help="Run this version instead of the current one.")] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Ask the source, even if there is a snapshot.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows at most.")] = None,
    offset: Annotated[int, typer.Option(min=0, help="Rows to skip.")] = 0,
    variable: Annotated[
        list[str] | None, typer.Option("--variable", help="A variable's value, as NAME=VALUE; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run an endpoint and print its rows.

    A table holds the first 50 of them; JSON holds all.
    """
    from endpoints_pipeline.cli.session import begin, opened_application
    from endpoints_pipeline.serving.request import Refresh, RunRequest

    settings = begin()
    wanted = limit if as_json else min(limit or _SHOWN_ROWS, _SHOWN_ROWS)
    request = RunRequest(
        version=version,
        refresh=Refresh.DIRECT if direct else Refresh.CACHE,
        limit=wanted,
        offset=offset,
        variable_texts=_values(variable or []),
    )
    with opened_application(settings) as application:
        answer = application.runner.run(settings.project_id, name, request)
        if as_json:
            _print_json(answer)
        else:
            _print_table(answer, is_cut=answer.has_more and wanted != limit)


def _values(texts: list[str]) -> dict[str, str]:
    values = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given:
            raise typer.BadParameter(f"Give NAME=VALUE, not {text}.", param_hint="--variable")
        values[name] = value
    return values


def _print_json(answer: Answer) -> None:
    """The keys of an HTTP answer. The rows are the engine's own bytes, and come first: they may be many."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    out.write(b'{"results": [')
    for piece in answer.chunks():
        out.write(piece)
    facts = {
        "name": answer.endpoint.name,
        "columns": [column.name for column in answer.columns],
        "types": [(column.name, column.type) for column in answer.columns],
        "hasMore": answer.has_more,
        "last_refresh": answer.computed_at.isoformat(),
        "execution_id": answer.execution_id,
        "served": asdict(answer.served)
        | {"snapshot_at": answer.served.snapshot_at.isoformat() if answer.served.snapshot_at else None},
    }
    out.write(b"], " + json.dumps(facts, ensure_ascii=False).encode()[1:] + b"\n")
    out.flush()


def _print_table(answer: Answer, *, is_cut: bool) -> None:
    from datetime import timedelta

    from endpoints_pipeline.cli.formats import age_text

    rows = json.loads(b"[" + b"".join(answer.chunks()) + b"]")
    names = [column.name for column in answer.columns]
    numeric = [
        name for position, name in enumerate(names) if any(isinstance(row[position], int | float) for row in rows)
    ]
    print_table(names, ([_cell(value) for value in row] for row in rows), right=numeric)
    if is_cut:
        typer.echo("There are more rows: see them with --offset, or all with --json.")
    served = answer.served
    count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    line = f"{count} served {served.path} ({served.reason}), version {served.version}."
    if served.age_seconds is not None:
        line += f" The snapshot is {age_text(timedelta(seconds=served.age_seconds))} old"
        target = f", its target {age_text(timedelta(seconds=served.target_seconds))}" if served.target_seconds else ""
        line += f"{target}."
    typer.echo(f"{line} {served.detail}")


def _cell(value: object) -> str:
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
