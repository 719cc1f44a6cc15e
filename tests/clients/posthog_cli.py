"""PostHog's own agent CLI, fetched once: one plain Node file of a published package (contract 9)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server import Project

PACKAGE = "@posthog/cli@0.18.3"
INTEGRITY = "sha512-aJyvIRLDaZbJ/4R0I7vTk/uvO53c4aFQkWsgtuev73Rkc0/+GRSParP6j8aHX2ROQXviiOuiqyIds4dMPOt2fQ=="
_ARCHIVE, _SCRIPT = "posthog-cli-0.18.3.tgz", "package/lib/posthog-api-cli.mjs"
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def body(self) -> Any:
        """The JSON that a call printed."""
        assert self.code == 0, self.err or self.out
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """The script, and for whom it works."""

    script: Path
    project: Project
    secret: str

    def using(self, secret: str) -> Cli:
        return Cli(self.script, self.project, secret)

    def call(self, tool: str, arguments: dict[str, Any], *flags: str) -> Said:
        """``call --json TOOL JSON``."""
        environment = {
            "PATH": os.environ["PATH"],
            "POSTHOG_CLI_HOST": self.project.server.url,
            "POSTHOG_CLI_API_KEY": self.secret,
            "POSTHOG_CLI_PROJECT_ID": str(self.project.id),
        }
        command = [str(_BIN / "node"), str(self.script), "call", "--json", *flags, tool, json.dumps(arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return Said(done.returncode, done.stdout, done.stderr)


def fetch(folder: Path) -> Path:
    """The CLI's script, from the package's archive in ``folder``; npm brings that from the registry it is set up for.

    Two processes may do this at once. An archive that isn't the published one fails the test.
    """
    archive = folder / _ARCHIVE
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=folder) as parts:
            command = [str(_BIN / "npm"), "pack", PACKAGE, "--ignore-scripts", "--pack-destination", parts]
            done = subprocess.run(command, cwd=parts, capture_output=True, text=True, timeout=180, check=False)
            if done.returncode:
                pytest.fail(f"npm can't fetch {PACKAGE}: is its registry reachable?\n{done.stderr}", pytrace=False)
            (Path(parts) / _ARCHIVE).replace(archive)
    content = archive.read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != INTEGRITY:
        archive.unlink()
        pytest.fail(f"{PACKAGE} isn't what was published: its integrity is {found}", pytrace=False)
    script = folder / _SCRIPT
    with tempfile.TemporaryDirectory(dir=folder) as parts, tarfile.open(archive) as package:
        package.extract(_SCRIPT, parts, filter="data")
        script.parent.mkdir(parents=True, exist_ok=True)
        (Path(parts) / _SCRIPT).replace(script)
    return script
