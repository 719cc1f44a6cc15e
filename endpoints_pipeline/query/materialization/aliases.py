"""Names that a SELECT gives to expressions, replaced by what they stand for.

ClickHouse lets a name be used anywhere in its SELECT, also where the table has a column of that name; only inside of
its own expression it is the column (``toDate(ts) AS ts``).
"""

from __future__ import annotations

from typing import Any

from endpoints_pipeline.query.guard import nodes
from endpoints_pipeline.query.materialization.refusal import Ineligible
from endpoints_pipeline.query.materialization.trees import (
    SUBQUERIES,
    Node,
    bare,
    children,
    clauses,
    fingerprint,
    rebuilt,
    scope,
)


class Aliases:
    """The names of one SELECT."""

    def __init__(self, select: Node) -> None:
        """Collect them.

        Raises:
            Ineligible: One name stands for two things, or FROM uses one.
        """
        self._known: dict[str, Node] = {}
        for node in scope(clauses(select)):
            if "alias" in node:
                name = str(node["alias"])
                if fingerprint(self._known.setdefault(name, node)) != fingerprint(node):
                    raise Ineligible(f"The name '{name}' stands for two expressions; rename one of them.")
        for used in nodes(select.get("tables")):
            if used["type"] == "Identifier" and _first(used) in self._known and _parts(used) == 1:
                raise Ineligible(f"The name '{_first(used)}' is used in FROM and given in SELECT; rename it there.")

    def expanded(self, value: Any) -> Any:
        """A copy of an expression or clause in which no node has a name or is one of the SELECT's names.

        Raises:
            Ineligible: A name is used in a way that isn't followed here.
        """
        return self._expand(value, frozenset())

    def _expand(self, value: Any, taken: frozenset[str]) -> Any:
        def replace(node: Node) -> Node | None:
            match node["type"]:
                case "Identifier":
                    return self._identifier(node, taken)
                case "Function" if node.get("is_lambda_function"):
                    return self._lambda(node, taken)
                case kind if kind in SUBQUERIES:
                    self._check_subquery(node, taken)
                    return bare(node)
            if "alias" in node:
                # inside of its own expression the name is a column's
                expanded: Node = self._expand(bare(node), taken | {str(node["alias"])})
                return expanded
            return None

        return rebuilt(value, replace)

    def _identifier(self, node: Node, taken: frozenset[str]) -> Node:
        name = _first(node)
        if name not in self._known or name in taken:
            return bare(node)
        if _parts(node) > 1:
            raise Ineligible(f"'{node['name']}' may be a part of what is called '{name}' or a table's column; rename.")
        expanded: Node = self._expand(bare(self._known[name]), taken | {name})
        return expanded

    def _lambda(self, node: Node, taken: frozenset[str]) -> Node:
        parameters, body = children(node, "arguments")
        names = {str(parameter["name"]) for parameter in children(parameters, "arguments")}
        arguments = {**node["arguments"], "children": [parameters, self._expand(body, taken | names)]}
        return {**bare(node), "arguments": arguments}

    def _check_subquery(self, node: Node, taken: frozenset[str]) -> None:
        for inner in nodes(node):
            if inner["type"] == "Identifier" and _first(inner) in self._known.keys() - taken:
                raise Ineligible(f"A subquery uses '{_first(inner)}', which is a name of the query around it; rename.")


def _first(node: Any) -> str:
    return str(node.get("name_parts", [node["name"]])[0])


def _parts(node: Any) -> int:
    return len(node.get("name_parts", ())) or 1
