"""Names in Dagster: valid for it, and never two endpoints under one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import dagster as dg
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.component import EndpointsComponent
from endpoints_pipeline.orchestration.state import CatalogState
from tests.orchestration.conftest import record, resources

NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,127}", fullmatch=True)
TAG_VALUE = re.compile(r"[A-Za-z0-9_.-]{0,63}")  # what Dagster takes
STEP_NAME = re.compile(r"[A-Za-z0-9_]+")


class Wanted(NamedTuple):
    project: int
    name: str
    older_version: int | None


WANTED = st.builds(Wanted, st.integers(1, 3), NAMES, st.none() | st.integers(1, 3))


@settings(deadline=None)
@given(st.lists(WANTED, unique=True, max_size=20))
def test_asset_keys_never_collide(wanted: Sequence[Wanted]) -> None:
    keys = [
        naming.asset_key(
            record(
                project_id=one.project, name=one.name, is_current=not one.older_version, version=one.older_version or 9
            )
        )
        for one in wanted
    ]

    assert len(set(keys)) == len(wanted)
    assert len({key.to_user_string() for key in keys}) == len(wanted)


def test_an_older_version_is_told_apart_from_every_endpoint() -> None:
    assert naming.asset_key(record(name="daily", version=2)).path == ["endpoints", "1", "daily"]
    assert naming.asset_key(record(name="daily", version=2, is_current=False)).path == ["endpoints", "1", "daily", "v2"]
    assert naming.endpoint_asset_key(1, "daily") == naming.asset_key(record(name="daily"))
    assert naming.endpoint_asset_key(1, "daily", 2) == naming.asset_key(
        record(name="daily", version=2, is_current=False)
    )


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES | st.sampled_from(["a-b", "a_b"]), st.uuids(version=4)), unique_by=lambda one: one[1]))
def test_step_names_are_valid_and_never_collide(wanted: Sequence[tuple[str, uuid.UUID]]) -> None:
    names = [naming.step_name(record(name=name, version_id=str(version_id))) for name, version_id in wanted]

    assert all(STEP_NAME.fullmatch(name) for name in names)
    assert len(set(names)) == len(wanted)


@settings(deadline=None)
@given(NAMES, st.sampled_from(["5min", "30day", "never", None]))
def test_tags_are_valid_for_dagster(name: str, sync_frequency: str | None) -> None:
    tags = naming.tags(record(name=name, sync_frequency=sync_frequency))

    assert all(TAG_VALUE.fullmatch(value) for value in tags.values())
    assert (naming.TAG_SYNC_FREQUENCY in tags) == (sync_frequency is not None)
    dg.AssetSpec("valid", tags=tags)


@given(NAMES, NAMES)
def test_long_names_have_tags_of_their_own(one: str, other: str) -> None:
    one, other = one.ljust(100, "x"), other.ljust(100, "x")

    assert (naming.tag_value(one) == naming.tag_value(other)) == (one == other)


def test_dagster_loads_nasty_names(tmp_path: Path, own_settings: object) -> None:
    names = ["a-b", "a_b", "A-b", "a--b", "a__b", "context", "self", "None", "class", "v1", "x" * 128, "x" * 127 + "y"]
    wanted = [Wanted(project, name, version) for project in (1, 2) for name in names for version in (None, 1, 2)]
    versions = [
        record(
            project_id=one.project,
            name=one.name,
            version=one.older_version or 3,
            is_current=one.older_version is None,
            version_id=str(uuid.uuid4()),
        )
        for one in wanted
    ]
    state_file.dump(CatalogState(1, versions), tmp_path / "state")
    defs = dg.Definitions.merge(
        EndpointsComponent().build_defs_from_state(None, tmp_path / "state"),  # type: ignore[arg-type]
        dg.Definitions(resources=resources()),
    )

    dg.Definitions.validate_loadable(defs)

    assert set(defs.resolve_all_asset_keys()) >= {naming.asset_key(version) for version in versions}
