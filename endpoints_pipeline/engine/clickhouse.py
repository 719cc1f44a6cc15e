"""The engine: ClickHouse through clickhouse-connect, embedded (chDB) or a server, under one contract."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import structlog

from endpoints_pipeline.engine import rows, tags
from endpoints_pipeline.engine.disk_cache import open_disk_cache
from endpoints_pipeline.engine.failures import translated_errors
from endpoints_pipeline.engine.handles import HandlePool, Role
from endpoints_pipeline.engine.part_tables import PartTables
from endpoints_pipeline.engine.progress import Progress, Statistics, collecting_statistics
from endpoints_pipeline.engine.streams import each_row_as_text, open_stream
from endpoints_pipeline.engine.warehouse import DATABASE, S3Access, Warehouse
from endpoints_pipeline.errors import EndpointsError, EngineError, InvalidInput, QueryError
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.functions import EngineFunction, Functions
from endpoints_pipeline.query.guard import Surroundings, Tree, check_tree, is_union
from endpoints_pipeline.query.lineage import Mention, Reads, mentions, reads
from endpoints_pipeline.query.naming import with_names
from endpoints_pipeline.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_log = structlog.get_logger(__name__)

Parameters = Mapping[str, Any]
#: Which names that a query mentions are endpoints', told the tables there are.
FindEndpoints = Callable[[Sequence[Mention], Collection[str]], Collection[str]]

# The tree is of the text that will run, not of the one that came in: printing smuggles nothing past the guard.
_PARSE = (
    "WITH formatQueryFromJSON(parseQueryToJSON({sql:String})) AS canonical "
    "SELECT canonical, parseQueryToJSON(canonical)"
)
_PRINT = "SELECT formatQueryFromJSON(arrayJoin({trees:Array(String)}))"
_ANY_PARAMETER = re.compile(r"\{\w+:[^}]+\}", re.ASCII)
_PARSE_SCOPE = ": In scope WITH formatQueryFromJSON"


@dataclass(frozen=True, slots=True)
class GuardedQuery:
    """A query that the guard has passed.

    Attributes:
        sql: Its canonical text.
        is_union: Its outermost level is many SELECTs.
        tree: The text's syntax tree; not to be changed.
        reads: The tables and endpoints that it names.
    """

    sql: str
    is_union: bool
    tree: Tree
    reads: Reads


class _LeftEarly(Exception):
    """A stream was left before its last row: the handle, in which rows are waiting, is not to be used again."""


class Engine:
    """Safe to share between threads; never to be carried over a fork."""

    def __init__(
        self,
        settings: Settings,
        *,
        make_s3_client: Callable[[], S3Client],
        monotonic: Callable[[], float] = time.monotonic,
        caching: bool = False,
    ) -> None:
        """Prepare the engine; it is opened on first use (chDB: about a second and 330 MB).

        Args:
            settings: The deployment's settings.
            make_s3_client: To list a warehouse on S3 with.
            monotonic: The time that passes.
            caching: Keep what is read of snapshots on the local disk; for processes that answer runs.
        """
        self._embedded = settings.engine_is_embedded
        self._extra_databases = [name.strip() for name in settings.engine_databases.split(",") if name.strip()]
        self.s3 = S3Access(
            settings.s3_endpoint_url,
            settings.s3_access_key.get_secret_value(),
            settings.s3_secret_key.get_secret_value(),
        )
        dsn = settings.engine_dsn.get_secret_value()
        self._secrets = (self.s3.secret_key, unquote(urlsplit(dsn).password or ""))
        self._warehouse = (
            Warehouse(settings.resolved_warehouse, s3=self.s3, make_s3_client=make_s3_client, monotonic=monotonic)
            if self._embedded
            else None
        )
        self._disk_cache = open_disk_cache(settings.home / "cache", settings.snapshot_cache if caching else 0)
        self._handles = HandlePool(
            dsn,
            database=DATABASE if self._embedded else "",
            size=settings.engine_handles,
            wait=settings.engine_handle_timeout,
            answer_timeout=settings.refresh_timeout + 30,
            settings=_role_settings(settings),
            secrets=self._secrets,
            config_file=self._disk_cache.config_file if self._disk_cache else None,
        )
        #: Snapshots' parts as tables; None where the engine is a server, whose tables aren't ours.
        self.part_tables = (
            PartTables(self._handles, self.s3, secrets=self._secrets, disk_cache=self._disk_cache)
            if self._embedded
            else None
        )

    def close(self) -> None:
        self._handles.close()
        if self._disk_cache is not None:
            self._disk_cache.close()

    @cached_property
    def version(self) -> str:
        return str(self._scalar("SELECT version()"))

    def tables(self) -> frozenset[str]:
        """The tables that a query may read, bare and with their database."""
        with translated_errors(self._secrets), self._handles.borrow(Role.WRITER) as handle:
            if self._warehouse is not None:
                names = self._warehouse.register(handle)
                return names | {f"{DATABASE}.{name}" for name in names}
            found = handle.query(
                "SELECT if(database = currentDatabase(), name, ''), concat(database, '.', name) FROM system.tables "
                "WHERE database = currentDatabase() OR database IN {databases:Array(String)}",
                parameters={"databases": self._extra_databases},
            ).result_rows
            return frozenset(name for row in found for name in row if name)

    def canonical(self, sql: str) -> str:
        """The text of ``guard``, for a query without parameters."""
        return self.guard(sql).sql

    def guard(
        self, sql: str, parameters: Collection[str] = (), *, find_endpoints: FindEndpoints = lambda _found, _tables: ()
    ) -> GuardedQuery:
        """The guarded, canonical text of a query: the only form in which people's SQL is run.

        Columns whose names would show a parameter's value, or change, have aliases in it (``query.naming``).

        Args:
            sql: The text, its variables already ``parameterized``.
            parameters: The names of the engine's parameters that it may have (``var_country``).
            find_endpoints: Asked which of the names that it reads are endpoints', and told the tables there are.

        Raises:
            InvalidInput: The text isn't one SELECT over allowed tables and functions (``attr="query"``).
        """
        _check_text(sql)
        try:
            canonical, tree = self._parse(sql)
            if with_names(tree, self._print):
                canonical, tree = self._parse(*self._print([tree]))
        except RecursionError:
            raise InvalidInput("Invalid HogQL query: It is nested too deeply", attr="query") from None
        tables, mentioned = self.tables(), mentions(tree)
        endpoints = find_endpoints(mentioned, tables)
        check_tree(tree, Surroundings(tables, self._table_functions, self._functions, endpoints), parameters)
        default = "" if all(mention.is_bare for mention in mentioned) else self._default_database
        return GuardedQuery(canonical, is_union(tree), tree, reads(mentioned, tables, endpoints, default))

    def parse(self, sql: str) -> dict[str, Any]:
        """The syntax tree of a text.

        Raises:
            InvalidInput: It isn't SQL (``attr="query"``).
        """
        return self._parse(sql)[1]

    def print(self, trees: Sequence[Tree]) -> Sequence[str]:
        """The texts of syntax trees, as ``parse`` understands them."""
        return self._print(trees)

    def is_aggregate(self, name: str) -> bool:
        """True for an aggregate function, combinators included."""
        return self._functions.is_aggregate(name)

    def _parse(self, sql: str) -> tuple[str, dict[str, Any]]:
        try:
            [(canonical, tree)] = self.query(_PARSE, {"sql": sql})
        except QueryError as error:
            message = str(error).split(_PARSE_SCOPE)[0]
            raise InvalidInput(
                f"Invalid HogQL query: {message}", attr="query", code=error.engine_name or "invalid_input"
            ) from None
        return canonical, json.loads(tree)

    def _print(self, trees: Sequence[Tree]) -> Sequence[str]:
        return [text for (text,) in self.query(_PRINT, {"trees": [json.dumps(tree) for tree in trees]})]

    def describe(
        self, canonical: str, parameters: Parameters | None = None, *, role: Role = Role.READER
    ) -> tuple[Column, ...]:
        """The columns of a canonical query, without running it; types may depend on its parameters.

        Raises:
            QueryError: Names, types or values of the query don't fit.
        """
        with translated_errors(self._secrets), self._handles.borrow(role) as handle:
            described = handle.query(
                f"DESCRIBE TABLE ({canonical})", parameters=_bound(canonical, parameters)
            ).result_rows
            return tuple(Column(name=row[0], type=row[1]) for row in described)

    def json_rows(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        role: Role = Role.READER,
        limit: int | None = None,
        tag: str | None = None,
    ) -> rows.JsonRows:
        """Run a SELECT and give its rows as JSON bytes, at most ``limit`` of them; for answers that fit in memory."""
        with (
            translated_errors(self._secrets),
            self._handles.borrow(role) as handle,
            tags.tagged(handle, sql, tag, role) as text,
        ):
            answer = handle.raw_query(text, parameters=_bound(sql, parameters), fmt=rows.FORMAT)
        return rows.split(answer, limit=limit)

    @contextmanager
    def stream(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        role: Role = Role.READER,
        tag: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Iterator[rows.JsonRows]]:
        """Run a SELECT and give its rows in blocks as they come, the same bytes in the same order as ``json_rows``.

        Opening waits for the first of them (``kill`` ends the wait). A query that is left before its end is killed.
        Threads may take turns in reading and in closing the stream. One handle is taken from begin to end.

        Args:
            sql: The SELECT.
            parameters: Its parameters.
            role: The handle's.
            tag: Names the query for ``kill`` and ``progress``.
            limit: Rows to give at most; a block says ``more`` where some were cut off.

        Raises:
            EngineError: On opening, or in place of a block, however many came before it.
        """
        tag = f"stream:{uuid4()}" if tag is None else tag
        with (
            suppress(_LeftEarly),
            translated_errors(self._secrets),
            self._handles.borrow(role) as handle,
        ):
            text = tags.with_tag(each_row_as_text(sql), tag, role)
            with open_stream(handle, text, _bound(sql, parameters), self._secrets, limit) as stream:
                try:
                    yield stream
                finally:
                    if not stream.ended:
                        self._kill_quietly(tag)  # or a server's rows would all be read to their end before it is left
                    stream.close()
            if not stream.ended:
                raise _LeftEarly

    def query(self, sql: str, parameters: Parameters | None = None) -> Sequence[Sequence[Any]]:
        """Run a SELECT of ours and give its rows as Python values; for small answers."""
        with translated_errors(self._secrets), self._handles.borrow(Role.WRITER) as handle:
            return handle.query(sql, parameters=_bound(sql, parameters)).result_rows

    def export(self, sql: str, parameters: Parameters, *, tag: str) -> Statistics:
        """Run an ``INSERT INTO FUNCTION s3(...)`` to its end.

        The call runs on a thread of its own: an interrupt can't stop chDB, so the query is killed by its ``tag`` and
        the interrupt is raised only when the engine has let go. An error or interrupt doesn't prove that nothing was
        written (engine-facts E).
        """

        def run() -> Statistics:
            with (
                translated_errors(self._secrets),
                self._handles.borrow(Role.WRITER) as handle,
                tags.tagged(handle, sql, tag, Role.WRITER) as text,
            ):
                with collecting_statistics(handle) as collect:
                    summary = handle.command(text, parameters=_bound(sql, parameters))
                return collect(summary)

        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="export") as thread:
            running = thread.submit(run)
            try:
                return running.result()
            except BaseException:
                self._stop(running, tag)
                raise

    def kill(self, tag: str) -> None:
        """Cancel the running queries that carry ``tag``; works also when every handle is taken.

        A query that the engine doesn't know yet isn't cancelled.
        """
        with translated_errors(self._secrets), self._handles.borrow(Role.WRITER, urgent=True) as handle:
            handle.command(tags.KILL, parameters={"tag": tag, "comment": tags.comment(tag)})

    def progress(self, wanted: Collection[str]) -> Mapping[str, Progress]:
        """How far the running queries of these tags have come; works also when every handle is taken.

        A tag without a running query is left out.
        """
        if not wanted:
            return {}
        with translated_errors(self._secrets), self._handles.borrow(Role.WRITER, urgent=True) as handle:
            found = handle.query(tags.PROGRESS, parameters={"tags": sorted(wanted)}).result_rows
            return {row[0]: Progress(*map(int, row[1:])) for row in found}

    def _stop(self, running: Future[Statistics], tag: str) -> None:
        """Kill until it is dead: the first KILL may come before the engine knows the query."""
        while not running.done():
            self._kill_quietly(tag)
            wait([running], timeout=0.5)

    def _kill_quietly(self, tag: str) -> None:
        try:
            self.kill(tag)
        except EndpointsError as error:
            _log.warning("a query could not be killed", tag=tag, error=str(error))

    @cached_property
    def _default_database(self) -> str:
        """The one that bare names of tables mean."""
        return DATABASE if self._embedded else str(self._scalar("SELECT currentDatabase()"))

    @cached_property
    def _table_functions(self) -> frozenset[str]:
        return frozenset(str(row[0]) for row in self.query("SELECT name FROM system.table_functions"))

    @cached_property
    def _functions(self) -> Functions:
        rows = self.query("SELECT name, categories, alias_to, is_aggregate, origin != 'System' FROM system.functions")
        return Functions(EngineFunction(*row) for row in rows)

    def _scalar(self, sql: str, parameters: Parameters | None = None) -> Any:
        found = self.query(sql, parameters)
        if not found:
            raise EngineError(f"ClickHouse gave no answer to {sql}")
        return found[0][0]


def _check_text(sql: str) -> None:
    if "\0" in sql:
        raise InvalidInput("Invalid HogQL query: The text holds a NUL byte", attr="query")
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"Invalid HogQL query: The text isn't valid Unicode: {error.reason}", attr="query") from None


def _bound(sql: str, parameters: Parameters | None) -> dict[str, Any] | None:
    # to a text without a single {name:Type} clickhouse-connect would apply Python's %, and change it
    return dict(parameters) if parameters and _ANY_PARAMETER.search(sql) else None


def _role_settings(settings: Settings) -> dict[Role, dict[str, Any]]:
    s3 = {
        # a dead S3 must fail in seconds: ClickHouse would try 500 times
        "s3_connect_timeout_ms": round(min(settings.s3_timeout, 5) * 1000),
        "s3_request_timeout_ms": round(settings.s3_timeout * 1000),
        "s3_retry_attempts": 3,
    }
    types = {
        "print_pretty_type_names": 0,
        # a source may have columns of these, and a snapshot is read back under its columns' own types
        "allow_suspicious_fixed_string_types": 1,
        "allow_suspicious_low_cardinality_types": 1,
    }
    # chDB takes `1 + 1` for `SELECT 1 + 1`, a server doesn't
    common = {"max_memory_usage": settings.query_max_memory, "implicit_select": 0, **types, **s3}
    reading = {"max_execution_time": settings.query_timeout, "input_format_parquet_preserve_order": 1, **rows.SETTINGS}
    reader = {
        **common,
        **reading,
        "max_rows_to_read": settings.query_max_rows_to_read,
        # a stream holds some twenty blocks at a time, as rows and as their JSON; the default is 65,409 rows
        "max_block_size": 16_384,
    }
    return {Role.READER: reader, Role.SNAPSHOT_READER: reader, Role.WRITER: {**common, **reading}}
