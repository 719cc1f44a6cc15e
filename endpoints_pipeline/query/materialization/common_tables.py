"""WITH queries that hold variables, put in the one place where they are read: from there on they are subqueries."""

from __future__ import annotations

from endpoints_pipeline.query.guard import nodes
from endpoints_pipeline.query.materialization.refusal import (
    NESTED_SUBQUERY,
    NOT_IN_WHERE,
    SCALAR_SUBQUERY,
    Ineligible,
)
from endpoints_pipeline.query.materialization.trees import SUBQUERIES, Node, children, variables_in

_SETS = ("in", "notIn", "globalIn", "globalNotIn", "nullIn", "notNullIn", "globalNullIn", "globalNotNullIn")


def inline_with(tree: Node) -> None:
    """Put each query of WITH that holds a variable in its place in FROM. The tree is changed.

    Raises:
        Ineligible: It is read in another place than one FROM, so no condition above it could stand for its own.
    """
    while found := _first(tree):
        select, element = found
        name = str(element["name"])
        if sum(node["type"] == "WithElement" and node["name"] == name for node in nodes(tree)) > 1:
            raise Ineligible(f"{NESTED_SUBQUERY}: the query has two CTEs named '{name}'.")
        if "aliases" in element or select.get("recursive_with"):
            raise Ineligible(f"{NESTED_SUBQUERY}: the CTE '{name}' is recursive or names its columns outside of it.")
        element["subquery"].pop("alias", None)
        _put(tree, element, name)
        rest = [other for other in children(select, "with") if other is not element]
        if rest:
            select["with"]["children"] = rest
        else:
            del select["with"]


def _first(tree: Node) -> tuple[Node, Node] | None:
    for select in nodes(tree):
        if select["type"] == "SelectQuery":
            for element in children(dict(select), "with"):
                if element["type"] == "WithElement" and variables_in(element):
                    return _mutable(select), element
    return None


def _put(tree: Node, element: Node, name: str) -> None:
    places, others = [], 0
    for node in nodes(tree):
        if node["type"] == "TableExpression" and node.get("database_and_table_name", {}).get("name") == name:
            places.append(_mutable(node))
        elif node["type"] == "Function" and node["name"] in _SETS:
            others += any(argument.get("name") == name for argument in children(_mutable(node), "arguments")[1:])
    if not places and not others:
        raise Ineligible(f"{NOT_IN_WHERE}: nothing reads the CTE '{name}'.")
    if len(places) != 1 or others or any(id(places[0]) == id(node) for node in nodes(element)):
        if any(_in_expression(tree, place) for place in places):
            raise Ineligible(SCALAR_SUBQUERY)
        raise Ineligible(f"{NESTED_SUBQUERY}: the CTE '{name}' is read more than once, or by IN.")
    [place] = places
    table = place.pop("database_and_table_name")
    if set(place) - {"type"}:
        raise Ineligible(f"{NESTED_SUBQUERY}: FINAL or SAMPLE on the CTE '{name}'.")
    place["subquery"] = {**element["subquery"], "alias": table.get("alias", name)}


def _in_expression(tree: Node, place: Node) -> bool:
    """True if a subquery in an expression, not in FROM, reads it."""
    in_from = {
        id(node["subquery"]) for node in nodes(tree) if node["type"] in ("TableExpression", "WithElement")
        and "subquery" in node
    }  # fmt: skip
    return any(
        node["type"] in SUBQUERIES[:1] and id(node) not in in_from and any(inner is place for inner in nodes(node))
        for node in nodes(tree)
    )


def _mutable(node: object) -> Node:
    assert isinstance(node, dict)
    return node
