"""How an endpoint looks in Dagster, and how an engineer changes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Endpoint, MaterializedVersion
from endpoints_pipeline.frequency import PERIODS
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.component import EndpointsComponent
from endpoints_pipeline.orchestration.state import CatalogState
from endpoints_pipeline.orchestration.translator import EndpointsTranslator
from endpoints_pipeline.settings import Settings
from tests.catalog.builders import PROJECT, checked
from tests.fixtures.catalog import FakeClock
from tests.orchestration.conftest import CodeLocation, record


@pytest.fixture
def translator() -> EndpointsTranslator:
    return EndpointsTranslator(Settings(_env_file=None, public_url="https://endpoints.example/"))


def test_the_asset_tells_what_the_endpoint_is(translator: EndpointsTranslator) -> None:
    spec = translator.get_asset_spec(record(description="Sales of each day"))

    assert spec.key == dg.AssetKey(["endpoints", "1", "daily-sales"])
    assert spec.description == "Sales of each day"
    assert spec.group_name == "project_1"
    assert spec.kinds == {"clickhouse", "parquet", "s3"}
    assert {key: value for key, value in spec.tags.items() if key.startswith("endpoints/")} == {
        "endpoints/name": "daily-sales",
        "endpoints/version": "3",
        "endpoints/project": "1",
        "endpoints/sync_frequency": "1hour",
    }


def test_the_asset_has_its_query_columns_and_address(translator: EndpointsTranslator) -> None:
    metadata = translator.get_asset_spec(record()).metadata

    assert metadata["endpoints/sql"].value == "```sql\nSELECT 1 AS n, 'a' AS s\n```"
    assert metadata["endpoints/api"].value == "https://endpoints.example/api/projects/1/endpoints/daily-sales/run"
    assert [(column.name, column.type) for column in metadata["dagster/column_schema"].columns] == [
        ("n", "UInt8"),
        ("s", "String"),
    ]
    assert {key: metadata[f"endpoints/{key}"] for key in ("project", "version", "sync_frequency")} == {
        "project": 1,
        "version": 3,
        "sync_frequency": "1hour",
    }


def test_an_endpoint_without_a_description_has_one_all_the_same(translator: EndpointsTranslator) -> None:
    assert translator.get_asset_spec(record()).description == "Endpoint daily-sales, version 3."


def test_the_code_version_changes_with_the_sql_and_only_with_it(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    clock: FakeClock,
) -> None:
    def code_version() -> str | None:
        asset = load_location().asset("daily")
        return next(iter(asset.specs)).code_version

    endpoint("daily", sync_frequency="1hour")
    first = code_version()
    own_catalog.endpoints.update(
        PROJECT, "daily", EndpointChange(description="new", sync_frequency="24hour", cache_age_seconds=600), clock()
    )
    same = code_version()
    for sql in ("SELECT 2 AS n", "SELECT 1 AS n"):
        own_catalog.endpoints.update(PROJECT, "daily", EndpointChange(query=checked(sql)), clock())

    assert first is not None
    assert same == first
    translator = EndpointsTranslator(Settings(_env_file=None))
    assert [
        (version.version, translator.get_asset_spec(version).code_version == first)
        for version in state_file.read_catalog(own_catalog).versions
    ] == [(1, True), (2, False), (3, True)]


@pytest.mark.parametrize("word", PERIODS)
def test_freshness_warns_after_one_and_a_quarter_periods_and_fails_after_two(
    translator: EndpointsTranslator, word: str
) -> None:
    policy = translator.get_asset_spec(record(sync_frequency=word)).freshness_policy

    assert policy == dg.FreshnessPolicy.time_window(fail_window=2 * PERIODS[word], warn_window=PERIODS[word] * 5 / 4)


def test_no_period_is_shorter_than_dagster_can_watch() -> None:
    assert min(PERIODS.values()) >= timedelta(minutes=1)


@pytest.mark.parametrize("word", ["never", None])
def test_an_endpoint_without_a_schedule_has_no_freshness(translator: EndpointsTranslator, word: str | None) -> None:
    spec = translator.get_asset_spec(record(sync_frequency=word))

    assert spec.freshness_policy is None
    assert spec.metadata["endpoints/sync_frequency"] == "never"


def test_a_translator_of_ones_own_changes_the_looks(tmp_path: Path, own_settings: object) -> None:
    class Owned(EndpointsTranslator):
        def get_asset_spec(self, record: MaterializedVersion) -> dg.AssetSpec:
            return super().get_asset_spec(record).replace_attributes(owners=["team:data"], group_name="sales")

    class OwnedComponent(EndpointsComponent):
        def get_translator(self, settings: Settings) -> EndpointsTranslator:
            return Owned(settings)

    state_file.dump(CatalogState(1, [record()]), tmp_path / "state")

    def spec(component: EndpointsComponent) -> dg.AssetSpec:
        defs = component.build_defs_from_state(None, tmp_path / "state")  # type: ignore[arg-type]
        [asset] = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
        return next(iter(asset.specs))

    assert (spec(EndpointsComponent()).owners, spec(EndpointsComponent()).group_name) == ([], "project_1")
    assert (spec(OwnedComponent()).owners, spec(OwnedComponent()).group_name) == (["team:data"], "sales")
