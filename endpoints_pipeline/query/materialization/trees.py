"""Small tools over the engine's syntax tree: making, comparing and rebuilding nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.guard import Tree, nodes
from endpoints_pipeline.query.variables import PARAMETER_PREFIX

Node = dict[str, Any]

#: Where another SELECT begins, with names of its own.
SUBQUERIES = ("Subquery", "SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery")
ASTERISKS = (
    ["Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher", "ColumnsListMatcher"]
    + ["QualifiedColumnsRegexpMatcher", "QualifiedColumnsListMatcher"]
)  # fmt: skip
#: The clauses of a SELECT that hold expressions over what FROM gives.
CLAUSES = ("with", "select", "where", "prewhere", "group_by", "having", "order_by", "limit_by")
_SIGNS = ("and", "or", "equals", "greater", "greaterOrEquals", "less", "lessOrEquals", "plus")
# How something is written, not what it means.
_NOTATION = ("alias", "is_operator", "kind", "nulls_direction_was_explicitly_specified")


class Grammar(Protocol):
    """What the engine knows about SQL. Nothing is read or run."""

    def print(self, trees: Sequence[Tree]) -> Sequence[str]:
        """The texts of queries' trees, as the engine parses them again."""

    def describe(self, canonical: str) -> Sequence[Column]:
        """The columns of a query without parameters.

        Raises:
            EndpointsError: Names or types don't fit.
        """

    def is_aggregate(self, name: str) -> bool:
        """True for an aggregate function, combinators included."""


def identifier(name: str) -> Node:
    return {"type": "Identifier", "name": name}


def function(name: str, *arguments: Node, parameters: Sequence[Node] = ()) -> Node:
    made: Node = {"type": "Function", "name": name, "arguments": expressions(arguments)}
    if name in _SIGNS:
        made["is_operator"] = True
    if parameters:
        made["parameters"] = expressions(parameters)
    return made


def expressions(children: Iterable[Node]) -> Node:
    return {"type": "ExpressionList", "children": list(children)}


def text(value: str) -> Node:
    return {"type": "Literal", "value": {"field_type": "String", "value": value}}


def number(value: int) -> Node:
    return {"type": "Literal", "value": {"field_type": "UInt64", "value": value}}


def aliased(node: Tree, alias: str) -> Node:
    """The node under a name; a column that is called so already stays as it is."""
    unnamed = bare(node)
    return unnamed if name_of(unnamed) == alias else {**unnamed, "alias": alias}


def bare(node: Tree) -> Node:
    return {key: value for key, value in node.items() if key != "alias"}


def union(*selects: Node) -> Node:
    return {"type": "SelectWithUnionQuery", "union_mode": "UNION_DEFAULT", "list_of_selects": expressions(selects)}


def table_of(query: Node, alias: str | None = None) -> Node:
    """FROM ``(query) AS alias``."""
    subquery: Node = {"type": "Subquery", "children": [query]} | ({"alias": alias} if alias else {})
    return tables([{"type": "TableExpression", "subquery": subquery}])


def tables(found: Iterable[Node]) -> Node:
    elements = [{"type": "TablesInSelectQueryElement", "table_expression": table} for table in found]
    return {"type": "TablesInSelectQuery", "children": elements}


def children(node: Tree, key: str) -> list[Node]:
    """The expressions of a clause, or of a function's ``arguments``; none where there is no clause."""
    found: list[Node] = node.get(key, {}).get("children", [])
    return found


def name_of(node: Tree) -> str | None:
    """An unqualified column's name."""
    return str(node["name"]) if node["type"] == "Identifier" and len(node.get("name_parts", ())) < 2 else None


def fingerprint(node: object) -> str:
    """Equal for expressions that are written alike, whatever their own names."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: plain(inner) for key, inner in value.items() if key not in _NOTATION}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(plain(node), sort_keys=True)


def scope(value: object) -> Iterator[Node]:
    """Every node of an expression or clause, parents first, but nothing inside of its subqueries."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
            if value["type"] in SUBQUERIES:
                return
        for inner in value.values():
            yield from scope(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from scope(inner)


def clauses(select: Tree) -> dict[str, Node]:
    """The SELECT's clauses with expressions, to look through them by ``scope``."""
    return {key: select[key] for key in CLAUSES if select.get(key)}


def rebuilt(value: Any, replace: Callable[[Node], Node | None]) -> Any:
    """A copy in which each node that ``replace`` has another for is that other, parents first."""
    if isinstance(value, dict):
        if "type" in value and (other := replace(value)) is not None:
            return other
        return {key: rebuilt(inner, replace) for key, inner in value.items()}
    return [rebuilt(inner, replace) for inner in value] if isinstance(value, list) else value


def conjuncts(condition: Node | None) -> list[Node]:
    """What AND combines, at any depth of ANDs."""
    if condition is None:
        return []
    if condition["type"] == "Function" and condition["name"] == "and" and "alias" not in condition:
        return [part for argument in children(condition, "arguments") for part in conjuncts(argument)]
    return [condition]


def conjunction(parts: Sequence[Node]) -> Node | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return function("and", *parts)


def set_clause(select: Node, key: str, value: Node | None) -> None:
    if value is None:
        select.pop(key, None)
    else:
        select[key] = value


def variables_in(value: object) -> frozenset[str]:
    """Code names of the variables in a tree, subqueries included."""
    return frozenset(
        str(node["name"]).removeprefix(PARAMETER_PREFIX) for node in nodes(value) if node["type"] == "QueryParameter"
    )


def subqueries_in(value: object) -> bool:
    return any(node["type"] in SUBQUERIES for node in scope(value))


def columns_in(value: object) -> bool:
    return any(node["type"] in ("Identifier", *ASTERISKS) for node in scope(value))


def functions_in(value: object) -> Iterator[Node]:
    return (node for node in scope(value) if node["type"] == "Function")
