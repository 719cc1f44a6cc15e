"""Hypothesis strategies for columns: a ClickHouse type, and SQL expressions of values of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from hypothesis import strategies as st

#: Expressions of one column's type.
Values = st.SearchStrategy[str]


@dataclass(frozen=True)
class Kind:
    """A type, and how to write values of it."""

    type: str
    values: Values
    hashable: bool = True


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"


def quoted_name(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def cast(expression: str, type_: str) -> str:
    return f"CAST({expression} AS {type_})"


def _from_text(type_: str, texts: st.SearchStrategy[str], *, hashable: bool = True) -> Kind:
    return Kind(type_, texts.map(lambda text: cast(quoted(text), type_)), hashable)


def _integers(type_: str, bits: int) -> Kind:
    low, high = (0, 2**bits - 1) if type_.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return _from_text(type_, st.one_of(st.integers(low, high), st.sampled_from([low, high, 0, 1])).map(str))


def _decimals(precision: int, scale: int) -> Kind:
    def written(number: int) -> str:
        digits = str(abs(number)).rjust(scale + 1, "0")
        sign = "-" if number < 0 else ""
        return sign + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)

    limit = 10**precision - 1
    return _from_text(f"Decimal({precision}, {scale})", st.integers(-limit, limit).map(written))


def _floats(type_: str, width: int) -> Kind:
    def written(number: float) -> str:
        return repr(number) if math.isfinite(number) else {math.inf: "inf", -math.inf: "-inf"}.get(number, "nan")

    return _from_text(type_, st.floats(width=width).map(written), hashable=False)


def _moments(type_: str, first: datetime, last: datetime, digits: int) -> Kind:
    def written(parts: tuple[datetime, int]) -> str:
        moment, fraction = parts
        return f"{moment:%Y-%m-%d %H:%M:%S}" + (f".{fraction:0{digits}d}" if digits else "")

    return _from_text(
        type_, st.tuples(st.datetimes(first, last), st.integers(0, 10**digits - 1 if digits else 0)).map(written)
    )


def _days(type_: str, first: date, last: date) -> Kind:
    return _from_text(type_, st.dates(first, last).map(date.isoformat))


def _clock(seconds: int) -> str:
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


_WIDE = 999 * 3600 + 59 * 60 + 59
# ASCII control characters, quotes, and beyond the basic plane; ClickHouse keeps any byte
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
BYTES = st.binary(max_size=6).map(lambda value: f"unhex('{value.hex()}')")
_EARLY, _LATE = datetime(1900, 1, 2), datetime(2299, 12, 30)  # noqa: DTZ001 - ClickHouse reads them in the column's zone
_ENUM = "Enum8('a' = -128, 'b, c)' = 0, 'd''e' = 5, '' = 127)"

LEAVES: Sequence[Kind] = (
    *(_integers(f"{sign}Int{bits}", bits) for bits in (8, 16, 32, 64, 128, 256) for sign in ("", "U")),
    *(_decimals(*shape) for shape in ((1, 0), (9, 2), (18, 18), (38, 10), (76, 40))),
    _floats("Float32", 32),
    _floats("Float64", 64),
    _floats("BFloat16", 16),
    _from_text("Bool", st.sampled_from(["true", "false"])),
    _days("Date", date(1970, 1, 1), date(2149, 6, 6)),
    _days("Date32", date(1900, 1, 1), date(2299, 12, 31)),
    _moments("DateTime", datetime(1970, 1, 2), datetime(2106, 2, 6), 0),  # noqa: DTZ001
    _moments("DateTime('America/New_York')", datetime(1970, 1, 2), datetime(2106, 2, 6), 0),  # noqa: DTZ001
    _moments("DateTime64(3)", _EARLY, _LATE, 3),
    _moments("DateTime64(6, 'Asia/Tokyo')", _EARLY, _LATE, 6),
    _moments("DateTime64(9)", _EARLY, datetime(2262, 4, 10), 9),  # noqa: DTZ001
    _from_text("Time", st.integers(-_WIDE, _WIDE).map(_clock)),
    _from_text("Time64(3)", st.integers(0, _WIDE).map(lambda seconds: f"{_clock(seconds)}.{seconds % 1000:03d}")),
    _from_text("String", TEXTS),
    Kind("String", BYTES),
    Kind("FixedString(5)", st.binary(max_size=5).map(lambda value: f"toFixedString(unhex('{value.hex()}'), 5)")),
    _from_text("UUID", st.uuids().map(str)),
    _from_text("IPv4", st.ip_addresses(v=4).map(str)),
    _from_text("IPv6", st.ip_addresses(v=6).map(str)),
    _from_text(_ENUM, st.sampled_from(["a", "b, c)", "d'e", ""])),
    _from_text("LowCardinality(String)", TEXTS),
    Kind("IntervalHour", st.integers(-(2**62), 2**62).map(lambda number: f"toIntervalHour({number})"), hashable=False),
)
_KEYS = [kind for kind in LEAVES if kind.hashable and not kind.type.startswith(("Bool", "Decimal"))]
_JSON = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}", fullmatch=True),
    st.one_of(st.integers(-(2**63), 2**63 - 1), TEXTS, st.booleans(), st.lists(st.integers(0, 9), max_size=3)),
    max_size=3,
).map(lambda value: cast(quoted(json.dumps(value)), "JSON"))


def _nullable(kind: Kind) -> Kind:
    inner = kind.type.removeprefix("LowCardinality(").removesuffix(")") if "LowCardinality" in kind.type else kind.type
    type_ = f"LowCardinality(Nullable({inner}))" if "LowCardinality" in kind.type else f"Nullable({inner})"
    return Kind(
        type_, st.one_of(st.just(cast("NULL", type_)), kind.values.map(lambda value: cast(value, type_))), False
    )


def _array(kind: Kind) -> Kind:
    type_ = f"Array({kind.type})"
    return Kind(type_, st.lists(kind.values, max_size=3).map(lambda some: cast(f"[{', '.join(some)}]", type_)), False)


def _map(key: Kind, value: Kind) -> Kind:
    type_ = f"Map({key.type}, {value.type})"
    pairs = st.lists(st.tuples(key.values, value.values), max_size=3, unique_by=lambda pair: pair[0])
    return Kind(
        type_, pairs.map(lambda some: cast(f"map({', '.join(part for pair in some for part in pair)})", type_)), False
    )


def _tuple(kinds: Sequence[Kind], names: Sequence[str] | None) -> Kind:
    parts = [kind.type for kind in kinds]
    if names:
        parts = [f"{quoted_name(name)} {part}" for name, part in zip(names, parts, strict=False)]
    type_ = f"Tuple({', '.join(parts)})"
    values = st.tuples(*(kind.values for kind in kinds))
    return Kind(type_, values.map(lambda some: cast(f"tuple({', '.join(some)})", type_)), False)


_NAMES = st.lists(st.text("ab `\\'.\",é(", min_size=1, max_size=4), min_size=3, max_size=3, unique=True)


@st.composite
def kinds(draw: st.DrawFn, depth: int = 2) -> Kind:
    """A type, nested up to ``depth``."""
    shape = draw(
        st.sampled_from(
            ["leaf", "leaf", "nullable", "array", "map", "tuple", "json"] if depth else ["leaf", "nullable"]
        )
    )
    match shape:
        case "nullable":
            return _nullable(draw(st.sampled_from(LEAVES)))
        case "array":
            return _array(draw(kinds(depth - 1)))
        case "map":
            return _map(draw(st.sampled_from(_KEYS)), draw(kinds(depth - 1)))
        case "tuple":
            elements = draw(st.lists(kinds(depth - 1), min_size=1, max_size=3))
            return _tuple(elements, draw(st.none() | _NAMES))
        case "json":
            return Kind("JSON", _JSON, False)
    return draw(st.sampled_from(LEAVES))


@st.composite
def tables(draw: st.DrawFn, *, max_columns: int = 4, max_rows: int = 5) -> str:
    """A query that gives rows of some columns, in an order of its own; its first column is the row's number."""
    columns = draw(st.lists(kinds(), min_size=1, max_size=max_columns))
    count = draw(st.integers(1, max_rows))
    selects = []
    for row in range(count):
        values = [f"{draw(kind.values)} AS c{number}" for number, kind in enumerate(columns)]
        selects.append(f"SELECT {row} AS row, {', '.join(values)}")
    return " UNION ALL ".join(selects)
