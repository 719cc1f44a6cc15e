"""A stand-in for a ClickHouse server: the HTTP interface, as clickhouse-connect uses it, over chDB in its own process.

``start_server`` gives tests a DSN. By hand: ``python -m tests.clickhouse_http --port 8123 [--init-sql FILE]``, then
connect to ``clickhouse://user:password@127.0.0.1:8123/default``.

Each request runs on a fresh chDB connection (1 ms), closed after it: settings, the database and what a failed query
leaves in its buffers end with the request. A SELECT in Native whose request sends no ``wait_end_of_query`` streams,
and ends in the middle with the error's text as ClickHouse 25.11 and later write it. What a real server has and this
doesn't: sessions (``session_id`` is ignored, so temporary tables and ``SET`` don't outlive a request), external tables,
roles and quotas, ``query_id`` in ``system.processes`` (it is only echoed: kill by ``log_comment`` or by the text),
``system.query_log``, custom settings, parameters in an INSERT with rows, other formats that stream, compressed answers,
progress headers, and cancelling at once when the client goes away.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import clickhouse_connect
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

USER, PASSWORD = "user", "password"

#: URL parameters that belong to the protocol; every other one is a setting.
_PROTOCOL_PARAMETERS = frozenset(
    "query database default_format query_id user password quota_key role session_id session_timeout session_check "
    "close_session compress decompress buffer_size wait_end_of_query client_protocol_version stacktrace".split()
)
#: The head of an INSERT whose rows follow. They go in by chDB's insert stream, because its parser ends inline rows at
#: a blank line, which binary formats contain by accident.
_INSERT_WITH_ROWS = re.compile(
    rb"\s*(?P<insert>INSERT\s+INTO\s(?:(?!\b(?:SELECT|WITH|INFILE)\b).)*?)"
    rb"(?:\bFORMAT\s+(?P<format>\w+)[ \t\f]*\r?\n?|\bVALUES\b)",
    re.IGNORECASE | re.DOTALL,
)
_COMMENTS = rb"(?:\s|/\*.*?\*/)*"
_STREAMS = re.compile(_COMMENTS + rb"(?:SELECT|WITH)\b.*\bFORMAT\s+Native\s*$", re.IGNORECASE | re.DOTALL)
_ANSWERS = re.compile(
    _COMMENTS + rb"[\s(]*(SELECT|WITH|FROM|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS|CHECK|KILL)\b", re.IGNORECASE | re.DOTALL
)
_FORMAT_CLAUSE = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^)]*)?;?\s*$", re.IGNORECASE)
_ERROR = re.compile(r"(?:Code: (\d+)\. DB::Exception: )+(.*?)\s*\(([A-Z][A-Z0-9_]+)\)(?: \(version .*)?$", re.DOTALL)

#: HTTP status by error name, after ClickHouse's own table; CANNOT_PARSE_… are 400, all others 500.
_STATUS_OF = {
    name: status
    for status, names in {
        400: "BAD_ARGUMENTS SYNTAX_ERROR TYPE_MISMATCH ILLEGAL_COLUMN DUPLICATE_COLUMN THERE_IS_NO_COLUMN "
        "INCORRECT_DATA VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE CANNOT_COMPILE_REGEXP TOO_DEEP_AST TOO_BIG_AST",
        403: "AUTHENTICATION_FAILED ACCESS_DENIED",
        404: "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE "
        "UNKNOWN_SETTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY",
        408: "TIMEOUT_EXCEEDED",
        413: "QUERY_IS_TOO_LARGE",
        501: "NOT_IMPLEMENTED",
        503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
    }.items()
    for name in names.split()
}


class ClickHouseFailure(Exception):
    """An error as ClickHouse words it."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text} ({name})")
        self.code = code
        self.status = _STATUS_OF.get(name, 400 if name.startswith("CANNOT_PARSE_") else 500)

    @classmethod
    def from_engine(cls, error: Exception) -> ClickHouseFailure:
        found = _ERROR.search(str(error))
        return cls(int(found[1]), found[3], found[2]) if found else cls(1002, "UNKNOWN_EXCEPTION", str(error))


@dataclass(frozen=True)
class Answer:
    body: bytes
    summary: Mapping[str, int]
    format: str | None = None  # a statement without a result has none


