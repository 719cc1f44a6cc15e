"""Variables: typed parameters that a query names as ``{variables.code_name}`` (contract 2.3, 10.4, 10.19).

A value never becomes part of the SQL's text. Each placeholder becomes one of ClickHouse's own parameters,
``{var_code_name:Type}``, whose type follows the value, and the value travels beside the text.

What the engine makes of the bound types, where it isn't obvious:

- A Date is bound as text. The engine compares text with a Date, DateTime or DateTime64 column by reading it as the
  column's type, in the column's own time zone. A date-time that is compared with a Date column is refused by the
  engine: write ``toDate({variables.day})``. A zone in the value is turned into UTC; for a column of another zone write
  ``toDateTime64({variables.at}, 6, 'UTC')``.
- Text is compared with numbers, UUIDs and enums in the same way, and refused where it isn't one.
- ``x IN {variables.list}`` takes a list, an empty one too; ``x IN`` NULL and every comparison with NULL holds for no
  row. NULL for LIMIT, ``numbers()`` and the like is refused by the engine.
- Booleans compare with Bool and UInt8 columns, numbers with integers, floats and decimals (0.29 is the decimal 0.29).
- A decimal column ``IN`` a list of floats misses some, ``IN (0.29)`` written in the text does, too: the engine cuts the
  float off to 0.28. A list of texts, ``["0.29"]``, finds them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn

from endpoints_pipeline.errors import InvalidInput

#: Before a code name it is the name of the engine's parameter.
PARAMETER_PREFIX = "var_"

_SCALARS = ("String", "Int64", "UInt64", "Float64", "Bool")
#: Every type that ``bind`` gives a value.
PARAMETER_TYPES = frozenset(
    [*_SCALARS, *(f"Array({name})" for name in _SCALARS)] + ["Nullable(String)", "Nullable(Float64)", "Nullable(Bool)"]
)

_PLACEHOLDER = re.compile(r"\{\s*variables\s*\.\s*(?P<code_name>[A-Za-z0-9_]+)\s*\}", re.ASCII)
_SHORT_PLACEHOLDER = re.compile(r"\{\s*(?P<code_name>[A-Za-z0-9_]+)\s*\}", re.ASCII)
_ANY_PLACEHOLDER = re.compile(r"\{\s*variables\b(?P<rest>[^{}]{0,100}\}?)", re.ASCII)
_PARAMETER = re.compile(rf"\{{{PARAMETER_PREFIX}(?P<code_name>\w+):[^{{}}]*\}}", re.ASCII)
_DATE = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?P<fraction>\.\d{1,9})? ?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"-?\d+(?P<broken>(?:\.\d+)?(?:[eE][+-]?\d+)?)", re.ASCII)
_INT64_MIN, _INT64_MAX, _UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1
_LONGEST_NUMBER = 400  # digits: a double's longest plain form has 309, and int() is slow for millions


class VariableType(StrEnum):
    STRING = "String"
    NUMBER = "Number"
    BOOLEAN = "Boolean"
    LIST = "List"
    DATE = "Date"


@dataclass(frozen=True, slots=True)
class Bound:
    """A value that fits its variable, and the ClickHouse type under which the engine takes it."""

    type: str
    value: Any


def placeholders(sql: str) -> tuple[str, ...]:
    """The code names that the query uses, in the order of their first appearance.

    Placeholders in strings and comments are plain text (contract 10.19).

    Raises:
        InvalidInput: ``{variables}`` without one plain code name, with ``attr="query"``.
    """
    return tuple(dict.fromkeys(found["code_name"] for found in _placeholders(sql)))


def parameterized(sql: str, types: Mapping[str, str]) -> str:
    """The query with each placeholder replaced by the engine's parameter; nothing else of the text is touched.

    Args:
        sql: The query.
        types: The ClickHouse type of each of its ``placeholders``.

    Raises:
        InvalidInput: As ``placeholders``.
        KeyError: A placeholder has no type.
    """
    pieces, end = [], 0
    for found in _placeholders(sql):
        code_name = found["code_name"]
        pieces += [sql[end : found.start()], f"{{{PARAMETER_PREFIX}{code_name}:{types[code_name]}}}"]
        end = found.end()
    return "".join([*pieces, sql[end:]])


def with_placeholders(sql: str) -> str:
    """The inverse of ``parameterized``: the query with ``{variables.x}`` for each of the engine's parameters."""
    pieces, end = [], 0
    for position in _braces(sql):
        if found := _PARAMETER.match(sql, position):
            pieces += [sql[end : found.start()], f"{{variables.{found['code_name']}}}"]
            end = found.end()
    return "".join([*pieces, sql[end:]])


