"""What queries read from: the engine's tables, and endpoints of the project by their names.

``FROM daily`` reads the current snapshot of the current version of the endpoint ``daily``. The guard judges the text
as its author wrote it; only then are the names replaced, on the syntax tree, by subqueries over the snapshots.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.engine import Engine, GuardedQuery, Role
from endpoints_pipeline.engine.types import identifier, original_columns, original_type
from endpoints_pipeline.errors import EngineError, InvalidInput, NotFound, QueryError, SourceNotReady
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.guard import Tree
from endpoints_pipeline.query.lineage import Mention, Reads, mentions
from endpoints_pipeline.query.materialization.trees import Grammar
from endpoints_pipeline.query.variables import placeholders
from endpoints_pipeline.snapshots.objects import Bucket
from endpoints_pipeline.snapshots.stored_rows import stored_rows

_REMEMBERED = 500  # texts


@dataclass(frozen=True, slots=True)
class Resolved:
    """A query as the engine runs it: ``parameters`` hold the caller's and ours, ``role`` is the handle's."""

    sql: str
    parameters: Mapping[str, Any]
    role: Role


class Sources:
    """Safe to share between threads.

    ``saved`` is what a query read when it was saved; None for one that is new. A name keeps its meaning: an endpoint
    never takes the place of a table that has gone, and a new table not that of an endpoint.
    """

    def __init__(self, *, catalog: Catalog, engine: Engine, bucket: Bucket) -> None:
        self._catalog = catalog
        self._engine = engine
        self._bucket = bucket
        self._lock = threading.Lock()
        self._guarded: LRUCache[tuple[int, str, Reads | None], GuardedQuery] = LRUCache(_REMEMBERED)
        self._texts: LRUCache[tuple[str, ...], str] = LRUCache(_REMEMBERED)

    def guard(
        self, project_id: int, sql: str, parameters: Collection[str] = (), *, saved: Reads | None = None
    ) -> GuardedQuery:
        """``Engine.guard``, with the project's endpoints among what a query may read. They keep their names.

        Raises:
            InvalidInput: The guard refuses the query, or an endpoint that it names can't be read (``attr="query"``).
        """

        def find(found: Sequence[Mention], tables: Collection[str]) -> Collection[str]:
            return self._readable(project_id, found, tables, saved)

        guarded = self._engine.guard(sql, parameters, find_endpoints=find)
        with self._lock:
            self._guarded[project_id, guarded.sql, saved] = guarded
        return guarded

    def resolve(
        self,
        project_id: int,
        canonical: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        saved: Reads | None = None,
    ) -> Resolved:
        """The query over snapshots in place of endpoints' names; the query itself where it names none.

        Args:
            project_id: Whose endpoints.
            canonical: The text that ``guard`` gave, or one that it is to judge first.
            parameters: The values of the query's own parameters.
            saved: What it read when it was saved.

        Raises:
            InvalidInput: As ``guard``.
            SourceNotReady: An endpoint that it reads has no snapshot yet; a refresh may be under way.
        """
        guarded = self._known(project_id, canonical, parameters or {}, saved)
        return self._resolved(project_id, guarded, parameters or {}, self._snapshot_rows)

    def describe(
        self,
        project_id: int,
        canonical: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        saved: Reads | None = None,
    ) -> tuple[Column, ...]:
        """The columns of a query. An endpoint without a snapshot yet has the columns that its own query had when saved.

        Raises:
            InvalidInput: As ``guard``.
            QueryError: Names, types or values of the query don't fit.
        """
        guarded = self._known(project_id, canonical, parameters or {}, saved)
        return self._describe(self._resolved(project_id, guarded, parameters or {}, self._rows_to_describe))

    def settled(self, project_id: int, guarded: GuardedQuery, parameters: Mapping[str, Any]) -> Reads:
        """What a new query reads, without the endpoints whose names mean columns to it.

        ``x IN name`` looks for a column first, and only the engine knows the columns.
        """
        found = mentions(guarded.tree)
        from_names = {mention.name for mention in found if not mention.is_set}
        unsure = [name for name in guarded.reads.endpoints if name not in from_names]
        columns = [name for name in unsure if self._works_without(project_id, guarded, parameters, name)]
        if not columns:
            return guarded.reads
        return Reads(guarded.reads.tables, tuple(name for name in guarded.reads.endpoints if name not in columns))

    def grammar(self, project_id: int, *, saved: Reads | None = None) -> Grammar:
        """The engine for ``query.materialization``, to which the project's endpoints are tables."""
        names_endpoints = saved is not None and bool(saved.endpoints)
        return _ProjectGrammar(
            self._engine, lambda sql: self._describe_unguarded(project_id, sql, saved), names_endpoints=names_endpoints
        )

    def _known(
        self, project_id: int, canonical: str, parameters: Mapping[str, Any], saved: Reads | None
    ) -> GuardedQuery:
        with self._lock:
            guarded = self._guarded.get((project_id, canonical, saved))
        return guarded or self.guard(project_id, canonical, parameters, saved=saved)

    def _readable(
        self, project_id: int, found: Sequence[Mention], tables: Collection[str], saved: Reads | None
    ) -> Collection[str]:
        """The names that are endpoints'. One that can't be read is refused; in ``x IN name`` it may be a column's."""
        names = {mention.name for mention in found if mention.is_bare}
        names = names - set(tables) if saved is None else names & set(saved.endpoints)
        from_names = {mention.name for mention in found if not mention.is_set}
        readable = set()
        for name in sorted(names):
            endpoint = self._find(project_id, name)
            if endpoint is None and saved is None:
                continue
            reason = _obstacle(endpoint)
            if reason is None:
                readable.add(name)
            elif name in from_names or saved is not None:
                raise _refused(f"It reads the endpoint '{name}', which {reason}.")
        return readable

    def _find(self, project_id: int, name: str) -> Endpoint | None:
        try:
            return self._catalog.endpoints.get(project_id, name)
        except NotFound:
            return None

    def _resolved(
        self,
        project_id: int,
        guarded: GuardedQuery,
        parameters: Mapping[str, Any],
        rows_of: Callable[[Endpoint, str], tuple[str, dict[str, object]]],
    ) -> Resolved:
        names = guarded.reads.endpoints
        if not names:
            return Resolved(guarded.sql, parameters, Role.READER)
        texts, bound = [], dict(parameters)
        for number, name in enumerate(names):
            endpoint = self._find(project_id, name)
            reason = _obstacle(endpoint)
            if endpoint is None or reason is not None:  # since the guard looked
                raise _refused(f"It reads the endpoint '{name}', which {reason}.")
            text, own = rows_of(endpoint, f"endpoint_{number}")
            texts.append(text)
            bound |= own
        return Resolved(self._replaced(guarded, dict(zip(names, texts, strict=True))), bound, Role.SNAPSHOT_READER)

    def _snapshot_rows(self, endpoint: Endpoint, prefix: str) -> tuple[str, dict[str, object]]:
        snapshot = endpoint.version.snapshot
        if snapshot is None:
            raise SourceNotReady(
                f"The query reads the endpoint '{endpoint.name}', which has no snapshot yet. Try again after its first "
                "refresh; its materialization status tells how that goes."
            )
        keys = [part.key for part in snapshot.parts]
        rows, parameters = stored_rows(self._engine, self._bucket, snapshot.columns, keys, prefix=prefix)
        return f"SELECT {original_columns(snapshot.columns)} FROM ({rows})", parameters

    def _rows_to_describe(self, endpoint: Endpoint, prefix: str) -> tuple[str, dict[str, object]]:
        if endpoint.version.snapshot is not None:
            return self._snapshot_rows(endpoint, prefix)
        parameters: dict[str, object] = {}
        items = []
        for number, column in enumerate(endpoint.version.columns):
            parameters[f"{prefix}_type_{number}"] = original_type(column)
            value = f"materialize(defaultValueOfTypeName({{{prefix}_type_{number}:String}}))"
            items.append(f"{value} AS {identifier(column.name)}")
        return f"SELECT {', '.join(items)}", parameters

    def _replaced(self, guarded: GuardedQuery, texts: Mapping[str, str]) -> str:
        """The text with endpoints' names replaced; what differs from run to run is in parameters, so it is kept."""
        key = (guarded.sql, *texts, *texts.values())
        with self._lock:
            sql = self._texts.get(key)
        if sql is None:
            sql = self._replace(guarded.tree, texts)
            with self._lock:
                self._texts[key] = sql
        return sql

    def _replace(self, tree: Tree, texts: Mapping[str, str]) -> str:
        parsed = self._engine.parse(f"SELECT * FROM {', '.join(f'({text})' for text in texts.values())}")
        [select] = parsed["list_of_selects"]["children"]
        queries = {
            name: element["table_expression"]["subquery"]["children"][0]
            for name, element in zip(texts, select["tables"]["children"], strict=True)
        }
        replaced = copy.deepcopy(dict(tree))
        for mention in mentions(replaced):
            if mention.is_bare and mention.name in queries:
                _put(mention, queries[mention.name])
        [sql] = self._engine.print([replaced])
        return sql

    def _works_without(self, project_id: int, guarded: GuardedQuery, parameters: Mapping[str, Any], name: str) -> bool:
        others = tuple(other for other in guarded.reads.endpoints if other != name)
        without = GuardedQuery(guarded.sql, guarded.is_union, guarded.tree, Reads(guarded.reads.tables, others))
        try:
            self._describe(self._resolved(project_id, without, parameters, self._rows_to_describe))
        except QueryError:
            return False
        return True

    def _describe_unguarded(self, project_id: int, sql: str, saved: Reads | None) -> tuple[Column, ...]:
        """The columns of a text that was made of one that the guard has passed; it isn't run."""
        tree = self._engine.parse(sql)
        found = mentions(tree)
        names = self._readable(project_id, found, self._engine.tables(), saved)
        guarded = GuardedQuery(sql, False, tree, Reads((), tuple(sorted(names))))
        return self._describe(self._resolved(project_id, guarded, {}, self._rows_to_describe))

    def _describe(self, resolved: Resolved) -> tuple[Column, ...]:
        return self._engine.describe(resolved.sql, resolved.parameters, role=resolved.role)


