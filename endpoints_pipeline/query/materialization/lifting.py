"""Conditions with variables, taken out of WHERE at every depth of FROM and asked of the outermost SELECT instead.

``SELECT a FROM (SELECT a FROM t WHERE b = {x})`` has the rows of
``SELECT a FROM (SELECT a, b AS __var_x FROM t) WHERE __var_x = {x}``. That holds where the inner SELECT only filters,
and where it groups if each group has one value of ``b`` at the most that fulfils the condition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from endpoints_pipeline.query.materialization.predicate import BLOCK_FUNCTIONS, Predicate, predicate
from endpoints_pipeline.query.materialization.refusal import (
    BAD_USAGE,
    JOINS,
    MANY_COLUMNS,
    NESTED_SUBQUERY,
    ONLY_UNION_ALL,
    UNION_LEG,
    WINDOWS,
    Ineligible,
    not_reaggregated,
)
from endpoints_pipeline.query.materialization.trees import (
    ASTERISKS,
    Grammar,
    Node,
    aliased,
    children,
    clauses,
    conjunction,
    conjuncts,
    expressions,
    fingerprint,
    functions_in,
    identifier,
    scope,
    set_clause,
    union,
    variables_in,
)

#: Before a code name it is the name of the column that is kept for a variable.
HIDDEN_PREFIX = "__var_"
_WRAPPERS = re.compile(r"LowCardinality\(|Nullable\(|\)+$")
_LIMITS = ("limit_length", "limit_offset", "limit_by", "limit_by_length", "limit_with_ties")
_SUMMARIES = ("group_by_with_totals", "group_by_with_rollup", "group_by_with_cube", "group_by_with_grouping_sets")
_FILTERING_JOINS = ("INNER", "CROSS", "COMMA")


@dataclass(slots=True)
class Lifted:
    """What a query's variables ask of its outermost SELECT.

    Attributes:
        predicates: Their conditions, over columns of that SELECT.
        hidden: Names of columns that were added to SELECTs in FROM.
        exact: Those of them whose type must compare exactly, since an inner SELECT groups by them.
    """

    predicates: list[Predicate]
    hidden: list[str] = field(default_factory=list)
    exact: list[str] = field(default_factory=list)


def lift(select: Node, grammar: Grammar, with_elements: Sequence[Node] = (), origin: str | None = None) -> Lifted:
    """Take the conditions with variables out of a SELECT and of the subqueries it reads. The tree is changed.

    Raises:
        Ineligible: One of them can't be taken out, or what is around it depends on its value.
    """
    with_elements = [*with_elements, *children(select, "with")]
    lifted = Lifted(_take(select, grammar, origin))
    for element in children(select, "tables"):
        subquery = element.get("table_expression", {}).get("subquery")
        if subquery and variables_in(subquery):
            _check_joins(select)
            name = str(subquery.get("alias", "subquery"))
            [inner] = children({"children": subquery}, "children")
            found = _lift_union(inner, grammar, with_elements, name if origin is None else f"{origin}.{name}")
            lifted.predicates += found.predicates
            lifted.hidden += found.hidden
            lifted.exact += found.exact
    if lifted.predicates:
        _check_filter(select, grammar)
    if lifted.hidden:
        _hide(select, lifted.hidden)
    return lifted


def is_grouped(select: Node, grammar: Grammar) -> bool:
    """True if the SELECT's rows are groups of rows, or all rows in one."""
    return bool(select.get("group_by") or select.get("group_by_all") or aggregates(select, grammar))


def aggregates(select: Node, grammar: Grammar) -> list[Node]:
    """Calls of aggregate functions in what a SELECT makes of its groups."""
    return [
        node
        for node in functions_in(clauses(select))
        if grammar.is_aggregate(str(node["name"])) and not node.get("is_window_function")
    ]


def _take(select: Node, grammar: Grammar, origin: str | None) -> list[Predicate]:
    found = []
    for clause in ("prewhere", "where"):
        parts = conjuncts(select.get(clause))
        taken = [part for part in parts if variables_in(part)]
        if taken and clause == "prewhere":
            _check_prewhere(select)
        found += [predicate(part, grammar, origin) for part in taken]
        set_clause(select, clause, conjunction([part for part in parts if not variables_in(part)]))
    columns: dict[str, str] = {}
    for one in found:
        if columns.setdefault(one.variable, fingerprint(one.column)) != fingerprint(one.column):
            raise Ineligible(f"{MANY_COLUMNS}: {one.variable}. Give each column a variable of its own.")
    return found


def _check_prewhere(select: Node) -> None:
    elements = children(select, "tables")
    if len(elements) > 1 or elements[0].get("table_expression", {}).get("final"):
        raise Ineligible(f"{BAD_USAGE} PREWHERE with JOIN, ARRAY JOIN or FINAL means another thing than WHERE.")


def _check_joins(select: Node) -> None:
    for element in children(select, "tables"):
        join = element.get("table_join", {})
        if join and (join.get("kind") not in _FILTERING_JOINS or join.get("strictness", "ALL") != "ALL"):
            raise Ineligible(JOINS)


def _check_filter(select: Node, grammar: Grammar) -> None:
    """What is computed over all rows of a SELECT, whichever of them the variables leave."""
    if select.get("qualify") or select.get("window"):
        raise Ineligible(WINDOWS)
    if select.get("having") and not is_grouped(select, grammar):
        raise Ineligible("HAVING without GROUP BY and aggregates filters rows: write WHERE.")
    for node in functions_in(clauses(select)):
        if node.get("is_window_function"):
            raise Ineligible(WINDOWS)
        if str(node["name"]).lower() in BLOCK_FUNCTIONS:
            raise Ineligible(f"The function {node['name']} depends on the rows beside it: on a variable's value.")
    if any(select.get(key) for key in _SUMMARIES):
        raise Ineligible("WITH TOTALS, ROLLUP, CUBE and GROUPING SETS depend on a variable's value.")


