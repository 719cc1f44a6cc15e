"""Definitions in YAML: what they mean, and how a mistake is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endpoints_pipeline.cli.definition_files import DefinitionFile, ListedVariable, listed_variables, load
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.frequency import WORDS
from endpoints_pipeline.query.variables import VariableType

Write = Callable[..., Path]

_PLAIN = "name: clicks\nquery: SELECT 1\n"
_ONE = "name: clicks\nquery: SELECT {day}\nvariables:\n- "
_OBJECT = "name: clicks\nquery_definition:\n  kind: HogQLQuery\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str | bytes, name: str = "clicks.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


def load_one(path: Path) -> DefinitionFile:
    (found,) = load([path])
    return found


def test_name_and_query_are_enough(write: Write) -> None:
    path = write(_PLAIN)

    assert load_one(path) == DefinitionFile(
        path=path,
        name="clicks",
        description="",
        query="SELECT 1",
        is_active=True,
        is_materialized=False,
        data_freshness_seconds=86400,
        sync_frequency=None,
    )


def test_every_key_is_read(write: Write) -> None:
    path = write(
        """
name: clicks-by_day
description: >-
  What was clicked,
  by day.
query: |
  SELECT day, count() AS clicks
  FROM events  -- all of them
  GROUP BY day
is_active: true
data_freshness_seconds: 21600
materialization:
  enabled: true
  schedule: 1hour
"""
    )

    assert load_one(path) == DefinitionFile(
        path=path,
        name="clicks-by_day",
        description="What was clicked, by day.",
        query="SELECT day, count() AS clicks\nFROM events  -- all of them\nGROUP BY day",
        is_active=True,
        is_materialized=True,
        data_freshness_seconds=21600,
        sync_frequency="1hour",
    )


@pytest.mark.parametrize(
    ("lines", "frequency", "freshness"),
    [
        ("materialization: {enabled: true}", "24hour", 86400),
        ("materialization: {enabled: true}\ndata_freshness_seconds: 3600", "1hour", 3600),
        ("materialization: {enabled: true, schedule: 5min}", "5min", 900),
        ("materialization: {enabled: true, schedule: 2hour}", "2hour", 21600),
        ("materialization: {enabled: true, schedule: 30day}", "30day", 2592000),
        ("materialization: {enabled: true, schedule: never}", "never", 86400),
        ("materialization: {enabled: true, schedule: 15min}\ndata_freshness_seconds: 604800", "15min", 604800),
        ("materialization: {enabled: false, schedule: 5min}", None, 86400),
    ],
)
def test_frequency_and_freshness_follow_from_each_other(
    write: Write, lines: str, frequency: str | None, freshness: int
) -> None:
    found = load_one(write(_PLAIN + lines))

    assert (found.sync_frequency, found.data_freshness_seconds) == (frequency, freshness)


@pytest.mark.parametrize("word", WORDS)
def test_every_frequency_word_is_a_schedule(write: Write, word: str) -> None:
    found = load_one(write(f"{_PLAIN}materialization: {{enabled: true, schedule: {word}}}"))

    assert found.to_body()["sync_frequency"] == word


def test_the_body_says_everything(write: Write) -> None:
    found = load_one(write(f"{_PLAIN}description: Clicks\nmaterialization: {{enabled: true, schedule: 1hour}}"))

    assert found.to_body() == {
        "name": "clicks",
        "query": {"kind": "HogQLQuery", "query": "SELECT 1"},
        "description": "Clicks",
        "is_active": True,
        "is_materialized": True,
        "bucket_overrides": None,
        "sync_frequency": "1hour",
        "data_freshness_seconds": 3600,
    }


def test_the_body_of_an_endpoint_that_isnt_materialized_has_no_frequency(write: Write) -> None:
    """The API refuses one there."""
    found = load_one(write(f"{_PLAIN}is_active: false\nmaterialization: {{enabled: false, schedule: 1hour}}"))

    assert found.to_body() == {
        "name": "clicks",
        "query": {"kind": "HogQLQuery", "query": "SELECT 1"},
        "description": "",
        "is_active": False,
        "is_materialized": False,
        "bucket_overrides": None,
        "data_freshness_seconds": 86400,
    }


def test_buckets_belong_to_a_materialization(write: Write) -> None:
    wanted = load_one(write(f"{_PLAIN}materialization: {{enabled: true, buckets: {{at: hour}}}}"))
    unwanted = load_one(write(f"{_PLAIN}materialization: {{enabled: false, buckets: {{at: hour}}}}"))

    assert wanted.to_body()["bucket_overrides"] == {"at": "hour"}
    assert unwanted.to_body()["bucket_overrides"] is None


def test_a_bucket_that_is_none_is_refused_with_its_line(write: Write) -> None:
    path = write(f"{_PLAIN}materialization:\n  enabled: true\n  buckets: {{at: year}}\n")

    with pytest.raises(InvalidInput, match=r"line \d+: Invalid bucket override values: \{'at': 'year'\}"):
        load([path])


def test_the_body_names_only_freshness_that_the_api_takes(write: Write) -> None:
    found = load_one(write(f"{_PLAIN}materialization: {{enabled: true, schedule: 30day}}"))

    assert "data_freshness_seconds" not in found.to_body()


@pytest.mark.parametrize(
    ("word", "default", "declared", "value"),
    [
        ("String", "UA", VariableType.STRING, "UA"),
        ("string", "2013-02-08", VariableType.STRING, "2013-02-08"),
        ("Number", "5", VariableType.NUMBER, 5),
        ("number", "0.5", VariableType.NUMBER, 0.5),
        ("integer", "-1", VariableType.NUMBER, -1),
        ("Boolean", "true", VariableType.BOOLEAN, True),
        ("boolean", "false", VariableType.BOOLEAN, False),
        ("List", "[EWR, JFK]", VariableType.LIST, ["EWR", "JFK"]),
        ("array", "[1, 2]", VariableType.LIST, [1, 2]),
        ("Date", "2013-02-08", VariableType.DATE, "2013-02-08"),
        ("Date", "2013-02-08T10:00:00Z", VariableType.DATE, "2013-02-08T10:00:00Z"),
        ("Date", "null", VariableType.DATE, None),
    ],
)
def test_a_variable_has_a_type_and_a_default(
    write: Write, word: str, default: str, declared: VariableType, value: Any
) -> None:
    """The words are PostHog's: those of its variables, and those that its command line writes."""
    found = load_one(write(f"{_ONE}name: day\n  type: {word}\n  default: {default}\n"))

    assert found.variables == (ListedVariable("day", declared, value),)


