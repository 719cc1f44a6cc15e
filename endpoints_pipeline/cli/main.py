"""``endpoints``: the commands, put together. Each imports what it needs when it is called, so ``--help`` is quick."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from endpoints_pipeline.cli.config import config
from endpoints_pipeline.cli.demo import demo
from endpoints_pipeline.cli.keys import keys
from endpoints_pipeline.cli.listing import list_endpoints
from endpoints_pipeline.cli.migrate import migrate
from endpoints_pipeline.cli.publish import publish
from endpoints_pipeline.cli.refresh import refresh
from endpoints_pipeline.cli.run import run
from endpoints_pipeline.cli.up import up
from endpoints_pipeline.errors import EndpointsError


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of ours is said in its own words, without a traceback, and ends with code 1."""
        try:
            return super().invoke(ctx)
        except EndpointsError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    help="SQL endpoints over ClickHouse, materialized by Dagster as Parquet on S3.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich's help takes longer to import than all the rest
    pretty_exceptions_enable=False,  # they would print the values of variables, secrets among them
)
app.command("up", short_help="Start everything on this machine, until Ctrl-C.")(up)
app.command("demo", short_help="Prove the examples end to end, and stop.")(demo)
app.command("publish")(publish)
app.command("list")(list_endpoints)
app.command("run")(run)
app.command("refresh")(refresh)
app.add_typer(keys, name="keys")
app.command("config")(config)
app.command("migrate")(migrate)
