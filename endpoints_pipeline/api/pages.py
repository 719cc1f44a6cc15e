"""Lists in pages: ``limit`` and ``offset`` in, ``count``, ``next``, ``previous`` and ``results`` out (contract 1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request
from pydantic import BaseModel, Field, WithJsonSchema

from endpoints_pipeline.api.context import LARGEST, integer
from endpoints_pipeline.api.paths import ORIGINAL_PATH
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.settings import Settings

Item = TypeVar("Item", bound=BaseModel)

PAGE_SIZE = 100
LARGEST_PAGE = 1000

# text, like every number in a query string: what is wrong with it is said in the contract's own ways
LimitText = Annotated[
    str | None,
    Query(description=f"Results per page: {PAGE_SIZE} unless given, and never more than {LARGEST_PAGE}."),
    WithJsonSchema({"type": "integer", "minimum": 1}),
]
OffsetText = Annotated[
    str | None,
    Query(description="Where the page begins."),
    WithJsonSchema({"type": "integer", "minimum": 0}),
]


class Page(BaseModel, Generic[Item]):
    count: int = Field(description="Results on all pages together.")
    next: str | None = Field(description="The next page's address.")
    previous: str | None = Field(description="The previous page's address.")
    results: list[Item]


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a list that a request asks for."""

    limit: int
    offset: int

    def envelope(self, request: Request, settings: Settings, count: int, results: Sequence[Any]) -> dict[str, Any]:
        """What a ``Page`` is made of; links keep the caller's own spelling and filters."""
        base = settings.resolved_public_url + request.scope[ORIGINAL_PATH]
        kept = [(key, value) for key, value in request.query_params.multi_items() if value]
        kept = [(key, value) for key, value in kept if key not in ("limit", "offset")]

        def page(offset: int) -> str:
            return f"{base}?{urlencode([*kept, ('limit', self.limit), ('offset', offset)])}"

        return {
            "count": count,
            "next": page(self.offset + self.limit) if self.offset + self.limit < count else None,
            "previous": page(max(0, self.offset - self.limit)) if self.offset > 0 else None,
            "results": list(results),
        }


def asked_for(limit: str | None, offset: str | None) -> Slice:
    """The page that the query string names.

    Raises:
        InvalidInput: Not a number, or one out of range; ``attr`` says which.
    """
    return Slice(
        limit=min(count(limit, "limit", least=1, default=PAGE_SIZE), LARGEST_PAGE),
        offset=count(offset, "offset", least=0, default=0),
    )


def count(text: str | None, attr: str, *, least: int, default: int, most: int = LARGEST) -> int:
    """A number of the query string; ``default`` where there is none.

    Raises:
        InvalidInput: It isn't one from ``least`` to ``most``.
    """
    if not text:
        return default
    number = integer(text)
    if number is None or not least <= number <= most:
        bounds = f"of at least {least}" if most == LARGEST else f"from {least} to {most}"
        raise InvalidInput(f"Must be an integer {bounds}, got: {text}", attr=attr)
    return number
