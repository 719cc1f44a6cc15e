"""No endpoint comes to read itself, whoever saves what at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import pytest

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.catalog.endpoints import CheckedQuery, EndpointChange, NewEndpoint
from endpoints_pipeline.catalog.lineage import refuse_cycle
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.lineage import Reads
from tests.catalog.builders import PROJECT, checked
from tests.fixtures.catalog import CATALOG_TIMEOUT, FakeClock


def query(*endpoints: str, tables: tuple[str, ...] = ()) -> CheckedQuery:
    sql = f"SELECT 1 AS n FROM {', '.join([*endpoints, *tables, 'numbers(1)'])}"
    return CheckedQuery(query={"kind": "HogQLQuery", "query": sql}, sql=sql, columns=(), reads=Reads(tables, endpoints))


def create(catalog: Catalog, clock: FakeClock, name: str, *endpoints: str, project: int = PROJECT) -> None:
    catalog.endpoints.create(project, NewEndpoint(name=name, query=query(*endpoints)), clock())


def save(catalog: Catalog, clock: FakeClock, name: str, *endpoints: str) -> None:
    catalog.endpoints.update(PROJECT, name, EndpointChange(query=query(*endpoints)), clock())


def test_what_a_version_reads_is_kept(catalog: Catalog, clock: FakeClock) -> None:
    catalog.endpoints.create(PROJECT, NewEndpoint(name="a", query=query("b", "c", tables=("t",))), clock())
    assert catalog.endpoints.get(PROJECT, "a").version.reads == Reads(("t",), ("b", "c"))


def test_an_endpoint_can_not_read_itself(catalog: Catalog, clock: FakeClock) -> None:
    create(catalog, clock, "a")
    with pytest.raises(InvalidInput, match=r"^Invalid HogQL query: It would read itself: a -> a$") as refusal:
        save(catalog, clock, "a", "a")
    assert refusal.value.attr == "query"
    assert catalog.endpoints.get(PROJECT, "a").current_version == 1
    with pytest.raises(InvalidInput, match=r"b -> b$"):
        create(catalog, clock, "b", "b")


@pytest.mark.parametrize("length", [2, 3, 6])
def test_a_cycle_is_refused_and_shown(catalog: Catalog, clock: FakeClock, length: int) -> None:
    names = [f"e{number}" for number in range(length)]
    create(catalog, clock, names[-1])
    for reader, read in reversed(list(pairwise(names))):
        create(catalog, clock, reader, read)
    way = " -> ".join([names[-1], *names])
    with pytest.raises(InvalidInput, match=f": {way}$"):
        save(catalog, clock, names[-1], names[0])


def test_the_shortest_way_is_shown(catalog: Catalog, clock: FakeClock) -> None:
    create(catalog, clock, "a")
    create(catalog, clock, "b", "a")
    create(catalog, clock, "c", "b", "a")
    create(catalog, clock, "d", "c", "b")
    with pytest.raises(InvalidInput, match=r": a -> d -> b -> a$"):
        save(catalog, clock, "a", "d")


def test_ways_that_meet_are_no_cycle(catalog: Catalog, clock: FakeClock) -> None:
    create(catalog, clock, "a")
    create(catalog, clock, "b", "a")
    create(catalog, clock, "c", "a")
    create(catalog, clock, "d", "b", "c", "a")
    save(catalog, clock, "d", "c")


def test_only_current_versions_of_live_endpoints_of_the_project_count(catalog: Catalog, clock: FakeClock) -> None:
    create(catalog, clock, "a")
    create(catalog, clock, "b", "a")
    save(catalog, clock, "b")
    save(catalog, clock, "a", "b")  # version 1 of b read a
    create(catalog, clock, "c", "a")
    catalog.endpoints.delete(PROJECT, "c", clock())
    create(catalog, clock, "c")
    save(catalog, clock, "a", "c")  # the c that is gone read a
    catalog.projects.ensure(2, "Other", clock())
    create(catalog, clock, "x", "y", project=2)
    create(catalog, clock, "y", "x")


def test_an_older_cycle_of_others_is_not_followed_for_ever(catalog: Catalog, clock: FakeClock) -> None:
    """Names that were tables when they were saved, say."""
    create(catalog, clock, "b", "c")
    with catalog.database.write() as session:
        session.connection().exec_driver_sql("""UPDATE versions SET reads = '{"tables": [], "endpoints": ["b"]}'""")
    create(catalog, clock, "a", "b")


class TestAtOnce:
    @pytest.fixture
    def catalogs(self, catalog_dsn: str, clock: FakeClock) -> Iterator[tuple[Catalog, Catalog]]:
        """Two processes' views of one catalog."""
        opened = [open_catalog(catalog_dsn, timeout=CATALOG_TIMEOUT, auto_migrate=True) for _ in range(2)]
        opened[0].projects.ensure(PROJECT, "Default", clock())
        yield opened[0], opened[1]
        for one in opened:
            one.close()

    def test_two_saves_make_no_cycle(self, catalogs: tuple[Catalog, Catalog], clock: FakeClock) -> None:
        pairs = [(f"a{number}", f"b{number}") for number in range(15)]
        for pair in pairs:
            for name in pair:
                create(catalogs[0], clock, name)
        together = Barrier(2)

        def reading(catalog: Catalog, reader: str, read: str) -> bool:
            together.wait()
            try:
                save(catalog, clock, reader, read)
            except InvalidInput:
                return False
            return True

        with ThreadPoolExecutor(2) as threads:
            for a, b in pairs:
                saved = list(threads.map(reading, catalogs, (a, b), (b, a)))
                assert sorted(saved) == [False, True], "one of them comes first, and the other sees it"

    def test_two_new_endpoints_make_no_cycle(self, catalogs: tuple[Catalog, Catalog], clock: FakeClock) -> None:
        together = Barrier(2)

        def making(catalog: Catalog, reader: str, read: str) -> bool:
            together.wait()
            try:
                create(catalog, clock, reader, read)
            except InvalidInput:
                return False
            return True

        with ThreadPoolExecutor(2) as threads:
            for number in range(15):
                a, b = f"a{number}", f"b{number}"
                assert sorted(threads.map(making, catalogs, (a, b), (b, a))) == [False, True]

    def test_other_saves_of_the_project_do_not_wait(self, postgresql_catalog: Catalog, clock: FakeClock) -> None:
        """On SQLite, every write waits for the one before."""
        create(postgresql_catalog, clock, "a")
        with postgresql_catalog.database.write() as session:
            refuse_cycle(session, PROJECT, "b", Reads((), ("a",)))
            create(postgresql_catalog, clock, "c")
            save(postgresql_catalog, clock, "a")


def test_a_query_without_endpoints_is_not_looked_at(catalog: Catalog, clock: FakeClock) -> None:
    catalog.endpoints.create(PROJECT, NewEndpoint(name="a", query=checked()), clock())
    assert catalog.endpoints.get(PROJECT, "a").version.reads == Reads()
