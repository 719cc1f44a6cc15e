"""Endpoints that read endpoints, within a transaction of ``endpoints.py``: none may come to read itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.tables import EndpointRow, ProjectRow, VersionRow
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.lineage import Reads


def refuse_cycle(session: Session, project_id: int, name: str, reads: Reads) -> None:
    """Return if the endpoint ``name`` may read what ``reads`` says, over the current versions of the project's others.

    The project's row stays locked until the transaction ends, so that two endpoints that are saved at once can't come
    to read each other.

    Raises:
        InvalidInput: It would read itself; the message shows by which way (``attr="query"``).
    """
    if not reads.endpoints:
        return
    # not FOR UPDATE: who writes rows of the project needn't wait
    session.execute(sa.select(ProjectRow.id).where(ProjectRow.id == project_id).with_for_update(key_share=True))
    read_by = dict.fromkeys(reads.endpoints, name)
    wave: Collection[str] = reads.endpoints
    while wave and name not in read_by:
        found = _reads_of(session, project_id, wave)
        wave = set()
        for reader in sorted(found):
            wave |= (new := {read for read in found[reader] if read not in read_by})
            read_by |= dict.fromkeys(new, reader)
    if name in read_by:
        way = [name]
        while (reader := read_by[way[0]]) != name:
            way.insert(0, reader)
        raise InvalidInput(f"Invalid HogQL query: It would read itself: {' -> '.join([name, *way])}", attr="query")


def _reads_of(session: Session, project_id: int, names: Collection[str]) -> Mapping[str, Collection[str]]:
    rows = session.execute(
        sa.select(EndpointRow.name, VersionRow.reads)
        .join(
            VersionRow,
            (VersionRow.endpoint_id == EndpointRow.id) & (VersionRow.version == EndpointRow.current_version),
        )
        .where(EndpointRow.project_id == project_id, EndpointRow.name.in_(names), EndpointRow.deleted_at.is_(None))
    )
    return {name: Reads.from_json(reads).endpoints for name, reads in rows.tuples()}