def execute(text: bytes, params: Mapping[str, str], *, default_format: str, method: str) -> Answer:
    """Run one request on a connection of its own.

    Raises:
        ClickHouseFailure: The engine, or this server in its place, refused the request.
    """
    with _prepared(params, method) as connection:
        if head := _INSERT_WITH_ROWS.match(text):
            return _insert(connection, head, text[head.end() :])
        _refuse_several_statements(text)
        result = connection.query(text, default_format, params=_bound(params))
        clause = _FORMAT_CLAUSE.search(text)
        output_format = clause[1].decode() if clause else default_format
        summary = {
            "read_rows": result.storage_rows_read(),
            "read_bytes": result.storage_bytes_read(),
            "written_rows": result.rows_written(),
            "written_bytes": result.bytes_written(),
            "result_rows": result.rows_read() or result.rows_written(),
            "result_bytes": result.bytes_read() or result.bytes_written(),
            "elapsed_ns": int(result.elapsed() * 1e9),
        }
        return Answer(result.bytes(), summary, output_format if _ANSWERS.match(text) else None)


def stream(text: bytes, params: Mapping[str, str], *, method: str) -> Iterator[bytes]:
    """Run one SELECT and give its blocks in Native as they come.

    Raises:
        ClickHouseFailure: In place of a block, the first or a later one.
    """
    with _prepared(params, method) as connection:
        _refuse_several_statements(text)
        with connection.send_query(text, "Native", params=_bound(params)) as blocks:
            for block in blocks:
                yield block.bytes()


@contextlib.contextmanager
def _prepared(params: Mapping[str, str], method: str) -> Iterator[Any]:
    """A connection under the request's settings and database, and its errors as ClickHouse's."""
    settings = {k: v for k, v in params.items() if k not in _PROTOCOL_PARAMETERS and not k.startswith("param_")}
    read_only = settings.pop("readonly", "0")
    if method == "GET" and read_only == "0":
        read_only = "2"  # on a server, too, a GET changes nothing
    settings["readonly"] = read_only  # last: it locks the others
    try:
        with _connect() as connection:
            if database := params.get("database"):
                connection.query(f"USE {_quote(database, '`')}")
            connection.query("SET " + ", ".join(f"{_quote(k, '`')} = {_quote(v)}" for k, v in settings.items()))
            yield connection
    except RuntimeError as error:
        raise ClickHouseFailure.from_engine(error) from error


def _bound(params: Mapping[str, str]) -> dict[str, str]:
    return {k.removeprefix("param_"): v for k, v in params.items() if k.startswith("param_")}


def _connect() -> Any:
    import chdb  # here: the process that calls start_server shall not load the engine

    return chdb.connect(":memory:")


def _insert(connection: Any, head: re.Match[bytes], rows: bytes) -> Answer:
    with connection.send_insert(head["insert"].decode(), (head["format"] or b"Values").decode()) as stream:
        stream.append(rows)
        done = stream.finish()
    summary = {f"{what}_rows": done.rows_written for what in ("read", "written", "result")}
    summary |= {f"{what}_bytes": done.bytes_written for what in ("read", "written", "result")}
    return Answer(b"", {**summary, "elapsed_ns": int(done.elapsed * 1e9)})


def _refuse_several_statements(text: bytes) -> None:
    """Do as a server does; chDB runs both of ``SELECT 1; SELECT 2``."""
    if b";" not in text.strip().rstrip(b";"):
        return
    escaped = text.decode(errors="replace").replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    try:
        with _connect() as scratch:
            scratch.query("SELECT formatQuery({text:String})", params={"text": escaped})
    except RuntimeError as error:  # any other complaint is for the query itself to make
        if "Multi-statements are not allowed" in str(error):
            raise ClickHouseFailure(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)") from error


def _quote(text: str, mark: str = "'") -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def _authenticate(headers: Mapping[str, str], params: Mapping[str, str]) -> None:
    user, password = params.get("user", "default"), params.get("password", "")
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if "x-clickhouse-user" in headers:
        user, password = headers["x-clickhouse-user"], headers.get("x-clickhouse-key", "")
    elif scheme.lower() == "basic":
        user, _, password = base64.b64decode(credentials).decode(errors="replace").partition(":")
    if (user, password) != (USER, PASSWORD):
        reason = "Authentication failed: password is incorrect, or there is no user with such name."
        raise ClickHouseFailure(516, "AUTHENTICATION_FAILED", f"{user}: {reason}")


