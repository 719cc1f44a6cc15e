"""Which of ClickHouse's functions people's SQL may call: an allow-list, by the engine's own categories and by name.

Left out are functions that read files, dictionaries or other hosts, that tell of the server, its users or its settings,
that write to its log or state, and whatever a later release puts into a category that isn't listed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_CATEGORIES = frozenset(
    ["Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance", "Encoding"]
    + ["Encryption", "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical"]
    + ["Null", "NumericIndexedVector", "QBit", "Random Number", "Rounding", "String", "String Replacement"]
    + ["String Search", "String Splitting", "Time Series", "Time Window", "Tuple", "Type Conversion", "URL", "UUID"]
)
# Functions of mixed categories ("Other", "Internal", "Machine Learning") that look at nothing but their arguments.
_NAMES = frozenset(
    """
    assigncentroid bar blocknumber blockserializedsize blocksize bytesize casewithexpression coloroklabtosrgb
    coloroklchtosrgb colorsrgbtooklab colorsrgbtooklch countdigits currentdatabase defaultvalueofargumenttype
    defaultvalueoftypename digits dumpcolumnstructure errorcodetoname evalmlmethod finalizeaggregation flipcoordinates
    formatquery formatqueryornull formatquerysingleline formatquerysinglelineornull formatreadabledecimalsize
    formatreadablequantity formatreadablesize formatreadabletimedelta getsizeofenumtype getsubcolumn
    gettypeserializationstreams icebergbucket icebergtruncate identity ignore indexhint initializeaggregation isconstant
    isdecimaloverflow lowcardinalityindices lowcardinalitykeys macnumtostring macstringtonum macstringtooui materialize
    minsamplesizecontinuous minsamplesizeconversion neighbor nested normalizedqueryhash normalizedqueryhashkeepnames
    normalizequery normalizequerykeepnames parseiso8601duration parsereadablesize parsereadablesizeornull
    parsereadablesizeorzero parsetimedelta rownumberinallblocks rownumberinblock runningaccumulate runningdifference
    runningdifferencestartingwithfirstvalue throwif tocolumntypename totypename transform variantelement varianttype
    version visiblewidth
    """.split()
)
#: What the parser makes of ``x IN y``, in lower case; ``y`` may be a table's name.
IN_FUNCTIONS = frozenset(
    f"{prefix}{name}{suffix}"
    for prefix in ("", "global")
    for name in ("in", "notin", "nullin", "notnullin")
    for suffix in ("", "ignoreset")
)
# Words of the grammar that the parser writes as functions.
_SYNTAX = frozenset(["exists", "grouping", "lambda", "untuple"])
_COMBINATORS = (
    ["argmax", "argmin", "array", "distinct", "foreach", "if", "map", "merge", "null", "ordefault", "ornull"]
    + ["resample", "simplestate", "state", "tuple"]  # system.aggregate_function_combinators
)


@dataclass(frozen=True, slots=True)
class EngineFunction:
    """A row of ``system.functions``."""

    name: str
    category: str
    alias_to: str
    is_aggregate: bool
    is_user_defined: bool


class Functions:
    """The engine's functions, judged. Names are compared without case: the engine minds it, where it does."""

    def __init__(self, functions: Iterable[EngineFunction]) -> None:
        described = {function.name: function for function in functions}
        harmless = {
            name: _is_harmless(described.get(function.alias_to, function)) for name, function in described.items()
        }
        self._known = frozenset(map(str.lower, described))
        self._aggregates = frozenset(name.lower() for name, function in described.items() if function.is_aggregate)
        refused = {name.lower() for name, good in harmless.items() if not good}
        self._allowed = (self._known - refused) | _SYNTAX

    def allows(self, name: str) -> bool:
        lowered = name.lower()
        return lowered in self._allowed or (lowered not in self._known and self._is_combination(lowered))

    def refuses(self, name: str) -> bool:
        """True for a function that exists and isn't allowed; a name that means no function is neither."""
        return name.lower() in self._known and not self.allows(name)

    def is_aggregate(self, name: str) -> bool:
        """True for an aggregate function, combinators included; a name that means another function is none."""
        lowered = name.lower()
        return lowered in self._aggregates or (lowered not in self._known and self._is_combination(lowered))

    def _is_combination(self, name: str) -> bool:
        """``sumIf``, ``uniqArrayMerge``: an aggregate function with combinators behind its name."""
        return name in self._aggregates or any(
            name.endswith(combinator) and self._is_combination(name.removesuffix(combinator))
            for combinator in _COMBINATORS
        )


def _is_harmless(function: EngineFunction) -> bool:
    # user-defined functions are of the server's administrator, who put them there for queries to call
    return (
        function.is_aggregate
        or function.is_user_defined
        or function.category in _CATEGORIES
        or function.name.lower() in _NAMES
    )
