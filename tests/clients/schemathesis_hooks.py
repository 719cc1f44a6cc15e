"""What schemathesis' own process does around each case, so that most are of something that exists.

Cases are pointed at the endpoints of ``QUERIES``, at a variable and at a run; what a case took away is put back.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import requests
import schemathesis

KNOWN = "SCHEMATHESIS_TEST_KNOWN"
QUERIES = {
    "plain": "SELECT name, count() AS n FROM events GROUP BY name ORDER BY name",
    "kept": "SELECT id, at, amount, score, tags FROM events ORDER BY id LIMIT 5",
    "of-name": "SELECT count() AS n FROM events WHERE name = {variables.event_name}",
}


@dataclass
class Known:
    """Where the endpoints are, whose key opens them, and what else is there."""

    project: int
    base: str
    secret: str
    variable: str
    run: str

    @cached_property
    def session(self) -> requests.Session:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.secret}"
        return session


@cache
def known() -> Known:
    """As told by the test that started this process."""
    return Known(**json.loads(os.environ[KNOWN]))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Aim it, and give most new queries a text that can be run."""
    where, body = case.path_parameters, case.body
    if "project_id" not in where:
        return
    # by what the case is, so that the same case is always treated alike
    lot = zlib.crc32(repr((case.method, case.path, where, case.query, body)).encode())
    if lot % 16:
        where["project_id"] = known().project
    if lot % 4:
        there = {"name": list(QUERIES), "number": [1], "id": [known().variable], "query_id": [known().run]}
        where |= {key: there[key][lot % len(there[key])] for key in there.keys() & where.keys()}
    if lot % 3 and isinstance(body, dict) and isinstance(body.get("query"), dict):
        case.body = {**body, "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}}
        if case.method == "POST" and isinstance(body.get("name"), str):
            case.body["name"] = f"made_{lot}"


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """Put back what it took away."""
    if case.method in ("PUT", "PATCH", "DELETE"):
        name = case.path_parameters.get("name")
        if name in QUERIES:
            _restore_endpoint(name)
        if case.path_parameters.get("id") == known().variable:
            _restore_variable()


def _restore_endpoint(name: str) -> None:
    base, session = known().base, known().session
    found = session.get(f"{base}/endpoints/{name}", timeout=30)
    if found.status_code == 404:
        query = {"kind": "HogQLQuery", "query": QUERIES[name]}
        session.post(f"{base}/endpoints", json={"name": name, "query": query}, timeout=30).raise_for_status()
    elif not found.json()["is_active"]:
        session.patch(f"{base}/endpoints/{name}", json={"is_active": True}, timeout=30).raise_for_status()


def _restore_variable() -> None:
    base, session = f"{known().base}/insight_variables", known().session
    if session.get(f"{base}/{known().variable}", timeout=30).status_code == 404:
        made = session.post(base, json={"name": f"Another {known().variable}", "type": "Number"}, timeout=30)
        made.raise_for_status()
        known().variable = made.json()["id"]


@schemathesis.check
def documented_status(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """``default`` stands for failures that nobody foresaw, and excuses no other."""
    if case.method.upper() != case.operation.method.upper():
        return  # a verb that the path doesn't have
    documented = case.operation.definition.raw["responses"]
    assert str(response.status_code) in documented, f"{response.status_code} is not documented"
