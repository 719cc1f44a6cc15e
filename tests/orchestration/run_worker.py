"""A Dagster run in a process of its own, to be killed: ``python -m tests.orchestration.run_worker STATE TAG``.

It opens the instance that ``DAGSTER_HOME`` names and refreshes every endpoint of the state file, in a run with the tag
``test``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dagster as dg

from endpoints_pipeline.orchestration.component import EndpointsComponent
from tests.orchestration.conftest import resources


def main(state_path: str, tag: str) -> None:
    defs = EndpointsComponent().build_defs_from_state(None, Path(state_path))  # type: ignore[arg-type]
    assets = [asset for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition)]
    with dg.DagsterInstance.get() as instance:
        dg.materialize(assets, instance=instance, resources=resources(), tags={"test": tag}, raise_on_error=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
