"""A code location over a catalog of the test's own, as Dagster would load it, and a real Dagster instance."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint, MaterializedVersion
from endpoints_pipeline.orchestration import resources as process
from endpoints_pipeline.orchestration.component import EndpointsComponent
from endpoints_pipeline.orchestration.resources import EndpointsResource, s3_resource
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.settings import Settings, load_settings
from tests.catalog.builders import PROJECT, new
from tests.fixtures.catalog import FakeClock
from tests.orchestration.webserver import Webserver

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3Server

ROOT = Path(__file__).parents[2]
DAGSTER_HOME = ROOT / "dagster_home"

#: Sets one of our variables, by a setting's name.
SetSetting = Callable[[str, object], None]

RECORD = MaterializedVersion(
    project_id=1,
    endpoint_id="7f6d0000-0000-4000-8000-000000000000",
    name="daily-sales",
    version_id="5a1c0000-aaaa-4000-8000-000000000000",
    version=3,
    is_current=True,
    sql="SELECT 1 AS n, 'a' AS s",
    description="",
    sync_frequency="1hour",
    data_freshness_seconds=3600,
    query_hash="0123456789abcdef" * 4,
    columns=(Column("n", "UInt8"), Column("s", "String")),
    reads=Reads(tables=("flights",)),
)


def record(**changes: Any) -> MaterializedVersion:
    return replace(RECORD, **changes)


class CodeLocation:
    """What Dagster would load for the catalog as it was when this was made."""

    def __init__(self, catalog: Catalog, state_path: Path) -> None:
        component = EndpointsComponent()
        component.write_state_to_path(state_path)
        self.catalog = catalog
        self.defs = dg.Definitions.merge(
            component.build_defs_from_state(None, state_path),  # type: ignore[arg-type]
            dg.Definitions(resources=resources()),
        )

    def asset(self, name: str) -> dg.AssetsDefinition:
        return next(asset for asset in self.assets() if asset.key.path[2] == name)

    def assets(self) -> list[dg.AssetsDefinition]:
        return [asset for asset in self.defs.assets or () if isinstance(asset, dg.AssetsDefinition)]

    def materialize(
        self, instance: dg.DagsterInstance, *names: str, more: Sequence[dg.AssetsDefinition] = (), **tags: str
    ) -> dg.ExecuteInProcessResult:
        """Run the assets of the endpoints with these names, all of them without names."""
        chosen = [self.asset(name) for name in names] or self.assets()
        return dg.materialize(
            [*chosen, *more], instance=instance, resources=resources(), raise_on_error=False, tags=tags
        )

    def launch(
        self,
        instance: dg.DagsterInstance,
        job_name: str | None,
        keys: Sequence[dg.AssetKey],
        status: dg.DagsterRunStatus = dg.DagsterRunStatus.QUEUED,
    ) -> dg.DagsterRun:
        """A run of these assets in the instance; nothing works at it. The job is the implicit one unless named."""
        name = job_name or self.defs.resolve_implicit_global_asset_job_def().name
        run = dg.DagsterRun(
            job_name=name,
            run_id=str(uuid.uuid4()),
            asset_selection=frozenset(keys),
            status=status,
            remote_job_origin=_job_origin(name),
        )
        return instance.add_run(run)

    def subset(self, job_name: str, keys: Sequence[dg.AssetKey]) -> dg.JobDefinition:
        """The job, narrowed to these assets; raises if they aren't the job's."""
        return self.defs.resolve_job_def(job_name).get_subset(asset_selection=set(keys))


def _job_origin(job_name: str) -> RemoteJobOrigin:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("endpoints_pipeline"), "__repository__")
    return RemoteJobOrigin(repository, job_name)


def resources() -> dict[str, Any]:
    s3 = s3_resource(load_settings())
    return {"s3": s3, "endpoints": EndpointsResource(s3=s3)}


@pytest.fixture
def set_setting(monkeypatch: pytest.MonkeyPatch) -> SetSetting:
    def set_it(name: str, value: object) -> None:
        monkeypatch.setenv(f"ENDPOINTS_{name.upper()}", str(value))

    return set_it


@pytest.fixture
def own_settings(
    tmp_path: Path, sqlite_dsn: str, monkeypatch: pytest.MonkeyPatch, set_setting: SetSetting
) -> Callable[[], Settings]:
    """The settings of this process: a catalog of the test's own, and nothing of the machine's. Call it to read them."""
    for name in [name for name in os.environ if name.startswith("ENDPOINTS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    set_setting("home", tmp_path / "home")
    set_setting("catalog_dsn", sqlite_dsn)
    return load_settings


@pytest.fixture
def own_catalog(own_settings: Callable[[], Settings], sqlite_catalog: Catalog) -> Catalog:
    """The catalog that schedules and sensors of this process read."""
    return sqlite_catalog


@pytest.fixture
def endpoint(own_catalog: Catalog, clock: FakeClock) -> Callable[..., Endpoint]:
    """Makes endpoints, materialized unless said otherwise."""

    def make(name: str = "daily", **fields: Any) -> Endpoint:
        return own_catalog.endpoints.create(PROJECT, new(name, **{"is_materialized": True, **fields}), clock())

    return make


@pytest.fixture
def load_location(own_catalog: Catalog, tmp_path: Path) -> Callable[[], CodeLocation]:
    """Loads the code location over the catalog as it is now."""
    return lambda: CodeLocation(own_catalog, tmp_path / "state.json")


@pytest.fixture(scope="session")
def dagster_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a Dagster instance that was opened once: copying it is ten times faster than making it."""
    folder = tmp_path_factory.mktemp("dagster")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        dg.DagsterInstance.from_config(str(DAGSTER_HOME)).dispose()
    return folder


@pytest.fixture
def instance(
    dagster_storage: Path, tmp_path: Path, own_settings: Callable[[], Settings]
) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with our own ``dagster.yaml``, and state of its own: its paths are relative to our folder."""
    shutil.copytree(dagster_storage, tmp_path, dirs_exist_ok=True)
    with dg.DagsterInstance.from_config(str(DAGSTER_HOME)) as opened:
        yield opened


@pytest.fixture
def brief_instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, for tests that don't care where its state is."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def app(
    own_catalog: Catalog,
    set_setting: SetSetting,
    engine_settings: dict[str, Any],
    s3_server: S3Server,
    s3_prefix: str,
) -> Iterator[Application]:
    """The application of this process's Dagster steps: the embedded engine, S3, and the test's catalog."""
    for name in ("warehouse", "engine_handles", "s3_endpoint_url", "s3_bucket", "s3_access_key", "s3_secret_key"):
        set_setting(name, engine_settings[name])
    set_setting("s3_prefix", s3_prefix)
    yield resources()["endpoints"].application()
    while process._applications:
        process._applications.popitem()[1].close()


@pytest.fixture
def webserver() -> Iterator[Webserver]:
    """What the watcher takes for Dagster's webserver; it says yes to everything."""
    server = Webserver()
    yield server
    server.stop()
