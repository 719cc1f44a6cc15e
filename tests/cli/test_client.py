"""What ``up --examples`` and ``demo`` ask of the API, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoints_pipeline.cli.client import ApiClient, ApiRefused
from endpoints_pipeline.cli.definition_files import load
from endpoints_pipeline.cli.demo import check_examples
from endpoints_pipeline.cli.examples import publish
from endpoints_pipeline.cli.keys import own_key
from endpoints_pipeline.cli.publish import apply, plan
from endpoints_pipeline.clock import utc_now
from endpoints_pipeline.query.variables import VariableType
from endpoints_pipeline.serving.application import Application
from tests.clients.server import serving

_FILE = """
name: clicks
query: SELECT id FROM events WHERE id >= {least} AND name IN {chosen} ORDER BY id
variables:
- {name: least, type: Number, default: 290}
- {name: chosen, type: List, default: [buy]}
"""


@pytest.fixture
def application(engine_settings: dict[str, Any], tmp_path: Path) -> Iterator[Application]:
    """That of a live server."""
    with serving(engine_settings | {"home": tmp_path / "home"}) as server:
        server.application.catalog.projects.ensure(1, "Default", utc_now())
        yield server.application


@pytest.fixture
def client(application: Application) -> Iterator[ApiClient]:
    with own_key(application.settings) as key:
        yield ApiClient(application.settings, key)


def told(client: ApiClient, folder: Path, text: str = _FILE) -> list[str]:
    """What is said of publishing one file."""
    path = folder / "clicks.yaml"
    path.write_text(text, encoding="utf-8")
    said: list[str] = []
    publish(client, load([path]), said.append)
    return said


def test_variables_are_published_before_the_endpoints_that_take_them(
    application: Application, client: ApiClient, tmp_path: Path
) -> None:
    first = told(client, tmp_path)
    second = told(client, tmp_path)
    changed = told(client, tmp_path, _FILE.replace("290", "297"))
    described = told(client, tmp_path, _FILE.replace("290", "297") + "description: What was clicked\n")

    assert first == ["created variable least", "created variable chosen", "created clicks"]
    assert second == ["unchanged variable least", "unchanged variable chosen", "unchanged clicks"]
    assert changed == ["updated variable least", "unchanged variable chosen", "updated clicks"]
    assert described == ["unchanged variable least", "unchanged variable chosen", "updated clicks"]
    assert client.run("clicks")["results"] == [[297]]
    assert client.run("clicks", variables={"least": 298, "chosen": ["click"]})["results"] == [[298], [299]]
    (done,) = apply(application, plan(application, load([tmp_path / "clicks.yaml"])))
    assert (done.outcome, done.endpoint.version.version) == ("unchanged", 2)


def test_a_persons_variable_keeps_its_name(application: Application, client: ApiClient, tmp_path: Path) -> None:
    store = application.catalog.variables
    made = store.create(1, name="Least!", type=VariableType.DATE, default_value=None, by=None, now=utc_now())

    assert told(client, tmp_path)[0] == "updated variable least"

    found = store.get(1, made.id)
    assert (found.name, found.type, found.default_value) == ("Least!", "Number", 290)


def test_a_variable_is_found_on_every_page(application: Application, client: ApiClient, tmp_path: Path) -> None:
    for number in range(101):
        application.catalog.variables.create(
            1, name=f"a{number}", type=VariableType.STRING, default_value=None, by=None, now=utc_now()
        )
    told(client, tmp_path)

    assert told(client, tmp_path)[0] == "unchanged variable least"


def test_what_the_api_refuses_says_why(client: ApiClient, tmp_path: Path) -> None:
    with pytest.raises(ApiRefused, match=r"400 .*nowhere"):
        told(client, tmp_path, _FILE.replace("events", "nowhere"))


def test_an_example_with_variables_is_checked_with_its_defaults(
    application: Application, client: ApiClient, tmp_path: Path
) -> None:
    told(client, tmp_path)

    (checked,) = check_examples(client, [application.catalog.endpoints.get(1, "clicks")])

    assert (checked.expected, checked.rows, checked.fault) == ("not materialized: inline", 3, "")
