"""Parquet on S3 as a refresh writes it and a run reads it, without a catalog."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from endpoints_pipeline.engine import Engine, Role
from endpoints_pipeline.engine.types import restored_columns, storage_type, stored_columns, structure
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.snapshots.objects import Bucket


class Materialized:
    """The result of a query, written to one object."""

    def __init__(self, engine: Engine, bucket: Bucket, sql: str) -> None:
        self.engine = engine
        self.bucket = bucket
        self.key = f"materialized/{uuid.uuid4()}.parquet"
        canonical = engine.canonical(sql)
        self.columns = engine.describe(canonical)
        for column in self.columns:
            storage_type(column)
        self.parameters = {
            "url": engine.s3.url(bucket.name, self.key),
            "key": engine.s3.access_key,
            "secret": engine.s3.secret_key,
        }
        statement = (
            "INSERT INTO FUNCTION s3({url:String}, {key:String}, {secret:String}, 'Parquet') "
            f"SELECT {stored_columns(self.columns)} FROM ({canonical}) SETTINGS max_insert_threads = 1"
        )
        self.statistics = engine.export(statement, self.parameters, tag=self.key)

    def file(self) -> pq.ParquetFile:
        found = self.bucket.read(self.key)
        assert found is not None
        return pq.ParquetFile(io.BytesIO(found[0]))

    def rows(self, columns: Sequence[Column] | None = None) -> bytes:
        """The rows as JSON, under the columns' own types."""
        sql = (
            f"SELECT {restored_columns(columns or self.columns)} "
            "FROM s3({url:String}, {key:String}, {secret:String}, 'Parquet', {structure:String})"
        )
        parameters: dict[str, Any] = {**self.parameters, "structure": structure(self.columns)}
        return self.engine.json_rows(sql, parameters, role=Role.WRITER).data
