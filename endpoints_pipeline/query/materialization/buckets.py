"""Moments rounded down, so that an aggregated snapshot has fewer rows (contract 3.3).

A read is exact only from one bucket's begin to another's. Whether a given end is such a begin is asked of the engine,
which also compares the end with the column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from endpoints_pipeline.query.materialization.predicate import Predicate
from endpoints_pipeline.query.materialization.trees import Node, function, number, text

#: What a bucket may be (contract 2.8), and the engine's function for it.
BUCKETS = {
    "minute": "toStartOfMinute",
    "fifteen_minutes": "toStartOfFifteenMinutes",
    "hour": "toStartOfHour",
    "day": "toStartOfDay",
    "week": "toStartOfWeek",
    "month": "toStartOfMonth",
}
DEFAULT_BUCKET = "day"
# In other years moments are stored as they are: near the ends of a type's range a function may give a later moment (for
# 1970-01-01 01:00 in Berlin toStartOfDay gives 1970-01-02), and the row would be on the wrong side of a value.
_FIRST_YEAR, _LAST_YEAR = 1972, 2105
_WIDER_THAN_A_DAY = ("week", "month")
_MOMENT = re.compile(r"(?:LowCardinality\()?(?:Nullable\()?((Date|Date32|DateTime|DateTime64)(?:\((.*?)\))?)\)*$")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a column.

    Attributes:
        function: ClickHouse's function that rounds down.
        type: The column's type, which the rounded value keeps.
    """

    function: str
    type: str

    @property
    def _moment(self) -> re.Match[str]:
        found = _MOMENT.fullmatch(self.type)
        assert found
        return found

    def of(self, column: Node) -> Node:
        """The expression for the begin of the bucket that a column's value lies in."""
        year = function("toYear", column)
        within = function(
            "and",
            function("greaterOrEquals", year, number(_FIRST_YEAR)),
            function("lessOrEquals", year, number(_LAST_YEAR)),
        )
        begin = function("CAST", function(self.function, column), text(self.type))
        rounded = function("if", within, begin, column)
        return function("CAST", rounded, text(self.type)) if "LowCardinality" in self.type else rounded

    def is_exact(self, predicate: Predicate) -> Node:
        """The expression, over the variable alone, that holds if no bucket is cut in two by the variable's value."""
        moment = text(self._moment[1])
        given = function("CAST", predicate.bound, moment)
        end = given
        if predicate.operator in ("greater", "lessOrEquals"):  # the bucket must end with the given moment
            end = function("CAST", function("plus", given, self._smallest_step()), moment)
        begin = function("CAST", function(self.function, end), moment)
        year = function("toYear", end)
        uncut = function(
            "or",
            function("equals", begin, end),
            function("less", year, number(_FIRST_YEAR - 1)),  # a bucket may begin in the year before
            function("greater", year, number(_LAST_YEAR)),
        )
        return function("and", function("equals", given, predicate.bound), uncut)

    def _smallest_step(self) -> Node:
        match self._moment[2]:
            case "DateTime":
                return function("toIntervalSecond", number(1))
            case "DateTime64":
                digits = int(self._moment[3].split(",")[0])
                return function("toIntervalNanosecond", number(10 ** (9 - digits)))
            case _:
                return function("toIntervalDay", number(1))


def bucket(column_type: str, unit: str) -> Bucket | None:
    """The bucket for a column of this type; None if it has no moments, or none that differ within a bucket."""
    found = _MOMENT.fullmatch(column_type)
    if not found or (found[2] in ("Date", "Date32") and unit not in _WIDER_THAN_A_DAY):
        return None
    return Bucket(BUCKETS[unit], column_type)
