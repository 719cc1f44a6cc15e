"""What both kinds of plans give: the query that is stored, and the query over what it stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from endpoints_pipeline.query.materialization.buckets import Bucket
from endpoints_pipeline.query.materialization.predicate import Predicate
from endpoints_pipeline.query.materialization.trees import Node, conjunction, function

#: The name under which a read finds the stored rows.
SNAPSHOT = "snapshot"
#: Clauses that hold for the rows that the variables leave, so they are of the read.
OF_THE_READ = (
    ["order_by", "order_by_all", "limit_by", "limit_by_all", "limit_by_length", "limit_by_offset"]
    + ["limit_length", "limit_offset", "limit_with_ties", "interpolate"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reaggregation:
    """An aggregate function of the query, and the one that puts its stored parts together; None if none is needed."""

    expression: str
    reaggregate_fn: str | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Attributes:

    stored: The SELECT whose rows are stored.
    read: The SELECT over them, without WHERE.
    columns: The stored column of each predicate, by its column's fingerprint.
    predicates: The conditions of the read, over stored columns.
    buckets: By column's fingerprint, what its stored column was rounded down with.
    aggregates: By expression, with what it is put together.
    """

    stored: Node
    read: Node
    columns: Mapping[str, str]
    predicates: tuple[Predicate, ...]
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    aggregates: tuple[tuple[Node, str | None], ...] = ()

    def filtered_read(self, types: Mapping[str, str]) -> Node:
        """The read with its conditions on the variables; ``types`` are those of the stored columns."""
        where = conjunction([_condition(one, types[str(one.column["name"])]) for one in self.predicates])
        return {**self.read, "where": where}


def _condition(one: Predicate, column_type: str) -> Node:
    if "Enum" not in column_type:
        return one.condition
    # the engine's reader of Parquet fails for a text that isn't one of an enum's names, instead of finding no row
    return one.condition_over(function("identity", one.column))


def snapshot_tables() -> Node:
    table = {"type": "TableExpression", "database_and_table_name": {"type": "TableIdentifier", "name": SNAPSHOT}}
    element = {"type": "TablesInSelectQueryElement", "table_expression": table}
    return {"type": "TablesInSelectQuery", "children": [element]}
