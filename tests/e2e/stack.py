"""A whole stack in a folder of its own, started by the command that users start it with."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from endpoints_pipeline.cli.ports import find_free

ROOT = Path(__file__).parents[2]
ENDPOINTS = [str(Path(sys.executable).with_name("endpoints"))]


@dataclass(frozen=True)
class Stack:
    folder: Path
    environment: dict[str, str]
    api: str
    dagster: str
    process: subprocess.Popen[bytes]

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        url = f"{self.api}/api/projects/1/endpoints{path}"
        headers = {"Authorization": f"Bearer {self.key()}"}
        return requests.request(method, url, json=body, headers=headers, timeout=60)

    def key(self) -> str:
        """The key that the first start of a stack prints."""
        printed = re.findall(r"^export ENDPOINTS_API_KEY=(phx_\S+)", (self.folder / "up.log").read_text(), re.MULTILINE)
        assert len(printed) == 1
        return str(printed[0])

    def assets(self) -> set[str]:
        """The names of the endpoints that Dagster shows as assets."""
        answer = requests.post(f"{self.dagster}/graphql", json={"query": "{assetNodes{assetKey{path}}}"}, timeout=60)
        return {"/".join(node["assetKey"]["path"][2:]) for node in answer.json()["data"]["assetNodes"]}

    def scheduled(self) -> dict[str, list[str]]:
        """The schedules, with the assets that each may refresh."""
        query = "{assetNodes{assetKey{path} targetingInstigators{__typename ... on Schedule{name}}}}"
        answer = requests.post(f"{self.dagster}/graphql", json={"query": query}, timeout=60).json()
        found: dict[str, list[str]] = {}
        for node in answer["data"]["assetNodes"]:
            for instigator in node["targetingInstigators"]:
                if "name" in instigator:
                    found.setdefault(instigator["name"], []).append(node["assetKey"]["path"][2])
        return found

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ENDPOINTS, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def members(self) -> list[psutil.Process]:
        """Every living process that works in this stack's folder."""
        return [process for process in psutil.process_iter() if _works_in(process, self.folder)]

    def run_workers(self) -> list[psutil.Process]:
        """The processes of the Dagster runs under way: they alone have loaded the engine for a refresh."""
        return [process for process in self.members() if "spawn_main" in " ".join(_command_line(process))]


def environment_of(folder: Path) -> dict[str, str]:
    api, dagster, s3 = find_free(3)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ENDPOINTS_", "DAGSTER"))}
    return {
        **inherited,
        "DAGSTER_HOME": str(ROOT / "dagster_home"),
        "ENDPOINTS_API_PORT": str(api),
        "ENDPOINTS_DAGSTER_PORT": str(dagster),
        "ENDPOINTS_S3_ENDPOINT_URL": f"http://127.0.0.1:{s3}",
    }


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """``endpoints up`` in ``folder``, ready; whatever is left of it is killed at the end."""
    environment = environment_of(folder)
    log = (folder / "up.log").open("wb")
    process = subprocess.Popen([*ENDPOINTS, "up"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    stack = Stack(
        folder=folder,
        environment=environment,
        api=f"http://127.0.0.1:{environment['ENDPOINTS_API_PORT']}",
        dagster=f"http://127.0.0.1:{environment['ENDPOINTS_DAGSTER_PORT']}",
        process=process,
    )
    try:
        until(lambda: "Ctrl-C stops everything" in (folder / "up.log").read_text(), 150, "the stack", process)
        yield stack
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        for left in stack.members():
            left.kill()
        log.close()


def until(
    condition: Callable[[], Any], seconds: float, what: str, process: subprocess.Popen[bytes] | None = None
) -> float:
    """Wait for ``condition``; returns how long that took."""
    began = time.monotonic()
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended while {what} was awaited")
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what} didn't come within {seconds} s")
        time.sleep(0.5)
    return time.monotonic() - began


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
