"""The first wall around people's SQL: an allow-list over ClickHouse's syntax tree (design.md, "three walls").

Input is the tree that ``parseQueryToJSON`` makes. Only a tree that passes is printed back by the engine, and only that
canonical text is run. Node types, table functions and tables are allowed by list; what isn't known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from endpoints_pipeline.errors import InvalidInput

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

#: Table functions that make rows out of nothing but their arguments.
TABLE_FUNCTIONS = frozenset(
    ["generateseries", "generate_series", "null", "numbers", "numbers_mt", "primes", "values", "view", "zeros"]
    + ["zeros_mt"]
)

# Functions that read files, other hosts, other users' objects or the server's own state. Issue by family, not by taste:
# a name that is also a table function is refused besides (``1 IN url(...)``).
_FUNCTIONS = frozenset(
    """
    addresstoline addresstolinewithinlines addresstosymbol authenticateduser authuser buildid catboostevaluate
    currentprofiles currentquery currentrequesturl currentroles currentuser current_user defaultprofiles defaultroles
    demangle displayname enabledprofiles enabledroles file fqdn fullhostname getclienthttpheader getmacro
    getmergetreesetting getoskernelversion getserverport getserversetting getsetting getsettingordefault globalvariable
    haskeyinquery hascolumnintable hostname initialqueryid initialquerystarttime joinget joingetornull partitionid
    queryid query_id queryidentifier serveruuid session_user showcertificate sleep sleepeachrow tcpport throwduplicate
    user zookeepersessionuptime
    """.split()
)
_FUNCTION_FAMILIES = ("ai", "dict", "filesystem", "llm", "python", "remote", "s3", "url_", "zookeeper")
_IN_FUNCTIONS = frozenset(
    f"{prefix}{name}{suffix}"
    for prefix in ("", "global")
    for name in ("in", "notin", "nullin", "notnullin")
    for suffix in ("", "ignoreset")
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a query may name: tables as the engine spells them, and the names that are table functions there."""

    tables: Collection[str]
    table_functions: Collection[str]


def check_tree(tree: Tree, surroundings: Surroundings) -> None:
    """Accept a tree that reads allowed tables by one SELECT, and nothing else.

    Args:
        tree: The syntax tree of the whole query.
        surroundings: Tables as ``name`` or ``database.name``; the engine's table functions.

    Raises:
        InvalidInput: The first thing found that isn't allowed, with ``attr="query"``.
    """
    if tree.get("type") not in ("SelectWithUnionQuery", "SelectIntersectExceptQuery"):
        raise _refused("Only a single SELECT query is allowed")
    nodes = list(_nodes(tree))
    local_names = _local_names(nodes)
    table_functions = {name.lower() for name in surroundings.table_functions} - TABLE_FUNCTIONS
    for node in nodes:
        _check_node(node)
        match node.get("type"):
            case "TableIdentifier":
                _check_table(str(node["name"]), local_names, surroundings.tables)
            case "TableExpression" if "table_function" in node:
                _check_table_function(str(node["table_function"]["name"]))
            case "Function":
                _check_function(str(node["name"]), table_functions)
                _check_in(node, local_names, surroundings.tables)
            case "ColumnsApplyTransformer" if "func_name" in node:
                _check_function(str(node["func_name"]), table_functions)


def _refused(message: str) -> InvalidInput:
    return InvalidInput(f"Invalid HogQL query: {message}", attr="query")


def _nodes(value: object) -> Iterator[Tree]:
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


def _check_node(node: Tree) -> None:
    for key, clause in _CLAUSES.items():
        if node.get(key):
            raise _refused(f"{clause} is not allowed")
    if node["type"] == "QueryParameter":
        raise _refused(f"The parameter {{{node.get('name')}}} is not allowed")
    if node["type"] not in _NODE_TYPES:
        raise _refused(f"{node['type']} is not allowed")


def _local_names(nodes: list[Tree]) -> frozenset[str]:
    """Names that the query itself gives to a subquery. They must be plain: the engine takes any other for a path."""
    names = {str(node["name"]) for node in nodes if node["type"] == "WithElement"}
    for name in names:
        if not _PLAIN_NAME.fullmatch(name):
            raise _refused(f"The name '{name}' in WITH is not a plain identifier")
    return frozenset(names)


def _check_table(name: str, local_names: Collection[str], tables: Collection[str]) -> None:
    if name in local_names or name in tables:
        return
    known = ", ".join(sorted(table for table in tables if "." not in table)[:20]) or "none"
    raise InvalidInput(
        f"Invalid HogQL query: Unknown table '{name}'. Known tables: {known}", attr="query", code="UNKNOWN_TABLE"
    )


def _check_table_function(name: str) -> None:
    if name.lower() not in TABLE_FUNCTIONS:
        raise _refused(f"The table function '{name}' is not allowed")


def _check_function(name: str, table_functions: Collection[str]) -> None:
    lowered = name.lower()
    if lowered in TABLE_FUNCTIONS:
        return
    if lowered in _FUNCTIONS or lowered in table_functions or lowered.startswith(_FUNCTION_FAMILIES):
        raise _refused(f"The function '{name}' is not allowed")


def _check_in(node: Tree, local_names: Collection[str], tables: Collection[str]) -> None:
    """``x IN name`` reads a table, so the name must be one that may be read."""
    if str(node["name"]).lower() not in _IN_FUNCTIONS:
        return
    arguments = node.get("arguments", {}).get("children", [])
    if len(arguments) == 2 and arguments[1].get("type") in ("Identifier", "TableIdentifier"):
        name = str(arguments[1]["name"])
        if not _PLAIN_NAME.fullmatch(name) and name not in tables:
            _check_table(name, local_names, tables)
