"""ClickHouse's errors as errors of ours."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from endpoints_pipeline.engine.failures import translate, translated_errors
from endpoints_pipeline.errors import EngineBusy, EngineError, EngineUnavailable, QueryError, QueryLimitExceeded


@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        (47, QueryError, False),
        (62, QueryError, False),
        (164, QueryError, False),
        (158, QueryLimitExceeded, False),
        (159, QueryLimitExceeded, False),
        (241, QueryLimitExceeded, False),
        (307, QueryLimitExceeded, False),
        (396, QueryLimitExceeded, False),
        (202, EngineBusy, True),
        (516, EngineError, False),
        (192, EngineError, False),
        (210, EngineUnavailable, True),
        (394, EngineUnavailable, True),
        (499, EngineUnavailable, True),
        (None, EngineUnavailable, True),
        (999999, QueryError, False),
    ],
)
def test_the_code_decides_the_kind(code: int | None, kind: type[EngineError], transient: bool) -> None:
    error = translate(DatabaseError("Code: 1. DB::Exception: words. (NAME)", code=code, name="NAME"))
    assert type(error) is kind
    assert error.transient is transient
    assert (error.engine_code, error.engine_name) == (code, "NAME" if code else None)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Code: 47. DB::Exception: Unknown x. (UNKNOWN_IDENTIFIER) (version 26.9.2.1 (official build))", "Unknown x"),
        ("Code: 47. DB::Exception: Code: 47. DB::Exception: Unknown x. (UNKNOWN_IDENTIFIER)", "Unknown x"),
        (
            "Received ClickHouse exception, code: 47, server response: Code: 47. DB::Exception: Unknown x. "
            "(UNKNOWN_IDENTIFIER) (version 24.3.1.1) (for url http://10.0.0.1:8123)",
            "Unknown x",
        ),
        ("Code: 6. DB::Exception: Cannot parse 'a (b)'", "Cannot parse 'a (b)'"),
        ("plain words", "plain words"),
        ("Unknown x. In scope SELECT x FROM t", "Unknown x. In scope SELECT x FROM t"),
        ("Unknown x. In scope SELECT x FROM (SELECT * FROM s3('http://h/b/k', '[HIDDEN]')) AS t", "Unknown x"),
        ("no: while executing 'FUNCTION throwIf(1) : 2' over s3('http://h/b/k')", "no"),
    ],
)
def test_messages_lose_their_wrapping(raw: str, clean: str) -> None:
    assert str(translate(DatabaseError(raw, code=47))) == clean


def test_a_failed_connection_says_why() -> None:
    raw = (
        "Error HTTPConnectionPool(host='h', port=1): Max retries exceeded with url: /?query_id=1 (Caused by "
        "NewConnectionError(\"HTTPConnection(host='h', port=1): Failed to establish a new connection: [Errno 111] "
        'Connection refused")) executing HTTP request attempt 1 (http://h:1)'
    )
    assert str(translate(OperationalError(raw))) == (
        "ClickHouse can't be reached or gave up: HTTPConnection(host='h', port=1): "
        "Failed to establish a new connection: [Errno 111] Connection refused. Check ENDPOINTS_ENGINE_DSN."
    )


def test_while_a_connection_opens_no_query_is_at_fault() -> None:
    error = translate(DatabaseError("Database x does not exist", code=81), opening=True)
    assert type(error) is EngineError
    assert "Check ENDPOINTS_ENGINE_DSN" in str(error)


def test_secrets_are_struck_out() -> None:
    with pytest.raises(QueryError, match=r"^\*\*\* and \*\*\*, not y$"), translated_errors(("s3cret", "", "pass")):
        raise DatabaseError("s3cret and pass, not y", code=47)


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), translated_errors():
        raise ZeroDivisionError
