"""Projects: made once, listed by id."""

from __future__ import annotations

from functools import partial

import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Project
from endpoints_pipeline.errors import NotFound
from tests.catalog.builders import at_once
from tests.fixtures.catalog import FakeClock


def test_a_project_is_made_once_and_stays_as_it_was_made(catalog: Catalog, clock: FakeClock) -> None:
    made = Project(7, "Søl 日", clock())
    catalog.projects.ensure(7, "Søl 日", clock())
    catalog.projects.ensure(7, "another name", clock.advance(clock() - made.created_at))

    assert catalog.projects.get(7) == made


def test_many_who_make_it_at_the_same_time_all_succeed(catalog: Catalog, clock: FakeClock) -> None:
    assert at_once([partial(catalog.projects.ensure, 7, f"name {n}", clock()) for n in range(8)]) == [None] * 8
    assert [project.id for project in catalog.projects.list()] == [1, 7]


def test_they_are_listed_by_id(catalog: Catalog, clock: FakeClock) -> None:
    for number in (30, 2, 11):
        catalog.projects.ensure(number, "name", clock())

    assert [project.id for project in catalog.projects.list()] == [1, 2, 11, 30]
    assert catalog.projects.list()[0] == Project(1, "Default", clock())


def test_an_unknown_one_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match=r"No project 9\."):
        catalog.projects.get(9)
