"""Whether one snapshot can answer every value of a query's variables, and how (contract 3.1 to 3.4)."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from endpoints_pipeline.errors import InvalidInput, QueryError
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.guard import Tree, nodes
from endpoints_pipeline.query.materialization import refusal
from endpoints_pipeline.query.materialization.aliases import Aliases
from endpoints_pipeline.query.materialization.buckets import DEFAULT_BUCKET, Bucket, bucket
from endpoints_pipeline.query.materialization.common_tables import inline_with
from endpoints_pipeline.query.materialization.layout import SNAPSHOT, Layout, Reaggregation
from endpoints_pipeline.query.materialization.lifting import Lifted, is_grouped, lift
from endpoints_pipeline.query.materialization.predicate import RANGES, Predicate, is_random
from endpoints_pipeline.query.materialization.read import BucketedColumn, ReadPlan
from endpoints_pipeline.query.materialization.refusal import Ineligible, Refused
from endpoints_pipeline.query.materialization.rows import rows_layout
from endpoints_pipeline.query.materialization.states import States, column_types
from endpoints_pipeline.query.materialization.trees import (
    Grammar,
    Node,
    aliased,
    children,
    conjunction,
    expressions,
    fingerprint,
    functions_in,
    table_of,
    union,
    variables_in,
)
from endpoints_pipeline.query.variables import VariableType, with_placeholders

# Of these types each constant equals one value at the most; a decimal, say, can equal the float of another.
_EXACT_TYPE = re.compile(
    r"(LowCardinality\()?(Nullable\()?(String|FixedString\(\d+\)|U?Int(8|16|32|64)|Bool|Date|Date32|DateTime(\('[^']*'\))?"
    r"|DateTime64\([^()]*\)|UUID|IPv4|IPv6|Enum(8|16)\(.*\))\)*"
)
_EXACT_FUNCTION = re.compile(
    r"(to(Date|String|U?Int(8|16|32|64)|UUID|StartOf|Monday)\w*|parseDateTime\w*|lower\w*|upper\w*|trim\w*|concat"
    r"|substring|coalesce|ifNull|assumeNotNull|today|yesterday|now|minus|plus|toInterval\w+)",
    re.IGNORECASE,
)
_NOT_STORABLE = re.compile(r"\b(AggregateFunction|Dynamic|Object|QBit|Variant)\b")  # engine.types has the whole list
_QUOTED = re.compile(r"'(\\.|[^'\\])*'")
_RESERVED = ("__var_", "__order_", "__key_", "__part_", "__probe_")


@dataclass(frozen=True, slots=True)
class RangePair:
    """A column that variables bound by <, <=, > or >=, and what it is rounded down with; None if it isn't."""

    column: str
    variables: tuple[str, ...]
    bucket_fn: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How one snapshot answers every value of a query's variables.

    Attributes:
        stored_sql: The query without variables whose rows are stored; canonical, and accepted by the guard.
        stored_columns: Its columns.
        sort_columns: Those that a snapshot should be sorted by: reads filter by them, = and IN first.
        hidden_columns: Those that a read doesn't give as they are.
        read: How it is read; kept with the snapshot.
        range_pairs: For ``materialization_preview``.
        aggregates: For ``materialization_preview``.
    """

    stored_sql: str
    stored_columns: tuple[Column, ...]
    sort_columns: tuple[str, ...]
    hidden_columns: tuple[str, ...]
    read: ReadPlan
    range_pairs: tuple[RangePair, ...] = ()
    aggregates: tuple[Reaggregation, ...] = ()


def materializable(
    tree: Tree,
    variables: Mapping[str, VariableType],
    grammar: Grammar,
    bucket_overrides: Mapping[str, str] | None = None,
) -> Plan | Refused:
    """How a query's result is stored for all values of its variables, or why it can't be.

    Args:
        tree: The guarded query's tree, its variables as parameters ``var_x``.
        variables: The variables' declared types.
        grammar: The engine.
        bucket_overrides: By column, what its bucket is (``buckets.BUCKETS``).

    Raises:
        EndpointsError: The engine can't be asked.
    """
    try:
        return _Planner(tree, variables, grammar, bucket_overrides or {}).plan()
    except Ineligible as error:
        return Refused(str(error))
    except (QueryError, InvalidInput) as error:
        return Refused(f"{refusal.BAD_USAGE} The query without its conditions on variables fails: {error}")
    except RecursionError:
        return Refused("The query is nested too deeply.")


class _Planner:
    def __init__(
        self, tree: Tree, variables: Mapping[str, VariableType], grammar: Grammar, overrides: Mapping[str, str]
    ) -> None:
        self._variables, self._grammar, self._overrides = variables, grammar, overrides
        self._tree: Node = copy.deepcopy(dict(tree))
        self._names = tuple(sorted(variables_in(tree)))

    def plan(self) -> Plan:
        self._check()
        inline_with(self._tree)
        select = self._outermost()
        lifted = lift(select, self._grammar)
        self._check_locations(select, lifted)
        columns = tuple(self._grammar.describe(self._printed(select)))
        layout = self._layout(select, lifted, columns)
        stored_sql = self._printed(layout.stored)
        stored = tuple(self._grammar.describe(stored_sql))
        types = {column.name: column.type for column in stored}
        if len(types) < len(stored):
            raise Ineligible("The result has two columns of one name. Name each of them apart with AS.")
        self._prove(layout, lifted, columns, types, stored_sql)
        given = {column.name for column in columns} if not layout.aggregates and not layout.read.get("group_by") else ()
        pairs, boundary = self._ranges(layout)
        return Plan(
            stored_sql=stored_sql,
            stored_columns=stored,
            sort_columns=_sorted_by(layout),
            hidden_columns=tuple(column.name for column in stored if column.name not in given),
            read=ReadPlan(
                execution_sql=with_placeholders(self._printed(layout.filtered_read(types))),
                columns=columns,
                variables={name: self._variables[name] for name in self._names},
                boundary_sql=boundary,
                bucketed=tuple(BucketedColumn(one.column, one.bucket_fn) for one in pairs if one.bucket_fn),
            ),
            range_pairs=pairs,
            aggregates=self._aggregates(layout),
        )

    def _check(self) -> None:
        if not self._names:
            raise Ineligible(refusal.NO_VARIABLES)
        if unknown := [name for name in self._names if name not in self._variables]:
            raise Ineligible(f"{refusal.NO_METADATA}: {', '.join(unknown)}")
        for node in nodes(self._tree):
            if node["type"] == "SelectQuery" and variables_in(node.get("having")):
                raise Ineligible(refusal.HAVING)
            if node["type"] == "Function" and is_random(str(node["name"])):
                raise Ineligible(f"{node['name']} gives other values at each call, so no snapshot has a run's rows.")
            if node["type"] == "ColumnsReplaceTransformer":
                raise Ineligible("REPLACE is not supported in a query with variables; write the columns out.")
            for key in ("name", "alias"):
                if node["type"] != "QueryParameter" and str(node.get(key, "")).startswith(_RESERVED):
                    raise Ineligible(f"The name '{node[key]}' is kept for columns of the snapshot; rename.")

    def _outermost(self) -> Node:
        query = self._tree
        while query["type"] == "SelectWithUnionQuery" and len(children(query, "list_of_selects")) == 1:
            query = children(query, "list_of_selects")[0]
        if query["type"] == "SelectQuery":
            return query
        # a union is read as a subquery
        return {
            "type": "SelectQuery",
            "select": expressions([{"type": "Asterisk"}]),
            "tables": table_of(query, "union_all"),
        }

    def _check_locations(self, select: Node, lifted: Lifted) -> None:
        found = {one.variable for one in lifted.predicates}
        for name in self._names:
            origins = {one.origin for one in lifted.predicates if one.variable == name}
            if None in origins and len(origins) > 1:
                raise Ineligible(f"{refusal.TWO_PLACES}: {name}. Give each place a variable of its own.")
            if len(origins) > 1:
                raise Ineligible(f"{refusal.MANY_CTES}: {name}. Give each of them a variable of its own.")
        if missing := sorted(set(self._names) - found):
            raise Ineligible(f"{refusal.NOT_IN_WHERE}: {', '.join(missing)}")
        if elsewhere := sorted(variables_in(select)):
            raise Ineligible(f"{refusal.NOT_IN_WHERE} alone: {', '.join(elsewhere)}")

    def _layout(self, select: Node, lifted: Lifted, columns: Sequence[Column]) -> Layout:
        if not is_grouped(select, self._grammar):
            return rows_layout(select, lifted.predicates, columns, grouped=False)
        aliases = Aliases(select)
        types = column_types([one.column for one in lifted.predicates], select, aliases, self._grammar)
        one_each = all(self._is_exact(one, type_) for one, type_ in zip(lifted.predicates, types, strict=True))
        if one_each and (children(select, "group_by") or select.get("group_by_all")):
            return rows_layout(select, lifted.predicates, columns, grouped=True)
        states = States(select, lifted.predicates, columns, self._grammar, one_state_only=one_each)
        described = self._grammar.describe(self._printed(states.probe()))
        by_name = {column.name: column.type for column in described}
        return states.layout(by_name, self._buckets(states, types))

    def _is_exact(self, one: Predicate, column_type: str) -> bool:
        """True if no two values of a column fulfil a comparison by =."""
        if not one.may_match_one or not _EXACT_TYPE.fullmatch(column_type):
            return False
        if "DateTime64" in column_type and self._variables[one.variable] is VariableType.NUMBER:
            return False
        return all(_EXACT_FUNCTION.fullmatch(str(node["name"])) for node in functions_in(one.bound))

    def _buckets(self, states: States, types: Sequence[str]) -> Mapping[str, Bucket]:
        by_column: dict[str, list[tuple[Predicate, str]]] = {}
        for one, type_ in zip(states.predicates, types, strict=True):
            by_column.setdefault(fingerprint(one.column), []).append((one, type_))
        found = {}
        for key, uses in by_column.items():
            one, type_ = uses[0]
            is_column = one.written["type"] == "Identifier" and one.column["type"] == "Identifier"
            only_ranges = all(use.is_range and not use.optional for use, _ in uses)
            if is_column and only_ranges and not states.is_key(one.column):
                name = str(one.written["name"])
                unit = self._overrides.get(name) or self._overrides.get(name.split(".")[-1]) or DEFAULT_BUCKET
                if made := bucket(type_, unit):
                    found[key] = made
        return found

    def _prove(
        self, layout: Layout, lifted: Lifted, columns: Sequence[Column], types: Mapping[str, str], stored_sql: str
    ) -> None:
        """The engine itself must see the direct query's columns in the read; a mistake here would be a wrong answer."""
        for name, type_ in types.items():
            if name.startswith(_RESERVED) and _NOT_STORABLE.search(_QUOTED.sub("", type_)):
                raise Ineligible(
                    f"{refusal.BAD_USAGE} Conditions and order need a column of type {type_}, which Parquet "
                    "can't hold. Convert it in the query, for example with toString()."
                )
        for one in layout.predicates:
            name = str(one.column["name"])
            if name not in types:
                raise Ineligible(f"{refusal.BAD_USAGE} What {one.variable} is compared with could not be kept.")
            if name in lifted.exact and not self._is_exact(one, types[name]):
                raise refusal.not_reaggregated(
                    "DISTINCT or GROUP BY", f"a {types[name]} in a CTE, subquery or UNION may equal more than one value"
                )
        read = f"WITH {SNAPSHOT} AS ({stored_sql}) {self._printed(layout.read)}"
        if tuple(self._grammar.describe(read)) != columns:
            raise Ineligible("The rows of the snapshot would have other columns or types than those of the query.")

    def _ranges(self, layout: Layout) -> tuple[tuple[RangePair, ...], str | None]:
        by_column: dict[str, list[Predicate]] = {}
        for one in layout.predicates:
            if one.operator in RANGES:
                by_column.setdefault(str(one.column["name"]), []).append(one)
        buckets = {layout.columns[key]: made for key, made in layout.buckets.items()}
        pairs: list[RangePair] = []
        checks: list[Node] = []
        for name, uses in by_column.items():
            made = buckets.get(name)
            variables = tuple(dict.fromkeys(one.variable for one in uses))
            pairs.append(RangePair(self._shown(uses[0].written), variables, made.function if made else None))
            if made:
                exact = conjunction([made.is_exact(one) for one in uses])
                assert exact is not None
                checks.append(aliased(exact, f"exact_{len(checks)}"))
        if not checks:
            return tuple(pairs), None
        sql = self._printed({"type": "SelectQuery", "select": expressions(checks)})
        return tuple(pairs), with_placeholders(sql)

    def _aggregates(self, layout: Layout) -> tuple[Reaggregation, ...]:
        return tuple(Reaggregation(self._shown(call), merge) for call, merge in layout.aggregates)

    def _shown(self, expression: Node) -> str:
        printed = self._printed({"type": "SelectQuery", "select": expressions([expression])})
        return printed.removeprefix("SELECT ")

    def _printed(self, select: Node) -> str:
        [sql] = self._grammar.print([union(select)])
        return sql


def _sorted_by(layout: Layout) -> tuple[str, ...]:
    def rank(one: Predicate) -> int:
        return ("equals", "in").index(one.operator) if one.operator in ("equals", "in") else 2

    names = [str(one.column["name"]) for one in sorted(layout.predicates, key=rank)]
    return tuple(dict.fromkeys(names))
