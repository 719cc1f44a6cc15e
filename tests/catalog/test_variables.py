"""Variables: named, typed parameters of a project (contract 2.3)."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Variable
from endpoints_pipeline.catalog.variables import code_name_of
from endpoints_pipeline.errors import InvalidInput, NotFound
from endpoints_pipeline.query.variables import VariableType, placeholders
from tests.catalog.builders import PROJECT, at_once, person
from tests.fixtures.catalog import FakeClock

STRING = VariableType.STRING


def _create(catalog: Catalog, clock: FakeClock, name: str = "Event name", **fields: Any) -> Variable:
    defaults: dict[str, Any] = {"name": name, "type": STRING, "default_value": "x", "by": None, "now": clock()}
    return catalog.variables.create(fields.pop("project", PROJECT), **(defaults | fields))


def _names(catalog: Catalog, **window: Any) -> tuple[list[str], int]:
    found, total = catalog.variables.list(PROJECT, **window)
    return [variable.name for variable in found], total


class TestCodeName:
    @pytest.mark.parametrize(
        ("name", "code_name"),
        [
            ("Event name", "event_name"),
            ("event_name", "event_name"),
            ("Top-10 (USD)!", "top10_usd"),
            ("two  blanks", "two__blanks"),
            ("2024", "2024"),
            ("a\tb\nc", "abc"),
            ("Größe", "gre"),
            ("日本", ""),
            ("!?", ""),
            ("İ", "i"),
        ],
    )
    def test_is_made_of_the_name(self, name: str, code_name: str) -> None:
        assert code_name_of(name) == code_name

    @settings(deadline=None)  # the first example loads the engine's grammar
    @given(name=st.text())
    def test_is_a_word_that_a_query_can_use_and_its_own_code_name(self, name: str) -> None:
        code_name = code_name_of(name)

        assert re.fullmatch("[a-z0-9_]*", code_name)
        assert code_name_of(code_name) == code_name
        if code_name:
            assert placeholders(f"SELECT {{variables.{code_name}}}") == (code_name,)

    @given(name=st.text("abcXYZ019_ -.é"))
    def test_keeps_letters_digits_and_blanks_in_their_order(self, name: str) -> None:
        assert code_name_of(name) == re.sub("[^a-z0-9_]", "", name.lower().replace(" ", "_"))


class TestCreate:
    def test_answers_what_a_later_get_answers(self, catalog: Catalog, clock: FakeClock) -> None:
        user = person(catalog, clock())

        made = _create(catalog, clock, type=VariableType.LIST, default_value=["é", "日"], by=user.id, values=["a", 1])

        assert catalog.variables.get(PROJECT, made.id) == made
        assert (made.project_id, made.name, made.code_name) == (PROJECT, "Event name", "event_name")
        assert (made.type, made.default_value, made.values) == (VariableType.LIST, ["é", "日"], ("a", 1))
        assert (made.created_at, made.created_by, made.deleted_at) == (clock(), user, None)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        default=st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(codec=None)),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        )
    )
    @example(2**64 - 1)
    @example(7.066485867281633e16)
    @example([1.0, 10**30, "a \x00 byte"])
    @example("5")
    def test_a_default_comes_back_as_it_was(self, catalog: Catalog, clock: FakeClock, default: Any) -> None:
        made = _create(catalog, clock, default_value=default)
        try:
            found = catalog.variables.get(PROJECT, made.id).default_value
        finally:
            catalog.variables.delete(PROJECT, made.id, clock())

        assert repr(found) == repr(default)

    @pytest.mark.parametrize("name", ["", " ", "日本", "!?"])
    def test_a_name_that_gives_no_code_name_is_refused(
        self, sqlite_catalog: Catalog, clock: FakeClock, name: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            _create(sqlite_catalog, clock, name)

        assert refused.value.attr == "name"
        assert _names(sqlite_catalog) == ([], 0)

    def test_a_code_name_that_is_taken_is_refused(self, catalog: Catalog, clock: FakeClock) -> None:
        first = _create(catalog, clock)

        for name in ("Event name", "event_name", "EVENT_name", "Event name!"):
            with pytest.raises(InvalidInput, match="'event_name' already exists") as refused:
                _create(catalog, clock, name)
            assert refused.value.attr == "name"

        assert catalog.variables.list(PROJECT) == ([first], 1)

    def test_a_deleted_ones_code_name_is_free_and_another_projects_too(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        catalog.projects.ensure(2, "Other", clock())
        first = _create(catalog, clock)
        theirs = _create(catalog, clock, project=2)
        catalog.variables.delete(PROJECT, first.id, clock())

        second = _create(catalog, clock)

        assert second.id != first.id
        assert catalog.variables.by_code_name(PROJECT, ["event_name"]) == {"event_name": second}
        assert catalog.variables.by_code_name(2, ["event_name"]) == {"event_name": theirs}

    def test_of_one_code_name_at_the_same_time_exactly_one_is_made(self, catalog: Catalog, clock: FakeClock) -> None:
        answers = at_once([partial(_create, catalog, clock, f"event name{'!' * n}") for n in range(8)])

        made = [answer for answer in answers if isinstance(answer, Variable)]
        assert [type(answer) for answer in answers].count(InvalidInput) == 7
        assert catalog.variables.list(PROJECT) == (made, 1)

    def test_an_unknown_project_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        with pytest.raises(NotFound):
            _create(catalog, clock, project=9)
        with pytest.raises(NotFound):
            catalog.variables.list(9)


class TestUpdate:
    def test_changes_what_it_names_only(self, catalog: Catalog, clock: FakeClock) -> None:
        made = _create(catalog, clock, values=["a"])

        catalog.variables.update(PROJECT, made.id, changes={"default_value": None}, now=clock())
        catalog.variables.update(PROJECT, made.id, changes={"type": VariableType.NUMBER}, now=clock())
        changed = catalog.variables.update(PROJECT, made.id, changes={"name": "売上", "values": None}, now=clock())

        assert catalog.variables.get(PROJECT, made.id) == changed
        assert (changed.name, changed.code_name) == ("売上", "event_name")
        assert (changed.type, changed.default_value, changed.values) == (VariableType.NUMBER, None, None)
        assert changed.created_at == made.created_at

    def test_true_and_1_are_two(self, catalog: Catalog, clock: FakeClock) -> None:
        made = _create(catalog, clock, type=VariableType.LIST, default_value=[1], values=[1, 0])

        catalog.variables.update(
            PROJECT, made.id, changes={"default_value": [True], "values": [True, False]}, now=clock()
        )

        found = catalog.variables.get(PROJECT, made.id)
        assert (repr(found.default_value), repr(found.values)) == ("[True]", "(True, False)")

    def test_a_refused_one_changes_nothing(self, catalog: Catalog, clock: FakeClock) -> None:
        made = _create(catalog, clock)

        with pytest.raises(InvalidInput) as refused:
            catalog.variables.update(PROJECT, made.id, changes={"default_value": 1, "name": " "}, now=clock())
        with pytest.raises(ValueError, match="no code_name to change"):
            catalog.variables.update(PROJECT, made.id, changes={"code_name": "x"}, now=clock())

        assert refused.value.attr == "name"
        assert catalog.variables.get(PROJECT, made.id) == made

    def test_in_parallel_loses_no_field(self, catalog: Catalog, clock: FakeClock) -> None:
        made = _create(catalog, clock)
        changes: list[dict[str, Any]] = [{"name": "new"}, {"type": VariableType.DATE}, {"default_value": "2026-03-01"}]

        answers = at_once(
            [partial(catalog.variables.update, PROJECT, made.id, changes=change, now=clock()) for change in changes]
        )

        assert all(isinstance(answer, Variable) for answer in answers), answers
        found = catalog.variables.get(PROJECT, made.id)
        assert (found.name, found.type, found.default_value) == ("new", VariableType.DATE, "2026-03-01")


class TestDelete:
    def test_hides_it_from_new_queries_and_keeps_it_for_stored_ones(self, catalog: Catalog, clock: FakeClock) -> None:
        made = _create(catalog, clock)
        at = clock.advance(timedelta(minutes=1))

        catalog.variables.delete(PROJECT, made.id, at)

        assert catalog.variables.list(PROJECT) == ([], 0)
        assert catalog.variables.by_code_name(PROJECT, ["event_name"]) == {}
        kept = catalog.variables.by_id(PROJECT, [made.id])[made.id]
        assert (kept.code_name, kept.deleted_at) == ("event_name", at)

    def test_one_that_is_gone_unknown_or_anothers_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        gone, theirs = _create(catalog, clock), _create(catalog, clock, project=2)
        catalog.variables.delete(PROJECT, gone.id, clock())

        for variable_id in (gone.id, theirs.id, "unknown"):
            for call in (
                partial(catalog.variables.get, PROJECT, variable_id),
                partial(catalog.variables.delete, PROJECT, variable_id, clock()),
                partial(catalog.variables.update, PROJECT, variable_id, changes={"name": "mine"}, now=clock()),
            ):
                with pytest.raises(NotFound):
                    call()
        assert catalog.variables.get(2, theirs.id) == theirs


class TestLookUp:
    def test_pages_by_name(self, catalog: Catalog, clock: FakeClock) -> None:
        for name in ("cc", "aa", "dd", "bb"):
            _create(catalog, clock, name)

        assert _names(catalog) == (["aa", "bb", "cc", "dd"], 4)
        assert _names(catalog, limit=2, offset=1) == (["bb", "cc"], 4)
        assert _names(catalog, limit=2, offset=9) == ([], 4)

    def test_finds_those_that_there_are_of_this_project(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        one, two = _create(catalog, clock, "one"), _create(catalog, clock, "two")
        theirs = _create(catalog, clock, "three", project=2)

        assert catalog.variables.by_code_name(PROJECT, {"one", "two", "three", "four"}) == {"one": one, "two": two}
        assert catalog.variables.by_id(PROJECT, [one.id, theirs.id, "unknown"]) == {one.id: one}
        assert catalog.variables.by_code_name(PROJECT, []) == catalog.variables.by_id(PROJECT, []) == {}
