"""The one conversation with Dagster's webserver, with servers that answer as it does."""

from __future__ import annotations

import pytest

from endpoints_pipeline.errors import DagsterUnavailable
from endpoints_pipeline.orchestration import dagster_client
from endpoints_pipeline.orchestration.dagster_client import DagsterClient
from endpoints_pipeline.settings import Settings
from tests.orchestration.webserver import Webserver, mutation_answer


def client(webserver: Webserver) -> DagsterClient:
    return DagsterClient(Settings(_env_file=None, dagster_url=webserver.url + "/", dagster_location="ours"))


def test_the_mutation_is_one_that_dagster_has() -> None:
    from dagster_graphql.schema import create_schema
    from graphql import parse, validate

    assert validate(create_schema().graphql_schema, parse(dagster_client._REFRESH)) == []


@pytest.mark.parametrize("typename", ["RefreshComponentStateSuccess", "RefreshComponentStateAccepted"])
def test_our_component_of_our_location_is_refreshed(webserver: Webserver, typename: str) -> None:
    webserver.answer(mutation_answer(typename))

    client(webserver).refresh_component_state("endpoints")

    [(path, body)] = webserver.asked
    assert path == "/graphql"
    assert body["variables"] == {"location": "ours", "key": "endpoints"}
    assert "refreshComponentState" in body["query"]


@pytest.mark.parametrize("typename", ["RefreshComponentStateError", "PythonError", "UnauthorizedError"])
def test_dagsters_reason_is_told(webserver: Webserver, typename: str) -> None:
    webserver.answer(mutation_answer(typename, "the catalog is away"))

    with pytest.raises(DagsterUnavailable, match=r"Dagster could not refresh the endpoints: the catalog is away"):
        client(webserver).refresh_component_state("endpoints")


@pytest.mark.parametrize("status", [200, 400])
def test_errors_of_graphql_are_told(webserver: Webserver, status: int) -> None:
    """A Dagster that doesn't have the mutation."""
    webserver.answer({"errors": [{"message": "Cannot query field"}]}, status=status)

    with pytest.raises(DagsterUnavailable, match="Cannot query field"):
        client(webserver).refresh_component_state("endpoints")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"Internal Server Error", 500),
        (b"<html>Sign in</html>", 200),
        (b'["not", "ours"]', 200),
        (b'{"data": "x"}', 200),
        (b'{"data": {"refreshComponentState": "x"}}', 200),
    ],
)
def test_what_is_not_dagster_is_said_to_be(webserver: Webserver, body: bytes, status: int) -> None:
    webserver.answer(body, status=status)

    with pytest.raises(DagsterUnavailable, match=rf"HTTP {status}.*set ENDPOINTS_DAGSTER_URL"):
        client(webserver).refresh_component_state("endpoints")


def test_an_empty_answer_is_not_taken_for_success(webserver: Webserver) -> None:
    webserver.answer({"data": None})

    with pytest.raises(DagsterUnavailable):
        client(webserver).refresh_component_state("endpoints")


def test_without_a_webserver_the_advice_says_what_to_do(webserver: Webserver) -> None:
    webserver.stop()

    with pytest.raises(DagsterUnavailable, match=r"can't be reached.*dagster dev.*ENDPOINTS_DAGSTER_URL") as raised:
        client(webserver).refresh_component_state("endpoints")

    assert raised.value.transient
    assert webserver.url in str(raised.value)


def test_a_webserver_that_never_answers_is_given_up(webserver: Webserver) -> None:
    webserver.answer({}, delay=5)
    settings = Settings(_env_file=None, dagster_url=webserver.url, dagster_timeout=0.2)

    with pytest.raises(DagsterUnavailable, match="Timeout"):
        DagsterClient(settings).refresh_component_state("endpoints")
