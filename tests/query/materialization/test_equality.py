"""The promise of contract 10.2: for every value a read has the rows of the direct query, in their order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.errors import QueryError
from endpoints_pipeline.query.materialization import NotServable, Refused
from endpoints_pipeline.query.variables import bind
from tests.query.materialization.grammar import CREATE, queries, rows
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
    def test_read_the_rows_of_the_direct_query(self, plans: Home, query: object, seed: int, data: st.DataObject) -> None:
        self._check(plans, query, seed, data)

    def _check(self, plans, query, seed, data):
        plans.run(*CREATE, *rows(seed))
        plan = plans.plan(query.sql, query.types, query.buckets)
        if isinstance(plan, Refused):
            print("REFUSED", plan.reason, query.sql)
            self.seen["refused"] += 1
            self.seen[plan.reason[:70]] += 1
            return
        source = plans.store(plan)
        self.seen['plans'] += 1
        for _ in range(_VALUES):
            values = {name: data.draw(strategy) for name, strategy in query.values.items()}
            bounds = {name: bind(name, query.types[name], value) for name, value in values.items()}
            try:
                expected = plans.direct(query.sql, bounds)
            except QueryError as error:
                self.seen["direct " + str(error)[:200]] += 1
                continue
            got = plans.read(plan, source, bounds)
            if isinstance(got, NotServable):
                self.seen["not servable"] += 1
                continue
            self.seen["cases"] += 1
            self.seen["mode " + ("states" if plan.aggregates or "__key" in plan.stored_sql else "rows") + (" grouped" if "GROUP BY" in plan.stored_sql else "") + (" empty" if not got else "")] += 1
            assert got == expected, (query.sql, values, plan.stored_sql, plan.execution_sql)

    def test_were_enough(self) -> None:
        for k, v in self.seen.most_common(): print(v, k)
        assert self.seen["cases"] >= CASES
