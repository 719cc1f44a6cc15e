"""Aggregates stored for each value of the variables' columns: a read filters them and puts them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization.aggregates import Part, part
from endpoints_pipeline.query.materialization.aliases import Aliases
from endpoints_pipeline.query.materialization.buckets import Bucket
from endpoints_pipeline.query.materialization.layout import OF_THE_READ, Layout, snapshot_tables
from endpoints_pipeline.query.materialization.lifting import HIDDEN_PREFIX
from endpoints_pipeline.query.materialization.predicate import Predicate
from endpoints_pipeline.query.materialization.refusal import Ineligible
from endpoints_pipeline.query.materialization.trees import (
    ASTERISKS,
    SUBQUERIES,
    Grammar,
    Node,
    aliased,
    bare,
    children,
    columns_in,
    expressions,
    fingerprint,
    functions_in,
    identifier,
    rebuilt,
    scope,
    set_clause,
    union,
)

_KEY_PREFIX, _PART_PREFIX = "__key_", "__part_"


class States:
    """A SELECT that groups or aggregates, taken apart."""

    def __init__(
        self,
        select: Node,
        predicates: Sequence[Predicate],
        outputs: Sequence[Column],
        grammar: Grammar,
        *,
        one_state_only: bool,
    ) -> None:
        """Take it apart.

        Raises:
            Ineligible: It can't be put together again.
        """
        self._select, self._outputs, self._grammar = select, outputs, grammar
        self._one_state_only = one_state_only
        self._aliases = Aliases(select)
        self._items = [self._aliases.expanded(item) for item in children(select, "select")]
        if any(item["type"] in ASTERISKS for item in self._items):
            raise Ineligible("SELECT * with GROUP BY or aggregates is not supported in a query with variables.")
        self._predicates = [one.over(self._aliases.expanded(one.column)) for one in predicates]
        self._key_nodes = {fingerprint(key): key for key in self._group_by()}
        self._keys = {key: f"{_KEY_PREFIX}{number}" for number, key in enumerate(self._key_nodes)}
        self._parts: dict[str, Part] = {}
        for clause in ("having", "order_by", "limit_by"):
            self._note_parts(self._aliases.expanded(select.get(clause)))
        self._note_parts(self._items)

    def layout(self, types: Mapping[str, str], buckets: Mapping[str, Bucket]) -> Layout:
        """How it is stored and read.

        Args:
            types: The types of ``probe``'s columns.
            buckets: By column's fingerprint, for columns that are to be rounded down.
        """
        stored, columns = self._stored(buckets, lambda one: one.stored_column())
        over_stored = [one.over(identifier(columns[fingerprint(one.column)])) for one in self._predicates]
        return Layout(
            stored,
            self._read(types),
            columns,
            tuple(over_stored),
            buckets,
            tuple((one.call, one.merge) for one in self._parts.values()),
        )

    @property
    def predicates(self) -> Sequence[Predicate]:
        """The predicates, over columns that name nothing of the SELECT."""
        return self._predicates

    def is_key(self, column: Node) -> bool:
        return fingerprint(column) in self._keys

    def probe(self) -> Node:
        """A SELECT that is like the stored one, but for states that keep their types."""
        return self._stored({}, lambda one: one.stored)[0]

    def _group_by(self) -> list[Node]:
        if self._select.get("group_by_all"):
            keys = [item for item in self._items if not self._has_aggregate(item)]
        else:
            keys = [self._item_or_expression(one) for one in children(self._select, "group_by")]
            if keys and not any(map(columns_in, keys)):
                raise Ineligible("GROUP BY of constants is not supported in a query with variables.")
        if any(node["type"] in SUBQUERIES for key in keys for node in scope(key)):
            raise Ineligible("GROUP BY of a subquery's value is not supported in a query with variables.")
        return [key for key in keys if columns_in(key)]

    def _item_or_expression(self, expression: Node) -> Node:
        """What GROUP BY, ORDER BY or LIMIT BY mean: a column of the result by its number, or an expression."""
        value = expression.get("value", {})
        if expression["type"] == "Literal" and value.get("field_type") == "UInt64":
            if not 0 < value["value"] <= len(self._items):
                raise Ineligible(f"The result has no column {value['value']}.")
            item: Node = self._items[value["value"] - 1]
            return item
        expanded: Node = self._aliases.expanded(expression)
        return expanded

    def _has_aggregate(self, value: Any) -> bool:
        return any(self._grammar.is_aggregate(str(node["name"])) for node in functions_in(value))

    def _note_parts(self, value: Any) -> None:
        for node in functions_in(value):
            key = fingerprint(node)
            if self._grammar.is_aggregate(str(node["name"])) and key not in self._parts:
                name = f"{_PART_PREFIX}{len(self._parts)}"
                self._parts[key] = part(bare(node), name, one_state_only=self._one_state_only)

    def _stored(self, buckets: Mapping[str, Bucket], column_of: Any) -> tuple[Node, dict[str, str]]:
        select = self._select
        columns, hidden = {}, []
        for one in self._predicates:
            key = fingerprint(one.column)
            if key not in columns:
                columns[key] = self._keys.get(key, f"{HIDDEN_PREFIX}{one.variable}")
                if key not in self._keys:
                    hidden.append(aliased(buckets[key].of(one.column) if key in buckets else one.column, columns[key]))
        keys = [aliased(self._key_nodes[key], name) for key, name in self._keys.items()]
        parts = [aliased(column_of(one), one.name) for one in self._parts.values()]
        names = dict.fromkeys([*self._keys.values(), *columns.values()])
        stored: Node = {
            "type": "SelectQuery",
            "select": expressions([*keys, *parts, *hidden]),
            "group_by": expressions(identifier(name) for name in names),
        }
        if common := [one for one in children(select, "with") if one["type"] == "WithElement"]:
            stored["with"] = expressions(common)
        if "tables" in select:
            stored["tables"] = select["tables"]
        for clause in ("where", "prewhere"):
            set_clause(stored, clause, self._aliases.expanded(select.get(clause)))
        return stored, columns

    def _read(self, types: Mapping[str, str]) -> Node:
        def read(value: Any) -> Any:
            return self._over_parts(value, types, frozenset())

        if len(self._items) != len(self._outputs):
            raise Ineligible("The columns of the result could not be told apart.")
        select = self._select
        made: Node = {
            "type": "SelectQuery",
            "select": expressions(
                aliased(read(item), column.name) for item, column in zip(self._items, self._outputs, strict=True)
            ),
            "tables": snapshot_tables(),
        }
        if select.get("distinct"):
            made["distinct"] = True
        if self._keys:
            made["group_by"] = expressions(identifier(name) for name in self._keys.values())
        set_clause(made, "having", read(self._aliases.expanded(select.get("having"))))
        made |= {key: select[key] for key in OF_THE_READ if key in select}
        if select.get("interpolate"):
            raise Ineligible("INTERPOLATE is not supported in a materialized query with variables.")
        if not select.get("order_by_all"):
            order = [
                {**one, "expression": read(self._item_or_expression(one["expression"]))}
                for one in children(select, "order_by")
            ]
            set_clause(made, "order_by", expressions(order) if order else None)
        if by := children(select, "limit_by"):
            made["limit_by"] = expressions(read(self._item_or_expression(one)) for one in by)
        return made

    def _over_parts(self, value: Any, types: Mapping[str, str], local: frozenset[str]) -> Any:
        def replace(node: Node) -> Node | None:
            key = fingerprint(node)
            if key in self._keys:
                return identifier(self._keys[key])
            if key in self._parts:
                found = self._parts[key]
                return found.merged(types.get(found.name, ""))
            if node.get("is_lambda_function"):
                parameters, body = children(node, "arguments")
                names = {str(parameter["name"]) for parameter in children(parameters, "arguments")}
                inner = [parameters, self._over_parts(body, types, local | names)]
                return {**bare(node), "arguments": {**node["arguments"], "children": inner}}
            if node["type"] in SUBQUERIES:
                raise Ineligible("Scalar subquery beside aggregates is not supported in a query with variables.")
            if node["type"] in ASTERISKS or (node["type"] == "Identifier" and node["name"] not in local):
                name = node.get("name", "*")
                raise Ineligible(f"'{name}' isn't in an aggregate function, and isn't written as in GROUP BY.")
            return None

        return rebuilt(value, replace)


def column_types(columns: Sequence[Node], select: Node, aliases: Aliases, grammar: Grammar) -> list[str]:
    """The types of expressions over what a SELECT reads."""
    probe: Node = {
        "type": "SelectQuery",
        "select": expressions(aliased(aliases.expanded(one), f"__probe_{i}") for i, one in enumerate(columns)),
    }
    if common := [one for one in children(select, "with") if one["type"] == "WithElement"]:
        probe["with"] = expressions(common)
    if "tables" in select:
        probe["tables"] = select["tables"]
    [sql] = grammar.print([union(probe)])
    return [column.type for column in grammar.describe(sql)]
