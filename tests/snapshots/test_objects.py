"""The bucket: what it reads and writes, and how its failures read."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.errors import SnapshotInvalid, StorageError, StorageUnavailable
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.objects import Bucket, PreconditionFailed, make_s3_client

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3Server


@pytest.fixture
def key(s3_prefix: str) -> str:
    return f"{s3_prefix}/object"


def other_bucket(engine_settings: dict[str, Any], **changes: Any) -> Bucket:
    settings = Settings(**(engine_settings | changes))
    return Bucket(make_s3_client(settings), settings.s3_bucket)


def put_parquet(bucket: Bucket, key: str, table: pa.Table, **options: Any) -> int:
    body = io.BytesIO()
    pq.write_table(table, body, **options)
    bucket._client.put_object(Bucket=bucket.name, Key=key, Body=body.getvalue())
    return len(body.getvalue())


class TestSmallObjects:
    def test_what_is_written_is_read(self, bucket: Bucket, key: str) -> None:
        assert bucket.read(key) is None
        bucket.write(key, b"one", replacing=None)
        found = bucket.read(key)
        assert found is not None
        assert found[0] == b"one"
        bucket.write(key, b"two", replacing=found[1])
        assert (bucket.read(key) or (b"", ""))[0] == b"two"

    def test_a_condition_that_fails_changes_nothing(self, bucket: Bucket, key: str) -> None:
        with pytest.raises(PreconditionFailed, match="changed on S3 meanwhile"):
            bucket.write(key, b"x", replacing='"0123456789abcdef0123456789abcdef"')
        assert bucket.read(key) is None
        bucket.write(key, b"one", replacing=None)
        for replacing in (None, '"0123456789abcdef0123456789abcdef"'):
            with pytest.raises(PreconditionFailed):
                bucket.write(key, b"two", replacing=replacing)
        assert (bucket.read(key) or (b"", ""))[0] == b"one"

    def test_of_many_first_writers_one_wins(self, bucket: Bucket, key: str) -> None:
        def write(number: int) -> bool:
            try:
                bucket.write(key, b"%d" % number, replacing=None)
            except PreconditionFailed:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(16)))
        assert sum(won) == 1
        assert (bucket.read(key) or (b"", ""))[0] == b"%d" % won.index(True)

    def test_a_folder_is_deleted_and_its_neighbours_stay(self, bucket: Bucket, s3_prefix: str) -> None:
        for name in ("a/1", "a/deep/2", "ab/3"):
            bucket.write(f"{s3_prefix}/{name}", b"x", replacing=None)
        bucket.delete_folder(f"{s3_prefix}/a/")
        bucket.delete_folder(f"{s3_prefix}/never/")
        assert [bucket.read(f"{s3_prefix}/{name}") is None for name in ("a/1", "a/deep/2", "ab/3")] == [
            True,
            True,
            False,
        ]


class TestFooters:
    def test_it_says_what_is_in_the_file(self, bucket: Bucket, key: str) -> None:
        size = put_parquet(bucket, key, pa.table({"a": range(10), "b c": ["x"] * 10}), row_group_size=4)
        footer = bucket.footer(key)
        assert (footer.rows, footer.row_groups, footer.columns, footer.bytes) == (10, 3, ("a", "b c"), size)
        assert footer.etag == bucket._client.head_object(Bucket=bucket.name, Key=key)["ETag"].strip('"')

    def test_it_may_be_longer_than_the_first_guess(self, bucket: Bucket, key: str) -> None:
        names = [f"column {number} with a rather long name that fills the footer" for number in range(900)]
        put_parquet(bucket, key, pa.table({name: [1, 2] for name in names}), row_group_size=1)
        footer = bucket.footer(key)
        assert footer.columns == tuple(names)
        assert (footer.rows, footer.row_groups) == (2, 2)

    @pytest.mark.parametrize("body", [b"", b"x", b"PAR1", b"not parquet at all" * 9, b"\xff" * 100_000])
    def test_other_objects_are_told_apart(self, bucket: Bucket, key: str, body: bytes) -> None:
        bucket._client.put_object(Bucket=bucket.name, Key=key, Body=body)
        with pytest.raises(SnapshotInvalid, match=key):
            bucket.footer(key)

    def test_a_missing_object_is_named(self, bucket: Bucket, key: str) -> None:
        with pytest.raises(SnapshotInvalid, match=f"{key} is missing"):
            bucket.footer(key)


class TestFailures:
    def test_a_good_bucket_passes_its_check(self, bucket: Bucket) -> None:
        bucket.check()

    @pytest.mark.parametrize(
        "changes", [{"s3_secret_key": "wrong-secret"}, {"s3_access_key": "nobody"}], ids=["secret", "access key"]
    )
    def test_a_wrong_key_names_the_settings(
        self, engine_settings: dict[str, Any], key: str, changes: dict[str, str]
    ) -> None:
        bucket = other_bucket(engine_settings, **changes)
        for call in (bucket.check, lambda: bucket.read(key), lambda: bucket.write(key, b"x", replacing=None)):
            with pytest.raises(StorageError, match="S3 refused our key.*ENDPOINTS_S3_ACCESS_KEY") as failure:  # noqa: RUF043
                call()
            assert not failure.value.transient
            assert "wrong-secret" not in str(failure.value)

    def test_a_bucket_that_isnt_there(self, engine_settings: dict[str, Any]) -> None:
        with pytest.raises(StorageError, match="'no-such-bucket'"):
            other_bucket(engine_settings, s3_bucket="no-such-bucket").check()

    def test_an_address_where_nobody_answers(self, engine_settings: dict[str, Any], key: str) -> None:
        bucket = other_bucket(engine_settings, s3_endpoint_url="http://127.0.0.1:1", s3_timeout=2)
        for call in (bucket.check, lambda: bucket.read(key), lambda: bucket.footer(key)):
            with pytest.raises(StorageUnavailable, match="S3 can't be reached.*ENDPOINTS_S3_ENDPOINT_URL") as failure:  # noqa: RUF043
                call()
            assert failure.value.transient

    def test_a_server_that_comes_back_is_used_again(
        self, s3_server: S3Server, engine_settings: dict[str, Any], key: str
    ) -> None:
        bucket = other_bucket(engine_settings, s3_timeout=2)
        bucket.write(key, b"kept", replacing=None)
        with s3_server.stopped(), pytest.raises(StorageUnavailable):
            bucket.read(key)
        assert (bucket.read(key) or (b"", ""))[0] == b"kept"
