"""What a query reads: tables of the engine, and other endpoints by their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from endpoints_pipeline.query.functions import IN_FUNCTIONS

_NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reads:
    """The names in a query's FROM, JOIN and IN that aren't its own, sorted.

    Attributes:
        tables: Tables as ``name`` or ``database.name``.
        endpoints: Endpoints of the same project.
    """

    tables: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"tables": [*self.tables], "endpoints": [*self.endpoints]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reads:
        return cls(tuple(value.get("tables", ())), tuple(value.get("endpoints", ())))


@dataclass(frozen=True, slots=True)
class Mention:
    """A place where a query reads something that it doesn't define itself.

    Attributes:
        name: ``table`` or ``database.table``, as it is written.
        is_bare: It is one name without a database, so it may be an endpoint's.
        node: The ``TableExpression`` of FROM or JOIN; the function of ``x IN name``, which reads a column of that name
            if there is one.
        select: The innermost ``SelectQuery`` around it.
    """

    name: str
    is_bare: bool
    node: dict[str, Any]
    select: dict[str, Any]

    @property
    def is_set(self) -> bool:
        return bool(self.node["type"] == "Function")


def mentions(tree: Any) -> Sequence[Mention]:
    """Every mention in a guarded query's syntax tree.

    Names of WITH are the query's own where they can be seen: in their SELECT and what is inside of it, but not in their
    own body (``WITH t AS (SELECT * FROM t)`` reads a table ``t``), and, if it is the first SELECT of a UNION, in the
    others. The engine looks a name in the body of another WITH up where that is used; here it counts where it stands.
    """
    found: list[Mention] = []
    stack: list[tuple[Any, frozenset[str], dict[str, Any]]] = [(tree, _NO_NAMES, {})]
    while stack:
        value, local, select = stack.pop()
        if isinstance(value, list):
            stack += [(inner, local, select) for inner in value]
        if not isinstance(value, dict):
            continue
        match value.get("type"):
            case "SelectQuery":
                select, own = value, _with_names(value)
                for element in _children(value, "with"):
                    stack.append((element, (local | own) - (_hidden_in(value, element) - local), select))
                stack += [(inner, local | own, select) for key, inner in value.items() if key != "with"]
                continue
            case "SelectWithUnionQuery":
                first, *others = _children(value, "list_of_selects")
                stack.append((first, local, select))
                stack += [(other, local | _with_names(first), select) for other in others]
                continue
            case "TableExpression" if "database_and_table_name" in value:
                _note(found, value, value["database_and_table_name"], local, select)
            case "TableExpression" if "table_function" in value:  # view(SELECT …) sees nothing of what is around it
                local = _NO_NAMES
            case "Function" if str(value["name"]).lower() in IN_FUNCTIONS:
                arguments = _children(value, "arguments")
                if len(arguments) == 2 and arguments[1].get("type") in ("Identifier", "TableIdentifier"):
                    _note(found, value, arguments[1], local, select)
        stack += [(inner, local, select) for inner in value.values()]
    return found


def reads(
    found: Collection[Mention], tables: Collection[str], endpoints: Collection[str], default_database: str
) -> Reads:
    """What the mentions stand for; a table of the default database goes by its bare name."""
    named = {mention.name for mention in found if mention.is_bare and mention.name in endpoints}
    others = {mention.name for mention in found if mention.name in tables} - named
    known = {name.removeprefix(f"{default_database}.") for name in others}
    return Reads(tuple(sorted(known)), tuple(sorted(named)))


def _note(found: list[Mention], node: Any, name: Mapping[str, Any], local: frozenset[str], select: Any) -> None:
    parts = [str(part) for part in name.get("name_parts") or [name["name"]]]
    if len(parts) > 1 or parts[0] not in local:
        found.append(Mention(".".join(parts), len(parts) == 1, node, select))


def _with_names(select: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(one["name"]) for one in _children(select, "with") if one.get("type") == "WithElement")


def _hidden_in(select: Mapping[str, Any], element: Mapping[str, Any]) -> frozenset[str]:
    """The name of a WITH element that its own body doesn't see; a recursive one is a UNION that sees itself."""
    if element.get("type") != "WithElement":
        return _NO_NAMES
    body = (element.get("subquery", {}).get("children") or [{}])[0]
    if select.get("recursive_with") and len(_children(body, "list_of_selects")) > 1:
        return _NO_NAMES
    return frozenset([str(element["name"])])


def _children(node: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.get(key, {}).get("children", [])
    return found
