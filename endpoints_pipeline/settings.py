"""Every knob, in one typed class.

Values come from the environment (prefix ``ENDPOINTS_``) and from ``.env`` in the working folder; the environment wins.
``docs/settings.md`` holds the same table for readers, and a test compares the two.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from endpoints_pipeline.errors import SettingsError

LOCAL_S3_ACCESS_KEY = "endpoints"
LOCAL_S3_SECRET_KEY = "endpoints-local-only"  # noqa: S105 - guards a server on loopback with local data only
#: Values of a rate limit that mean none. An empty variable in the environment is as good as none, hence the word.
RATE_LIMIT_OFF = ("", "off")
_RATES = r"^(off|[1-9][0-9]*/(second|minute|hour|day)(;[1-9][0-9]*/(second|minute|hour|day))*)?$"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Settings(BaseSettings):
    """The settings of one deployment. Durations are seconds, sizes bytes, unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="ENDPOINTS_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(Path(".endpoints"), description="Folder for local state: catalog, local S3, warehouse, logs.")
    project_id: int = Field(1, ge=1, description="The project that the CLI works in.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR."
    )

    catalog_dsn: SecretStr | None = Field(
        None, description="SQLAlchemy DSN of the catalog; unset: SQLite at `<home>/catalog.db`."
    )
    catalog_timeout: float = Field(15.0, gt=0, description="Seconds to wait for the catalog's connection or lock.")
    catalog_auto_migrate: bool = Field(True, description="Bring the catalog's schema up to date when it is opened.")

    engine_dsn: SecretStr = Field(
        SecretStr("chdb://memory"),
        description="`chdb://memory` (embedded) or a server's `clickhouse://user:password@host:8123/database`.",
    )
    engine_databases: str = Field(
        "", description="Comma list of further databases of a server that queries may read, besides the DSN's."
    )
    engine_handles: int = Field(8, ge=1, description="Queries that one process runs in the engine at once.")
    engine_handle_timeout: float = Field(30.0, gt=0, description="Seconds to wait for a free handle.")
    warehouse: str = Field(
        "", description="Embedded engine: folder or `s3://bucket/prefix` of Parquet; unset: `<home>/warehouse`."
    )
    query_timeout: float = Field(60.0, gt=0, description="Seconds an inline run or a snapshot read may take.")
    query_max_memory: int = Field(4_000_000_000, ge=1, description="Bytes of memory one query may use.")
    query_max_rows_to_read: int = Field(
        10_000_000_000, ge=1, description="Rows one inline run may read from its sources."
    )
    inline_max_rows: int = Field(50_000, ge=1, description="Rows an inline run returns at most.")
    concurrent_inline_runs: int = Field(
        8, ge=1, description="Inline runs of one project that one process computes at once; more are refused (429)."
    )
    concurrent_materialized_runs: int = Field(
        10, ge=1, description="The same for runs that read snapshots. Answers from the cache don't count."
    )
    answer_memory: int = Field(
        4 * 1024**2,
        ge=1,
        description="Bytes of an answer held in memory; a larger one is sent while it is read, and isn't cached.",
    )
    cache_memory: int = Field(
        64 * 1024**2, ge=0, description="Bytes of results that one process caches; 0 switches the cache off."
    )
    async_runs: int = Field(4, ge=1, description="Asynchronous runs that one process computes at once.")
    async_retention: int = Field(3600, ge=60, description="Seconds that the answer of an asynchronous run is kept.")
    refresh_timeout: float = Field(3600.0, gt=0, description="Seconds one refresh may take in the engine.")
    snapshot_cache: int = Field(
        2_000_000_000,
        ge=0,
        description="Bytes of the local disk, under ENDPOINTS_HOME, in which an API process keeps what it reads of "
        "snapshots; 0: none. For the embedded engine.",
    )
    parquet_row_group_rows: int = Field(122_880, ge=1, description="Target rows of a Parquet row group.")

    s3_endpoint_url: str = Field(
        "http://127.0.0.1:8333", description="S3's address; the default is the server that `endpoints up` starts."
    )
    s3_bucket: str = Field("endpoints", min_length=3, description="Bucket of the snapshots.")
    s3_prefix: str = Field("", description="Key prefix of everything we write, without slashes at its ends.")
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_access_key: SecretStr = Field(SecretStr(LOCAL_S3_ACCESS_KEY), description="Access key of the bucket.")
    s3_secret_key: SecretStr = Field(SecretStr(LOCAL_S3_SECRET_KEY), description="Secret key of the bucket.")
    start_local_s3: bool = Field(
        True, description="Whether `endpoints up` starts an S3 server when `s3_endpoint_url` is on this machine."
    )
    s3_timeout: float = Field(20.0, gt=0, description="Seconds to connect to S3 or to wait for an answer.")

    api_host: str = Field("127.0.0.1", description="Address that the API binds to.")
    api_port: int = Field(8000, ge=1, le=65535, description="Port of the API.")
    public_url: str = Field("", description="The API's address for callers; unset: `http://api_host:api_port`.")
    api_key: SecretStr = Field(
        SecretStr(""), description="Your key to the API, for calls that commands make in your name."
    )
    rate_limit_inline: str = Field(
        "240/minute;2400/hour",
        pattern=_RATES,
        description="Requests of one key, runs from the source among them; `off` switches the limit off.",
    )
    rate_limit_materialized: str = Field(
        "1200/minute;12000/hour", pattern=_RATES, description="Runs of one key that are answered from a snapshot."
    )
    rate_limit_storage: SecretStr = Field(
        SecretStr("memory://"),
        description="Where requests are counted: `memory://` (each process for itself) or `redis://host:6379`.",
    )
    dagster_port: int = Field(3000, ge=1, le=65535, description="Port of the Dagster webserver.")
    dagster_url: str = Field("", description="Dagster's address; unset: `http://127.0.0.1:dagster_port`.")
    dagster_location: str = Field("endpoints_pipeline", description="Name of our code location in `workspace.yaml`.")
    dagster_timeout: float = Field(60.0, gt=0, description="Seconds to wait for an answer of Dagster's webserver.")

    endpoints_per_run: int = Field(25, ge=1, description="Endpoints that one scheduled Dagster run refreshes.")
    schedule_spread: bool = Field(True, description="Spread frequencies above an hour over their period.")
    refresh_retries: int = Field(2, ge=0, description="Times Dagster retries a refresh after a transient failure.")
    sensor_interval: int = Field(5, ge=1, description="Seconds between two looks of the sensors.")
    execution_retention_days: int = Field(184, ge=1, description="Days that executions are kept.")

    @model_validator(mode="after")
    def _refuse_local_keys_elsewhere(self) -> Settings:
        if self.s3_secret_key.get_secret_value() == LOCAL_S3_SECRET_KEY and not self.s3_is_local:
            raise ValueError(
                f"the local S3's built-in key can't be used with {self.s3_endpoint_url}: "
                "set ENDPOINTS_S3_ACCESS_KEY and ENDPOINTS_S3_SECRET_KEY"
            )
        return self

    @cached_property
    def home_path(self) -> Path:
        return self.home.expanduser().resolve()

    @property
    def s3_is_local(self) -> bool:
        """True when S3 is on this machine, where ``endpoints up`` may start it."""
        return urlsplit(self.s3_endpoint_url).hostname in _LOOPBACK

    @property
    def engine_is_embedded(self) -> bool:
        return self.engine_dsn.get_secret_value().startswith("chdb:")

    @property
    def resolved_catalog_dsn(self) -> str:
        if self.catalog_dsn is not None and self.catalog_dsn.get_secret_value():
            return self.catalog_dsn.get_secret_value()
        return f"sqlite:///{self.home_path / 'catalog.db'}"

    @property
    def resolved_warehouse(self) -> str:
        return self.warehouse or str(self.home_path / "warehouse")

    @property
    def resolved_public_url(self) -> str:
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    @property
    def resolved_dagster_url(self) -> str:
        return (self.dagster_url or f"http://127.0.0.1:{self.dagster_port}").rstrip("/")

    @property
    def dagster_home_path(self) -> Path:
        """Dagster's own variable wins, so that we and ``dagster dev`` always mean the same instance."""
        return Path(os.environ.get("DAGSTER_HOME") or "dagster_home").resolve()


def load_settings() -> Settings:
    """Read the settings from the environment and ``.env``.

    Raises:
        SettingsError: A value is malformed or unsafe; the message names each variable at fault.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [
            f"ENDPOINTS_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" if fault["loc"] else fault["msg"]
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("The settings can't be used. " + "; ".join(faults)) from None
