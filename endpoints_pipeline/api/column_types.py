"""ClickHouse's types in the contract's ten words (1.16)."""

from __future__ import annotations

import re

_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)", re.DOTALL)
_AGGREGATED = re.compile(r"(?:Simple)?AggregateFunction\((.*)\)", re.DOTALL)
_WORDS = (
    (re.compile(r"U?Int\d+|Interval\w+"), "integer"),
    (re.compile(r"B?Float\d+"), "float"),
    (re.compile(r"Decimal\d*"), "decimal"),
    (re.compile(r"String|FixedString|UUID|Enum\d*|IPv[46]"), "string"),
    (re.compile(r"DateTime(?:64)?"), "datetime"),
    (re.compile(r"Date(?:32)?"), "date"),
    (re.compile(r"Bool"), "boolean"),
    (re.compile(r"Array|Nested"), "array"),
    (re.compile(r"Tuple|Map|JSON"), "json"),
)


def column_type(type_name: str) -> str:
    """The contract's word for a ClickHouse type; ``unknown`` if it has none."""
    if wrapped := _WRAPPED.fullmatch(type_name):
        return column_type(wrapped[1])
    if aggregated := _AGGREGATED.fullmatch(type_name):
        return column_type(_last_argument(aggregated[1]))
    base = type_name.partition("(")[0].strip()
    return next((word for pattern, word in _WORDS if pattern.fullmatch(base)), "unknown")


def _last_argument(arguments: str) -> str:
    depth = 0
    for position in range(len(arguments) - 1, -1, -1):
        character = arguments[position]
        depth += (character == ")") - (character == "(")
        if character == "," and depth == 0:
            return arguments[position + 1 :].strip()
    return arguments.strip()
