"""``endpoints publish``: definitions in YAML become endpoints, or bring them to what the files say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from endpoints_pipeline.cli.output import AsJson, print_json
from endpoints_pipeline.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from endpoints_pipeline.catalog import Catalog
    from endpoints_pipeline.catalog.endpoints import EndpointChange, NewEndpoint
    from endpoints_pipeline.catalog.records import Endpoint
    from endpoints_pipeline.cli.definition_files import DefinitionFile
    from endpoints_pipeline.cli.project_variables import Outcome, PlannedVariable
    from endpoints_pipeline.serving.application import Application


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for some files: for the variables that they list, then for each one's endpoint.

    ``later`` are files whose queries read endpoints that these make: they can be checked only then.
    """

    variables: Sequence[PlannedVariable]
    endpoints: Sequence[tuple[DefinitionFile, NewEndpoint | EndpointChange | Endpoint]]
    later: Sequence[DefinitionFile] = ()


@dataclass(frozen=True, slots=True)
class Published:
    file: DefinitionFile
    endpoint: Endpoint
    outcome: Outcome


def publish(
    paths: Annotated[list[Path], typer.Argument(help="YAML files, and folders of them.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Create or update endpoints, and the variables that they list, from YAML files.

    All files are checked before the first one changes anything.
    """
    from endpoints_pipeline.cli.definition_files import load
    from endpoints_pipeline.cli.session import begin, opened_application

    settings = begin()
    files = load(paths)
    with opened_application(settings) as application:
        planned = plan(application, files)
        published = apply(application, planned)
        if as_json:
            outcomes = {one.variable.code_name: one.outcome for one in planned.variables}
            print_json([_facts(done, outcomes) for done in published])
            return
        for one in planned.variables:
            if one.outcome != "unchanged":
                typer.echo(f"{one.outcome:<9}  variable {one.variable.code_name} ({one.variable.type})")
        for done in published:
            typer.echo(f"{done.outcome:<9}  {done.file.name} v{done.endpoint.version.version}  ({done.file.path})")


def plan(application: Application, files: Sequence[DefinitionFile]) -> Plan:
    """What to do for definitions: create, change, or leave what is there as it is. Nothing is changed yet.

    Raises:
        InvalidInput: A query can't be accepted, or two files contradict each other; the message names the file.
    """
    from endpoints_pipeline.cli.project_variables import as_planned, plan_variables

    variables = plan_variables(application, files)
    catalog = as_planned(application.catalog, variables)
    steps, later = [], []
    for file in files:
        try:
            steps.append((file, _planned(application, catalog, file)))
        except InvalidInput:
            if not any(other.name in file.query for other in files if other is not file):
                raise
            later.append(file)
    if later and not steps:
        _planned(application, catalog, later[0])  # nothing that these files make could help: this raises again
    return Plan(variables, steps, later)


def apply(application: Application, planned: Plan) -> Iterator[Published]:
    """Do what was planned, step by step as it is asked for: the variables first, then the endpoints.

    Raises:
        InvalidInput: A query that reads other files' endpoints can't be accepted; these were published.
        EndpointsError: The catalog refused; nothing of this endpoint was changed, and the message names the file.
    """
    from endpoints_pipeline.cli.project_variables import apply_variables

    apply_variables(application, planned.variables)
    yield from (_applied(application, file, step) for file, step in planned.endpoints)
    if planned.later:
        yield from apply(application, plan(application, planned.later))


def _planned(
    application: Application, catalog: Catalog, file: DefinitionFile
) -> NewEndpoint | EndpointChange | Endpoint:
    from endpoints_pipeline.catalog.endpoints import EndpointChange, NewEndpoint
    from endpoints_pipeline.serving.publish import check_query
    from endpoints_pipeline.serving.variables import sync_query

    project_id = application.settings.project_id
    try:
        endpoint = catalog.endpoints.get(project_id, file.name)
    except NotFound:
        endpoint = None
    try:
        synced = sync_query(catalog, project_id, file.query_object, file.query)
        if endpoint is not None and _is_as_defined(endpoint, file, synced):
            return endpoint
        query = check_query(
            catalog, application.sources, project_id, file.query_object, materialized=file.is_materialized
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
            bucket_overrides=file.bucket_overrides,
        )
    return EndpointChange(
        query=query,
        description=file.description,
        is_active=file.is_active,
        is_materialized=file.is_materialized,
        data_freshness_seconds=file.data_freshness_seconds,
        sync_frequency=file.sync_frequency,
        bucket_overrides=file.bucket_overrides,
    )


def _applied(
    application: Application, file: DefinitionFile, step: NewEndpoint | EndpointChange | Endpoint
) -> Published:
    from endpoints_pipeline.catalog.endpoints import EndpointChange, NewEndpoint

    store, project_id, now = application.catalog.endpoints, application.settings.project_id, application.clock()
    try:
        match step:
            case NewEndpoint():
                return Published(file, store.create(project_id, step, now), "created")
            case EndpointChange():
                return Published(file, store.update(project_id, file.name, step, now), "updated")
            case _:
                return Published(file, step, "unchanged")
    except InvalidInput as error:
        raise InvalidInput(f"{file.path}: {error}", attr=error.attr, code=error.code) from error


def _is_as_defined(endpoint: Endpoint, file: DefinitionFile, query: Mapping[str, Any]) -> bool:
    """``query`` is the file's, with its variables as they are going to be: a changed default is a changed query."""
    from endpoints_pipeline.catalog.mapping import is_same_json

    version = endpoint.version
    wish = version.materialization if version.is_materialized else None
    return (
        is_same_json(_given(version.query), _given(query))
        and endpoint.is_active is file.is_active
        and version.description == file.description
        and version.data_freshness_seconds == file.data_freshness_seconds
        and version.is_materialized is file.is_materialized
        and (wish.sync_frequency if wish else None) == file.sync_frequency
        and version.bucket_overrides == file.bucket_overrides
    )


def _given(query: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in query.items() if value is not None}


def _facts(done: Published, outcomes: Mapping[str, Outcome]) -> Mapping[str, Any]:
    return {
        "name": done.file.name,
        "outcome": done.outcome,
        "version": done.endpoint.version.version,
        "file": done.file.path,
        "variables": {variable.name: outcomes[variable.name] for variable in done.file.variables},
    }
