"""Bodies: which media types are taken, from whom, and how large they may be (contract 0.2)."""

from __future__ import annotations

import pytest

from tests.api.callers import NOT_FOUND, Caller, ok, says


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"])
def test_json_is_taken_under_its_media_types(api: Caller, media_type: str) -> None:
    ok(api.client.post(api.base, content=b'{"name":"a"}', headers={"content-type": media_type}), 400)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null", "content-type": "text/plain; application/json"},
    ],
)
def test_a_page_of_another_site_cannot_write(api: Caller, headers: dict[str, str]) -> None:
    text = '{"name": "daily", "query": {"kind": "HogQLQuery", "query": "SELECT 1"}}'
    answer = api.client.post(api.base, content=text, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert says(api.get("/daily")) == NOT_FOUND


def test_a_program_may_leave_the_media_type_out(api: Caller) -> None:
    text = '{"name": "daily", "query": {"kind": "HogQLQuery", "query": "SELECT 1"}}'
    ok(api.client.post(api.base, content=text), 201)


def test_a_huge_body_is_refused(api: Caller) -> None:
    answer = api.post_text("", b" " * (10 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
