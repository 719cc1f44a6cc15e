"""The component's state file: what the code location knows of the catalog."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Endpoint, MaterializedVersion
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.state import CatalogState
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from tests.catalog.builders import PROJECT, checked
from tests.fixtures.catalog import FakeClock

VERSIONS = st.builds(
    MaterializedVersion,
    project_id=st.integers(1, 2**31),
    description=st.text(max_size=30),
    sql=st.text(max_size=60),
    sync_frequency=st.none() | st.sampled_from(["5min", "never"]),
    columns=st.lists(st.builds(Column, name=st.text(max_size=9), type=st.text(max_size=9)), max_size=3).map(tuple),
)


@settings(deadline=None, max_examples=30)
@given(revision=st.integers(0, 2**62), versions=st.lists(VERSIONS, max_size=4))
def test_every_field_comes_back_as_it_was(revision: int, versions: Sequence[MaterializedVersion]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        state_file.dump(CatalogState(revision, versions), path)

        assert state_file.load(path) == CatalogState(revision, versions)


def test_what_comes_back_can_be_told_apart_by_its_hash() -> None:
    """Assets are built once for each version: a version that was read twice must be one."""
    columns = (Column("a", "UInt8"),)
    version = MaterializedVersion(1, "e", "n", "v", 1, True, "SELECT 1", "", None, 900, "h", columns, Reads(("t",)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        state_file.dump(CatalogState(1, [version]), path)

        assert {version, *state_file.load(path).versions} == {version}


def test_without_a_file_nothing_is_known() -> None:
    assert state_file.load(None) == state_file.EMPTY
    assert state_file.EMPTY.revision == 0


def test_the_materialized_versions_of_the_catalog_are_its_state(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], clock: FakeClock
) -> None:
    daily = endpoint("daily", sync_frequency="24hour")
    endpoint("other", is_materialized=False)
    changed = own_catalog.endpoints.update(PROJECT, "daily", EndpointChange(query=checked("SELECT 2 AS n")), clock())

    state = state_file.read_catalog(own_catalog)

    assert state.revision == own_catalog.refreshes.revision()
    assert [(one.version_id, one.version, one.is_current, one.sql) for one in state.versions] == [
        (daily.version.id, 1, False, "SELECT 1 AS n"),
        (changed.version.id, 2, True, "SELECT 2 AS n"),
    ]
    assert {one.sync_frequency for one in state.versions} == {"24hour"}


def test_a_change_while_the_catalog_is_read_is_found_by_a_later_look(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint("early")
    read = own_catalog.refreshes.materialized_versions

    def read_late() -> Any:
        endpoint("late")
        return read()

    monkeypatch.setattr(own_catalog.refreshes, "materialized_versions", read_late)

    state = state_file.read_catalog(own_catalog)

    assert [one.name for one in state.versions] == ["early", "late"]
    assert state.revision < own_catalog.refreshes.revision()
