"""The sensor by which changes of the catalog reach the code location."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.errors import CatalogUnavailable
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.component import EndpointsComponent
from endpoints_pipeline.orchestration.state import CatalogState
from endpoints_pipeline.orchestration.watcher import build_watcher_sensor
from endpoints_pipeline.settings import load_settings
from tests.fixtures.catalog import CATALOG_TIMEOUT, FakeClock
from tests.orchestration.conftest import SetSetting
from tests.orchestration.webserver import Webserver, mutation_answer


class Watching:
    """The sensor of definitions that were built from ``state``, ticked as Dagster's daemon does."""

    def __init__(self, state: CatalogState, clock: FakeClock) -> None:
        self.cursor: str | None = None
        self._clock = clock
        self.reload(state)

    def reload(self, state: CatalogState) -> None:
        self._sensor = build_watcher_sensor(state, "endpoints", load_settings(), clock=self._clock)

    def tick(self) -> str | None:
        result = self._sensor.evaluate_tick(dg.build_sensor_context(cursor=self.cursor))
        self.cursor = result.cursor
        assert not result.run_requests
        return result.skip_message


@pytest.fixture
def watching(
    own_catalog: Catalog, webserver: Webserver, clock: FakeClock, set_setting: SetSetting
) -> Callable[[], Watching]:
    """Makes the watcher of definitions that are up to date."""
    set_setting("dagster_url", webserver.url)
    return lambda: Watching(state_file.read_catalog(own_catalog), clock)


@pytest.fixture
def behind(tmp_path: Path, set_setting: SetSetting) -> Callable[[], None]:
    """Puts an empty catalog in the place of ours, as a lost volume or a restored backup would."""

    def replace() -> None:
        dsn = f"sqlite:///{tmp_path / 'restored.db'}"
        open_catalog(dsn, timeout=CATALOG_TIMEOUT, auto_migrate=True).close()
        set_setting("catalog_dsn", dsn)

    return replace


def test_nothing_is_asked_while_nothing_changed(
    endpoint: Callable[..., Endpoint], watching: Callable[[], Watching], webserver: Webserver
) -> None:
    endpoint()

    assert watching().tick() == "The definitions are those of catalog revision 1."
    assert webserver.asked == []


def test_a_change_is_loaded(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], watching: Callable[[], Watching], webserver: Webserver
) -> None:
    watcher = watching()
    watcher.tick()
    endpoint()

    assert watcher.tick() == "Asked Dagster to load catalog revision 1."
    [(_, body)] = webserver.asked
    assert body["variables"] == {"location": "endpoints_pipeline", "key": "endpoints"}

    watcher.reload(state_file.read_catalog(own_catalog))
    assert watcher.tick() == "The definitions are those of catalog revision 1."
    assert len(webserver.asked) == 1


def test_the_key_it_asks_for_is_the_components(
    endpoint: Callable[..., Endpoint], watching: Callable[[], Watching], webserver: Webserver
) -> None:
    watcher = watching()
    endpoint()
    watcher.tick()

    [(_, body)] = webserver.asked
    assert body["variables"]["key"] == EndpointsComponent().defs_state_config.key


def test_dagster_has_half_a_minute_before_it_is_asked_again(
    endpoint: Callable[..., Endpoint], watching: Callable[[], Watching], webserver: Webserver, clock: FakeClock
) -> None:
    webserver.answer(mutation_answer("RefreshComponentStateAccepted"))
    watcher = watching()
    endpoint()
    watcher.tick()

    clock.advance(timedelta(seconds=29))
    assert watcher.tick() == "Waiting for Dagster to load catalog revision 1."
    assert len(webserver.asked) == 1

    clock.advance(timedelta(seconds=1))
    assert watcher.tick() == "Asked Dagster to load catalog revision 1."
    assert len(webserver.asked) == 2


def test_a_further_change_is_asked_for_at_once(
    endpoint: Callable[..., Endpoint], watching: Callable[[], Watching], webserver: Webserver
) -> None:
    watcher = watching()
    endpoint("one")
    watcher.tick()
    endpoint("two")

    assert watcher.tick() == "Asked Dagster to load catalog revision 2."
    assert len(webserver.asked) == 2


def test_without_a_webserver_the_definitions_stay_and_the_tick_says_what_to_do(
    endpoint: Callable[..., Endpoint], watching: Callable[[], Watching], webserver: Webserver
) -> None:
    watcher = watching()
    endpoint()
    webserver.stop()

    message = watcher.tick()

    assert message is not None
    assert "ENDPOINTS_DAGSTER_URL" in message
    assert message.endswith("The definitions stay at catalog revision 0.")


def test_a_webserver_that_comes_back_is_asked_at_the_next_tick(
    endpoint: Callable[..., Endpoint], watching: Callable[[], Watching], webserver: Webserver
) -> None:
    watcher = watching()
    endpoint()
    webserver.answer(mutation_answer("RefreshComponentStateError", "no"))
    assert watcher.tick() == (
        "Dagster could not refresh the endpoints: no. The definitions stay at catalog revision 0."
    )

    webserver.answer(mutation_answer("RefreshComponentStateSuccess"))
    assert watcher.tick() == "Asked Dagster to load catalog revision 1."


def test_a_catalog_that_went_back_does_not_wipe_the_assets(
    endpoint: Callable[..., Endpoint],
    watching: Callable[[], Watching],
    webserver: Webserver,
    behind: Callable[[], None],
    clock: FakeClock,
) -> None:
    endpoint()
    watcher = watching()
    watcher.tick()
    behind()

    for _ in range(3):
        clock.advance(timedelta(minutes=1))
        message = watcher.tick()

    assert message == (
        "The catalog is at revision 0, behind the definitions' 1: it was restored or emptied, so the assets stay as "
        "they are. If that is what you want, reset this sensor's cursor."
    )
    assert webserver.asked == []


@pytest.mark.parametrize("reset", [None, ""])
def test_after_a_reset_of_its_cursor_it_takes_the_catalog_as_it_is(
    endpoint: Callable[..., Endpoint],
    watching: Callable[[], Watching],
    webserver: Webserver,
    behind: Callable[[], None],
    reset: str | None,
) -> None:
    endpoint()
    watcher = watching()
    watcher.tick()
    behind()
    watcher.tick()

    watcher.cursor = reset

    assert watcher.tick() == "Asked Dagster to load catalog revision 0."
    assert len(webserver.asked) == 1
    assert watcher.tick() == "Waiting for Dagster to load catalog revision 0."


def test_a_catalog_that_is_down_makes_the_tick_fail_visibly(
    watching: Callable[[], Watching], webserver: Webserver, set_setting: SetSetting
) -> None:
    watcher = watching()
    watcher.tick()
    set_setting("catalog_dsn", "postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(CatalogUnavailable):
        watcher.tick()

    assert webserver.asked == []


def test_a_catalog_that_is_down_leaves_the_state_as_it_was(
    endpoint: Callable[..., Endpoint], own_settings: object, set_setting: SetSetting, tmp_path: Path
) -> None:
    """What Dagster calls when the watcher asks it to."""
    set_setting("catalog_dsn", "postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(CatalogUnavailable):
        EndpointsComponent().write_state_to_path(tmp_path / "state")

    assert not (tmp_path / "state").exists()
