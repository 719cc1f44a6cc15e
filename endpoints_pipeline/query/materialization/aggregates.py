"""Aggregate functions put together again from the aggregates of parts of their rows.

Counts, sums, minima and maxima are stored as they are. Any other function is stored as its state, and the states are
merged by the engine's own ``-Merge``. Parquet has no type for states, and readers outside expect UTF-8 in its texts, so
they are stored as Base64.
"""

from __future__ import annotations

from dataclasses import dataclass

from endpoints_pipeline.query.materialization.refusal import not_reaggregated
from endpoints_pipeline.query.materialization.trees import Node, children, function, identifier, text

#: Whose merged states give what the rows themselves would: exactly, or within the error that ClickHouse states.
#: Sums of floats, variances and the like differ in their last bits, as they do from run to run of a direct query.
_MERGEABLE = frozenset(
    """
    count sum min max avg avgweighted sumwithoverflow sumkahan sumcount argmin argmax uniq uniqexact uniqcombined
    uniqcombined64 uniqhll12 uniqtheta stddevpop stddevpopstable stddevsamp stddevsampstable varpop varpopstable varsamp
    varsampstable covarpop covarpopstable covarsamp covarsampstable corr corrstable skewpop skewsamp kurtpop kurtsamp
    groupbitand groupbitor groupbitxor groupbitmap summap minmap maxmap grouparraysorted topk topkweighted entropy
    boundingratio retention
    """.split()
)
_MERGEABLE_FAMILIES = ("quantile", "median")
_COMBINATORS = ("if", "array", "distinct", "ornull", "ordefault", "foreach", "map", "resample", "null")
_OF_STATES = ("state", "merge", "simplestate", "mergestate")
_COUNT_DISTINCT = "countdistinct"


@dataclass(frozen=True, slots=True)
class Part:
    """How an aggregate function is stored and put together.

    Attributes:
        call: The function's call in the query.
        stored: The call whose value is stored.
        name: The stored column.
        merge: The function that puts the stored values together.
        is_state: True if what is stored is a state, as Base64.
    """

    call: Node
    stored: Node
    name: str
    merge: str
    is_state: bool

    def stored_column(self) -> Node:
        return function("base64Encode", function("CAST", self.stored, text("String"))) if self.is_state else self.stored

    def merged(self, state_type: str) -> Node:
        """The value over the stored rows; ``state_type`` is the type of ``stored``."""
        column = identifier(self.name)
        if not self.is_state:
            return function(self.merge, column)
        state = function("CAST", function("base64Decode", column), text(state_type))
        return function(self.merge, state, parameters=children(self.call, "parameters"))


def part(call: Node, name: str, *, one_state_only: bool) -> Part:
    """How a call is stored.

    Args:
        call: The aggregate function's call.
        name: For the stored column.
        one_state_only: A read never has more than one stored value to merge, so the order of rows doesn't matter.

    Raises:
        Ineligible: What would be put together isn't what the rows would give.
    """
    written = str(call["name"])
    base, combinators = split(written)
    if call.get("nulls_action"):
        raise not_reaggregated(written, "RESPECT NULLS and IGNORE NULLS are of functions that depend on rows' order")
    if combinators & set(_OF_STATES):
        raise not_reaggregated(written, "it is over states, or gives one")
    mergeable = base in _MERGEABLE or base.startswith(_MERGEABLE_FAMILIES)
    if not (mergeable and combinators <= set(_COMBINATORS)) and not one_state_only:
        raise not_reaggregated(written, "its value depends on the order of rows, or its parts don't add up")
    if base in ("count", "sum") and combinators <= {"if", "array"}:
        return Part(call, call, name, "sum", is_state=False)
    if base in ("min", "max") and not combinators:
        return Part(call, call, name, base, is_state=False)
    function_name = written
    if written.lower().startswith(_COUNT_DISTINCT):  # the engine counts by uniqExact, not by a combinator of count
        function_name = f"uniqExact{written[len(_COUNT_DISTINCT) :]}"
    arguments = [argument for argument in children(call, "arguments") if argument["type"] != "Asterisk"]
    state = function(f"{function_name}State", *arguments, parameters=children(call, "parameters"))
    return Part(call, state, name, f"{function_name}Merge", is_state=True)


def split(name: str) -> tuple[str, frozenset[str]]:
    """A function's name without its combinators, in lower case, and those."""
    base, found = name.lower(), set()
    while True:
        for combinator in (*_COMBINATORS, *_OF_STATES, "argmin", "argmax"):
            if base.endswith(combinator) and base != combinator and not _is_known(base):
                base = base.removesuffix(combinator)
                found.add(combinator)
                break
        else:
            return base, frozenset(found)


def _is_known(base: str) -> bool:
    return base in _MERGEABLE
