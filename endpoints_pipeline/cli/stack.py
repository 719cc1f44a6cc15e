"""The local stack: S3, API and Dagster as one supervised group."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from endpoints_pipeline.catalog import open_catalog
from endpoints_pipeline.cli.local_s3 import LocalS3, prepare
from endpoints_pipeline.cli.ports import LOOPBACK, answers_http, require_free
from endpoints_pipeline.cli.supervisor import Command, Supervisor
from endpoints_pipeline.errors import LocalStackError
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.objects import Bucket, make_s3_client

START_TIMEOUT = 150.0


class LocalStack:
    """One start of everything on this machine; nothing is started until ``run``."""

    def __init__(self, settings: Settings) -> None:
        """Check all that can be checked before the first process starts.

        Raises:
            PortTaken: A port that we need isn't free.
            CatalogError: The catalog can't be used.
            StorageError: S3 is elsewhere, and can't be used.
            LocalStackError: There is no Dagster home.
        """
        self._settings = settings
        self._workspace = _workspace(settings)
        require_free(settings.api_port, wanted_by="the API", variable="ENDPOINTS_API_PORT", host=settings.api_host)
        require_free(settings.dagster_port, wanted_by="Dagster's webserver", variable="ENDPOINTS_DAGSTER_PORT")
        open_catalog(
            settings.resolved_catalog_dsn, timeout=settings.catalog_timeout, auto_migrate=settings.catalog_auto_migrate
        ).close()
        self._s3 = _local_s3(settings)
        self._supervisor = Supervisor(self._commands(), settings.home_path / "logs")

    def run(self, on_ready: Callable[[], object]) -> int:
        """Start everything, call ``on_ready`` when all of it is healthy, and stay until Ctrl-C or ``stop``.

        Returns:
            The exit code for the shell.

        Raises:
            LocalStackError: A process failed, or didn't become healthy in time; everything is stopped again.
        """
        try:
            return self._supervisor.run(on_ready=on_ready, health=self._health(), start_timeout=START_TIMEOUT)
        finally:
            if self._s3 is not None:
                self._s3.remove_sockets()

    def stop(self) -> None:
        """Have ``run`` stop everything and return; from any thread."""
        self._supervisor.stop()

    def log_folder(self) -> Path:
        return self._settings.home_path / "logs"

    def _commands(self) -> list[Command]:
        settings = self._settings
        api = [sys.executable, "-m", "uvicorn", "--factory", "endpoints_pipeline.api.app:main_app"]
        api += ["--host", settings.api_host, "--port", str(settings.api_port), "--no-access-log"]
        # longer than callers keep their connections: one that is closed under a POST is an error to them
        api += ["--timeout-keep-alive", "75"]
        dagster = [sys.executable, "-m", "dagster", "dev", "--workspace", str(self._workspace)]
        dagster += ["--host", LOOPBACK, "--port", str(settings.dagster_port)]
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(settings.dagster_home_path),
            "PYTHONWARNINGS": "ignore",
            "PYTHONUNBUFFERED": "1",
        }
        commands = [Command(name="api", argv=api), Command(name="dagster", argv=dagster, env=environment)]
        return [self._s3.command, *commands] if self._s3 is not None else commands

    def _health(self) -> dict[str, Callable[[], bool]]:
        api_host = LOOPBACK if self._settings.api_host == "0.0.0.0" else self._settings.api_host  # noqa: S104
        checks = {
            "api": answers_http(f"http://{api_host}:{self._settings.api_port}/livez"),
            "dagster": answers_http(f"http://{LOOPBACK}:{self._settings.dagster_port}/server_info"),
        }
        return {"s3": self._s3.is_ready, **checks} if self._s3 is not None else checks


def _local_s3(settings: Settings) -> LocalS3 | None:
    """The S3 to start; None if S3 is elsewhere, which is then proved to be usable."""
    if settings.start_local_s3 and settings.s3_is_local:
        return prepare(settings)
    Bucket(make_s3_client(settings), settings.s3_bucket).check()
    return None


def _workspace(settings: Settings) -> Path:
    home = settings.dagster_home_path
    if not (home / "dagster.yaml").is_file():
        raise LocalStackError(
            f"There is no dagster.yaml in {home}: run this in the project's folder, or set DAGSTER_HOME to its "
            "dagster_home."
        )
    return home.parent / "workspace.yaml"
