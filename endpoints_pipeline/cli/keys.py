"""``endpoints keys``: make, list and revoke the keys to the API."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from endpoints_pipeline.cli.output import AsJson, print_json, print_table
from endpoints_pipeline.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from endpoints_pipeline.catalog import Catalog
    from endpoints_pipeline.catalog.records import ApiKey
    from endpoints_pipeline.settings import Settings

#: Whom a personal key acts for when nobody is named.
OWNER = "owner@localhost"
#: The label of the keys that ``up`` and ``demo`` make for their own calls.
OWN_LABEL = "endpoints up"
_OWN_LIFE = timedelta(days=1)

keys = typer.Typer(
    help="Make, list and revoke the keys to the API.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@keys.command("create")
def create_key(
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do, like endpoint:read; may be repeated. [default: * for a personal key, "
            "endpoint:read for a project secret key]",
            show_default=False,
        ),
    ] = None,
    project: Annotated[
        int | None, typer.Option(min=1, help="The project it opens. [default: the CLI's]", show_default=False)
    ] = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="It opens every project.")] = False,
    project_secret: Annotated[
        bool, typer.Option("--project-secret", help="A key of the project, which runs endpoints and nothing else.")
    ] = False,
    email: Annotated[
        str | None, typer.Option(help=f"The person it acts for. [default: {OWNER}]", show_default=False)
    ] = None,
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="It ends by itself. [default: never]", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print its secret, this once.

    Only the secret goes to stdout, so that a script can take it.
    """
    from endpoints_pipeline.catalog.records import KeyKind
    from endpoints_pipeline.cli.session import begin, opened_catalog
    from endpoints_pipeline.clock import utc_now

    if all_projects and (project is not None or project_secret):
        raise typer.BadParameter(
            "It goes neither with --project nor with --project-secret.", param_hint="--all-projects"
        )
    if project_secret and email is not None:
        raise typer.BadParameter("A project secret key acts for nobody.", param_hint="--email")
    if email is not None and "@" not in email:
        raise typer.BadParameter(f"'{email}' is no e-mail address.", param_hint="--email")
    scopes = _checked_scopes(scope or (["endpoint:read"] if project_secret else ["*"]))
    settings, now = begin(), utc_now()
    with opened_catalog(settings) as catalog:
        if project is not None:
            catalog.projects.get(project)
        key, secret = catalog.keys.create(
            kind=KeyKind.PROJECT_SECRET if project_secret else KeyKind.PERSONAL,
            label=label,
            project_id=None if all_projects else project or settings.project_id,
            scopes=scopes,
            user_id=None if project_secret else catalog.keys.ensure_user(email or OWNER, now=now).id,
            now=now,
            expires_at=now + timedelta(days=expires_in_days) if expires_in_days else None,
        )
    if as_json:
        print_json({**_facts(key, now), "secret": secret})
        return
    typer.echo(secret)
    opens = "every project" if key.project_id is None else f"project {key.project_id}"
    until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until it is revoked"
    typer.echo(f"It opens {opens} with {', '.join(key.scopes)}, {until}. It is shown this once; id: {key.id}", err=True)


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys of all projects, without their secrets."""
    from endpoints_pipeline.cli.formats import age_text
    from endpoints_pipeline.cli.session import begin, opened_catalog
    from endpoints_pipeline.clock import utc_now

    with opened_catalog(begin()) as catalog:
        found = catalog.keys.list()
    now = utc_now()
    if as_json:
        print_json([_facts(key, now) for key in found])
        return
    if not found:
        typer.echo("There are no keys: make one with `endpoints keys create`.")
        return
    columns = ("id", "secret", "kind", "label", "person", "project", "scopes", "last used", "state")
    rows = [
        (
            key.id,
            key.mask,
            key.kind.replace("_", " "),
            key.label,
            key.user.email if key.user else "",
            "all" if key.project_id is None else str(key.project_id),
            ", ".join(key.scopes),
            f"{age_text(now - key.last_used_at)} ago" if key.last_used_at else "never",
            _state(key, now),
        )
        for key in found
    ]
    print_table(columns, rows, folding=["label", "person", "scopes"])


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="Its id, or its secret as `endpoints keys list` shows it.")
    ],
) -> None:
    """End a key, at once and for good."""
    from endpoints_pipeline.cli.session import begin, opened_catalog
    from endpoints_pipeline.clock import utc_now

    with opened_catalog(begin()) as catalog:
        key = catalog.keys.revoke(key_id, utc_now())
    typer.echo(f"Revoked: {key.mask} {key.label}".rstrip())


@contextmanager
def own_key(settings: Settings) -> Iterator[str]:
    """The secret of a key for a command's own calls to the API; it is revoked at the end of the block.

    Raises:
        CatalogError: The catalog can't be used.
    """
    from endpoints_pipeline.catalog.records import KeyKind
    from endpoints_pipeline.cli.session import opened_catalog
    from endpoints_pipeline.clock import utc_now

    now = utc_now()
    with opened_catalog(settings) as catalog:
        key, secret = catalog.keys.create(
            kind=KeyKind.PERSONAL,
            label=OWN_LABEL,
            project_id=settings.project_id,
            scopes=["*"],
            user_id=catalog.keys.ensure_user(OWNER, now=now).id,
            now=now,
            expires_at=now + _OWN_LIFE,
        )
        try:
            yield secret
        finally:
            with suppress(CatalogError):  # it expires by itself, and an error on the way here says more
                catalog.keys.revoke(key.id, utc_now())


def first_key(catalog: Catalog, now: datetime) -> str | None:
    """The secret of a new key that opens everything, if nobody ever made one; None otherwise."""
    from endpoints_pipeline.catalog.records import KeyKind

    if any(key.label != OWN_LABEL for key in catalog.keys.list()):
        return None
    _, secret = catalog.keys.create(
        kind=KeyKind.PERSONAL,
        label="first key",
        project_id=None,
        scopes=["*"],
        user_id=catalog.keys.ensure_user(OWNER, now=now).id,
        now=now,
    )
    return secret


def _checked_scopes(scopes: list[str]) -> list[str]:
    from endpoints_pipeline.api.auth import SCOPES

    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise typer.BadParameter(
            f"Unknown: {', '.join(unknown)}. There are: {', '.join(SCOPES)}.", param_hint="--scope"
        )
    return scopes


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def _facts(key: ApiKey, now: datetime) -> Mapping[str, Any]:
    return {
        "id": key.id,
        "kind": key.kind,
        "label": key.label,
        "person": key.user.email if key.user else None,
        "project_id": key.project_id,
        "scopes": list(key.scopes),
        "mask": key.mask,
        "state": _state(key, now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }
