"""What one process of Dagster shares between its ticks and steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.errors import CatalogUnavailable, SettingsError
from endpoints_pipeline.orchestration.resources import process_catalog
from endpoints_pipeline.serving.application import Application
from tests.orchestration.conftest import SetSetting, resources


def test_the_catalog_is_opened_once(own_catalog: Catalog) -> None:
    assert process_catalog() is process_catalog()


def test_other_settings_mean_another_catalog(own_catalog: Catalog, set_setting: SetSetting, tmp_path: Path) -> None:
    before = process_catalog()
    set_setting("catalog_dsn", f"sqlite:///{tmp_path / 'other.db'}")

    assert process_catalog() is not before
    process_catalog().close()


def test_a_catalog_that_was_away_is_tried_again(own_catalog: Catalog, set_setting: SetSetting, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    folder.write_text("a file where the folder should be")
    set_setting("catalog_dsn", f"sqlite:///{folder / 'catalog.db'}")
    with pytest.raises(Exception, match="folder"):
        process_catalog()

    folder.unlink()

    assert process_catalog().refreshes.revision() == 0
    process_catalog().close()


def test_schedules_and_sensors_need_neither_engine_nor_s3(own_catalog: Catalog, set_setting: SetSetting) -> None:
    set_setting("engine_dsn", "clickhouse://nobody@127.0.0.1:1/none")
    set_setting("s3_endpoint_url", "http://127.0.0.1:1")

    assert process_catalog().refreshes.revision() == 0
    process_catalog().close()


def test_settings_that_can_not_be_used_are_named(own_catalog: Catalog, set_setting: SetSetting) -> None:
    set_setting("sensor_interval", "soon")

    with pytest.raises(SettingsError, match="ENDPOINTS_SENSOR_INTERVAL"):
        process_catalog()


def test_every_step_of_a_process_shares_one_application(app: Application) -> None:
    assert resources()["endpoints"].application() is app


def test_an_unreachable_catalog_is_a_failure_that_may_pass(own_catalog: Catalog, set_setting: SetSetting) -> None:
    set_setting("catalog_dsn", "postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(CatalogUnavailable) as raised:
        resources()["endpoints"].application()

    assert raised.value.transient