def test_a_file_that_posthogs_command_line_wrote_is_read(write: Write) -> None:
    found = load_one(
        write(
            """\
# events-by-type.yaml
name: events-by-type
description: Events of a type
query: SELECT count() FROM events WHERE event = {variables.event_type}
variables:
- name: event_type
  type: string
  default: $pageview
materialization:
  enabled: true
  schedule: 24hour
"""
        )
    )

    assert found.variables == (ListedVariable("event_type", VariableType.STRING, "$pageview"),)
    assert (found.is_materialized, found.sync_frequency) == (True, "24hour")


def test_a_default_may_be_left_out(write: Write) -> None:
    assert load_one(write(f"{_ONE}name: day\n  type: Number\n")).variables == (
        ListedVariable("day", VariableType.NUMBER, None),
    )


def test_listed_variables_may_stand_without_their_prefix(write: Write) -> None:
    """Others keep what they say, and so do texts and comments."""
    sql = "SELECT {day}, { day }, {variables.day}, '{day}', {other} -- {day}"

    found = load_one(write(f"name: clicks\nquery: |\n  {sql}\nvariables: [{{name: day, type: Date}}]\n"))

    assert found.query == "SELECT {variables.day}, {variables.day}, {variables.day}, '{day}', {other} -- {day}"
    assert found.to_body()["query"] == {"kind": "HogQLQuery", "query": found.query}


def test_a_whole_query_object_may_stand_for_the_query(write: Write) -> None:
    path = write(
        _OBJECT
        + """\
  query: SELECT {carrier}, {variables.of_the_project}
  explain: null
  variables:
    0195a: {code_name: of_the_project, value: 2013-02-08}
variables:
  - {name: carrier, type: String, default: UA}
"""
    )

    found = load_one(path)

    assert found.query == "SELECT {variables.carrier}, {variables.of_the_project}"
    assert found.variables == (ListedVariable("carrier", VariableType.STRING, "UA"),)
    assert found.to_body()["query"] == {
        "kind": "HogQLQuery",
        "query": found.query,
        "explain": None,
        "variables": {"0195a": {"code_name": "of_the_project", "value": "2013-02-08"}},
    }


