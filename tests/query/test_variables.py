"""Variables: found in the text, bound as typed parameters, never part of the SQL."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.errors import EngineError, InvalidInput, QueryError
from endpoints_pipeline.query.variables import (
    PARAMETER_TYPES,
    Bound,
    VariableType,
    bind,
    dummy,
    expanded,
    parameterized,
    parameters,
    parse_text,
    placeholders,
    with_placeholders,
)

STRING, NUMBER, BOOLEAN = VariableType.STRING, VariableType.NUMBER, VariableType.BOOLEAN
LIST, DATE = VariableType.LIST, VariableType.DATE


class TestPlaceholders:
    def test_come_in_the_order_of_their_first_appearance(self) -> None:
        sql = "SELECT {variables.b}, {variables.a} FROM t WHERE x = {variables.b} AND y = {variables.c_2}"
        assert placeholders(sql) == ("b", "a", "c_2")

    @pytest.mark.parametrize(
        "text",
        [
            "'{variables.x}'",
            "'it''s {variables.x}'",
            "'\\' {variables.x}'",
            "`{variables.x}`",
            '"{variables.x}"',
            "/* {variables.x} */ 1",
            "/*+ {variables.x} */ 1",
            "1 -- {variables.x}",
            "1 # {variables.x}",
            "$$ {variables.x} $$",
            "$a$ {variables.x} $a$",
            "'{variables}'",
            "{'variables': 1}",
            "{variables_x}",
        ],
    )
    def test_strings_names_and_comments_are_plain_text(self, text: str) -> None:
        sql = f"SELECT {{variables.y}}, {text}"
        assert placeholders(sql) == ("y",)
        assert parameterized(sql, {"y": "String"}) == f"SELECT {{var_y:String}}, {text}"

    @pytest.mark.parametrize("text", ["{variables.x}", "{ variables . x }", "{\n\tvariables\n.\nx\n}"])
    def test_spaces_inside_do_not_matter(self, text: str) -> None:
        assert parameterized(f"SELECT {text}+1", {"x": "UInt64"}) == "SELECT {var_x:UInt64}+1"

    def test_all_other_text_stays_as_it_is(self) -> None:
        sql = "select  é,\t'漢 {variables.x}'\r\n, {variables.x}/* 😀 */ ,{variables.2024_goal};-- end"
        assert parameterized(sql, {"x": "Float64", "2024_goal": "Bool"}) == (
            "select  é,\t'漢 {variables.x}'\r\n, {var_x:Float64}/* 😀 */ ,{var_2024_goal:Bool};-- end"
        )

    def test_a_text_without_any_is_given_back(self) -> None:
        for sql in ("SELECT 1", "SELECT {a:String}", "", "SELECT 'never closed {variables.x}", "{ }}{"):
            assert (placeholders(sql), parameterized(sql, {})) == ((), sql)

    @pytest.mark.parametrize(
        "text", ["{variables}", "{variables.}", "{variables.x.y}", "{variables.`x`}", "{variables.größe}"]
        + ["{variables x}", "{variables.x", "{variables.x-y}", "{variables:String}"],
    )  # fmt: skip
    def test_another_format_is_refused(self, text: str) -> None:
        for use in (placeholders, lambda sql: parameterized(sql, {"x": "String"})):
            with pytest.raises(
                InvalidInput, match=r"^Invalid HogQL query: Invalid variable placeholder format '\{v"
            ) as no:
                use(f"SELECT {text}")
            assert no.value.attr == "query"

    def test_a_placeholder_without_a_type_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(KeyError):
            parameterized("SELECT {variables.x}", {})

    @given(st.text(max_size=60), st.text("{}variables.x '`\"/*-#$\\\n", max_size=60))
    def test_no_text_is_too_strange(self, text: str, noise: str) -> None:
        for sql in (text, noise, f"SELECT {{variables.x}} {text}"):
            try:
                names = placeholders(sql)
            except InvalidInput:
                continue
            assert parameterized(sql, dict.fromkeys(names, "String")).count("{var_") >= len(names)


class TestBinding:
    @pytest.mark.parametrize(
        ("declared", "value", "expected"),
        [
            (STRING, "", Bound("String", "")),
            (STRING, "a\0b", Bound("String", "a\0b")),
            (NUMBER, 0, Bound("UInt64", 0)),
            (NUMBER, 2**64 - 1, Bound("UInt64", 2**64 - 1)),
            (NUMBER, -(2**63), Bound("Int64", -(2**63))),
            (NUMBER, 1.0, Bound("Float64", 1.0)),
            (NUMBER, 1e300, Bound("Float64", 1e300)),
            (BOOLEAN, False, Bound("Bool", False)),
            (LIST, [], Bound("Array(String)", [])),
            (LIST, ["a", ""], Bound("Array(String)", ["a", ""])),
            (LIST, [1, 2**64 - 1], Bound("Array(UInt64)", [1, 2**64 - 1])),
            (LIST, [-1, 2**63 - 1], Bound("Array(Int64)", [-1, 2**63 - 1])),
            (LIST, [1, 2.5], Bound("Array(Float64)", [1.0, 2.5])),
            (LIST, [True, False], Bound("Array(Bool)", [True, False])),
            (DATE, "2026-01-31", Bound("String", "2026-01-31")),
            (DATE, "2026-01-31T12:30", Bound("String", "2026-01-31 12:30:00")),
            (DATE, "2026-01-31 12:30:59", Bound("String", "2026-01-31 12:30:59")),
            (DATE, "2026-01-31T12:30:59.123456789", Bound("String", "2026-01-31 12:30:59.123456789")),
            (DATE, "2026-01-31T12:30:59Z", Bound("String", "2026-01-31 12:30:59")),
            (DATE, "2026-01-31T12:30:59.5+02:00", Bound("String", "2026-01-31 10:30:59.5")),
            (DATE, "2026-01-01T00:30:00 +0100", Bound("String", "2025-12-31 23:30:00")),
            (DATE, "2026-01-01T00:30:00-11", Bound("String", "2026-01-01 11:30:00")),
        ],
    )
    def test_a_value_that_fits(self, declared: VariableType, value: object, expected: Bound) -> None:
        found = bind("x", declared, value)
        assert found == expected
        assert found.type in PARAMETER_TYPES

    @pytest.mark.parametrize(
        ("declared", "type_name"),
        [(STRING, "String"), (NUMBER, "Float64"), (BOOLEAN, "Bool"), (LIST, "String"), (DATE, "String")],
    )
    def test_none_is_null_for_every_type(self, declared: VariableType, type_name: str) -> None:
        assert bind("x", declared, None) == Bound(f"Nullable({type_name})", None)

    @pytest.mark.parametrize(
        ("declared", "value", "reason"),
        [
            (STRING, 5, "must be a text, not a number"),
            (STRING, True, "must be a text, not a boolean"),
            (STRING, ["a"], "must be a text, not a list"),
            (STRING, {"a": 1}, "must be a text, not an object"),
            (STRING, "\ud800", "isn't valid Unicode"),
            (NUMBER, "5", "must be a number, not a text"),
            (NUMBER, True, "must be a number, not a boolean"),
            (NUMBER, 2**64, "out of range for 64 bits"),
            (NUMBER, -(2**63) - 1, "out of range for 64 bits"),
            (NUMBER, 10**400, "out of range for 64 bits"),
            (NUMBER, math.nan, "isn't finite"),
            (NUMBER, math.inf, "isn't finite"),
            (NUMBER, [1], "must be a number, not a list"),
            (BOOLEAN, 1, "must be true or false, not a number"),
            (BOOLEAN, "true", "must be true or false, not a text"),
            (LIST, "a", "must be a list, not a text"),
            (LIST, {"a": 1}, "must be a list, not an object"),
            (LIST, ["a", 1], "texts only, of numbers only"),
            (LIST, [1, True], "texts only, of numbers only"),
            (LIST, [None], "texts only, of numbers only"),
            (LIST, ["a", None], "texts only, of numbers only"),
            (LIST, [[1]], "texts only, of numbers only"),
            (LIST, [-1, 2**63], "out of range for 64 bits"),
            (LIST, [0.5, 2**53 + 1], "can't hold exactly"),
            (LIST, [0.5, 10**400], "can't hold exactly"),
            (LIST, [1.0, math.nan], "isn't finite"),
            (LIST, ["a", "\udfff"], "isn't valid Unicode"),
            (DATE, 20260131, "must be an ISO date like"),
            (DATE, "31.01.2026", "must be an ISO date like"),
            (DATE, "2026-1-31", "must be an ISO date like"),
            (DATE, "2026-01-31 ", "must be an ISO date like"),
            (DATE, "2026-01-31T12:30:59.1234567890", "must be an ISO date like"),
            (DATE, "\u0662026-01-31", "must be an ISO date like"),
            (DATE, "2026-01-31' OR 1", "must be an ISO date like"),
            (DATE, "2026-02-30", "that exist"),
            (DATE, "2026-01-31T24:00", "that exist"),
            (DATE, "2026-01-31T12:00+99:00", "that exist"),
            (DATE, "0001-01-01T00:00+01:00", "that exist"),
            (DATE, "9999-12-31T23:59-01:00", "that exist"),
            (DATE, "", "must be an ISO date like"),
        ],
    )  # fmt: skip
    def test_a_value_that_does_not_fit_is_refused(self, declared: VariableType, value: object, reason: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            bind("my_name", declared, value)
        assert reason in str(refusal.value)
        assert str(refusal.value).startswith("Variable 'my_name' ")
        assert refusal.value.attr == "variables"

    def test_the_message_does_not_repeat_the_value(self) -> None:
        for declared in (NUMBER, BOOLEAN, LIST, DATE):
            with pytest.raises(InvalidInput) as refusal:
                bind("x", declared, "hunter2")
            assert "hunter2" not in str(refusal.value)

    def test_parameters_have_their_prefix(self) -> None:
        assert parameters({"a": Bound("UInt64", 1), "b": Bound("Nullable(Bool)", None)}) == {"var_a": 1, "var_b": None}


class TestTextOfAQueryString:
    @pytest.mark.parametrize(
        ("declared", "text", "value"),
        [
            (STRING, "5", "5"),
            (STRING, "", ""),
            (DATE, "2026-01-31", "2026-01-31"),
            (NUMBER, "5", 5),
            (NUMBER, "-5", -5),
            (NUMBER, "007", 7),
            (NUMBER, "18446744073709551615", 2**64 - 1),
            (NUMBER, "0.1", 0.1),
            (NUMBER, "1e3", 1000.0),
            (BOOLEAN, "true", True),
            (BOOLEAN, "false", False),
            (LIST, "[]", []),
            (LIST, '["a", "b"]', ["a", "b"]),
            (LIST, "[1, 2.5]", [1, 2.5]),
            (LIST, "null", None),
        ],
    )
    def test_stands_for_a_value(self, declared: VariableType, text: str, value: object) -> None:
        found = parse_text("x", declared, text)
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        ("declared", "text"),
        [
            (NUMBER, text)
            for text in ("", " 5", "+5", "5,0", "0x10", "NaN", "Infinity", "1_000", "\u0665", "null", "9" * 401)
        ]
        + [(BOOLEAN, text) for text in ("", "True", "1", "yes", "null")]
        + [(LIST, text) for text in ("", "a,b", "[1,", "['a']", "[" * 100_000)],
    )
    def test_that_stands_for_none_is_refused(self, declared: VariableType, text: str) -> None:
        with pytest.raises(InvalidInput, match=r"^Variable 'x' must be") as refusal:
            parse_text("x", declared, text)
        assert refusal.value.attr == "variables"

    @pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 400])
    def test_a_number_out_of_range_is_refused_when_it_is_bound(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            bind("x", NUMBER, parse_text("x", NUMBER, text))

    @pytest.mark.parametrize("declared", VariableType)
    def test_dummies_fit(self, declared: VariableType) -> None:
        bind("x", declared, dummy(declared))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=50) | st.text("'\"\\`\n\r\t\0\b{}:;-/*%$N", max_size=20)
UNSIGNED = st.integers(0, 2**64 - 1)
SIGNED = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[VariableType, st.SearchStrategy[Any]] = {
    STRING: st.none() | TEXTS,
    NUMBER: st.none() | UNSIGNED | SIGNED | FLOATS,
    BOOLEAN: st.none() | st.booleans(),
    LIST: st.none()
    | st.lists(TEXTS, max_size=5)
    | st.lists(UNSIGNED, max_size=5)
    | st.lists(SIGNED, max_size=5)
    | st.lists(FLOATS, max_size=5)
    | st.lists(st.booleans(), max_size=5),
}


def ask(engine: Engine, sql: str, declared: VariableType, value: object) -> Any:
    """The first value of the query's answer, under the guard, with ``x`` bound to the value."""
    bounds = {"x": bind("x", declared, value)}
    names = parameters(bounds)
    guarded = engine.guard(parameterized(sql, {"x": bounds["x"].type}), names)
    assert engine.describe(guarded.sql, names)
    [row, *_] = json.loads(b"[%b]" % engine.json_rows(guarded.sql, names).data)
    return row[0]


