"""The activity log of a project: who changed what (contract 5.5, 10.17)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema

from endpoints_pipeline.api.auth import ReadActivity
from endpoints_pipeline.api.context import App
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.pages import LimitText, OffsetText, Page, asked_for
from endpoints_pipeline.api.people import UserObject, user_object
from endpoints_pipeline.api.representation import answer
from endpoints_pipeline.catalog.records import Activity, Change
from endpoints_pipeline.errors import InvalidInput

Text = Annotated[str | None, Query(), WithJsonSchema({"type": "string"})]

router = APIRouter(prefix="/api/projects/{project_id}", tags=["activity log"])


class ChangeObject(BaseModel):
    type: str = Field(description="The kind of thing that was changed: the activity's scope.")
    action: str = Field(description="`created`, `changed` or `deleted`: what happened to the field's value.")
    field: str
    before: Any
    after: Any


class DetailObject(BaseModel):
    name: str = Field(description="The endpoint's name.")
    changes: list[ChangeObject]
    context: dict[str, Any] = Field(description="`version`, where it is about one.")


class ActivityObject(BaseModel):
    id: str
    user: UserObject | None = Field(description="Null: the system, or a key that is nobody's.")
    activity: str = Field(
        description="`created`, `updated`, `deleted`, `version_created`, `version_updated`, `materialization_enabled` "
        "or `materialization_disabled`."
    )
    item_id: str = Field(description="The id of what was changed.")
    scope: str = Field(description="`Endpoint`, `EndpointVersion` or `DataWarehouseSavedQuery`.")
    detail: DetailObject
    is_system: bool
    created_at: datetime


class ActivityPage(Page[ActivityObject]):
    """Activities, the newest first."""


@router.get("/activity_log", operation_id="activity_log_list", response_model=ActivityPage, responses=errors(400))
def list_activities(
    request: Request,
    application: App,
    access: ReadActivity,
    scope: Annotated[Text, Query(description="Only changes of this kind of thing: `Endpoint`, …")] = None,
    item_id: Annotated[Text, Query(description="Only changes of the thing with this id.")] = None,
    limit: LimitText = None,
    offset: OffsetText = None,
) -> Response:
    """Who changed what in the project, the newest first; of deleted endpoints too."""
    part = asked_for(limit, offset)
    for attr, text in (("scope", scope), ("item_id", item_id)):
        if text and "\0" in text:
            raise InvalidInput("Null characters are not allowed.", attr=attr)
    found, count = application.catalog.activities.list(
        access.project_id, scope=scope or None, item_id=item_id or None, limit=part.limit, offset=part.offset
    )
    shown = [_activity_object(activity) for activity in found]
    return answer(ActivityPage(**part.envelope(request, application.settings, count, shown)))


def _activity_object(activity: Activity) -> ActivityObject:
    changes = [_change_object(activity.scope, change) for change in activity.changes]
    return ActivityObject(
        id=activity.id,
        user=user_object(activity.user),
        activity=activity.activity,
        item_id=activity.item_id,
        scope=activity.scope,
        detail=DetailObject(name=activity.name, changes=changes, context=dict(activity.context)),
        is_system=activity.user is None,
        created_at=activity.created_at,
    )


def _change_object(scope: str, change: Change) -> ChangeObject:
    action = "created" if change.before is None else "deleted" if change.after is None else "changed"
    return ChangeObject(type=scope, action=action, field=change.field, before=change.before, after=change.after)
