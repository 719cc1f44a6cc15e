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
_WIDER_THAN_A_DAY = ("week", "month")
_GIVES_DATE = ("toStartOfWeek", "toStartOfMonth")
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
        begin = function(self.function, column)
        if self._moment[2] == "DateTime" and self.function not in _GIVES_DATE and "LowCardinality" not in self.type:
            return begin
        if self._moment[2] in ("Date32", "DateTime64"):
            # beyond these years the function gives another year
            year = function("toYear", column)
            after, before = (
                function("greaterOrEquals", year, number(1971)),
                function("lessOrEquals", year, number(2105)),
            )
            within = function("and", after, before)
            begin = function("if", within, begin, column)
        return function("CAST", begin, text(self.type))

    def is_exact(self, predicate: Predicate) -> Node:
        """The expression, over the variable alone, that holds if no bucket is cut in two by the variable's value."""
        given = function("CAST", predicate.bound, text(self._moment[1]))
        end = given
        if predicate.operator in ("greater", "lessOrEquals"):  # the bucket must end with the given moment
            end = function("CAST", function("plus", given, self._smallest_step()), text(self._moment[1]))
        alone = Bucket(self.function, self._moment[1])
        return function("and", function("equals", given, predicate.bound), function("equals", alone.of(end), end))

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
