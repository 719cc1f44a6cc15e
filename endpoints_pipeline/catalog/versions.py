"""Versions within a transaction of ``endpoints.py``: how one is found, made and changed (contract 2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.mapping import columns_to_json
from endpoints_pipeline.catalog.tables import EndpointRow, VersionRow
from endpoints_pipeline.errors import NotFound, VersionNotFound
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads


class Unset(Enum):
    """Stands for a field that a change leaves as it is, where None is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query that passed the guard and that the engine could describe.

    ``variables_obstacle``: why no snapshot can answer all values of its variables; None if one can.
    """

    query: Mapping[str, Any]
    sql: str
    columns: Sequence[Column]
    reads: Reads = field(default_factory=Reads)
    variables_obstacle: str | None = None


def find_endpoint(session: Session, project_id: int, name: str, *, for_update: bool = False) -> EndpointRow:
    """The live endpoint.

    Raises:
        NotFound: No such project or endpoint.
    """
    query = sa.select(EndpointRow).where(
        EndpointRow.project_id == project_id, EndpointRow.name == name, EndpointRow.deleted_at.is_(None)
    )
    row = session.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise NotFound(f"No endpoint '{name}' in project {project_id}.")
    return row


def find_version(session: Session, endpoint: EndpointRow, number: int | None) -> VersionRow:
    """The endpoint's version with the number (None: the current one).

    Raises:
        VersionNotFound: It has no such version.
    """
    wanted = endpoint.current_version if number is None else number
    row = None
    if 1 <= wanted <= endpoint.current_version:  # a larger number may be more than the database can hold
        row = session.scalar(
            sa.select(VersionRow).where(VersionRow.endpoint_id == endpoint.id, VersionRow.version == wanted)
        )
    if row is None:
        raise VersionNotFound(endpoint.name, wanted, endpoint.current_version)
    return row


def new_version(
    endpoint: EndpointRow, number: int, checked: CheckedQuery, *, by: int | None, now: datetime, **settings: Any
) -> VersionRow:
    """A version that isn't in the database yet; ``settings`` are the other columns, ``bucket_overrides`` apart."""
    return VersionRow(
        id=str(uuid4()),
        endpoint_id=endpoint.id,
        version=number,
        query=dict(checked.query),
        sql=checked.sql,
        bucket_overrides=None,
        is_active=True,
        columns=columns_to_json(checked.columns),
        reads=checked.reads.to_json(),
        variables_obstacle=checked.variables_obstacle,
        created_at=now,
        created_by_id=by,
        updated_at=now,
        **settings,
    )


def next_version(
    endpoint: EndpointRow, previous: VersionRow, checked: CheckedQuery, *, by: int | None, now: datetime
) -> VersionRow:
    """The version after the current one, with the settings of ``previous``, which keeps its own materialization."""
    return new_version(
        endpoint,
        endpoint.current_version + 1,
        checked,
        by=by,
        now=now,
        description=previous.description,
        data_freshness_seconds=previous.data_freshness_seconds,
        cache_age_seconds=previous.cache_age_seconds,
        sync_frequency=previous.sync_frequency,
        optional_breakdown_properties=previous.optional_breakdown_properties,
    )