class TestInTheEngine:
    @pytest.mark.parametrize("declared", VALUES)
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_every_value_comes_back_exactly(self, engine: Engine, declared: VariableType, data: st.DataObject) -> None:
        bound = bind("x", declared, data.draw(VALUES[declared]))
        sql = parameterized("SELECT {variables.x} AS x, toTypeName(x) AS t, '%(var_x)s %s' AS s", {"x": bound.type})
        [(value, type_name, untouched)] = engine.query(sql, parameters({"x": bound}))
        assert value == bound.value
        assert math.copysign(1, value) == math.copysign(1, bound.value) if isinstance(bound.value, float) else True
        assert type_name == bound.type
        assert untouched == "%(var_x)s %s"

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(moment=st.datetimes().filter(lambda moment: moment.year >= 1000))
    def test_every_date_time_comes_back_exactly(self, engine: Engine, moment: Any) -> None:
        bound = bind("x", DATE, moment.isoformat())
        assert engine.query("SELECT {var_x:String}", {"var_x": bound.value}) == [(str(moment),)]

    @pytest.mark.parametrize("value", ["é" * 3_000_000, "'" * 300_000, ["\\'\n"] * 100_000, list(range(300_000))])
    def test_long_values_come_back_too(self, engine: Engine, value: Any) -> None:
        bound = bind("x", LIST if isinstance(value, list) else STRING, value)
        assert engine.query(f"SELECT {{var_x:{bound.type}}}", {"var_x": bound.value}) == [(value,)]

    @pytest.mark.parametrize(
        "value",
        ["' OR 1 = 1 --", "\\' OR 1 = 1 --", "'; DROP TABLE events; --", "{var_x:String}", "*/ 1", "%(var_x)s", "\\N"]
        + ["$$", "`", "\0", "') UNION ALL SELECT name FROM events --"],
    )
    def test_no_value_changes_the_query(self, engine: Engine, value: str) -> None:
        sql = "SELECT count() FROM events WHERE name = {variables.x}"
        assert ask(engine, sql, STRING, value) == 0
        assert ask(engine, sql.replace("=", "!="), STRING, value) == 300
        assert ask(engine, sql.replace("= {variables.x}", "IN {variables.x}"), LIST, [value]) == 0

    # Rows of ``events``: id 0 to 299, hourly from 2026-01-01 UTC, name 'buy' for each third, amount = id / 100.
    @pytest.mark.parametrize(
        ("condition", "declared", "value", "count"),
        [
            ("at >= {variables.x}", DATE, "2026-01-02", 276),
            ("at >= {variables.x}", DATE, "2026-01-02T12:00:00.5", 263),
            ("at >= {variables.x}", DATE, "2026-01-02T13:00:00+01:00", 264),
            ("at BETWEEN {variables.x} AND {variables.x}", DATE, "2026-01-02T12:00:00Z", 1),
            ("toDateTime(at) >= {variables.x}", DATE, "2026-01-02", 276),
            ("toDate(at) >= {variables.x}", DATE, "2026-01-02", 276),
            ("toDate(at) >= toDate({variables.x})", DATE, "2026-01-02T12:00:00Z", 276),
            ("toDate32(at) = {variables.x}", DATE, "2026-01-02", 24),
            ("at >= toDateTime64({variables.x}, 6, 'UTC')", DATE, "2026-01-02T13:00:00+01:00", 264),
            ("at >= toDateTime({variables.x}, 'UTC')", DATE, "2026-01-02", 276),
            ("at < toDate({variables.x}) + INTERVAL 1 DAY", DATE, "2026-01-02", 48),
            ("at < toDate('2026-01-01') + INTERVAL {variables.x} DAY", NUMBER, 2, 48),
            ("at < toDate('2026-01-05') + INTERVAL {variables.x} DAY", NUMBER, -2, 48),
            ("toDate(at) IN {variables.x}", LIST, ["2026-01-02", "2026-01-03"], 48),
            ("id = {variables.x}", NUMBER, 7, 1),
            ("id > {variables.x}", NUMBER, -1, 300),
            ("id < {variables.x}", NUMBER, 2**64 - 1, 300),
            ("id < {variables.x}", NUMBER, 1e300, 300),
            ("id = {variables.x}", NUMBER, 7.0, 1),
            ("id < {variables.x}", NUMBER, 6.5, 7),
            ("amount = {variables.x}", NUMBER, 0.29, 1),
            ("amount = {variables.x}", NUMBER, 1, 1),
            ("amount IN {variables.x}", LIST, [0.1, 0.29], 1),  # 0.29 is missed, written in the text, too
            ("amount IN {variables.x}", LIST, ["0.1", "0.29"], 2),
            ("score > {variables.x}", NUMBER, 0.1, 257),
            ("id IN {variables.x}", LIST, [1, 2, 500], 2),
            ("id IN {variables.x}", LIST, [-1, 2], 1),
            ("id IN {variables.x}", LIST, [1.0, 2.5], 1),
            ("id IN {variables.x}", LIST, ["1", "2"], 2),
            ("id IN {variables.x}", LIST, [], 0),
            ("id NOT IN {variables.x}", LIST, [], 300),
            ("name IN {variables.x}", LIST, [], 0),
            ("at IN {variables.x}", LIST, [], 0),
            ("name IN {variables.x}", LIST, ["buy", "it's"], 100),
            ("has({variables.x}, name)", LIST, ["buy"], 100),
            ("hasAny(tags, {variables.x})", LIST, ["all"], 100),
            ("name LIKE {variables.x}", STRING, "b%", 100),
            ("name LIKE {variables.x}", STRING, "\\%", 0),
            ("name = {variables.x}", STRING, "buy", 100),
            ("id = {variables.x}", STRING, "7", 1),
            ("(name = 'buy') = {variables.x}", BOOLEAN, True, 100),
            ("(name = 'buy')::Bool = {variables.x}", BOOLEAN, False, 200),
            ("{variables.x}", BOOLEAN, True, 300),
            ("(name = 'buy') IN {variables.x}", LIST, [True], 100),
            ("{variables.x} IS NULL", STRING, None, 300),
            ("{variables.x} IS NULL OR name = {variables.x}", STRING, None, 300),
            ("id = {variables.x}", NUMBER, None, 0),
            ("id != {variables.x}", NUMBER, None, 0),
            ("amount = {variables.x}", NUMBER, None, 0),
            ("name = {variables.x}", STRING, None, 0),
            ("name LIKE {variables.x}", STRING, None, 0),
            ("at >= {variables.x}", DATE, None, 0),
            ("toDate(at) >= toDate({variables.x})", DATE, None, 0),
            ("(name = 'buy') = {variables.x}", BOOLEAN, None, 0),
            ("id IN {variables.x}", LIST, None, 0),
            ("id IN (SELECT number FROM numbers({variables.x}))", NUMBER, 3, 3),
            ("id IN (SELECT id FROM events ORDER BY id LIMIT {variables.x})", NUMBER, 3, 3),
            ("id IN (SELECT id FROM events ORDER BY id LIMIT 10 OFFSET {variables.x})", NUMBER, 299, 1),
        ],
    )  # fmt: skip
    def test_compared_with_columns(
        self, engine: Engine, condition: str, declared: VariableType, value: object, count: int
    ) -> None:
        assert ask(engine, f"SELECT count() FROM events WHERE {condition}", declared, value) == count

    @pytest.mark.parametrize(
        ("sql", "declared", "value"),
        [
            ("SELECT count() FROM events WHERE toDate(at) >= {variables.x}", DATE, "2026-01-02T12:00:00Z"),
            ("SELECT count() FROM events WHERE id = {variables.x}", STRING, "seven"),
            ("SELECT count() FROM events WHERE name = {variables.x}", BOOLEAN, True),
            ("SELECT count() FROM events WHERE has({variables.x}, id)", LIST, ["1"]),
            ("SELECT id FROM events LIMIT {variables.x}", NUMBER, None),
            ("SELECT id FROM events LIMIT {variables.x}", STRING, "1"),
            ("SELECT number FROM numbers({variables.x})", NUMBER, -1),
            ("SELECT number FROM numbers({variables.x})", NUMBER, None),
        ],
    )
    def test_what_the_engine_refuses(self, engine: Engine, sql: str, declared: VariableType, value: object) -> None:
        with pytest.raises(QueryError):
            ask(engine, sql, declared, value)

    def test_a_value_of_another_type_than_the_texts_is_refused(self, engine: Engine) -> None:
        """The type in the text decides what a value is, whatever comes beside it."""
        with pytest.raises(EngineError):
            engine.json_rows("SELECT {var_x:UInt64}", {"var_x": "1 OR 1"})

    def test_values_without_placeholders_leave_the_text_alone(self, engine: Engine) -> None:
        sql = "SELECT '%(var_x)s', '%s', '%%' AS p"
        names = {"var_x": "'"}
        assert engine.json_rows(engine.guard(sql, names).sql, names).data == b'["%(var_x)s", "%s", "%%"]'
        assert [column.name for column in engine.describe(sql, names)] == ["'%(var_x)s'", "'%s'", "p"]


