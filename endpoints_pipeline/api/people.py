"""People as answers show them: who made an endpoint, a version, a change (contract 1.16)."""

from __future__ import annotations

from pydantic import BaseModel, Field

from endpoints_pipeline.catalog.records import User


class UserObject(BaseModel):
    """The keys that are always null are there for clients of the original."""

    id: int
    uuid: str
    distinct_id: str = Field(description="The same as `uuid`.")
    first_name: str
    last_name: str
    email: str
    is_email_verified: bool | None = None
    hedgehog_config: dict[str, str] | None = None
    role_at_organization: str | None = None


def user_object(user: User | None) -> UserObject | None:
    """None stands for the system, and for keys that belong to nobody."""
    if user is None:
        return None
    return UserObject(
        id=user.id,
        uuid=user.uuid,
        distinct_id=user.uuid,
        first_name=user.first_name,
        last_name=user.last_name,
        email=user.email,
        is_email_verified=None,
        hedgehog_config=None,
        role_at_organization=None,
    )