def test_files_may_share_a_variable(write: Write, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(f"name: {name}\nquery: SELECT {{day}}\nvariables: [{{name: day, type: Date}}]\n", f"{name}.yaml")

    assert listed_variables(load([tmp_path])) == {"day": ListedVariable("day", VariableType.DATE, None)}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("type: String", "type: Date"),
        ("type: Number, default: 1", "type: Number, default: 2"),
        ("type: Number, default: 1", "type: Number"),
        ("type: List, default: [1]", "type: List, default: [true]"),
    ],
)
def test_files_cant_define_a_shared_variable_differently(write: Write, tmp_path: Path, first: str, second: str) -> None:
    for name, rest in (("one", first), ("two", second)):
        write(f"name: {name}\nquery: SELECT {{x}}\nvariables: [{{name: x, {rest}}}]\n", f"{name}.yaml")

    with pytest.raises(InvalidInput, match=r"two\.yaml: .*one\.yaml lists the variable 'x' with another"):
        load([tmp_path])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{_PLAIN}colour: red\n", ["line 3", "unknown key 'colour'", "known are name, description, query"]),
        (
            f"{_PLAIN}materialization:\n  enabled: true\n  every: day\n",
            ["line 5", "'materialization.every'", "schedule"],
        ),
        (f"{_PLAIN}variables: day\n", ["line 3", "variables: Input should be a valid list"]),
        (f"{_PLAIN}variables: [day]\n", ["line 3", "variables.0"]),
        (f"{_ONE}name: day\n", ["line 4", "'variables.0.type' is missing"]),
        (f"{_ONE}name: day\n  type: Date\n  value: x\n", ["line 6", "unknown key 'variables.0.value'", "default"]),
        (f"{_ONE}name: day\n  type: Date\n  name: two\n", ["line 6", "'name' stands there twice"]),
        (f"{_ONE}name: Day\n  type: Date\n", ["line 4", "Invalid variable name 'Day'"]),
        (f"{_ONE}name: ''\n  type: Date\n", ["line 4", "Invalid variable name ''"]),
        (f"{_ONE}name: day\n  type: object\n", ["line 5", "String, Number, Boolean, List, Date", "'object'"]),
        (f"{_ONE}name: day\n  type: Date\n  default: today\n", ["line 6", "'day' must be an ISO date"]),
        (f"{_ONE}name: day\n  type: Number\n  default: '5'\n", ["line 6", "must be a number, not a text"]),
        (f"{_ONE}name: day\n  type: Number\n  default: .nan\n", ["line 6", "isn't finite"]),
        (f"{_ONE}name: day\n  type: String\n  default: no\n", ["line 6", "must be a text, not a boolean"]),
        (f'{_ONE}name: day\n  type: String\n  default: "\\0"\n', ["line 6", "Null characters"]),
        (f"{_ONE}name: hour\n  type: Date\n", ["line 4", "doesn't use the variable 'hour'"]),
        ("name: clicks\nquery: SELECT '{day}'\nvariables:\n- {name: day, type: Date}\n", ["doesn't use"]),
        (f"{_ONE}{{name: day, type: Date}}\n- {{name: day, type: Date}}\n", ["line 5", "listed twice"]),
        ("name: clicks\nquery: SELECT {variables.a.b}\n", ["line 2", "Invalid variable placeholder"]),
        (f"{_PLAIN}query_definition: {{}}\n", ["line 3", "'query' or 'query_definition', not both"]),
        ("name: clicks\nquery_definition: SELECT 1\n", ["line 2", "query_definition"]),
        ("name: clicks\nquery_definition: {query: SELECT 1}\n", ["line 2", "Query kind None"]),
        (_OBJECT, ["line 2", "query is empty"]),
        (f"{_OBJECT}  query: 7\n", ["line 4", "query is empty"]),
        (f"{_OBJECT}  query: SELECT 1\n  query: SELECT 2\n", ["line 5", "'query' stands there twice"]),
        (f"{_OBJECT}  query: SELECT 1\n  name: !!binary aGk=\n", ["line 2", "JSON can't hold"]),
        (f"{_OBJECT}  query: SELECT 1\n  values: {{a: .inf}}\n", ["line 2", "JSON can't hold"]),
        (f"{_OBJECT}  query: SELECT 1\n  values: &ring {{a: *ring}}\n", ["line 2", "JSON can't hold"]),
        (
            "name: clicks\nquery_definition:\n  kind: TrendsQuery\n  series: []\n",
            ["line 3", "Query kind 'TrendsQuery' is not supported", "HogQLQuery"],
        ),
        ("name: clicks\nquery: \"SELECT '\\0'\"\n", ["line 2", "Null characters"]),
        ("query: SELECT 1\n", ["'name' is missing"]),
        ("name: clicks\n", ["'query' is missing", "so is 'query_definition'"]),
        ("name: clicks\nquery: ''\n", ["line 2", "query is empty"]),
        ("name: clicks\nquery: '  '\n", ["line 2", "query is empty"]),
        ("name: 1clicks\nquery: SELECT 1\n", ["line 1", "Invalid name '1clicks'"]),
        ("name: 7\nquery: SELECT 1\n", ["line 1", "name: Input should be a valid string"]),
        (f"{_PLAIN}is_active: 1\n", ["line 3", "is_active"]),
        (f"{_PLAIN}is_active: 'yes'\n", ["line 3", "is_active"]),
        (f"{_PLAIN}data_freshness_seconds: 100\n", ["line 3", "Data freshness must be one of"]),
        (f"{_PLAIN}data_freshness_seconds: '900'\n", ["line 3", "data_freshness_seconds"]),
        (
            f"{_PLAIN}materialization:\n  enabled: true\n  schedule: hourly\n",
            ["line 5", "Sync frequency must be one of"],
        ),
        (
            f"{_PLAIN}materialization:\n  enabled: false\n  schedule: hourly\n",
            ["line 5", "Sync frequency must be one of"],
        ),
        (f"{_PLAIN}materialization: {{schedule: 1hour}}\n", ["'materialization.enabled' is missing"]),
        (f"{_PLAIN}materialization: true\n", ["line 3", "materialization"]),
        (f"{_PLAIN}is_active: false\nmaterialization: {{enabled: true}}\n", ["line 4", "inactive"]),
        (f"{_PLAIN}query: SELECT 2\n", ["line 3", "'query' stands there twice"]),
        ("", ["a definition is a mapping"]),
        ("- name: clicks\n", ["a definition is a mapping"]),
        (f"{_PLAIN}---\n{_PLAIN}", ["isn't YAML", "single document"]),
        ("name: [", ["isn't YAML"]),
        ("name: clicks\nquery: !!python/object/apply:os.getcwd []\n", ["isn't YAML"]),
        (b"name: \xff\xfe\x00", ["isn't YAML"]),
        ("? {a: 1}\n: b\n", ["isn't YAML"]),
        (f"{_PLAIN}materialization: &ring\n  enabled: *ring\n", ["line 4", "materialization.enabled"]),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(write: Write, text: str | bytes, words: list[str]) -> None:
    path = write(text)

    with pytest.raises(InvalidInput) as refused:
        load([path])

    message = str(refused.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert not [word for word in words if word not in message], message


def test_a_folder_is_its_yaml_files_in_order(write: Write, tmp_path: Path) -> None:
    write("name: b\nquery: SELECT 1", "b.yaml")
    write("name: a\nquery: SELECT 1", "c.yml")
    write("not a definition", "README.md")
    write("name: d\nquery: SELECT 1", "below/d.yaml")

    assert [file.name for file in load([tmp_path])] == ["b", "a"]


def test_files_and_folders_are_read_in_the_given_order_and_once(write: Write, tmp_path: Path) -> None:
    write("name: a\nquery: SELECT 1", "a.yaml")
    second = write("name: b\nquery: SELECT 1", "b.yaml")

    assert [file.name for file in load([second, tmp_path, second])] == ["b", "a"]


def test_two_files_cant_define_one_endpoint(write: Write, tmp_path: Path) -> None:
    write(_PLAIN, "one.yaml")
    write(_PLAIN, "two.yaml")

    with pytest.raises(InvalidInput, match=r"two\.yaml: .*one\.yaml defines 'clicks', too"):
        load([tmp_path])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml: No such file"):
        load([tmp_path / "nowhere.yaml"])


def test_a_folder_without_definitions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no \*\.yaml or \*\.yml"):
        load([tmp_path])
