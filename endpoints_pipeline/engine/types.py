"""What becomes of ClickHouse's types on the way to Parquet and to JSON (``docs/types.md`` has the table).

Type names are read and rebuilt with clickhouse-connect's own type registry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clickhouse_connect.datatypes import registry
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.container import Array, Map, Nested, Tuple
from clickhouse_connect.datatypes.special import SimpleAggregateFunction
from clickhouse_connect.driver.exceptions import ClickHouseError

from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.columns import Column

# Parquet can't hold these, but another type holds each of their values, and CAST goes there and back.
_STORED_AS = {"BFloat16": "Float32", "Time": "String", "Time64": "String", "Nothing": "String"}
# Parquet can't hold these, and no other type does; a tuple is judged here only if it is empty.
_NOT_STORABLE = ("AggregateFunction", "Dynamic", "Object", "QBit", "Tuple", "Variant")
# Parquet holds these as a column, but not inside of another type.
_NOT_STORABLE_INSIDE = ("Geometry",)
# JSON's readers take numbers for doubles: wider integers travel as strings (contract 10.15).
_JSON_STRINGS = ("Int128", "Int256", "UInt128", "UInt256")


def storage_type(column: Column) -> str:
    """The ClickHouse type in which a column is written to Parquet.

    Raises:
        InvalidInput: No Parquet type holds the column's values; the message says what to do.
    """

    def leaf(type_: ClickHouseType) -> str | None:
        base = str(type_.base_type)
        if base in _NOT_STORABLE or (base in _NOT_STORABLE_INSIDE and type_.name != column.type):
            raise InvalidInput(
                f"Cannot materialize endpoint. Reason: column '{column.name}' has type {column.type}, which Parquet "
                f"can't hold. Finish the aggregate or convert the column in the query, for example "
                f"toString({identifier(column.name)}).",
                attr="query",
            )
        return "Int64" if base.startswith("Interval") else _STORED_AS.get(base)

    return _rebuild(column.type, leaf)


def json_type(type_name: str) -> str:
    """The ClickHouse type that a column is cast to before the engine writes it as JSON."""
    return _rebuild(type_name, lambda type_: "String" if type_.base_type in _JSON_STRINGS else None)


def original_type(column: Column) -> str:
    """The column's own type; nothing can be cast to Nothing, and NULL and [] look the same in every type."""
    has_nothing = _rebuild(column.type, lambda type_: _only(type_, "Nothing")) != column.type
    return storage_type(column) if has_nothing else column.type


def structure(columns: Sequence[Column]) -> str:
    """The explicit structure under which stored columns are read back, so that no type loses its name."""
    return ", ".join(f"{identifier(column.name)} {storage_type(column)}" for column in columns)


def stored_columns(columns: Sequence[Column]) -> str:
    """The select list that writes ``columns``: casts only where Parquet can't hold the type."""
    return ", ".join(_cast(column.name, column.type, storage_type(column)) for column in columns)


def restored_columns(columns: Sequence[Column]) -> str:
    """The select list over stored columns that gives the original values, ready to be written as JSON."""
    return ", ".join(_restore(column) for column in columns)


def original_columns(columns: Sequence[Column]) -> str:
    """The select list over stored columns that gives the original values, for a query over them."""
    return ", ".join(_cast(column.name, storage_type(column), original_type(column)) for column in columns)


def json_columns(columns: Sequence[Column]) -> str:
    """The select list over a query's own columns, ready to be written as JSON."""
    return ", ".join(_cast(column.name, column.type, json_type(column.type)) for column in columns)


def _restore(column: Column) -> str:
    return _cast(column.name, storage_type(column), json_type(original_type(column)))


def _only(type_: ClickHouseType, base: str) -> str | None:
    return "String" if type_.base_type == base else None


def _cast(name: str, have: str, want: str) -> str:
    quoted = identifier(name)
    if have == want:
        return quoted
    return f"CAST({quoted}, '{_escape(want)}') AS {quoted}"


def identifier(name: str) -> str:
    """A column's name, quoted; clickhouse-connect's own helper leaves a name alone that looks quoted already."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _rebuild(type_name: str, leaf: Callable[[ClickHouseType], str | None]) -> str:
    """``type_name`` with each innermost type that ``leaf`` has a word for replaced; the very same text if none has."""
    try:
        type_ = registry.get_from_name(type_name)
    except ClickHouseError:
        return type_name  # a type newer than the registry: the engine alone decides what it can do
    rebuilt, changed = _rebuild_type(type_, leaf)
    return rebuilt if changed else type_name


def _rebuild_type(type_: ClickHouseType, leaf: Callable[[ClickHouseType], str | None]) -> tuple[str, bool]:
    if isinstance(type_, Nested):
        inner, _ = _rebuild_elements(type_.element_types, type_.element_names, leaf)
        return f"Array(Tuple({inner}))", True
    if isinstance(type_, SimpleAggregateFunction):
        inner, changed = _rebuild_type(type_.element_type, leaf)
        return (inner if changed else type_.name), changed
    if isinstance(type_, Array):
        inner, changed = _rebuild_type(type_.element_type, leaf)
        return f"Array({inner})", changed
    if isinstance(type_, Map):
        key, key_changed = _rebuild_type(type_.key_type, leaf)
        key = key.removeprefix("Nullable(").removesuffix(")") if key_changed else key
        value, value_changed = _rebuild_type(type_.value_type, leaf)
        return f"Map({key}, {value})", key_changed or value_changed
    if isinstance(type_, Tuple) and type_.element_types:
        inner, changed = _rebuild_elements(type_.element_types, type_.element_names, leaf)
        tuple_name = f"Tuple({inner})"
        return (f"Nullable({tuple_name})" if type_.nullable else tuple_name), changed
    replacement = leaf(type_)
    if replacement is None:
        return type_.name, False
    return (f"Nullable({replacement})" if type_.nullable else replacement), True


def _rebuild_elements(
    types: Sequence[ClickHouseType], names: Sequence[str], leaf: Callable[[ClickHouseType], str | None]
) -> tuple[str, bool]:
    rebuilt = [_rebuild_type(type_, leaf) for type_ in types]
    inner = [text for text, _ in rebuilt]
    if names:
        inner = [f"{identifier(name)} {text}" for name, text in zip(names, inner, strict=True)]
    return ", ".join(inner), any(changed for _, changed in rebuilt)
