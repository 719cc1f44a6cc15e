"""The catalog: the shared memory of the API, Dagster and the CLI. It holds what people want and what was published."""

from __future__ import annotations

from endpoints_pipeline.catalog.activities import ActivityStore
from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.endpoints import EndpointStore
from endpoints_pipeline.catalog.executions import ExecutionStore
from endpoints_pipeline.catalog.keys import KeyStore
from endpoints_pipeline.catalog.logs import LogStore
from endpoints_pipeline.catalog.migrate import ensure_schema
from endpoints_pipeline.catalog.projects import ProjectStore
from endpoints_pipeline.catalog.refreshes import RefreshStore
from endpoints_pipeline.catalog.tracked_runs import TrackedRunStore
from endpoints_pipeline.catalog.variables import VariableStore

__all__ = ["Catalog", "open_catalog"]


class Catalog:
    """The stores over one database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.projects = ProjectStore(database)
        self.endpoints = EndpointStore(database)
        self.refreshes = RefreshStore(database)
        self.executions = ExecutionStore(database)
        self.keys = KeyStore(database)
        self.variables = VariableStore(database)
        self.activities = ActivityStore(database)
        self.logs = LogStore(database)
        self.tracked_runs = TrackedRunStore(database)

    def close(self) -> None:
        self.database.close()


def open_catalog(dsn: str, *, timeout: float, auto_migrate: bool) -> Catalog:
    """Open the catalog and make sure that its schema is this package's.

    Raises:
        CatalogError: The DSN can't be used, or the schema is another version's and ``auto_migrate`` is off.
        CatalogUnavailable: The database doesn't answer.
    """
    database = Database(dsn, timeout)
    try:
        ensure_schema(database, auto_migrate=auto_migrate)
    except BaseException:
        database.close()
        raise
    return Catalog(database)
