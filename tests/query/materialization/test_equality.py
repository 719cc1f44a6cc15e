"""The promise of contract 10.2: for every value a read has the rows of the direct query, in their order."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.errors import QueryError
from endpoints_pipeline.query.materialization import Refused
from endpoints_pipeline.query.variables import bind
from tests.query.materialization.grammar import CREATE, Query, queries, rows
from tests.query.materialization.home import Home

CASES = 2_000
_EXAMPLES, _VALUES = 320, 8
# What the grammar makes and eligibility rightly refuses.
_RIGHTLY = (
    "Aggregate function '",
    "Variable propagation failed on UNION leg: the columns",
    "DISTINCT with ORDER BY",
    "GROUP BY of constants",
    "The name '",
)


class TestGeneratedQueries:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(query=queries(), seed=st.integers(0, 10**6), data=st.data())
    def test_read_the_rows_of_the_direct_query(self, plans: Home, query: Query, seed: int, data: st.DataObject) -> None:
        plans.run(*CREATE, *rows(seed))
        plan = plans.plan(query.sql, query.types, query.buckets)
        if isinstance(plan, Refused):
            assert plan.reason.startswith(_RIGHTLY), query.sql
            self.seen["refused"] += 1
            return
        source = plans.store(plan)
        for _ in range(_VALUES):
            values = {name: data.draw(strategy) for name, strategy in query.values.items()}
            bounds = {name: bind(name, query.types[name], value) for name, value in values.items()}
            try:
                expected = plans.direct(query.sql, bounds)
            except QueryError:
                self.seen["refused by the engine"] += 1
                continue
            if plans.cut(plan, bounds):
                self.seen["asks the source"] += 1
                continue
            self.seen["cases"] += 1
            assert plans.read(plan, source, bounds) == expected, (query.sql, values, plan)

    def test_were_enough(self) -> None:
        assert self.seen["cases"] >= CASES, self.seen
