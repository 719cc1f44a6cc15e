"""What route handlers ask for: the application, the project, the endpoint's name, the body, the query string's numbers.

The dependencies are coroutines without waiting in them: a plain function would cost a hop to a thread for each.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import WithJsonSchema

from endpoints_pipeline.api.errors import ApiError
from endpoints_pipeline.errors import InvalidInput, NotFound
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.publish import check_name

#: The largest number that every database we support can compare with an id or a version.
LARGEST = 2**63 - 1
#: Bytes of a request's body.
LARGEST_BODY = 10 * 1024 * 1024
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_JSON_MEDIA_TYPE = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


async def _application(request: Request) -> Application:
    application: Application = request.app.state.application
    return application


#: The project in a path, before anybody looked at it.
ProjectText = Annotated[str, Path(description="The project, a tenant."), WithJsonSchema({"type": "integer"})]


def project_number(text: str) -> int:
    """The project that a path names.

    Raises:
        NotFound: It is no number: a path where nothing is.
    """
    number = integer(text)
    if number is None or not 0 <= number <= LARGEST:
        raise NotFound("No such project.")
    return number


async def _project(project_id: ProjectText) -> int:
    return project_number(project_id)


async def _endpoint_name(name: Annotated[str, Path(description="The endpoint's name.")]) -> str:
    try:
        return check_name(name)
    except InvalidInput as error:
        raise NotFound(f"No endpoint '{name}'.") from error


async def _body(request: Request) -> bytes:
    """The request's body, which must be JSON if it is anything.

    A browser names the page's Origin and may send other media types to any site without asking: those are refused, so
    that no page of another site can write here. A program may leave the media type out.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY:
            raise ApiError(
                413,
                type="invalid_request",
                code="request_too_large",
                detail=f"The body is larger than {LARGEST_BODY} bytes.",
            )
    media_type = request.headers.get("content-type", "")
    declared = bool(media_type) or "origin" in request.headers
    if content and declared and not _JSON_MEDIA_TYPE.fullmatch(media_type):
        raise ApiError(
            415,
            type="invalid_request",
            code="unsupported_media_type",
            detail=f'Unsupported media type "{media_type}" in request: send application/json.',
        )
    return bytes(content)


App = Annotated[Application, Depends(_application)]
Project = Annotated[int, Depends(_project)]
EndpointName = Annotated[str, Depends(_endpoint_name)]
Body = Annotated[bytes, Depends(_body)]
#: A number in the query string, as text: what is wrong with it is said in the contract's own ways.
IntegerText = Annotated[str | None, Query(), WithJsonSchema({"type": "integer"})]
#: ``?version=``
VersionText = Annotated[
    str | None, Query(description="The version instead of the current one."), WithJsonSchema({"type": "integer"})
]


def integer(text: str) -> int | None:
    """The number that ``text`` spells; None if it doesn't."""
    return int(text) if _INTEGER.fullmatch(text) else None


def version_number(text: str | None) -> int | None:
    """The ``?version=`` of a request.

    Raises:
        InvalidInput: It isn't an integer (contract 1.3).
    """
    if text is None:
        return None
    number = integer(text)
    if number is None:
        raise InvalidInput(f"Must be an integer, got: {text}", attr="version")
    return number