class _ProjectGrammar:
    """Asks the engine first: a query that names no endpoint, as most don't, takes no more calls than without them."""

    def __init__(
        self, engine: Engine, describe_with_endpoints: Callable[[str], Sequence[Column]], *, names_endpoints: bool
    ) -> None:
        self._engine = engine
        self._describe_with_endpoints = describe_with_endpoints
        self._names_endpoints = names_endpoints

    def print(self, trees: Sequence[Tree]) -> Sequence[str]:
        return self._engine.print(trees)

    def is_aggregate(self, name: str) -> bool:
        return self._engine.is_aggregate(name)

    def describe(self, canonical: str) -> Sequence[Column]:
        if not self._names_endpoints:
            try:
                return self._engine.describe(canonical)
            except EngineError as error:
                if error.engine_name not in ("UNKNOWN_TABLE", "UNKNOWN_IDENTIFIER"):
                    raise
            self._names_endpoints = True
        return self._describe_with_endpoints(canonical)


def _obstacle(endpoint: Endpoint | None) -> str | None:
    """Why an endpoint can't be read by its name; None if it can, once it has a snapshot."""
    if endpoint is None:
        return "was deleted; take it out of the query, or create it again"
    if placeholders(endpoint.version.sql):
        return "takes variables; only an endpoint without variables can be read by its name"
    if not endpoint.version.is_materialized:
        return "isn't materialized; materialize it first"
    return None


def _put(mention: Mention, query: dict[str, Any]) -> None:
    """Let a mention in a tree of its own read ``query``."""
    if mention.is_set:
        # not in place of the name: a column of that name would come first, as it does where the name is a table's
        elements = mention.select.setdefault("with", {"type": "ExpressionList", "children": []})["children"]
        if not any(element.get("name") == mention.name for element in elements):
            subquery = {"type": "Subquery", "children": [query]}
            elements.insert(0, {"type": "WithElement", "name": mention.name, "subquery": subquery})
        return
    if "final" in mention.node or "sample_size" in mention.node:
        raise _refused(f"FINAL and SAMPLE don't work on the endpoint '{mention.name}'.")
    name = mention.node.pop("database_and_table_name")
    alias = name.get("alias", mention.name)
    mention.node["subquery"] = {"type": "Subquery", "alias": alias, "children": [query]}


def _refused(message: str) -> InvalidInput:
    return InvalidInput(f"Invalid HogQL query: {message}", attr="query")
