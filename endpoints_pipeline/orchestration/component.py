"""The component that makes Dagster's definitions from the catalog.

Dagster resolves the fields from their annotations, so this module can't postpone their evaluation.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from dagster.components import DefsStateConfig, DefsStateConfigArgs, ResolvedDefsStateConfig

from endpoints_pipeline.catalog.records import MaterializedVersion
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.assets import build_asset
from endpoints_pipeline.orchestration.recorder import build_recorder_sensor
from endpoints_pipeline.orchestration.requests_sensor import build_requests_sensor
from endpoints_pipeline.orchestration.resources import process_catalog
from endpoints_pipeline.orchestration.schedules import build_schedules
from endpoints_pipeline.orchestration.translator import EndpointsTranslator
from endpoints_pipeline.orchestration.upstream import build_upstream_sensor
from endpoints_pipeline.orchestration.watcher import build_watcher_sensor
from endpoints_pipeline.settings import Settings, load_settings

STATE_KEY = "endpoints"


@dataclass
class EndpointsComponent(dg.StateBackedComponent, dg.Resolvable):
    """Every materialized endpoint as an asset, with schedules and sensors.

    Its state is read from the catalog when the watcher asks for it, kept in Dagster's state storage by version, and
    pinned for every run. A catalog that can't be read leaves the last state in place.
    """

    defs_state: ResolvedDefsStateConfig = field(
        default_factory=lambda: DefsStateConfigArgs(management_type="VERSIONED_STATE_STORAGE", refresh_if_dev=False)
    )

    @property
    def defs_state_config(self) -> DefsStateConfig:
        return DefsStateConfig.from_args(self.defs_state, default_key=STATE_KEY)

    def get_translator(self, settings: Settings) -> EndpointsTranslator:
        """The translator to use; override it to change how endpoints look in Dagster."""
        return EndpointsTranslator(settings)

    def write_state_to_path(self, state_path: Path) -> None:
        state_file.dump(state_file.read_catalog(process_catalog()), state_path)

    def build_defs_from_state(self, context: dg.ComponentLoadContext, state_path: Path | None) -> dg.Definitions:
        state = state_file.load(state_path)
        settings = load_settings()
        translator = self.get_translator(settings)
        assets = [_asset(translator, version, settings) for version in state.versions]
        sensors = [
            build_watcher_sensor(state, self.defs_state_config.key, settings),
            build_recorder_sensor(state, settings),
        ]
        if assets:
            sensors.append(build_requests_sensor(state, settings))
        if automated := [spec.key for asset in assets for spec in asset.specs if spec.automation_condition]:
            sensors.append(build_upstream_sensor(automated, settings))
        return dg.Definitions(
            assets=[*assets, *_tables(translator, state)], schedules=build_schedules(state, settings), sensors=sensors
        )


def _tables(translator: EndpointsTranslator, state: state_file.CatalogState) -> list[dg.AssetSpec]:
    tables = sorted({table for version in state.versions for table in version.reads.tables})
    return [spec for table in tables if (spec := translator.get_table_spec(table)) is not None]


# Dagster evaluates the definitions several times in a process; an asset is built again only when its version changed.
_built: OrderedDict[tuple[type, MaterializedVersion, Settings], dg.AssetsDefinition] = OrderedDict()
_KEPT = 20_000


def _asset(translator: EndpointsTranslator, version: MaterializedVersion, settings: Settings) -> dg.AssetsDefinition:
    key = (type(translator), version, settings)
    if key not in _built:
        _built[key] = build_asset(translator.get_asset_spec(version), version, retries=settings.refresh_retries)
        if len(_built) > _KEPT:
            _built.popitem(last=False)
    return _built[key]
