"""The first wall around people's SQL: an allow-list over ClickHouse's syntax tree (design.md, "three walls").

Input is the tree that ``parseQueryToJSON`` makes of the canonical text, the very text that will run. Node types,
functions, table functions and tables are allowed by list; what isn't known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.functions import IN_FUNCTIONS, Functions
from endpoints_pipeline.query.structure import is_plain_structure
from endpoints_pipeline.query.variables import PARAMETER_TYPES

Tree = Mapping[str, Any]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_NODE_TYPES = frozenset(
    """
    ArrayJoin Asterisk ColumnsApplyTransformer ColumnsExceptTransformer ColumnsListMatcher ColumnsRegexpMatcher
    ColumnsReplaceTransformer ColumnsReplaceTransformerReplacement ColumnsTransformerList ExpressionList Function
    Identifier InterpolateElement Literal OrderByElement QualifiedAsterisk QualifiedColumnsListMatcher
    QualifiedColumnsRegexpMatcher SampleRatio SelectIntersectExceptQuery SelectQuery SelectWithUnionQuery Subquery
    TableExpression TableIdentifier TableJoin TablesInSelectQuery TablesInSelectQueryElement WindowDefinition
    WindowListElement WithElement
    """.split()
)
_CLAUSES = {"settings": "SETTINGS", "format_ast": "FORMAT", "out_file": "INTO OUTFILE", "compression": "COMPRESSION"}

#: Table functions that make rows out of nothing but their arguments, and that a read-only handle may call.
TABLE_FUNCTIONS = frozenset(
    ["generateseries", "generate_series", "numbers", "numbers_mt", "primes", "sqlstandardvalues", "values", "view"]
)
# Functions that take a function for their first argument, by its bare name too: ``arrayMap(upper, names)``.
_HIGHER_ORDER_FAMILIES = ("array", "map")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a query may name: tables as ``name`` or ``database.name``, what the engine has for functions, endpoints."""

    tables: Collection[str]
    table_functions: Collection[str]
    functions: Functions
    endpoints: Collection[str] = ()


def check_tree(tree: Tree, surroundings: Surroundings, parameters: Collection[str] = ()) -> None:
    """Accept a tree that reads allowed tables by one SELECT, and nothing else.

    Args:
        tree: The syntax tree of the whole query.
        surroundings: The tables, functions and table functions there are.
        parameters: The names of the parameters that it may have; of values only, never of names.

    Raises:
        InvalidInput: The first thing found that isn't allowed, with ``attr="query"``.
    """
    if tree.get("type") not in ("SelectWithUnionQuery", "SelectIntersectExceptQuery"):
        raise _refused("Only a single SELECT query is allowed")
    _Guard(list(nodes(tree)), surroundings, parameters).check()


def is_union(tree: Tree) -> bool:
    """True if the query's outermost level is more than one SELECT (UNION, INTERSECT, EXCEPT)."""
    if tree["type"] == "SelectWithUnionQuery":
        selects = tree["list_of_selects"]["children"]
        return len(selects) > 1 or is_union(selects[0])
    return bool(tree["type"] == "SelectIntersectExceptQuery")


def _refused(message: str, code: str = "invalid_input") -> InvalidInput:
    return InvalidInput(f"Invalid HogQL query: {message}", attr="query", code=code)


def nodes(value: object) -> Iterator[Tree]:
    """Every node of the tree, parents first."""
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, Mapping):
            if "type" in current:
                yield current
            stack.extend(current.values())
        elif isinstance(current, list):
            stack.extend(current)


