"""``docs/dagster.md`` names what the code has, all of it and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from dagster._core.definitions.metadata.metadata_set import TableMetadataSet, UriMetadataSet

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import NewEndpoint
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.frequency import PERIODS
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.metadata import EndpointMetadataSet, asset_metadata
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.settings import Settings
from tests.catalog.builders import PROJECT, checked
from tests.fixtures.catalog import FakeClock
from tests.orchestration.conftest import ROOT, CodeLocation, record

PAGE = (ROOT / "docs" / "dagster.md").read_text()
#: Keys that aren't fields of the metadata set, since Dagster shows them in a way of their own.
RICH = {"endpoints/sql", "endpoints/api", "endpoints/preview"}
DAGSTERS = {"dagster/row_count", "dagster/uri", "dagster/column_schema"}


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the table under a heading."""
    section = PAGE.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.strip().strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def names(heading: str) -> list[str]:
    """What the first column of a table names in backticks."""
    return [name for row in table(heading) for name in re.findall(r"`([^`]+)`", row[0])]


def test_every_metadata_key_is_documented() -> None:
    ours = {f"endpoints/{field}" for field in EndpointMetadataSet.model_fields}

    assert sorted(names("Metadata")) == sorted(ours | RICH | DAGSTERS)


def test_the_page_says_which_keys_an_asset_has() -> None:
    on_assets = {row[0].strip("`") for row in table("Metadata") if "asset" in row[1].split(", ")}

    assert on_assets == set(asset_metadata(record(), Settings(_env_file=None)))


def test_every_tag_is_documented() -> None:
    tags = {value for name, value in vars(naming).items() if name.startswith("TAG_")}

    assert sorted(names("Tags")) == sorted(tags)


def test_every_schedule_is_documented() -> None:
    assert names("Schedules") == [f"refresh_{word}" for word in PERIODS]


def test_every_sensor_is_documented(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    clock: FakeClock,
) -> None:
    endpoint()
    reads_daily = replace(checked("SELECT 2 AS n"), reads=Reads((), ("daily",)))
    reader = NewEndpoint(name="reader", query=reads_daily, is_materialized=True)
    own_catalog.endpoints.create(PROJECT, reader, clock())

    assert sorted(names("Sensors")) == sorted(sensor.name for sensor in load_location().defs.sensors or ())


def test_group_kinds_and_key_are_as_documented() -> None:
    looks = {row[0]: row[1] for row in table("Assets")}

    assert looks["key"].startswith("`endpoints/<project>/<name>`")
    assert naming.asset_key(record()).to_user_string() == "endpoints/1/daily-sales"
    assert looks["group"] == "`project_<project>`"
    assert naming.group_name(1) == "project_1"
    assert set(re.findall(r"`(\w+)`", looks["kinds"])) == {"clickhouse", "parquet", "s3"}


@pytest.mark.parametrize("path", ["extending.md", "layout.md", "lineage.md"])
def test_links_lead_somewhere(path: str) -> None:
    assert f"]({path})" in PAGE
    assert (ROOT / "docs" / path).is_file()


def test_metadata_of_dagster_is_what_dagster_knows() -> None:
    """Dagster draws these in places of their own; a misspelt one would be a plain key."""
    known = {f"dagster/{field}" for known in (TableMetadataSet, UriMetadataSet) for field in known.model_fields}

    assert known >= DAGSTERS
