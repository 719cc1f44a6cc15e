"""People as the API shows them."""

from __future__ import annotations

from typing import Any

from tests.api.callers import Caller


def person(caller: Caller) -> dict[str, Any]:
    """The caller's own person, with every key that the original has (contract 1.16)."""
    user = caller.user
    return {
        "id": user.id,
        "uuid": user.uuid,
        "distinct_id": user.uuid,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": user.email,
        "is_email_verified": None,
        "hedgehog_config": None,
        "role_at_organization": None,
    }
