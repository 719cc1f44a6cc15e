"""Keys: who may come, told by a secret that the catalog itself doesn't know (contract 5.1)."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import ApiKey, KeyKind, User
from endpoints_pipeline.catalog.tables import ApiKeyRow
from endpoints_pipeline.errors import InvalidInput, NotFound
from tests.catalog.builders import PROJECT, at_once, person
from tests.fixtures.catalog import FakeClock

MINUTE = timedelta(minutes=1)


def _create(catalog: Catalog, clock: FakeClock, **fields: Any) -> tuple[ApiKey, str]:
    defaults: dict[str, Any] = {
        "kind": KeyKind.PERSONAL,
        "label": "laptop",
        "project_id": PROJECT,
        "scopes": ["endpoint:read"],
        "user_id": None,
        "now": clock(),
    }
    return catalog.keys.create(**(defaults | fields))


class TestUsers:
    def test_a_new_one_has_what_was_given(self, catalog: Catalog, clock: FakeClock) -> None:
        user = catalog.keys.ensure_user("ann@example.com", first_name="Ånn", last_name="日本", now=clock())

        assert (user.email, user.first_name, user.last_name) == ("ann@example.com", "Ånn", "日本")
        assert user.created_at == clock()
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", user.uuid)

    def test_a_known_one_stays_as_it_is(self, catalog: Catalog, clock: FakeClock) -> None:
        known = catalog.keys.ensure_user("ann@example.com", first_name="Ann", now=clock())
        other = catalog.keys.ensure_user("bob@example.com", now=clock())

        again = catalog.keys.ensure_user("ann@example.com", first_name="Anna", now=clock.advance(MINUTE))

        assert again == known
        assert other.id != known.id
        assert other.uuid != known.uuid

    def test_one_who_is_made_by_many_at_the_same_time_is_one(self, catalog: Catalog, clock: FakeClock) -> None:
        answers = at_once([partial(catalog.keys.ensure_user, "ann@example.com", now=clock())] * 8)

        assert all(isinstance(answer, User) for answer in answers), answers
        assert len({answer.id for answer in answers}) == 1


class TestCreate:
    @pytest.mark.parametrize(("kind", "prefix"), [(KeyKind.PERSONAL, "phx_"), (KeyKind.PROJECT_SECRET, "phs_")])
    def test_the_secret_says_its_kind_and_is_never_the_same(
        self, sqlite_catalog: Catalog, clock: FakeClock, kind: KeyKind, prefix: str
    ) -> None:
        made = [_create(sqlite_catalog, clock, kind=kind) for _ in range(20)]

        for key, secret in made:
            assert re.fullmatch(prefix + r"[A-Za-z0-9_-]{43}", secret)
            assert key.mask == f"{prefix}...{secret[-4:]}"
            assert key.kind is kind
        assert len({secret for _, secret in made}) == len({key.id for key, _ in made}) == 20

    def test_nothing_in_the_database_tells_the_secret(self, catalog: Catalog, clock: FakeClock) -> None:
        _, secret = _create(catalog, clock)

        with catalog.database.read() as session:
            stored = session.execute(sa.select(*ApiKeyRow.__table__.columns)).one()

        assert secret[4:] not in str(stored)
        assert secret[4:24] not in str(stored)

    def test_answers_what_a_later_find_answers(self, catalog: Catalog, clock: FakeClock) -> None:
        user = person(catalog, clock())
        key, secret = _create(
            catalog,
            clock,
            label="Søl 日",
            project_id=None,
            user_id=user.id,
            scopes=["endpoint:write", "endpoint:read", "endpoint:write"],
            expires_at=clock() + MINUTE,
        )

        assert catalog.keys.find(secret, clock()) == key
        assert (key.label, key.user, key.project_id) == ("Søl 日", user, None)
        assert key.scopes == ("endpoint:write", "endpoint:read")
        assert (key.created_at, key.expires_at) == (clock(), clock() + MINUTE)
        assert (key.last_used_at, key.revoked_at) == (None, None)

    def test_an_unknown_project_or_user_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        with pytest.raises(NotFound, match="No project 9"):
            _create(catalog, clock, project_id=9)
        with pytest.raises(NotFound, match="No user 9"):
            _create(catalog, clock, user_id=9)
        assert catalog.keys.list() == []

    def test_a_project_secret_key_needs_its_project(self, sqlite_catalog: Catalog, clock: FakeClock) -> None:
        with pytest.raises(InvalidInput, match="belongs to one project") as refused:
            _create(sqlite_catalog, clock, kind=KeyKind.PROJECT_SECRET, project_id=None)

        assert refused.value.attr == "project_id"


class TestFind:
    def test_one_that_expires_is_found_until_then(self, catalog: Catalog, clock: FakeClock) -> None:
        key, secret = _create(catalog, clock, expires_at=clock() + MINUTE)

        assert catalog.keys.find(secret, clock() + MINUTE - timedelta(microseconds=1)) == key
        assert catalog.keys.find(secret, clock() + MINUTE) is None

    def test_a_revoked_one_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        key, secret = _create(catalog, clock)
        other, others_secret = _create(catalog, clock)

        catalog.keys.revoke(key.id, clock())

        assert catalog.keys.find(secret, clock()) is None
        assert catalog.keys.find(others_secret, clock()) == other

    def test_what_only_looks_like_the_secret_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        key, secret = _create(catalog, clock)

        for wrong in (secret[:-1], secret.lower(), f"{secret} ", secret[4:], key.id, key.mask, "%", ""):
            assert catalog.keys.find(wrong, clock()) is None

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(secret=st.text(st.characters(codec=None), max_size=60))
    @example("a \x00 byte")
    @example("half a pair \ud800")
    def test_any_text_may_be_asked_for(self, catalog: Catalog, clock: FakeClock, secret: str) -> None:
        assert catalog.keys.find(secret, clock()) is None


class TestTouch:
    def test_notes_the_use_to_ten_minutes(self, catalog: Catalog, clock: FakeClock) -> None:
        key, secret = _create(catalog, clock)
        start = clock()
        seen = []
        for minutes in (0, 5, 9, 10, 19, 20, 45):
            catalog.keys.touch(key.id, start + minutes * MINUTE)
            found = catalog.keys.find(secret, start)
            assert found is not None
            assert found.last_used_at is not None
            seen.append((found.last_used_at - start) // MINUTE)

        assert seen == [0, 0, 0, 10, 10, 20, 45]

    def test_notes_nothing_of_other_or_unknown_keys(self, catalog: Catalog, clock: FakeClock) -> None:
        key, _ = _create(catalog, clock)
        other, _ = _create(catalog, clock)

        catalog.keys.touch(key.id, clock())
        catalog.keys.touch("unknown", clock())

        assert {found.id: found.last_used_at for found in catalog.keys.list()} == {key.id: clock(), other.id: None}

    def test_a_use_that_was_just_noted_waits_for_no_writer(self, sqlite_catalog: Catalog, clock: FakeClock) -> None:
        key, _ = _create(sqlite_catalog, clock)
        sqlite_catalog.keys.touch(key.id, clock())

        with sqlite_catalog.database.write():
            sqlite_catalog.keys.touch(key.id, clock.advance(MINUTE))


class TestList:
    def test_shows_what_opens_a_project_in_the_order_of_making(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        fields: list[dict[str, Any]] = [
            {"label": "mine"},
            {"label": "theirs", "project_id": 2},
            {"label": "everybody's", "project_id": None, "user_id": person(catalog, clock()).id},
            {"label": "old", "expires_at": clock()},
        ]
        for field in fields:
            _create(catalog, clock, **field)
            clock.advance(MINUTE)

        assert [key.label for key in catalog.keys.list()] == ["mine", "theirs", "everybody's", "old"]
        assert [key.label for key in catalog.keys.list(PROJECT)] == ["mine", "everybody's", "old"]
        assert [key.label for key in catalog.keys.list(2)] == ["theirs", "everybody's"]
        assert catalog.keys.list()[2].user == person(catalog, clock())


class TestRevoke:
    @pytest.mark.parametrize("by", ["id", "mask"])
    def test_ends_one_key_for_good(self, catalog: Catalog, clock: FakeClock, by: str) -> None:
        key, secret = _create(catalog, clock)
        other, _ = _create(catalog, clock)
        at = clock.advance(MINUTE)

        assert catalog.keys.revoke(getattr(key, by), at).revoked_at == at
        assert catalog.keys.revoke(getattr(key, by), clock.advance(MINUTE)).revoked_at == at

        assert catalog.keys.find(secret, clock()) is None
        assert {found.id: found.revoked_at for found in catalog.keys.list()} == {key.id: at, other.id: None}

    def test_an_unknown_one_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        _, secret = _create(catalog, clock)

        for unknown in ("phx_...nope", "", secret, "%"):
            with pytest.raises(NotFound):
                catalog.keys.revoke(unknown, clock())

    def test_a_mask_that_two_keys_share_is_refused(self, catalog: Catalog, clock: FakeClock) -> None:
        keys = [_create(catalog, clock)[0] for _ in range(2)]
        with catalog.database.write() as session:
            session.execute(sa.update(ApiKeyRow).values(mask="phx_...same"))

        with pytest.raises(InvalidInput, match=r"2 keys look like phx_\.\.\.same: give the id"):
            catalog.keys.revoke("phx_...same", clock())

        assert [key.revoked_at for key in catalog.keys.list()] == [None, None]
        assert catalog.keys.revoke(keys[0].id, clock()).revoked_at == clock()