@pytest.mark.parametrize(
    ("sql", "spelled_out"),
    [
        ("SELECT {x}", "SELECT {variables.x}"),
        ("SELECT { x }, {x_1}", "SELECT {variables.x}, {variables.x_1}"),
        ("SELECT {variables.x}, {y}, {X}, {x:String}, {x.y}", "SELECT {variables.x}, {y}, {X}, {x:String}, {x.y}"),
        ("SELECT '{x}', `{x}`, \"{x}\" /* {x} */ -- {x}", "SELECT '{x}', `{x}`, \"{x}\" /* {x} */ -- {x}"),
        ("SELECT 'never closed {x}", "SELECT 'never closed {x}"),
        ("SELECT 1", "SELECT 1"),
    ],
)
def test_short_placeholders_are_spelled_out(sql: str, spelled_out: str) -> None:
    assert expanded(sql, ["x", "x_1"]) == spelled_out


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {variables.x}, {variables.Y_1} FROM t WHERE a IN {variables.x}",
        "SELECT '{var_x:String}', `{var_x:String}` /* {var_x:String} */, {variables.x}",
        "SELECT {other:String}, {variables.x}",
        "SELECT 1",
    ],
)
def test_placeholders_come_back(sql: str) -> None:
    for type_name in ("String", "Array(Int64)", "Nullable(Float64)"):
        assert with_placeholders(parameterized(sql, {"x": type_name, "Y_1": "Bool"})) == sql