def expanded(sql: str, names: Collection[str]) -> str:
    """The query with each ``{name}`` of ``names`` spelled out as ``{variables.name}``; nothing else is touched.

    Definitions in YAML use both (contract 9). In strings and comments ``{name}`` is plain text.
    """
    pieces, end = [], 0
    for position in _braces(sql):
        found = _SHORT_PLACEHOLDER.match(sql, position)
        if found and found["code_name"] in names:
            pieces += [sql[end : found.start()], f"{{variables.{found['code_name']}}}"]
            end = found.end()
    return "".join([*pieces, sql[end:]])


def parameters(bounds: Mapping[str, Bound]) -> dict[str, Any]:
    """What goes to the engine beside the ``parameterized`` text."""
    return {f"{PARAMETER_PREFIX}{code_name}": bound.value for code_name, bound in bounds.items()}


def bind(code_name: str, declared: VariableType, value: object) -> Bound:
    """The value as a parameter of the engine; None is NULL for every type.

    Args:
        code_name: The variable's, for the message.
        declared: What the variable was declared as.
        value: As it came out of JSON.

    Raises:
        InvalidInput: The value isn't of the declared type or not in the engine's range (``attr="variables"``). The
            message doesn't repeat the value. Nothing is ever converted to make it fit.
    """
    if value is None:
        nullable = {VariableType.NUMBER: "Float64", VariableType.BOOLEAN: "Bool"}.get(declared, "String")
        return Bound(f"Nullable({nullable})", None)
    return _BINDERS[declared](code_name, value)


def parse_text(code_name: str, declared: VariableType, text: str) -> Any:
    """The value that a query string's text stands for, ready for ``bind``: ``5``, ``true``, ``["a","b"]``.

    Texts and dates stand for themselves, so NULL can't be written.

    Raises:
        InvalidInput: The text can't stand for a value of the declared type, with ``attr="variables"``.
    """
    match declared:
        case VariableType.NUMBER:
            found = _NUMBER.fullmatch(text)
            if not found or len(text) > _LONGEST_NUMBER:
                _refuse(code_name, "must be a number")
            return float(text) if found["broken"] else int(text)
        case VariableType.BOOLEAN:
            if text not in ("true", "false"):
                _refuse(code_name, "must be true or false")
            return text == "true"
        case VariableType.LIST:
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                _refuse(code_name, 'must be a JSON list, like ["a","b"] or [1,2]')
        case _:
            return text


def dummy(declared: VariableType) -> Any:
    """A value under which a query can be described when no other is known; it can't suit every use of a variable."""
    return _DUMMIES[declared]


_DUMMIES: Mapping[VariableType, Any] = {
    VariableType.STRING: "1",
    VariableType.NUMBER: 1,
    VariableType.BOOLEAN: True,
    VariableType.LIST: [],
    VariableType.DATE: "2000-01-01",
}


def _placeholders(sql: str) -> Iterator[re.Match[str]]:
    for position in _braces(sql):
        if found := _PLACEHOLDER.match(sql, position):
            yield found
        elif found := _ANY_PLACEHOLDER.match(sql, position):
            raise InvalidInput(
                f"Invalid HogQL query: Invalid variable placeholder format '{found[0]}'. "
                "Write {variables.code_name}, with letters, digits and '_' in the code name.",
                attr="query",
            )


