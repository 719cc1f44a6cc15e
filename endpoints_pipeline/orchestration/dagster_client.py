"""Our one conversation with Dagster's webserver: its GraphQL mutation that refreshes a component's state.

``refreshComponentState`` is young (Dagster 1.13). Should it change: ``dg utils refresh-defs-state`` and a reload of the
code location in the UI do the same by hand.
"""

from __future__ import annotations

import requests

from endpoints_pipeline.errors import DagsterUnavailable
from endpoints_pipeline.settings import Settings

_REFRESH = """
mutation Refresh($location: String!, $key: String!) {
  refreshComponentState(locationName: $location, defsStateKey: $key) {
    __typename
    ... on RefreshComponentStateError { message }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
_FINE = {"RefreshComponentStateSuccess", "RefreshComponentStateAccepted"}


class DagsterClient:
    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.resolved_dagster_url}/graphql"
        self._location = settings.dagster_location
        self._timeout = settings.dagster_timeout

    def refresh_component_state(self, state_key: str) -> None:
        """Have the code location read the catalog anew and reload.

        Raises:
            DagsterUnavailable: The webserver can't be reached, or Dagster could not refresh; the definitions stay.
        """
        try:
            response = requests.post(
                self._url,
                json={"query": _REFRESH, "variables": {"location": self._location, "key": state_key}},
                timeout=self._timeout,
            )
        except requests.RequestException as error:
            raise DagsterUnavailable(
                f"Dagster's webserver at {self._url} can't be reached ({type(error).__name__}): start it with "
                "`endpoints up` or `dagster dev`, or set ENDPOINTS_DAGSTER_URL if it is elsewhere."
            ) from error
        try:
            answer = response.json()
            result = (answer.get("data") or {}).get("refreshComponentState") or {}
            fine, reason = result.get("__typename") in _FINE, result.get("message")
        except (ValueError, AttributeError) as error:
            raise DagsterUnavailable(
                f"{self._url} answered HTTP {response.status_code}, and not as Dagster's webserver does: look at its "
                "log, or set ENDPOINTS_DAGSTER_URL if it is elsewhere."
            ) from error
        if not fine:
            raise DagsterUnavailable(
                f"Dagster could not refresh the endpoints: {reason or answer.get('errors') or answer}"
            )
