"""Why a query can't be kept for every value of its variables: contract 3.2's reasons, in words for the user."""

from __future__ import annotations

from dataclasses import dataclass

from endpoints_pipeline.errors import EndpointsError


@dataclass(frozen=True, slots=True)
class Refused:
    """The query isn't eligible; ``reason`` says why, and what to do where something can be done."""

    reason: str


class Ineligible(EndpointsError):
    """Ends the analysis; never leaves this package."""


NO_VARIABLES = "No variables found"
NO_METADATA = "Variable metadata not found"
HAVING = "Variable used in HAVING clause are not supported: filter in WHERE, before the rows are grouped."
BOTH_SIDES = "Variable compared against an expression containing another variable: compare each with a column."
BAD_USAGE = "Invalid variable usage in WHERE clause."
NOT_IN_WHERE = "Variable not used in WHERE clause"
IN_OR = (
    "Variables in OR conditions are not supported, but for a variable that may be left out: "
    "{variables.x} = '' OR column = {variables.x}."
)
MANY_COLUMNS = "Variable compared against multiple columns"
TWO_PLACES = "Variable used in both CTE and top-level query"
MANY_CTES = "Variable used in multiple CTEs"
ONLY_UNION_ALL = "Only UNION ALL is supported where a variable filters one of its queries."
WINDOWS = "Window functions in downstream CTEs are not supported: their rows depend on the variable's value."
JOINS = "CTE variable propagation requires CROSS/INNER joins. LEFT JOIN not supported."
UNION_LEG = "Variable propagation failed on UNION leg"
SCALAR_SUBQUERY = "Scalar subquery in top-level query references a CTE downstream of a variable."
NESTED_SUBQUERY = "CTE variable propagation failed: nested subquery reference is not supported"


def not_reaggregated(name: str, why: str) -> Ineligible:
    return Ineligible(f"Aggregate function '{name}' cannot be re-aggregated for range variable materialization: {why}.")