def _braces(sql: str) -> Sequence[int]:
    """Where a brace opens outside of strings, quoted names and comments."""
    if "{" not in sql:
        return ()
    # here: half a second to import, and most queries and commands need none of it
    from sqlglot import TokenType
    from sqlglot.dialects.clickhouse import ClickHouse
    from sqlglot.errors import TokenError

    try:
        tokens = ClickHouse().tokenize(sql)
    except TokenError:
        return ()  # a quote that never closes: the engine says so best
    return [token.start for token in tokens if token.token_type == TokenType.L_BRACE]


def _bind_text(code_name: str, value: object) -> Bound:
    if not isinstance(value, str):
        _refuse(code_name, f"must be a text, not {_kind(value)}")
    _check_text(code_name, value)
    return Bound("String", value)


def _bind_number(code_name: str, value: object) -> Bound:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(code_name, f"must be a number, not {_kind(value)}")
    return Bound(_number_type(code_name, [value]), value)


def _bind_boolean(code_name: str, value: object) -> Bound:
    if not isinstance(value, bool):
        _refuse(code_name, f"must be true or false, not {_kind(value)}")
    return Bound("Bool", value)


def _bind_list(code_name: str, value: object) -> Bound:
    if not isinstance(value, list | tuple):
        _refuse(code_name, f"must be a list, not {_kind(value)}")
    values = list(value)
    if all(isinstance(item, str) for item in values):
        for item in values:
            _check_text(code_name, item)
        return Bound("Array(String)", values)
    if all(isinstance(item, bool) for item in values):
        return Bound("Array(Bool)", values)
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in values):
        element = _number_type(code_name, values)
        return Bound(f"Array({element})", [float(item) for item in values] if element == "Float64" else values)
    _refuse(code_name, "must be a list of texts only, of numbers only, or of true and false only")


def _bind_date(code_name: str, value: object) -> Bound:
    expected = "an ISO date like 2026-01-31 or date-time like 2026-01-31T12:00:00Z"
    if not isinstance(value, str):
        _refuse(code_name, f"must be {expected}, not {_kind(value)}")
    if not (found := _DATE.fullmatch(value)):
        _refuse(code_name, f"must be {expected}")
    try:
        moment = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00'}{found['zone'] or ''}")
        if moment.tzinfo:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse(code_name, "must be a day and time that exist")
    if found["time"] is None:
        return Bound("String", found["date"])
    return Bound("String", f"{moment.replace(tzinfo=None).isoformat(' ', 'seconds')}{found['fraction'] or ''}")


_BINDERS: Mapping[VariableType, Callable[[str, object], Bound]] = {
    VariableType.STRING: _bind_text,
    VariableType.NUMBER: _bind_number,
    VariableType.BOOLEAN: _bind_boolean,
    VariableType.LIST: _bind_list,
    VariableType.DATE: _bind_date,
}


def _number_type(code_name: str, values: Sequence[int | float]) -> str:
    """The one type that holds all of the numbers as they are."""
    if any(isinstance(value, float) for value in values):
        for value in values:
            if not _is_double(value):
                _refuse(code_name, "holds a number that a 64-bit float can't hold exactly, or one that isn't finite")
        return "Float64"
    least, most = min(values), max(values)
    if least < _INT64_MIN or most > _UINT64_MAX or (least < 0 and most > _INT64_MAX):
        _refuse(code_name, "holds an integer that is out of range for 64 bits")
    return "Int64" if least < 0 else "UInt64"


def _is_double(value: float) -> bool:
    try:
        return math.isfinite(value) and float(value) == value
    except OverflowError:  # an int beyond every double
        return False


def _check_text(code_name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(code_name, "holds a text that isn't valid Unicode (half of a surrogate pair)")


def _kind(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def _refuse(code_name: str, what: str) -> NoReturn:
    raise InvalidInput(f"Variable '{code_name}' {what}.", attr="variables")
