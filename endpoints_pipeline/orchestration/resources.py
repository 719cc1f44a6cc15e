"""What our assets, schedules and sensors work with, opened once in each process for each set of settings.

Dagster reads the resource's fields from their annotations, so this module can't postpone their evaluation.
"""

from functools import cache

import dagster as dg
from dagster_aws.s3 import S3Resource

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.settings import Settings, load_settings


class EndpointsResource(dg.ConfigurableResource[Application]):
    """The parts of endpoints-pipeline, over Dagster's own S3 resource."""

    s3: dg.ResourceDependency[S3Resource]

    def application(self) -> Application:
        """The process's application: its engine takes a second to open, so every step shares it.

        Raises:
            EndpointsError: The settings or the catalog can't be used.
        """
        settings = load_settings()
        if settings not in _applications:
            _applications[settings] = open_application(settings, s3_client=self.s3.get_client())
        return _applications[settings]


def process_catalog() -> Catalog:
    """The catalog alone, for schedules and sensors: they never need the engine or S3.

    Raises:
        EndpointsError: The settings or the catalog can't be used.
    """
    return _catalog(load_settings())


_applications: dict[Settings, Application] = {}


@cache
def _catalog(settings: Settings) -> Catalog:
    return open_catalog(
        settings.resolved_catalog_dsn, timeout=settings.catalog_timeout, auto_migrate=settings.catalog_auto_migrate
    )


def s3_resource(settings: Settings) -> S3Resource:
    return S3Resource(
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        max_attempts=3,
    )
