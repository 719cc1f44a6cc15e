from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from endpoints_pipeline.errors import QueryError
from endpoints_pipeline.query.materialization import BucketedColumn, RangePair
from endpoints_pipeline.query.materialization.buckets import BUCKETS
from endpoints_pipeline.query.variables import bind
from tests.query.materialization.grammar import DATE, FACTS, NUMBER
from tests.query.materialization.home import DATABASE, Home

MOMENTS = f"{DATABASE}.moments"
# clocks that change by an hour, at midnight, by half an hour; and one that is never whole hours from UTC
ZONES = ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"]
_TYPES = ["Date", "Date32", "DateTime('Europe/Berlin')", "DateTime64(3, 'America/Havana')"]
_TYPES += ["DateTime('Australia/Lord_Howe')", "DateTime64(6, 'UTC')"]
_EDGES = [0, 1, 3_600, 82_800, 86_400, 63_072_000, 4_294_967_295, 4_260_000_000]
_VALUES = ["1970-01-01", "1970-01-02", "1971-12-26", "1972-01-01", "2026-03-29", "2026-04-01", "2106-01-01"]
_VALUES += ["2026-03-29 00:00:00", "2026-03-29 02:30:00", "2026-03-31 23:59:59", "2026-03-28 12:15:00"]


@pytest.fixture(scope="module")
def moments(plans: Home) -> Iterator[Home]:
    """A table with a column of each type: days in a row, clocks' changes, and the ends of the types' ranges."""
    columns = ", ".join(f"c{number} Nullable({type_})" for number, type_ in enumerate(_TYPES))
    plans.run(f"CREATE TABLE {MOMENTS} ({columns}) ENGINE = Memory")
    seconds = "arrayConcat(range(1774600000, 1775000000, 700), range(1743460000, 1743720000, 1100), [{edges}])"
    picked = f"SELECT arrayJoin({seconds.format(edges=', '.join(map(str, _EDGES)))}) AS s"
    casts = ", ".join(f"CAST(toDateTime(s, 'UTC'), '{_quoted(type_)}')" for type_ in _TYPES)
    plans.run(f"INSERT INTO {MOMENTS} SELECT {casts} FROM ({picked})")
    plans.run(f"INSERT INTO {MOMENTS} (c0) VALUES (NULL)")
    yield plans
    plans.run(f"DROP TABLE {MOMENTS}")


def _quoted(type_: str) -> str:
    return type_.replace("'", "\\'")


@pytest.mark.parametrize("number", range(len(_TYPES)), ids=_TYPES)
def test_a_read_is_exact_or_asks_the_source(moments: Home, number: int) -> None:
    exact = 0
    for unit, operator in product(BUCKETS, [">=", "<="]):
        sql = f"SELECT count() FROM {MOMENTS} WHERE c{number} {operator} {{variables.x}}"
        plan = moments.accepted(sql, {"x": DATE}, {f"c{number}": unit})
        source = moments.store(plan)
        for value in _VALUES:
            bounds = {"x": bind("x", DATE, value)}
            if moments.cut(plan, bounds) is None:
                try:
                    direct = moments.direct(sql, bounds)
                except QueryError:
                    continue  # a time, for a Date
                assert moments.read(plan, source, bounds) == direct, (unit, operator, value)
                exact += 1
    assert exact > 3 * len(BUCKETS)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("bucket_fn", BUCKETS.values())
def test_the_engine_never_rounds_up_or_out_of_order(plans: Home, zone: str, bucket_fn: str) -> None:
    """What exactness stands on, for moments of ten years."""
    type_ = f"DateTime(\\'{zone}\\')"
    begins = f"SELECT toDateTime(1700000000 + number * 1200, '{zone}') AS t, CAST({bucket_fn}(t), '{type_}') AS b"
    order = "ORDER BY t ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING"
    [row] = plans.engine.query(
        f"SELECT countIf(b > t), countIf(CAST({bucket_fn}(b), '{type_}') != b), countIf(b < before) FROM "
        f"(SELECT *, any(b) OVER ({order}) AS before FROM ({begins} FROM numbers(262800)))"
    )
    assert tuple(row) == (0, 0, 0)


