"""Who a key acts for and what it opens (contract 9): clients of the original ask this before their first call.

A deployment is one organization; its id and the projects' uuids are derived from their numbers, so they never change.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid5

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from endpoints_pipeline.api.auth import AnyKey, denied, require_project
from endpoints_pipeline.api.context import App, ProjectText, project_number
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.pages import LimitText, OffsetText, Page, asked_for
from endpoints_pipeline.api.people import UserObject, user_object
from endpoints_pipeline.api.representation import answer
from endpoints_pipeline.catalog.records import ApiKey, Project
from endpoints_pipeline.errors import NotFound
from endpoints_pipeline.serving.application import Application

router = APIRouter(prefix="/api", tags=["accounts"], responses=errors())

CURRENT = "@current"
_NAMESPACE = UUID("5f0c2a4e-6d8b-4d0e-9b1a-7f7f5a1c9e21")
ORGANIZATION_ID = str(uuid5(_NAMESPACE, "organization"))
_ORGANIZATION_NAME = "default"


class KeyObject(BaseModel):
    """A personal API key, without its secret."""

    id: str
    label: str
    mask_value: str = Field(description="The secret's first and last characters.")
    created_at: datetime
    last_used_at: datetime | None = Field(description="To ten minutes.")
    scopes: list[str] = Field(description="`*` is every scope; `x:write` includes `x:read`.")
    scoped_teams: list[int] = Field(description="The projects that the key opens; empty: all.")
    scoped_organizations: list[str] = Field(description="Always empty: there is one organization.")


class OrganizationObject(BaseModel):
    """The keys that are always empty or false are there for clients of the original."""

    id: str
    name: str
    slug: str
    available_product_features: list[str]
    is_ai_data_processing_approved: bool


class ProjectObject(BaseModel):
    id: int
    uuid: str
    name: str
    organization: str = Field(description="The organization's id.")
    timezone: str = Field(description="Always UTC.")
    created_at: datetime


class AccountObject(UserObject):
    """The person, and the project that their key leads to."""

    organization: OrganizationObject
    team: ProjectObject = Field(description="The key's own project; the deployment's default one if it opens all.")


@router.get("/personal_api_keys/@current", response_model=KeyObject, operation_id="personal_api_keys_retrieve")
def retrieve_key(key: AnyKey) -> Response:
    """The key that the request was made with."""
    return answer(
        KeyObject(
            id=key.id,
            label=key.label,
            mask_value=key.mask,
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            scopes=list(key.scopes),
            scoped_teams=[] if key.project_id is None else [key.project_id],
            scoped_organizations=[],
        )
    )


@router.get("/users/@me", response_model=AccountObject, operation_id="users_retrieve")
def retrieve_user(application: App, key: AnyKey) -> Response:
    """The person whom the key acts for."""
    person = user_object(key.user)
    if person is None:
        raise denied("This API key belongs to no person")
    team = application.catalog.projects.get(_own_project(application, key))
    return answer(AccountObject(**dict(person), organization=_organization(), team=_project(team)))


@router.get(
    "/organizations/{organization_id}", response_model=OrganizationObject, operation_id="organizations_retrieve"
)
def retrieve_organization(
    key: AnyKey, organization_id: Annotated[str, Path(description="Its id, or `@current`.")]
) -> Response:
    """The deployment's one organization."""
    if organization_id not in (CURRENT, ORGANIZATION_ID):
        raise NotFound("No such organization.")
    return answer(_organization())


@router.get("/projects", response_model=Page[ProjectObject], operation_id="projects_list", responses=errors(400))
def list_projects(
    request: Request, application: App, key: AnyKey, limit: LimitText = None, offset: OffsetText = None
) -> Response:
    """The projects that the key opens, by number, page by page."""
    page = asked_for(limit, offset)
    found = [project for project in application.catalog.projects.list() if key.project_id in (None, project.id)]
    shown = [_project(project) for project in found[page.offset :][: page.limit]]
    return answer(Page[ProjectObject](**page.envelope(request, application.settings, len(found), shown)))


@router.get("/projects/{project_id}", response_model=ProjectObject, operation_id="projects_retrieve")
def retrieve_project(application: App, key: AnyKey, project_id: ProjectText) -> Response:
    """A project; `@current` is the key's own, or the deployment's default one."""
    number = _own_project(application, key) if project_id == CURRENT else project_number(project_id)
    require_project(application, key, number)
    return answer(_project(application.catalog.projects.get(number)))


def _own_project(application: Application, key: ApiKey) -> int:
    return application.settings.project_id if key.project_id is None else key.project_id


def _organization() -> OrganizationObject:
    return OrganizationObject(
        id=ORGANIZATION_ID,
        name=_ORGANIZATION_NAME,
        slug=_ORGANIZATION_NAME,
        available_product_features=[],
        is_ai_data_processing_approved=False,
    )


def _project(project: Project) -> ProjectObject:
    return ProjectObject(
        id=project.id,
        uuid=str(uuid5(_NAMESPACE, f"project/{project.id}")),
        name=project.name,
        organization=ORGANIZATION_ID,
        timezone="UTC",
        created_at=project.created_at,
    )