class _Guard:
    def __init__(self, nodes: Sequence[Tree], surroundings: Surroundings, parameters: Collection[str]) -> None:
        self._nodes = nodes
        self._parameters = parameters
        self._tables = surroundings.tables
        self._endpoints = surroundings.endpoints
        self._functions = surroundings.functions
        self._table_functions = {name.lower() for name in surroundings.table_functions}
        self._local_tables = {str(node["name"]) for node in nodes if node["type"] == "WithElement"}
        self._local_functions = {
            str(node["alias"])
            for node in nodes
            if node["type"] == "Function" and node.get("is_lambda_function") and "alias" in node
        }

    def check(self) -> None:
        for name in self._local_tables:
            if not _PLAIN_NAME.fullmatch(name):  # the engine takes any other name for a path
                raise _refused(f"The name '{name}' in WITH is not a plain identifier")
        for node in self._nodes:
            self._check_kind(node)
        for node in self._nodes:
            match node["type"]:
                case "TableIdentifier":
                    self._check_table(node)
                case "TableExpression" if "table_function" in node:
                    self._check_table_function(node["table_function"])
                case "Function":
                    self._check_function(str(node["name"]))
                    self._check_arguments(node)
                case "ColumnsApplyTransformer" if "func_name" in node:
                    self._check_function(str(node["func_name"]))

    def _check_kind(self, node: Tree) -> None:
        for key, clause in _CLAUSES.items():
            if node.get(key):
                raise _refused(f"{clause} is not allowed")
        if node["type"] == "QueryParameter":
            # the type matters: {x:Identifier} stands for a table or column
            if node.get("name") not in self._parameters or node.get("param_type") not in PARAMETER_TYPES:
                raise _refused(f"The parameter {{{node.get('name')}}} is not allowed")
        elif node["type"] not in _NODE_TYPES:
            raise _refused(f"{node['type']} is not allowed")

    def _check_table(self, node: Tree) -> None:
        parts = _parts(node)
        name = ".".join(parts)
        known = (self._local_tables, self._tables, self._endpoints)
        if not any("." in part for part in parts) and any(name in names for names in known):
            return
        tables = ", ".join(sorted(table for table in self._tables if "." not in table)[:20]) or "none"
        raise _refused(
            f"Unknown table '{name}'. Known tables: {tables}. A materialized endpoint can be read by its name, too",
            "UNKNOWN_TABLE",
        )

    def _check_table_function(self, node: Tree) -> None:
        name = str(node["name"])
        if name.lower() not in TABLE_FUNCTIONS:
            raise _refused(f"The table function '{name}' is not allowed")
        if name.lower() == "values":
            self._check_structure(_arguments(node))

    def _check_structure(self, arguments: Sequence[Tree]) -> None:
        """A structure is more than names and types: ``'x ALIAS file(…)'`` holds an expression that is evaluated."""
        first = arguments[0] if arguments else {}
        value = first.get("value", {})
        if first.get("type") == "Literal":
            if value.get("field_type") != "String" or is_plain_structure(str(value["value"])) or len(arguments) == 1:
                return
        elif first.get("type") == "Function" and first["name"] == "tuple":
            return
        raise _refused("The first argument of values(…) must be a row or a text of names and types")

    def _check_function(self, name: str) -> None:
        is_local = name in self._local_functions and not self._functions.refuses(name)
        if not (is_local or name.lower() in TABLE_FUNCTIONS or self._functions.allows(name)):
            raise _refused(f"The function '{name}' is not allowed")

    def _check_arguments(self, node: Tree) -> None:
        name = str(node["name"]).lower()
        arguments = _arguments(node)
        if name in IN_FUNCTIONS and len(arguments) == 2:
            self._check_set(arguments[1])
        if name.startswith(_HIGHER_ORDER_FAMILIES) and arguments and arguments[0].get("type") == "Identifier":
            parts = _parts(arguments[0])
            if len(parts) == 1 and self._functions.refuses(parts[0]):
                raise _refused(
                    f"'{parts[0]}' may mean a function here, which is not allowed; name a column with its table"
                )

    def _check_set(self, node: Tree) -> None:
        """``x IN name`` reads a table and ``x IN name(…)`` a table function, so both must be allowed ones."""
        if node.get("type") in ("Identifier", "TableIdentifier"):
            parts = _parts(node)
            if len(parts) > 1 or not _PLAIN_NAME.fullmatch(parts[0]):
                self._check_table(node)
        elif node.get("type") == "Function" and str(node["name"]).lower() in self._table_functions:
            self._check_table_function(node)


def _parts(node: Tree) -> list[str]:
    return [str(part) for part in node.get("name_parts") or [node["name"]]]


def _arguments(node: Tree) -> Sequence[Tree]:
    children: Sequence[Tree] = node.get("arguments", {}).get("children", [])
    return children
