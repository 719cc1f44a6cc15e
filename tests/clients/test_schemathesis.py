"""Whatever the OpenAPI document allows, and what it doesn't: each answer to schemathesis must be as documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.clients.schemathesis_hooks import KNOWN, QUERIES, Known
from tests.clients.server import LiveServer

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
#: Not ``negative_data_rejection``: parameters that we don't know are ignored, and an empty one counts as none.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "documented_status",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


@pytest.fixture(scope="module")
def known(live: LiveServer) -> Known:
    """A project with something behind every path of the document."""
    project = live.project()
    project.variable("Event name", "String", "buy")
    variable = project.variable("Least", "Number", 1)
    for name, sql in QUERIES.items():
        project.create(name, sql, is_materialized=name == "kept")
    project.materialize("kept")
    run = project.ok("POST", "/plain/run", {"refresh": "force_async"})["query_status"]
    base = f"{live.url}/api/projects/{project.id}"
    return Known(project.id, base, project.secret, variable["id"], run["id"])


def test_every_answer_is_as_documented(live: LiveServer, known: Known, tmp_path: Path) -> None:
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{live.url}/openapi.json"),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "12"),
        *("--seed", "1", "--generation-deterministic", "--no-shrink"),
        *("--continue-on-failure", "--header", f"Authorization: Bearer {known.secret}", "--no-color"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.clients.schemathesis_hooks", KNOWN: json.dumps(asdict(known))}
    environment = {**os.environ, **hooks, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
