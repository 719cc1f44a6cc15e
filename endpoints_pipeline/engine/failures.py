"""ClickHouse's errors as errors of ours: which are the query's fault, which a limit, which may pass by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import ClickHouseError

from endpoints_pipeline.errors import EngineBusy, EngineError, EngineUnavailable, QueryError, QueryLimitExceeded

# Numbers and names: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_LIMITS = {
    158: "query_too_large",  # TOO_MANY_ROWS
    159: "query_timeout",  # TIMEOUT_EXCEEDED
    160: "query_estimated_too_slow",  # TOO_SLOW
    241: "query_memory_limit",  # MEMORY_LIMIT_EXCEEDED
    307: "query_too_large",  # TOO_MANY_BYTES
    396: "query_too_large",  # TOO_MANY_ROWS_OR_BYTES
}
_BUSY = {202, 439}  # TOO_MANY_SIMULTANEOUS_QUERIES, CANNOT_SCHEDULE_TASK
_DENIED = {192, 193, 194, 516}  # UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
_MAY_PASS = {
    74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
    96,  # CANNOT_READ_FROM_SOCKET
    198,  # DNS_ERROR
    209,  # SOCKET_TIMEOUT
    210,  # NETWORK_ERROR
    236,  # ABORTED
    243,  # NOT_ENOUGH_SPACE
    279,  # ALL_CONNECTION_TRIES_FAILED
    394,  # QUERY_WAS_CANCELLED
    499,  # S3_ERROR
    1000,  # POCO_EXCEPTION
    1001,  # STD_EXCEPTION
}
_STORAGE = {499, 1000}  # S3_ERROR, POCO_EXCEPTION: S3 is the only other host that our queries reach
_ADVICE = {
    "query_timeout": "Narrow what the query reads, or materialize the endpoint.",
    "query_memory_limit": "Narrow what the query reads or groups by, or materialize the endpoint.",
    "query_too_large": "Narrow what the query reads, or materialize the endpoint.",
    "query_estimated_too_slow": "Narrow what the query reads, or materialize the endpoint.",
}
_PREFIX = re.compile(r"(?:Received ClickHouse exception, code: \d+, server response: |Code: \d+\. |DB::Exception: )+")
_SUFFIX = re.compile(r"(?:\s*\((?:version (?:[^()]|\([^()]*\))*|for url [^()]*|[A-Z][A-Z0-9_]+)\)\.?)+$")
# What the engine says of a text of ours: it would show where snapshots are, and nothing of the author's query.
_OUR_TEXT = re.compile(r"[.:,]? *\b(?:In scope|[Ww]hile \w+)\b.*\bs3\(.*", re.DOTALL)
_TRANSPORT = re.compile(r"""Caused by \w+\(["'](.+)["']\)\)""")


@contextmanager
def translated_errors(secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Raise the engine's failures as errors of ours; ``secrets`` never appear in their messages."""
    try:
        yield
    except ClickHouseError as error:
        raise translate(error, secrets) from None


def translate(error: ClickHouseError, secrets: tuple[str, ...] = (), *, opening: bool = False) -> EngineError:
    """The error of ours that ``error`` means; while ``opening`` a connection no query can be at fault."""
    code = getattr(error, "code", None)
    name = getattr(error, "name", None)
    message = _clean(str(error), secrets)
    if code is None:
        return EngineUnavailable(f"ClickHouse can't be reached or gave up: {message}. Check ENDPOINTS_ENGINE_DSN.")
    if code in _LIMITS:
        limit = _LIMITS[code]
        return QueryLimitExceeded(f"{message}. {_ADVICE[limit]}", limit=limit, engine_code=code, engine_name=name)
    if code in _BUSY:
        return EngineBusy(f"ClickHouse is busy: {message}", engine_code=code, engine_name=name)
    if code in _DENIED:
        return EngineError(
            f"ClickHouse refused our user: {message}. Check ENDPOINTS_ENGINE_DSN.", engine_code=code, engine_name=name
        )
    if code in _MAY_PASS:
        if code in _STORAGE:
            message = f"{message}. Check that S3 at ENDPOINTS_S3_ENDPOINT_URL runs and takes our key."
        return EngineUnavailable(message, engine_code=code, engine_name=name)
    if opening:
        return EngineError(
            f"ClickHouse refused the connection: {message}. Check ENDPOINTS_ENGINE_DSN.",
            engine_code=code,
            engine_name=name,
        )
    return QueryError(message, engine_code=code, engine_name=name)


def _clean(message: str, secrets: tuple[str, ...]) -> str:
    text = message.strip()
    if transport := _TRANSPORT.search(text):
        text = transport[1]
    text = _SUFFIX.sub("", text[match.end() :] if (match := _PREFIX.match(text)) else text).strip().rstrip(".")
    text = _OUR_TEXT.sub("", text).rstrip()
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