def _decompress(body: bytes, encoding: str) -> bytes:
    if not encoding:
        return body
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "lz4":
        import lz4.frame  # type: ignore[import-untyped]

        with lz4.frame.open(io.BytesIO(body)) as frames:  # one frame for each block
            return bytes(frames.read())
    raise ClickHouseFailure(48, "NOT_IMPLEMENTED", f"Content-Encoding {encoding} isn't supported by the test server")


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    form = message_from_bytes(b"Content-Type: %b\r\n\r\n%b" % (content_type.encode(), body), policy=policy.HTTP)
    fields: dict[str, str] = {}
    for part in form.iter_parts():
        if part.get_filename():
            raise ClickHouseFailure(48, "NOT_IMPLEMENTED", "External tables aren't supported by the test server")
        content: Any = part.get_payload(decode=True)
        fields[str(part.get_param("name", header="content-disposition"))] = content.decode()
    return fields


async def _streamed(blocks: Iterator[bytes], headers: Mapping[str, str]) -> Response:
    """The blocks, begun when the first is there: until then a failure has a status of its own."""
    first = await run_in_threadpool(next, blocks, b"")
    tag = uuid.uuid4().hex[:16]

    def body() -> Iterator[bytes]:
        yield first
        try:
            yield from blocks
        except ClickHouseFailure as failure:
            text = f"{failure}\n"
            yield f"\r\n__exception__\r\n{tag}\r\n{text}{len(text)} {tag}\r\n__exception__\r\n".encode()

    return StreamingResponse(
        body(), headers={**headers, "X-ClickHouse-Format": "Native", "X-ClickHouse-Exception-Tag": tag}
    )


def create_app() -> Starlette:
    """Open the engine and build the application over it."""
    engine = _connect()
    version, timezone = engine.query("SELECT version(), timezone()", "TSV").bytes().decode().split()

    async def ping(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def query(request: Request) -> Response:
        params = dict(request.query_params)
        headers = {
            "X-ClickHouse-Server-Display-Name": "chdb",
            "X-ClickHouse-Query-Id": params.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Timezone": params.get("session_timezone") or timezone,
        }
        try:
            _authenticate(request.headers, params)
            body = _decompress(await request.body(), request.headers.get("content-encoding", ""))
            if (content_type := request.headers.get("content-type", "")).startswith("multipart/form-data"):
                params, body = params | _form_fields(content_type, body), b""
            text = b"\n".join(filter(None, (params.get("query", "").encode(), body)))
            if not text.strip():
                return PlainTextResponse("Ok.\n", headers=headers)
            preferred = params.get("default_format") or request.headers.get("x-clickhouse-format") or "TabSeparated"
            if params.get("wait_end_of_query") != "1" and _STREAMS.match(text):
                return await _streamed(stream(text, params, method=request.method), headers)
            answer = await run_in_threadpool(execute, text, params, default_format=preferred, method=request.method)
        except ClickHouseFailure as failure:
            headers["X-ClickHouse-Exception-Code"] = str(failure.code)
            return PlainTextResponse(f"{failure} (version {version})\n", failure.status, headers)
        headers["X-ClickHouse-Summary"] = json.dumps({key: str(value) for key, value in answer.summary.items()})
        if answer.format:
            headers["X-ClickHouse-Format"] = answer.format
        return Response(answer.body, headers=headers)

    app = Starlette(routes=[Route("/ping", ping), Route("/", query, methods=["GET", "POST"])])
    app.state.engine = engine  # tables live as long as one connection is open
    return app


@contextlib.contextmanager
def start_server(init_sql: Sequence[str] = ()) -> Iterator[str]:
    """Run the server in a process of its own, give it ``init_sql``'s statements, and yield its DSN."""
    command = [sys.executable, "-m", "tests.clickhouse_http", "--port", "0", "--until-stdin-closes"]
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()  # printed once the engine is open and the port bound
            if not address:
                raise RuntimeError(f"the test server ended with code {process.wait()} before it was ready")
            dsn = f"clickhouse://{USER}:{PASSWORD}@{address}/default"
            if init_sql:
                with clickhouse_connect.get_client(dsn=dsn) as client:
                    for statement in init_sql:
                        client.command(statement)
            yield dsn
        finally:
            process.kill()


def _end_with_stdin() -> None:
    """Don't outlive the process that started us, however it ends."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="ClickHouse's HTTP interface over chDB, for tests")
    parser.add_argument("--port", type=int, default=8123, help="0 takes a free one; the address is printed")
    parser.add_argument("--init-sql", type=Path, help="a file of statements to run first, separated by semicolons")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when the starting process does")
    options = parser.parse_args()
    app = create_app()
    if options.init_sql:
        with _connect() as connection:
            connection.query(options.init_sql.read_text())
    listener = socket.create_server(("127.0.0.1", options.port))
    print("{}:{}".format(*listener.getsockname()), flush=True)
    if options.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=60)).run(sockets=[listener])


if __name__ == "__main__":
    main()
