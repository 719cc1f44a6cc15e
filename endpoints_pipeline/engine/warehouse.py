"""The embedded engine's source tables: a folder or S3 prefix of Parquet, one table for each file or folder.

chDB allows one process for each path on disk, so the embedded engine lives in memory and each process registers the
same files; any number of processes can then query at once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from endpoints_pipeline.errors import EngineError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DATABASE = "warehouse"
_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_S3_LIST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class S3Access:
    """How the engine reaches S3 itself."""

    endpoint_url: str
    access_key: str
    secret_key: str

    def url(self, bucket: str, key: str) -> str:
        return f"{self.endpoint_url.rstrip('/')}/{bucket}/{key}"


class Warehouse:
    """Keeps the engine's tables in step with the files; safe to share between threads."""

    def __init__(
        self, location: str, *, s3: S3Access, make_s3_client: Callable[[], S3Client], monotonic: Callable[[], float]
    ) -> None:
        """Args:
        location: A folder's path, or ``s3://bucket/prefix``.
        s3: The engine's way to S3, for a prefix.
        make_s3_client: Our own way to S3, to list a prefix; called on first need.
        monotonic: Seconds on a clock that never goes back.
        """
        self._location = location
        self._s3 = s3
        self._make_s3_client = make_s3_client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._registered: dict[str, tuple[str, object]] = {}
        self._listed_at: float | None = None

    def register(self, handle: Client) -> frozenset[str]:
        """Create, replace and drop tables so that they are the files' of now; returns their names.

        Raises:
            SettingsError: The location isn't a folder or an S3 prefix.
            EngineError: A file isn't Parquet that the engine can read; the message names it.
        """
        with self._lock:
            found = self._scan()
            for name in self._registered.keys() - found.keys():
                handle.command(f"DROP TABLE IF EXISTS {DATABASE}.{quote_identifier(name)}")
                del self._registered[name]
            for name, source in found.items():
                if self._registered.get(name) != source:
                    self._create(handle, name, source[0])
                    self._registered[name] = source
            return frozenset(self._registered)

    def _create(self, handle: Client, name: str, table_engine: str) -> None:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        from endpoints_pipeline.engine.failures import translate

        try:
            handle.command(f"CREATE OR REPLACE TABLE {DATABASE}.{quote_identifier(name)} ENGINE = {table_engine}")
        except ClickHouseError as error:
            reason = translate(error, (self._s3.secret_key,))
            raise EngineError(
                f"The warehouse's table '{name}' can't be read: {reason}",
                engine_code=reason.engine_code,
                engine_name=reason.engine_name,
            ) from None

    def _scan(self) -> Mapping[str, tuple[str, object]]:
        if not self._location.startswith("s3://"):
            return self._scan_folder(Path(self._location))
        now = self._monotonic()
        if self._listed_at is not None and now - self._listed_at < _S3_LIST_SECONDS:
            return dict(self._registered)
        found = self._scan_s3()
        self._listed_at = now
        return found

    def _scan_folder(self, folder: Path) -> Mapping[str, tuple[str, object]]:
        if not folder.exists():
            return {}
        if not folder.is_dir():
            raise SettingsError(f"ENDPOINTS_WAREHOUSE must be a folder or s3://bucket/prefix, not {folder}.")
        tables: dict[str, tuple[str, object]] = {}
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and any(entry.rglob("*.parquet")):
                signature = max(file.stat().st_mtime_ns for file in entry.rglob("*.parquet"))
                tables[_table_name(entry.name)] = (f"File(Parquet, {_literal(f'{entry}/**/*.parquet')})", signature)
            elif entry.suffix == ".parquet":
                tables[_table_name(entry.stem)] = (f"File(Parquet, {_literal(str(entry))})", entry.stat().st_mtime_ns)
        return tables

    def _scan_s3(self) -> Mapping[str, tuple[str, object]]:
        from botocore.exceptions import BotoCoreError, ClientError

        parts = urlsplit(self._location)
        prefix = parts.path.strip("/")
        prefix = f"{prefix}/" if prefix else ""
        try:
            pages = list(
                self._make_s3_client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=parts.netloc, Prefix=prefix, Delimiter="/")
            )
        except (BotoCoreError, ClientError) as error:
            raise EngineError(f"The warehouse {self._location} can't be listed: {error}.") from error
        sources: dict[str, tuple[str, object]] = {}
        for page in pages:
            for item in page.get("Contents", []):
                if item["Key"].endswith(".parquet"):
                    stem = item["Key"].removeprefix(prefix).removesuffix(".parquet")
                    sources[_table_name(stem)] = (self._s3_engine(parts.netloc, item["Key"]), item["ETag"])
            for folder in page.get("CommonPrefixes", []):
                name = folder["Prefix"].removeprefix(prefix).rstrip("/")
                glob = f"{folder['Prefix']}**/*.parquet"
                sources[_table_name(name)] = (self._s3_engine(parts.netloc, glob), None)
        return sources

    def _s3_engine(self, bucket: str, key: str) -> str:
        arguments = (self._s3.url(bucket, key), self._s3.access_key, self._s3.secret_key)
        return f"S3({', '.join(map(_literal, arguments))}, 'Parquet')"


def _table_name(name: str) -> str:
    if not _TABLE_NAME.fullmatch(name):
        raise EngineError(
            f"The warehouse holds '{name}', which can't be a table's name: rename it to letters, digits and '_'."
        )
    return name


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
