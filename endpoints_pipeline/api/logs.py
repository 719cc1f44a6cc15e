"""An endpoint's log: what each of its executions said of itself (contract 1.14)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema

from endpoints_pipeline.api.auth import ReadEndpoints
from endpoints_pipeline.api.context import App, EndpointName
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.pages import OffsetText, Page, Slice, count
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.representation import answer
from endpoints_pipeline.catalog.records import LogEntry, LogLevel
from endpoints_pipeline.errors import InvalidInput

router = APIRouter(prefix=PREFIX, tags=["logs"])

_PAGE_SIZE = 50
_LARGEST_PAGE = 500

TimeText = Annotated[str | None, Query(), WithJsonSchema({"type": "string", "format": "date-time"})]

Text = Annotated[str | None, Query(), WithJsonSchema({"type": "string"})]


class LogObject(BaseModel):
    """One line. Values of variables are never in it."""

    log_source_id: str = Field(description="The endpoint's id.")
    instance_id: str = Field(description="The execution's id: `execution_id` in the answer of a run.")
    timestamp: datetime
    level: LogLevel
    message: str


class LogPage(Page[LogObject]):
    """Entries, the newest first."""


@router.get("/{name}/logs", operation_id="endpoints_logs_retrieve", response_model=LogPage, responses=errors(400))
def list_logs(
    request: Request,
    application: App,
    access: ReadEndpoints,
    name: EndpointName,
    after: Annotated[TimeText, Query(description="Only younger entries.")] = None,
    before: Annotated[TimeText, Query(description="Only older entries.")] = None,
    instance_id: Annotated[Text, Query(description="Only the entries of one execution.")] = None,
    level: Annotated[Text, Query(description="Levels, separated by commas: DEBUG, LOG, INFO, WARN, ERROR.")] = None,
    search: Annotated[Text, Query(description="Only messages with this text, in upper or lower case.")] = None,
    limit: Annotated[
        str | None,
        Query(description=f"Entries per page: {_PAGE_SIZE} unless given."),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _LARGEST_PAGE}),
    ] = None,
    offset: OffsetText = None,
) -> Response:
    """What an endpoint's executions said of themselves, the newest first; of inactive endpoints too."""
    endpoint = application.catalog.endpoints.get(access.project_id, name)
    part = Slice(
        limit=count(limit, "limit", least=1, default=_PAGE_SIZE, most=_LARGEST_PAGE),
        offset=count(offset, "offset", least=0, default=0),
    )
    found, total = application.catalog.logs.list(
        endpoint.id,
        after=_time(after, "after"),
        before=_time(before, "before"),
        instance_id=_text(instance_id, "instance_id"),
        levels=_levels(level),
        search=_text(search, "search"),
        limit=part.limit,
        offset=part.offset,
    )
    shown = [_log_object(entry) for entry in found]
    return answer(LogPage(**part.envelope(request, application.settings, total, shown)))


def _log_object(entry: LogEntry) -> LogObject:
    return LogObject(
        log_source_id=entry.endpoint_id,
        instance_id=entry.instance_id,
        timestamp=entry.timestamp,
        level=entry.level,
        message=entry.message,
    )


def _time(text: str | None, attr: str) -> datetime | None:
    """A time of the query string; one without a zone is in UTC."""
    if not text:
        return None
    try:
        # a plus sign that was not escaped arrives as a space
        time = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"Must be an ISO 8601 time, got: {text}", attr=attr) from error


def _levels(text: str | None) -> list[LogLevel]:
    words = [word.strip().upper() for word in (text or "").split(",")]
    levels = []
    for word in filter(None, words):
        if word not in LogLevel.__members__:
            raise InvalidInput(f"Levels are {', '.join(LogLevel)}; got: {word}", attr="level")
        levels.append(LogLevel(word))
    return levels


def _text(text: str | None, attr: str) -> str | None:
    if text and "\0" in text:
        raise InvalidInput("Null characters are not allowed.", attr=attr)
    return text or None