class TestOverrides:
    @pytest.mark.parametrize(("unit", "bucket_fn"), BUCKETS.items())
    def test_name_the_bucket(self, plans: Home, unit: str, bucket_fn: str) -> None:
        plan = plans.accepted(f"SELECT count() FROM {FACTS} WHERE ts >= {{variables.x}}", {"x": DATE}, {"ts": unit})
        assert plan.read.bucketed == (BucketedColumn("ts", bucket_fn),)
        assert plan.range_pairs == (RangePair("ts", ("x",), bucket_fn),)

    def test_are_by_the_columns_name_with_and_without_its_table(self, plans: Home) -> None:
        sql = f"SELECT count() FROM {FACTS} AS t WHERE t.ts >= {{variables.x}}"
        for name in ("t.ts", "ts"):
            assert plans.accepted(sql, {"x": DATE}, {name: "hour"}).read.bucketed[0].bucket_fn == "toStartOfHour"

    def test_a_day_is_the_usual_bucket_of_times_and_none_that_of_dates(self, plans: Home) -> None:
        sql = f"SELECT count() FROM {FACTS} WHERE ts >= {{variables.x}} AND d < {{variables.y}}"
        plan = plans.accepted(sql, {"x": DATE, "y": DATE})
        assert plan.range_pairs == (RangePair("ts", ("x",), "toStartOfDay"), RangePair("d", ("y",), None))

    def test_two_ends_share_a_bucket(self, plans: Home) -> None:
        sql = f"SELECT count() FROM {FACTS} WHERE ts >= {{variables.x}} AND ts < {{variables.y}}"
        plan = plans.accepted(sql, {"x": DATE, "y": DATE})
        assert plan.range_pairs == (RangePair("ts", ("x", "y"), "toStartOfDay"),)
        bounds = {"x": bind("x", DATE, "2026-01-01"), "y": bind("y", DATE, "2026-02-01 00:00:01")}
        assert plans.cut(plan, bounds) == "a value for ts lies inside of a bucket of toStartOfDay"


class TestWithoutBuckets:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT id FROM {t} WHERE ts >= {x} ORDER BY id",  # rows are stored as they are
            "SELECT ts, count() FROM {t} WHERE ts >= {x} GROUP BY ts ORDER BY ts",  # no group would become less
            "SELECT count() FROM {t} WHERE toDate(ts) >= {x}",
            "SELECT count() FROM {t} WHERE d >= {x}",
            "SELECT count() FROM {t} WHERE ts >= {x} OR {x} = '2026-01-01'",
        ],
    )
    def test_every_value_is_exact(self, plans: Home, sql: str) -> None:
        spelled = sql.replace("{t}", FACTS).replace("{x}", "{variables.x}")
        plans.answers(spelled, {"x": DATE}, [{"x": "2026-01-01"}, {"x": "2026-02-01"}])
        assert plans.accepted(spelled, {"x": DATE}).read.boundary_sql is None

    def test_numbers_have_none(self, plans: Home) -> None:
        sql = f"SELECT count() FROM {FACTS} WHERE n >= {{variables.x}}"
        assert plans.accepted(sql, {"x": NUMBER}, {"n": "day"}).read.boundary_sql is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT toStartOfDay(ts) AS day, count() FROM {t} WHERE ts >= {x} GROUP BY day ORDER BY day",
        "WITH c AS (SELECT * FROM {t} WHERE ts >= {x}) SELECT count() FROM c",
    ],
)
def test_a_value_inside_of_a_bucket_asks_the_source(plans: Home, sql: str) -> None:
    """A key that the query rounds itself is no reason to answer for a day as a whole."""
    spelled = sql.replace("{t}", FACTS).replace("{x}", "{variables.x}")
    plan = plans.accepted(spelled, {"x": DATE})
    assert plans.cut(plan, {"x": bind("x", DATE, "2026-01-01 12:00:00")}) is not None
    plans.answers(spelled, {"x": DATE}, [{"x": "2026-01-01"}, {"x": "2025-12-31"}])
