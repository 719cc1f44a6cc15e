"""The promise of contract 10.2: for every value a read has the rows of the direct query, in their order.

The usual run makes the same queries each time. ``MATERIALIZATION_EXAMPLES=3000`` makes as many other ones, and
compares some ten values for each.
"""

from __future__ import annotations

import json
import os
from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.errors import QueryError
from endpoints_pipeline.query.materialization import Refused
from endpoints_pipeline.query.variables import bind
from tests.query.materialization.grammar import Query, queries
from tests.query.materialization.home import DATABASE, TABLES, Home

CASES = 2_000
_USUAL_EXAMPLES, _VALUES = 230, 11
_EXAMPLES = int(os.environ.get("MATERIALIZATION_EXAMPLES", _USUAL_EXAMPLES))
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
        derandomize=_EXAMPLES == _USUAL_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(query=queries(), number=st.integers(0, TABLES - 1), data=st.data())
    def test_read_the_rows_of_the_direct_query(
        self, plans: Home, query: Query, number: int, data: st.DataObject
    ) -> None:
        sql = query.sql.replace(f"{DATABASE}.", f"{DATABASE}_{number}.")
        plan = plans.plan(sql, query.types, query.buckets)
        self.seen["queries"] += 1
        if isinstance(plan, Refused):
            assert plan.reason.startswith(_RIGHTLY), sql
            self.seen["refused queries"] += 1
            return
        source = plans.store(plan)
        for _ in range(_VALUES):
            values = {name: data.draw(strategy) for name, strategy in query.values.items()}
            bounds = {name: bind(name, query.types[name], value) for name, value in values.items()}
            try:
                expected = plans.direct(sql, bounds)
            except QueryError:
                self.seen["the engine refuses the value"] += 1
                continue
            if plans.cut(plan, bounds):
                self.seen["asks the source"] += 1
                continue
            self.seen["cases"] += 1
            self.seen["cases with rows"] += bool(expected)
            assert plans.read(plan, source, bounds) == expected, (sql, values, plan)
            if self.seen["cases"] % 20 == 0:
                page = plans.read(plan, source, bounds, limit=2, offset=1)
                assert json.loads(f"[{page}]") == json.loads(f"[{expected}]")[1:3], (sql, values, plan)

    def test_were_enough(self) -> None:
        assert self.seen["cases"] >= CASES, self.seen
        assert self.seen["cases with rows"] > self.seen["cases"] / 3, self.seen
        assert self.seen["refused queries"] < self.seen["queries"] / 5, self.seen
