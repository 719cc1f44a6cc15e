"""``endpoints publish``: definitions in YAML become endpoints, or bring them to what the files say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from endpoints_pipeline.cli.output import AsJson, print_json
from endpoints_pipeline.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from endpoints_pipeline.catalog.endpoints import EndpointChange, NewEndpoint
    from endpoints_pipeline.catalog.records import Endpoint
    from endpoints_pipeline.cli.definition_files import DefinitionFile
    from endpoints_pipeline.serving.application import Application

Outcome = Literal["created", "updated", "unchanged"]


def publish(
    paths: Annotated[list[Path], typer.Argument(help="YAML files, and folders of them.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Create or update endpoints from YAML files.

    All files are checked before the first one changes anything.
    """
    from endpoints_pipeline.cli.definition_files import load
    from endpoints_pipeline.cli.session import begin, opened_application

    settings = begin()
    files = load(paths)
    outcomes = []
    with opened_application(settings) as application:
        plans = [(file, plan(application, file)) for file in files]
        for file, planned in plans:
            endpoint, outcome = apply(application, file, planned)
            outcomes.append(
                {"name": file.name, "outcome": outcome, "version": endpoint.version.version, "file": file.path}
            )
            if not as_json:
                typer.echo(f"{outcome:<9}  {file.name} v{endpoint.version.version}  ({file.path})")
    if as_json:
        print_json(outcomes)


def plan(application: Application, file: DefinitionFile) -> NewEndpoint | EndpointChange | Endpoint:
    """What to do for a definition: create, change, or leave the endpoint as it is. Nothing is changed yet.

    Raises:
        InvalidInput: The query can't be accepted; the message names the file.
    """
    from endpoints_pipeline.catalog.endpoints import EndpointChange, NewEndpoint
    from endpoints_pipeline.serving.publish import check_query

    try:
        endpoint = application.catalog.endpoints.get(application.settings.project_id, file.name)
    except NotFound:
        endpoint = None
    if endpoint is not None and _is_as_defined(endpoint, file):
        return endpoint
    try:
        query = check_query(
            application.catalog,
            application.engine,
            application.settings.project_id,
            file.query_object,
            materialized=file.is_materialized,
        )
    except InvalidInput as error:
        raise InvalidInput(f"{file.path}: {error}", attr=error.attr, code=error.code) from error
    if endpoint is None:
        return NewEndpoint(
            name=file.name,
            query=query,
            description=file.description,
            is_active=file.is_active,
            is_materialized=file.is_materialized,
            data_freshness_seconds=file.data_freshness_seconds,
            sync_frequency=file.sync_frequency,
        )
    return EndpointChange(
        query=query,
        description=file.description,
        is_active=file.is_active,
        is_materialized=file.is_materialized,
        data_freshness_seconds=file.data_freshness_seconds,
        sync_frequency=file.sync_frequency,
    )


def apply(
    application: Application, file: DefinitionFile, planned: NewEndpoint | EndpointChange | Endpoint
) -> tuple[Endpoint, Outcome]:
    """Do what was planned.

    Raises:
        EndpointsError: The catalog refused; nothing of this endpoint was changed, and the message names the file.
    """
    from endpoints_pipeline.catalog.endpoints import EndpointChange, NewEndpoint

    store, project_id, now = application.catalog.endpoints, application.settings.project_id, application.clock()
    try:
        match planned:
            case NewEndpoint():
                return store.create(project_id, planned, now), "created"
            case EndpointChange():
                return store.update(project_id, file.name, planned, now), "updated"
            case _:
                return planned, "unchanged"
    except InvalidInput as error:
        raise InvalidInput(f"{file.path}: {error}", attr=error.attr, code=error.code) from error


def _is_as_defined(endpoint: Endpoint, file: DefinitionFile) -> bool:
    version = endpoint.version
    wish = version.materialization if version.is_materialized else None
    derived = () if "variables" in file.query_object else ("variables",)  # brought in step with the SQL on publishing
    query = {key: value for key, value in version.query.items() if value is not None and key not in derived}
    return (
        query == file.query_object
        and endpoint.is_active is file.is_active
        and version.description == file.description
        and version.data_freshness_seconds == file.data_freshness_seconds
        and version.is_materialized is file.is_materialized
        and (wish.sync_frequency if wish else None) == file.sync_frequency
    )
