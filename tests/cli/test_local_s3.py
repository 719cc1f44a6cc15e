"""The local S3 as a real process: who may do what, and what survives."""

from __future__ import annotations

import json
import os
import socket
import stat
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.exceptions import ClientError
from tenacity import Retrying, stop_after_delay, wait_fixed

from endpoints_pipeline.cli.local_s3 import prepare
from endpoints_pipeline.cli.ports import find_free
from endpoints_pipeline.cli.supervisor import Supervisor
from endpoints_pipeline.errors import LocalStackError, PortTaken, SettingsError
from endpoints_pipeline.settings import Settings
from tests.fixtures.s3 import S3Server


def settings_of(home: Path, url: str | None = None) -> Settings:
    return Settings(_env_file=None, home=home, s3_endpoint_url=url or f"http://127.0.0.1:{find_free()[0]}")


def error_code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def test_the_normal_key_reads_writes_lists_and_deletes_in_its_bucket(s3_server: S3Server, s3_prefix: str) -> None:
    client = s3_server.client()
    key = f"{s3_prefix}/a"
    client.put_object(Bucket=s3_server.bucket, Key=key, Body=b"rows")
    assert client.get_object(Bucket=s3_server.bucket, Key=key)["Body"].read() == b"rows"
    listed = client.list_objects_v2(Bucket=s3_server.bucket, Prefix=s3_prefix)
    assert [found["Key"] for found in listed["Contents"]] == [key]
    client.delete_object(Bucket=s3_server.bucket, Key=key)
    assert client.list_objects_v2(Bucket=s3_server.bucket, Prefix=s3_prefix)["KeyCount"] == 0


def test_the_normal_key_can_abort_a_multipart_upload_that_was_left(s3_server: S3Server, s3_prefix: str) -> None:
    client = s3_server.client()
    key = f"{s3_prefix}/half"
    client.create_multipart_upload(Bucket=s3_server.bucket, Key=key)
    [left] = client.list_multipart_uploads(Bucket=s3_server.bucket, Prefix=s3_prefix)["Uploads"]
    client.abort_multipart_upload(Bucket=s3_server.bucket, Key=key, UploadId=left["UploadId"])
    assert not client.list_multipart_uploads(Bucket=s3_server.bucket, Prefix=s3_prefix).get("Uploads")


def test_the_normal_key_can_create_no_bucket(s3_server: S3Server) -> None:
    client = s3_server.client()
    with pytest.raises(ClientError) as refused:
        client.create_bucket(Bucket="another")
    assert error_code(refused) == "AccessDenied"
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket="another", Key="a", Body=b"")
    assert error_code(refused) in {"AccessDenied", "NoSuchBucket"}


def test_the_normal_key_sees_nothing_of_other_buckets(s3_server: S3Server, s3_prefix: str) -> None:
    assert s3_server.local is not None
    admin = s3_server.client(s3_server.local.admin.access_key, s3_server.local.admin.secret_key)
    admin.create_bucket(Bucket=s3_prefix)
    admin.put_object(Bucket=s3_prefix, Key="a", Body=b"secret")
    client = s3_server.client()
    for attempt in (
        lambda: client.get_object(Bucket=s3_prefix, Key="a"),
        lambda: client.list_objects_v2(Bucket=s3_prefix),
        lambda: client.put_object(Bucket=s3_prefix, Key="b", Body=b""),
        lambda: client.copy_object(Bucket=s3_server.bucket, Key="b", CopySource=f"{s3_prefix}/a"),
        lambda: client.delete_bucket(Bucket=s3_prefix),
    ):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert error_code(refused) == "AccessDenied"
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == [s3_server.bucket]


def test_a_wrong_secret_and_no_key_at_all_are_refused(s3_server: S3Server) -> None:
    with pytest.raises(ClientError) as refused:
        s3_server.client(secret_key="wrong").list_objects_v2(Bucket=s3_server.bucket)
    assert error_code(refused) == "SignatureDoesNotMatch"
    with pytest.raises(urllib.error.HTTPError) as anonymous:
        urllib.request.urlopen(f"{s3_server.endpoint_url}/{s3_server.bucket}/")
    assert anonymous.value.code == 403


def test_a_conditional_put_has_one_winner(s3_server: S3Server, s3_prefix: str) -> None:
    client = s3_server.client()
    key = f"{s3_prefix}/current.json"
    etag = client.put_object(Bucket=s3_server.bucket, Key=key, Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=s3_server.bucket, Key=key, Body=b"2", IfNoneMatch="*")
    assert error_code(refused) == "PreconditionFailed"
    client.put_object(Bucket=s3_server.bucket, Key=key, Body=b"3", IfMatch=etag)
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=s3_server.bucket, Key=key, Body=b"4", IfMatch=etag)
    assert error_code(refused) == "PreconditionFailed"
    assert client.get_object(Bucket=s3_server.bucket, Key=key)["Body"].read() == b"3"


