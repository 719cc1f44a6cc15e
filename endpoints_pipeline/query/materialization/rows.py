"""Rows stored as they are: a read filters, orders and cuts them.

For queries that don't aggregate, and for those that group if each group of a direct query is one stored group: then
the variables' columns join GROUP BY.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization.layout import OF_THE_READ, Layout, snapshot_tables
from endpoints_pipeline.query.materialization.lifting import HIDDEN_PREFIX
from endpoints_pipeline.query.materialization.predicate import Predicate
from endpoints_pipeline.query.materialization.refusal import Ineligible
from endpoints_pipeline.query.materialization.trees import (
    ASTERISKS,
    Node,
    aliased,
    bare,
    children,
    clauses,
    expressions,
    fingerprint,
    identifier,
    name_of,
    scope,
)

_ORDER_PREFIX = "__order_"


def rows_layout(select: Node, predicates: Sequence[Predicate], outputs: Sequence[Column], *, grouped: bool) -> Layout:
    """How a SELECT, from which the predicates were taken, is stored and read.

    Raises:
        Ineligible: Its order or its DISTINCT can't be had from stored rows.
    """
    stored = _Stored(select, [column.name for column in outputs])
    columns = {}
    for one in predicates:
        columns[fingerprint(one.column)] = stored.add(one.column, f"{HIDDEN_PREFIX}{one.variable}", to_group=grouped)
    read: Node = {
        "type": "SelectQuery",
        "select": expressions(identifier(column.name) for column in outputs),
        "tables": snapshot_tables(),
    }
    if select.get("distinct"):
        read["distinct"] = True
    read |= {key: select[key] for key in OF_THE_READ if key in select}
    if select.get("interpolate"):
        raise Ineligible("INTERPOLATE is not supported in a materialized query with variables.")
    if not select.get("order_by_all"):
        order = [_ordered(element, stored) for element in children(select, "order_by")]
        if order:
            read["order_by"] = expressions(order)
    if by := children(select, "limit_by"):
        read["limit_by"] = expressions(identifier(stored.add_order(one)) for one in by)
    over_stored = tuple(one.over(identifier(columns[fingerprint(one.column)])) for one in predicates)
    return Layout(stored.tree(keep_distinct=not grouped), read, columns, over_stored)


def _ordered(element: Node, stored: _Stored) -> Node:
    name = stored.add_order(element["expression"])
    if element.get("with_fill") and name.startswith(_ORDER_PREFIX):
        raise Ineligible("WITH FILL is supported for columns of the result only.")
    return {**element, "expression": identifier(name)}


class _Stored:
    """The SELECT that is stored, while columns are added to it."""

    def __init__(self, select: Node, outputs: Sequence[str]) -> None:
        self._select = copy.deepcopy({key: value for key, value in select.items() if key not in OF_THE_READ})
        self._outputs = outputs
        items = children(select, "select")
        self._is_distinct = bool(select.get("distinct"))
        self._order_columns = 0
        self._names: dict[str, str] = {}
        if len(items) == len(outputs) and not any(item["type"] in ASTERISKS for item in items):
            for item, name in zip(items, outputs, strict=True):
                self._note(item, name)
        # `*` of one table gives its columns under their names, and a name of the SELECT would come first
        has_aliases = any("alias" in node for node in scope(clauses(select)))
        is_bare = any(map(_is_whole_table, items)) and len(children(select, "tables")) == 1 and not has_aliases
        self._bare_names = frozenset(outputs if is_bare else ())

    def _note(self, item: Node, name: str) -> None:
        if "alias" in item:
            self._names.setdefault(fingerprint(identifier(str(item["alias"]))), name)
        # inside of its own expression a name is the table's column, elsewhere it is the name
        if not any(name_of(node) == item.get("alias", "") for node in scope(bare(item))):
            self._names.setdefault(fingerprint(item), name)

    def add(self, column: Node, name: str, *, to_group: bool = False) -> str:
        """The stored column with an expression's value; one is added if there is none."""
        key = fingerprint(column)
        if key in self._names:
            return self._names[key]
        if name_of(column) in self._bare_names:
            return str(name_of(column))
        self._names[key] = name
        children(self._select, "select").append(aliased(column, name))
        if to_group and children(self._select, "group_by"):
            children(self._select, "group_by").append(identifier(name))
        return name

    def add_order(self, column: Node) -> str:
        if position := _position(column):
            if position > len(self._outputs):
                raise Ineligible(f"ORDER BY or LIMIT BY {position}: there is no such column.")
            return self._outputs[position - 1]
        found = self.add(column, f"{_ORDER_PREFIX}{self._order_columns}")
        self._order_columns += found.startswith(_ORDER_PREFIX)
        if self._is_distinct and found not in self._outputs:
            raise Ineligible("DISTINCT with ORDER BY or LIMIT BY over other columns than its own has no fixed result.")
        return found

    def tree(self, *, keep_distinct: bool) -> Node:
        return self._select if keep_distinct else {k: v for k, v in self._select.items() if k != "distinct"}


def _is_whole_table(item: Node) -> bool:
    kinds = {transformer["type"] for transformer in children(item, "transformers")}
    return item["type"] == "Asterisk" and kinds <= {"ColumnsExceptTransformer"}


def _position(column: Node) -> int | None:
    value = column.get("value", {}) if column["type"] == "Literal" else {}
    return int(value["value"]) if value.get("field_type") == "UInt64" else None