def _lift_union(query: Node, grammar: Grammar, with_elements: Sequence[Node], origin: str) -> Lifted:
    if query["type"] != "SelectWithUnionQuery":
        raise Ineligible(ONLY_UNION_ALL)
    legs = children(query, "list_of_selects")
    modes = query.get("list_of_modes", [])
    if any(mode != "UNION_ALL" for mode in modes) or query.get("union_mode", "UNION_DEFAULT") not in (
        "UNION_DEFAULT",
        "UNION_ALL",
    ):
        raise Ineligible(ONLY_UNION_ALL)
    if any(leg["type"] != "SelectQuery" for leg in legs):
        raise Ineligible(f"{NESTED_SUBQUERY}: UNION ALL in parentheses.")
    found = [lift(leg, grammar, with_elements, origin) for leg in legs]
    rows = _matched([one.predicates for one in found])
    result = Lifted([], [], [name for one in found for name in one.exact])
    names: dict[tuple[str, ...], str] = {}
    for row in rows:
        key = tuple(fingerprint(one.column) for one in row)
        name = names.setdefault(key, f"{HIDDEN_PREFIX}{row[0].variable}")
        if name not in result.hidden:
            result.hidden.append(name)
            for leg, one in zip(legs, row, strict=True):
                _add(leg, one, name)
        must_be_exact = [_must_be_exact(leg, one, grammar) for leg, one in zip(legs, row, strict=True)]
        if any(must_be_exact):
            result.exact.append(name)
        result.predicates.append(replace(row[0].over(identifier(name)), origin=origin))
    if len(legs) > 1:
        _check_types(legs, with_elements, grammar)
    return result


def _matched(legs: Sequence[Sequence[Predicate]]) -> list[list[Predicate]]:
    """The predicates of a union, one of each leg in each row."""
    sorted_legs = [sorted(leg, key=Predicate.signature) for leg in legs]
    signatures = [[one.signature() for one in leg] for leg in sorted_legs]
    if any(other != signatures[0] for other in signatures):
        raise Ineligible(f"{UNION_LEG}: each of its queries must have the same conditions on the variables.")
    return [list(row) for row in zip(*sorted_legs, strict=True)]


def _must_be_exact(select: Node, one: Predicate, grammar: Grammar) -> bool:
    """Whether the SELECT has one value at the most of the hidden column for each of its rows; refuses if it must.

    Raises:
        Ineligible: Its rows can't be told apart by the column.
    """
    if not is_grouped(select, grammar) and not select.get("distinct"):
        return False
    name = next((str(node["name"]) for node in aggregates(select, grammar)), "DISTINCT or GROUP BY")
    if not one.may_match_one:
        raise not_reaggregated(name, "inside of a CTE, subquery or UNION a variable must be compared by = there")
    if is_grouped(select, grammar) and not select.get("group_by") and not select.get("group_by_all"):
        raise not_reaggregated(name, "a CTE, subquery or UNION without GROUP BY has a row even where nothing matches")
    return True


def _add(select: Node, one: Predicate, name: str) -> None:
    """Add a predicate's column to what an inner SELECT gives, and to what it groups by."""
    if any(select.get(key) for key in _LIMITS):
        raise Ineligible("LIMIT in a CTE, subquery or UNION is not supported: it would cut off before the filter.")
    if any(element.get("with_fill") for element in children(select, "order_by")):
        raise Ineligible("WITH FILL in a CTE, subquery or UNION is not supported: it depends on a variable's value.")
    select["select"]["children"].append(aliased(one.column, name))
    if children(select, "group_by"):
        select["group_by"]["children"].append(identifier(name))


def _check_types(legs: Sequence[Node], with_elements: Sequence[Node], grammar: Grammar) -> None:
    """A union gives its columns one type, in which they could compare otherwise than in their own."""
    found = set()
    if variables_in(list(legs)):
        return  # one is used outside of WHERE: refused later, and with a better reason
    for leg in legs:
        own = children(leg, "with") or children(legs[0], "with")  # the first one's WITH is for all
        alone = {**leg, "with": expressions([*with_elements, *own])}
        if not children(alone, "with"):
            del alone["with"]
        [sql] = grammar.print([union(alone)])
        columns = grammar.describe(sql)
        # a text, or NULL, compares alike in these
        types = [_WRAPPERS.sub("", column.type) for column in columns if column.name.startswith(HIDDEN_PREFIX)]
        found.add(tuple(types))
    if len(found) > 1:
        raise Ineligible(f"{UNION_LEG}: the columns that a variable is compared with must have one type.")


def _hide(select: Node, hidden: Sequence[str]) -> None:
    """Keep hidden columns out of ``*``."""
    counted = [
        argument
        for node in functions_in(select.get("select"))
        if str(node["name"]).lower().startswith("count")
        for argument in children(node, "arguments")
    ]
    for node in scope(clauses(select)):
        if node["type"] in ASTERISKS and not any(node is argument for argument in counted):
            hiding = {"type": "ColumnsExceptTransformer", "children": [identifier(name) for name in hidden]}
            transformers = children(node, "transformers")
            node["transformers"] = {"type": "ColumnsTransformerList", "children": [hiding, *transformers]}
