"""Names for columns whose names would show a value, or change.

The engine names a column without an alias after its expression, and to it a parameter is its value and type:
``upper({var_x:String})`` would be called ``upper(_CAST('secret', 'String'))``, and otherwise in each run. So such
columns get the text of the query for their alias: ``upper({variables.x})``. It can't be taken for another column's
name, as ``x`` could, since an alias is seen in WHERE too. To a subquery the engine gives a number, which is another
one when the query becomes a subquery itself (``_subquery_2``), so a column with one gets its text, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from endpoints_pipeline.query.guard import Tree, nodes
from endpoints_pipeline.query.variables import PARAMETER_PREFIX

_PARAMETER = re.compile(rf"\{{{PARAMETER_PREFIX}(\w+):[^{{}}]*\}}", re.ASCII)
# What else stands in a select list, like ``*``, takes no alias.
_NAMEABLE = ("Function", "QueryParameter", "Subquery")


def with_names(tree: dict[str, Any], print_all: Callable[[Sequence[Tree]], Sequence[str]]) -> bool:
    """Give an alias to each column of each SELECT in the tree that has none and needs one.

    Args:
        tree: The query's syntax tree; changed in place.
        print_all: Gives the texts of queries' trees.

    Returns:
        Whether there were any.
    """
    columns = [
        column
        for node in nodes(tree)
        if node["type"] == "SelectQuery"
        for column in node.get("select", {}).get("children", [])
        if column["type"] in _NAMEABLE and not column.get("alias") and _needs_name(column)
    ]
    if columns:
        texts = print_all([_select(column) for column in columns])
        for column, text in zip(columns, texts, strict=True):
            column["alias"] = _PARAMETER.sub(r"{variables.\1}", text.removeprefix("SELECT "))
    return bool(columns)


def _needs_name(column: Tree) -> bool:
    return any(node["type"] in ("QueryParameter", "Subquery") for node in nodes(column))


def _select(column: Tree) -> Tree:
    query = {"type": "SelectQuery", "select": {"type": "ExpressionList", "children": [column]}}
    return {"type": "SelectWithUnionQuery", "list_of_selects": {"type": "ExpressionList", "children": [query]}}