def test_acknowledged_objects_survive_a_kill_and_the_old_admin_does_not(s3_server: S3Server, s3_prefix: str) -> None:
    client = s3_server.client()
    bodies = {f"{s3_prefix}/{number}": os.urandom(number * 1_500_000 + 10) for number in range(5)}
    for key, body in bodies.items():
        client.put_object(Bucket=s3_server.bucket, Key=key, Body=body)
    assert s3_server.local is not None
    before = s3_server.local.admin
    with s3_server.stopped():
        pass
    for key, body in bodies.items():
        assert client.get_object(Bucket=s3_server.bucket, Key=key)["Body"].read() == body
    client.put_object(Bucket=s3_server.bucket, Key=f"{s3_prefix}/after", Body=b"")
    with pytest.raises(ClientError) as refused:
        s3_server.client(before.access_key, before.secret_key).list_buckets()
    assert error_code(refused) == "InvalidAccessKeyId"
    assert len(list(s3_server.data_dir.glob("m[0-9]*"))) == 1, "the election log of the start before was removed"


def test_all_its_ports_are_on_loopback_and_serve_only_who_has_a_key(s3_server: S3Server, s3_prefix: str) -> None:
    assert s3_server.process is not None
    assert s3_server.local is not None
    s3_server.client().put_object(Bucket=s3_server.bucket, Key=f"{s3_prefix}/a", Body=b"secret")
    listening = [
        connection.laddr
        for connection in psutil.Process(s3_server.process.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert len(listening) == 8, "S3 and the seven ports that we chose; nothing else was opened"
    for address in listening:
        for path in (f"/buckets/{s3_server.bucket}/{s3_prefix}/a", f"/{s3_server.bucket}/{s3_prefix}/a"):
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{address.port}{path}", timeout=5).read()
            except OSError:
                continue  # Refused, or not HTTP.
            assert b"secret" not in answer


def test_keys_are_for_the_owner_only(s3_server: S3Server) -> None:
    folder = s3_server.data_dir.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    config = folder / "identities.json"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    by_name = {identity["name"]: identity for identity in json.loads(config.read_text())["identities"]}
    assert sorted(by_name) == ["admin", "endpoints"]
    assert by_name["endpoints"]["actions"] == [
        f"{what}:{s3_server.bucket}" for what in ("Read", "Write", "List", "Tagging")
    ]


def test_killed_servers_leave_no_sockets(s3_server: S3Server) -> None:
    assert s3_server.local is not None
    sockets = s3_server.local.sockets
    assert [path for path in sockets if not path.exists()] == []
    s3_server.local.remove_sockets()
    assert [path for path in sockets if not path.exists()] == [], "sockets in use stay"
    with s3_server.stopped():
        assert [path for path in sockets if path.exists()] == []


def test_a_second_server_on_the_same_folder_is_refused(s3_server: S3Server) -> None:
    moved = s3_server.settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{find_free()[0]}"})
    with pytest.raises(LocalStackError, match="already runs"):
        prepare(moved)


def test_a_taken_port_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"{port}.*the local S3.*ENDPOINTS_S3_ENDPOINT_URL"):
            prepare(settings_of(tmp_path / "home", f"http://127.0.0.1:{port}"))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("url", ["https://127.0.0.1:8333", "http://127.0.0.1", "http://[::1]:8333"])
def test_an_address_that_it_cannot_serve_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="ENDPOINTS_S3_ENDPOINT_URL"):
        prepare(settings_of(tmp_path, url))


def test_waiting_for_a_server_that_never_comes_ends(tmp_path: Path) -> None:
    local = prepare(settings_of(tmp_path))
    assert local.is_ready() is False
    with pytest.raises(LocalStackError, match="wasn't healthy within"):
        local.wait_until_ready(timeout=0.3)


def test_our_environment_does_not_reach_it(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """SeaweedFS makes an administrator of the key that AWS_* names."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "foreign")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "foreign-secret")
    with s3_server.stopped():
        pass
    with pytest.raises(ClientError) as refused:
        s3_server.client("foreign", "foreign-secret").list_buckets()
    assert error_code(refused) == "InvalidAccessKeyId"


def test_a_path_with_a_comma_and_a_space_is_one_folder(tmp_path: Path) -> None:
    server = S3Server(tmp_path / "a, b")
    server.log_path.parent.mkdir()
    try:
        server.start()
        server.client().put_object(Bucket=server.bucket, Key="a", Body=b"x")
    finally:
        server.stop()
    assert list(server.data_dir.glob("*.dat"))


def test_the_supervisor_starts_it_makes_the_bucket_and_leaves_nothing(tmp_path: Path) -> None:
    local = prepare(settings_of(tmp_path))
    supervisor = Supervisor([local.command], tmp_path / "logs")
    assert supervisor.run(on_ready=supervisor.stop, health={"s3": local.is_ready}, start_timeout=30) == 0
    assert "Start Seaweed S3 API Server" in supervisor.log_path("s3").read_text()
    with (
        pytest.raises(OSError, match=r".+"),
        socket.create_connection(("127.0.0.1", urlsplit(local.endpoint_url).port), timeout=1),
    ):
        pass
    # a killed process with many threads is gone before the last of them has closed its files
    for attempt in Retrying(stop=stop_after_delay(5), wait=wait_fixed(0.05), reraise=True):
        with attempt:
            local.remove_sockets()
            assert [path for path in local.sockets if path.exists()] == []
