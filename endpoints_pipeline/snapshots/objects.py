"""The bucket, through boto3: small objects, Parquet footers, conditional writes; failures as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from endpoints_pipeline.errors import SnapshotInvalid, StorageError, StorageUnavailable
from endpoints_pipeline.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_FOOTER_GUESS = 64 * 1024
_CHUNK = 1024 * 1024
_MAY_PASS = {"500", "502", "503", "504", "SlowDown", "InternalError", "RequestTimeout", "ServiceUnavailable"}
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


def make_s3_client(settings: Settings) -> S3Client:
    """An S3 client with our address, key and time-outs; boto3 itself retries what may pass."""
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        config=s3_config(settings),
    )


def s3_config(settings: Settings) -> Config:
    return Config(
        connect_timeout=settings.s3_timeout,
        read_timeout=settings.s3_timeout,
        retries={"mode": "standard", "total_max_attempts": 3},
    )


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet object says of itself, as an independent reader (pyarrow) sees it."""

    rows: int
    row_groups: int
    columns: tuple[str, ...]
    bytes: int
    etag: str


class PreconditionFailed(StorageError):
    """A conditional write lost: the object changed meanwhile."""


class Bucket:
    """One bucket; every key is relative to it."""

    def __init__(self, client: S3Client, name: str) -> None:
        self._client = client
        self.name = name

    def check(self) -> None:
        """Prove that the bucket is there and that our key may use it.

        Raises:
            StorageError: It isn't, or may not.
            StorageUnavailable: S3 doesn't answer.
        """
        with self._translated("bucket"):
            self._client.head_bucket(Bucket=self.name)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """An object's bytes and ETag; None if there is no such key."""
        with self._translated(key):
            try:
                found = self._client.get_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if _code(error) in ("404", "NoSuchKey"):
                    return None
                raise
            return found["Body"].read(), found["ETag"]

    def write(self, key: str, body: bytes, *, replacing: str | None) -> None:
        """Put an object: over the one whose ETag is ``replacing``, or (None) only where none is.

        Raises:
            PreconditionFailed: The object isn't what the caller thinks.
        """
        condition: dict[str, Any] = {"IfMatch": replacing} if replacing else {"IfNoneMatch": "*"}
        with self._translated(key):
            self._client.put_object(Bucket=self.name, Key=key, Body=body, ContentType="application/json", **condition)

    def upload(self, key: str, body: IO[bytes]) -> None:
        """Put an object of any size, read from ``body``.

        Raises:
            StorageError: It could not be written.
        """
        with self._translated(key):
            self._client.upload_fileobj(body, self.name, key)

    def chunks(self, key: str) -> Iterator[bytes]:
        """An object's bytes, piece by piece.

        Raises:
            StorageError: It is gone or can't be read.
        """
        with self._translated(key):
            yield from self._client.get_object(Bucket=self.name, Key=key)["Body"].iter_chunks(_CHUNK)

    def delete_folder(self, folder: str) -> None:
        """Delete every object under ``folder``.

        Raises:
            StorageError: Some are still there.
        """
        with self._translated(folder):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=folder):
                keys: list[ObjectIdentifierTypeDef] = [{"Key": item["Key"]} for item in page.get("Contents", [])]
                if keys:
                    answer = self._client.delete_objects(Bucket=self.name, Delete={"Objects": keys})
                    for refused in answer.get("Errors", []):
                        raise StorageError(f"S3 refused to delete {refused.get('Key')}: {refused.get('Message')}")

    def footer(self, key: str) -> Footer:
        """Read a Parquet object's footer, without the rest of it.

        Raises:
            SnapshotInvalid: The object is missing or isn't Parquet.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        tail, size, etag = self._tail(key, _FOOTER_GUESS)
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if needed > len(tail) and needed <= size:
            tail, size, etag = self._tail(key, needed)
        try:
            metadata = pq.read_metadata(pa.BufferReader(tail))
        except (pa.ArrowException, OSError) as error:
            raise SnapshotInvalid(f"{key} isn't a readable Parquet file: {error}") from error
        return Footer(
            rows=metadata.num_rows,
            row_groups=metadata.num_row_groups,
            columns=tuple(metadata.schema.to_arrow_schema().names),
            bytes=size,
            etag=etag,
        )

    def _tail(self, key: str, length: int) -> tuple[bytes, int, str]:
        with self._translated(key):
            try:
                found = self._client.get_object(Bucket=self.name, Key=key, Range=f"bytes=-{length}")
            except ClientError as error:
                if _code(error) in ("404", "NoSuchKey", "InvalidRange"):
                    raise SnapshotInvalid(f"{key} is missing or empty on S3") from error
                raise
            size = int(found["ContentRange"].rsplit("/", 1)[1]) if "ContentRange" in found else found["ContentLength"]
            return found["Body"].read(), size, found["ETag"].strip('"')

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = _code(error)
            if code in ("412", "PreconditionFailed", "409", "ConditionalRequestConflict"):
                raise PreconditionFailed(f"{what} changed on S3 meanwhile") from error
            if code in _MAY_PASS:
                raise StorageUnavailable(f"S3 is busy ({code}) at {what}; try again later.") from error
            if code in _DENIED:
                raise StorageError(
                    f"S3 refused our key ({code}) for {what} in bucket '{self.name}': check ENDPOINTS_S3_ACCESS_KEY, "
                    "ENDPOINTS_S3_SECRET_KEY and the key's rights."
                ) from error
            if code in ("404", "NoSuchBucket"):
                raise StorageError(
                    f"There is no bucket '{self.name}': create it, or set ENDPOINTS_S3_BUCKET."
                ) from error
            raise StorageError(f"S3 refused {what}: {error}") from error
        except BotoCoreError as error:
            raise StorageUnavailable(
                f"S3 can't be reached: {error}. Check ENDPOINTS_S3_ENDPOINT_URL and that the server runs."
            ) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
