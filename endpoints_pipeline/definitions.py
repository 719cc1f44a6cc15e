"""The code location that ``workspace.yaml`` points at."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

import endpoints_pipeline.orchestration.defs
from endpoints_pipeline.orchestration.resources import EndpointsResource, s3_resource
from endpoints_pipeline.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """Our component's definitions, with the resources and the executor that they need.

    Steps run inside the run's process: one engine serves them all, and a step costs milliseconds instead of a process.
    Parallelism comes from several runs and from the engine itself.
    """
    s3 = s3_resource(load_settings())
    return dg.Definitions.merge(
        dg.load_defs(endpoints_pipeline.orchestration.defs, project_root=Path(__file__).parent.parent),
        dg.Definitions(
            resources={"s3": s3, "endpoints": EndpointsResource(s3=s3)},
            executor=dg.in_process_executor,
        ),
    )
