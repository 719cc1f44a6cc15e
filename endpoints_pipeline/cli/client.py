"""A small client of our own HTTP API, for the commands that talk to a running stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from endpoints_pipeline.errors import EndpointsError, LocalStackError
from endpoints_pipeline.settings import Settings


class ApiRefused(EndpointsError):
    """The API answered with an error.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiClient:
    def __init__(self, settings: Settings, key: str | None = None) -> None:
        """``key`` is the secret of an API key; None: the setting's."""
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key or settings.api_key.get_secret_value()}"
        self._session.trust_env = False  # loopback never goes through the proxy that the environment names
        self._timeout = settings.query_timeout + 30
        project_url = f"{settings.resolved_public_url}/api/projects/{settings.project_id}"
        self.endpoints_url = f"{project_url}/endpoints"
        self.variables_url = f"{project_url}/insight_variables"

    def publish(self, definition: Mapping[str, Any]) -> str:
        """Create the endpoint or bring it to its definition; says ``created``, ``updated`` or ``unchanged``.

        Raises:
            ApiRefused: The definition isn't accepted; nothing was changed.
        """
        url = f"{self.endpoints_url}/{definition['name']}"
        try:
            before = self._call("GET", url)
        except ApiRefused as refused:
            if refused.status != 404:
                raise
            self._call("POST", self.endpoints_url, definition)
            return "created"
        after = self._call("PATCH", url, definition)
        return "unchanged" if after["updated_at"] == before["updated_at"] else "updated"

    def publish_variables(self, definitions: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """Create variables or bring them to their definitions, whose names are code names; says what came of each.

        Raises:
            ApiRefused: A definition isn't accepted; those before it were.
        """
        known = {one["code_name"]: one for one in self._listed(self.variables_url)} if definitions else {}
        outcomes = {}
        for definition in definitions:
            before = known.get(definition["name"])
            if before is None:
                self._call("POST", self.variables_url, definition)
                outcomes[definition["name"]] = "created"
            else:
                changes = {key: value for key, value in definition.items() if key != "name"}  # people may have another
                after = self._call("PATCH", f"{self.variables_url}/{before['id']}", changes)
                outcomes[definition["name"]] = "unchanged" if after == before else "updated"
        return outcomes

    def run(self, name: str, **request: Any) -> dict[str, Any]:
        """Run an endpoint; ``request`` is the run's body.

        Raises:
            ApiRefused: There is no answer; ``status`` says why.
        """
        return self._call("POST", f"{self.endpoints_url}/{name}/run", request)

    def _listed(self, url: str) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {"next": url}
        while page["next"]:
            page = self._call("GET", page["next"])
            yield from page["results"]

    def _call(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._session.request(method, url, json=body, timeout=self._timeout)
        except requests.RequestException as error:
            raise LocalStackError(f"The API at {url} doesn't answer: {type(error).__name__}.") from error
        if not response.ok:
            raise ApiRefused(f"{method} {url}: {response.status_code} {_reason(response)}", response.status_code)
        answer: dict[str, Any] = response.json()
        return answer


def _reason(response: requests.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text[:200]
    return str(body.get("detail") or body.get("error") or body)
