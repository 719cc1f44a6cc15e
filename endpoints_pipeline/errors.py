"""The one tree of errors.

Every error says whether trying again can help (``transient``) and speaks to the user: its message names what went
wrong and what to do. Errors that come from the engine keep the engine's own code and name.
"""

from __future__ import annotations

from typing import ClassVar


class EndpointsError(Exception):
    """Root of every error this package raises on purpose."""

    #: True when the same call may succeed later without a change by the user.
    transient: ClassVar[bool] = False

    @property
    def message(self) -> str:
        return str(self)


class SettingsError(EndpointsError):
    """A setting is missing, malformed or unsafe."""


class InvalidInput(EndpointsError):
    """The caller sent something that can't be accepted; nothing was changed.

    Attributes:
        attr: The field of the request at fault, if one is.
        code: A machine-readable code; the engine's error name when the engine refused the query.
    """

    def __init__(self, message: str, *, attr: str | None = None, code: str = "invalid_input") -> None:
        super().__init__(message)
        self.attr = attr
        self.code = code


class NotFound(EndpointsError):
    """No such project, endpoint, version or snapshot."""


class VersionNotFound(NotFound):
    """The endpoint exists, the version doesn't."""

    def __init__(self, name: str, version: int, current_version: int) -> None:
        super().__init__(f"Version {version} not found for endpoint '{name}'")
        self.version = version
        self.current_version = current_version


class EngineError(EndpointsError):
    """ClickHouse answered with an error.

    Attributes:
        engine_code: ClickHouse's number of the error (60), if known.
        engine_name: ClickHouse's name of the error (``UNKNOWN_TABLE``), if known.
    """

    def __init__(self, message: str, *, engine_code: int | None = None, engine_name: str | None = None) -> None:
        super().__init__(message)
        self.engine_code = engine_code
        self.engine_name = engine_name


class QueryError(EngineError):
    """The query itself is at fault: syntax, names, types, values."""


class QueryLimitExceeded(EngineError):
    """The query ran into one of our limits.

    Attributes:
        limit: ``query_timeout``, ``query_memory_limit`` or ``query_too_large`` (contract 1.6).
    """

    def __init__(
        self, message: str, *, limit: str, engine_code: int | None = None, engine_name: str | None = None
    ) -> None:
        super().__init__(message, engine_code=engine_code, engine_name=engine_name)
        self.limit = limit


class EngineBusy(EngineError):
    """Too many queries at once; every handle stayed taken for the whole time-out."""

    transient = True


class TooManyRuns(EndpointsError):
    """The project has as many runs under way as it may have."""

    transient = True


class RunCancelled(EndpointsError):
    """Somebody cancelled the run while it went on."""


class EngineUnavailable(EngineError):
    """ClickHouse can't be reached, or failed for a reason that isn't the query's."""

    transient = True


class StorageError(EndpointsError):
    """S3 refused: wrong key, no such bucket, or an object that isn't what it should be."""


class StorageUnavailable(StorageError):
    """S3 can't be reached or asks for patience."""

    transient = True


class CatalogError(EndpointsError):
    """The catalog refused: wrong DSN, or a schema from another version of this package."""


class CatalogUnavailable(CatalogError):
    """The catalog's database can't be reached or stayed locked."""

    transient = True


class SourceNotReady(EndpointsError):
    """An endpoint that the query reads by its name has no snapshot yet."""

    transient = True


class SnapshotInvalid(EndpointsError):
    """A written snapshot failed verification and was not published."""


class RefreshSuperseded(EndpointsError):
    """Another refresh published first, or the materialization was switched off meanwhile; this one gives way."""


class DagsterUnavailable(EndpointsError):
    """Dagster's webserver can't be reached."""

    transient = True


class PortTaken(EndpointsError):
    """Another process listens on a port that ``endpoints up`` needs."""


class LocalStackError(EndpointsError):
    """A process of ``endpoints up`` failed or didn't become healthy in time."""
