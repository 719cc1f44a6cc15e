"""A condition that compares a column with a variable: the part of WHERE that is left out of what is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

from endpoints_pipeline.query.materialization.refusal import BAD_USAGE, BOTH_SIDES, IN_OR, NOT_IN_WHERE, Ineligible
from endpoints_pipeline.query.materialization.trees import (
    Grammar,
    Node,
    children,
    columns_in,
    fingerprint,
    functions_in,
    identifier,
    rebuilt,
    scope,
    subqueries_in,
    variables_in,
)

_SIGNS = {
    "equals": "=",
    "greaterOrEquals": ">=",
    "greater": ">",
    "lessOrEquals": "<=",
    "less": "<",
    "like": "LIKE",
    "ilike": "ILIKE",
    "notLike": "NOT LIKE",
    "notILike": "NOT ILIKE",
    "in": "IN",
}
_OTHER_SIGNS = {"notEquals": "!=", "notIn": "NOT IN", "globalIn": "GLOBAL IN", "match": "REGEXP"}
_TURNED = {"greaterOrEquals": "lessOrEquals", "greater": "less", "lessOrEquals": "greaterOrEquals", "less": "greater"}
RANGES = frozenset(_TURNED)
SUPPORTED = ", ".join(_SIGNS.values())
# Another value at each call, or for each block of rows: a snapshot's would not be a direct query's.
_RANDOM = ("rand", "generateuuid", "generateulid", "generatesnowflake", "generateserial", "fuzz")
BLOCK_FUNCTIONS = frozenset(
    """
    blocknumber blocksize blockserializedsize neighbor rownumberinallblocks rownumberinblock runningaccumulate
    runningdifference runningdifferencestartingwithfirstvalue generateserialid
    """.split()
)


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition of a WHERE.

    Attributes:
        variable: The variable's code name.
        operator: The engine's name for the comparison, with the column on its left (``less``).
        condition: The whole condition.
        column: The expression over columns that it compares.
        bound: The other side: the variable, or an expression of it.
        optional: True for ``{x} = '' OR column = {x}``.
        origin: The CTE or subquery that it stands in; None for the outermost SELECT.
        source: The column where the condition stands, if that is in a CTE or subquery.
    """

    variable: str
    operator: str
    condition: Node
    column: Node
    bound: Node
    optional: bool = False
    origin: str | None = None
    source: Node | None = None

    @property
    def written(self) -> Node:
        """The column as the query's author wrote it, at whatever depth."""
        return self.source or self.column

    @property
    def is_range(self) -> bool:
        return self.operator in RANGES

    @property
    def may_match_one(self) -> bool:
        """True if no two values of the column fulfil it, as long as the column's type compares exactly."""
        return self.operator == "equals" and not self.optional

    def over(self, column: Node) -> Predicate:
        """The same condition, of another column."""
        return replace(self, condition=self.condition_over(column), column=column, source=self.written)

    def condition_over(self, column: Node) -> Node:
        mine = fingerprint(self.column)
        # the bound side has no columns, so no part of it can be mistaken for the column's
        found: Node = rebuilt(self.condition, lambda node: column if fingerprint(node) == mine else None)
        return found

    def signature(self) -> str:
        """Equal for conditions that differ in nothing but their column."""
        return fingerprint(self.condition_over(identifier("")))


def predicate(condition: Node, grammar: Grammar, origin: str | None = None) -> Predicate:
    """What a condition with a variable says.

    Raises:
        Ineligible: It isn't one of those that can be asked of a snapshot.
    """
    if "alias" in condition:
        raise Ineligible(f"{BAD_USAGE} A condition with a variable can't have a name (AS {condition['alias']}).")
    if condition["type"] == "Function" and condition["name"] == "or":
        return _optional(condition, grammar, origin)
    if any(node["name"] in ("or", "xor") and variables_in(node) for node in functions_in(condition)):
        raise Ineligible(IN_OR)
    name = str(condition.get("name"))
    sides = children(condition, "arguments") if condition["type"] == "Function" else []
    if len(sides) != 2 or name == "xor":
        raise Ineligible(f"{BAD_USAGE} Compare a column with the variable, by one of {SUPPORTED}.")
    left, right = sides
    if name not in _SIGNS:
        raise Ineligible(f"Unsupported operator {_OTHER_SIGNS.get(name, name)}, supported: {SUPPORTED}")
    if variables_in(left) and variables_in(right):
        raise Ineligible(BOTH_SIDES)
    column, bound = (left, right) if variables_in(right) else (right, left)
    operator = name if bound is right else _TURNED.get(name, name)
    variable = _check_bound(bound)
    if name == "in" and bound is left:
        raise Ineligible(f"{BAD_USAGE} A list of columns can't be asked for the variable {variable}.")
    _check_column(column, variable, grammar)
    return Predicate(variable, operator, condition, column, bound, origin=origin)


def _optional(condition: Node, grammar: Grammar, origin: str | None) -> Predicate:
    """``coalesce({x}, '') = '' OR column = {x}``: alternatives without columns, and one comparison."""
    parts = children(condition, "arguments")
    names = variables_in(condition)
    with_columns = [part for part in parts if columns_in(part) or subqueries_in(part)]
    if len(names) != 1 or len(with_columns) != 1 or any(not variables_in(part) for part in parts):
        raise Ineligible(IN_OR)
    found = predicate(with_columns[0], grammar, origin)
    if found.optional:
        raise Ineligible(IN_OR)
    return replace(found, condition=condition, optional=True)


def _check_bound(bound: Node) -> str:
    names = sorted(variables_in(bound))
    if len(names) > 1:
        raise Ineligible(BOTH_SIDES)
    if subqueries_in(bound) or columns_in(bound) or any("alias" in node for node in scope(bound)):
        raise Ineligible(f"{BAD_USAGE} Beside the variable {names[0]} there may be functions and constants only.")
    if unsteady := next((node for node in functions_in(bound) if str(node["name"]).lower() in BLOCK_FUNCTIONS), None):
        raise Ineligible(f"{BAD_USAGE} {unsteady['name']} gives another value for each block of rows.")
    return names[0]


def _check_column(column: Node, variable: str, grammar: Grammar) -> None:
    if not columns_in(column) and not subqueries_in(column):
        raise Ineligible(f"{NOT_IN_WHERE}: {variable} is compared with a constant there.")
    if subqueries_in(column) or any(node["type"] not in ("Function", "Identifier", "Literal") for node in _own(column)):
        raise Ineligible(f"{BAD_USAGE} The variable {variable} must be compared with a column, not with a subquery.")
    if any("alias" in node for node in scope(column)):
        raise Ineligible(f"{BAD_USAGE} What the variable {variable} is compared with can't get a name there.")
    for node in functions_in(column):
        name = str(node["name"])
        if grammar.is_aggregate(name) or "window_definition" in node or node.get("is_window_function"):
            raise Ineligible(f"{BAD_USAGE} {name} is no column.")
        if name.lower() in ("arrayjoin", "exists", *BLOCK_FUNCTIONS):
            raise Ineligible(f"{BAD_USAGE} {name} can't be kept for the variable {variable}.")


def _own(column: Node) -> list[Node]:
    return [node for node in scope(column) if node["type"] != "ExpressionList"]


def is_random(name: str) -> bool:
    """True for a function that gives another value at each call."""
    return name.lower().startswith(_RANDOM)
