"""API keys and the people that personal keys act for (contract 5.1)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from endpoints_pipeline.catalog.database import Database, insert
from endpoints_pipeline.catalog.mapping import user_record
from endpoints_pipeline.catalog.projects import project_row
from endpoints_pipeline.catalog.records import ApiKey, KeyKind, User
from endpoints_pipeline.catalog.tables import ApiKeyRow, UserRow
from endpoints_pipeline.errors import InvalidInput, NotFound

#: What a secret begins with says what it is, to people and to scanners for leaked secrets.
PREFIXES = {KeyKind.PERSONAL: "phx_", KeyKind.PROJECT_SECRET: "phs_"}

_SECRET_BYTES = 32
_TOUCHED_EVERY = timedelta(minutes=10)
_USERS = UserRow.metadata.tables[UserRow.__tablename__]


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure_user(self, email: str, *, first_name: str = "", last_name: str = "", now: datetime) -> User:
        """The person with the e-mail address, made if unknown; one who is known keeps their names."""
        with self._database.write() as session:
            session.execute(
                insert(session, _USERS)
                .values(uuid=str(uuid4()), email=email, first_name=first_name, last_name=last_name, created_at=now)
                .on_conflict_do_nothing(index_elements=["email"])
            )
            return user_record(session.scalars(sa.select(UserRow).where(UserRow.email == email)).one())

    def create(
        self,
        *,
        kind: KeyKind,
        label: str,
        project_id: int | None,
        scopes: Sequence[str],
        user_id: int | None,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key. Its secret, the second value, is told this once: only its hash is kept.

        Raises:
            NotFound: No such project or user.
            InvalidInput: A project secret key without a project.
        """
        if kind is KeyKind.PROJECT_SECRET and project_id is None:
            raise InvalidInput("A project secret key belongs to one project: name it.", attr="project_id")
        secret = PREFIXES[kind] + secrets.token_urlsafe(_SECRET_BYTES)
        row = ApiKeyRow(
            id=str(uuid4()),
            kind=kind,
            label=label,
            user_id=user_id,
            project_id=project_id,
            scopes=list(dict.fromkeys(scopes)),
            secret_hash=_hash(secret),
            mask=f"{secret[:4]}...{secret[-4:]}",
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
            revoked_at=None,
        )
        with self._database.write() as session:
            if project_id is not None:
                project_row(session, project_id)
            if user_id is not None and session.get(UserRow, user_id) is None:
                raise NotFound(f"No user {user_id}.")
            session.add(row)
            session.flush()
            return _record(row), secret

    def find(self, secret: str, now: datetime) -> ApiKey | None:
        """The key with the secret; None if there is none, or it was revoked or has expired."""
        with self._database.read() as session:
            row = session.scalar(
                sa.select(ApiKeyRow)
                .where(
                    ApiKeyRow.secret_hash == _hash(secret),
                    ApiKeyRow.revoked_at.is_(None),
                    ApiKeyRow.expires_at.is_(None) | (ApiKeyRow.expires_at > now),
                )
                .options(joinedload(ApiKeyRow.user))
            )
            return None if row is None else _record(row)

    def touch(self, key_id: str, now: datetime) -> None:
        """Note that the key was used, to ten minutes: callers come often, and a write holds up other writers."""
        due = (ApiKeyRow.id == key_id) & (
            ApiKeyRow.last_used_at.is_(None) | (ApiKeyRow.last_used_at <= now - _TOUCHED_EVERY)
        )
        with self._database.read() as session:
            if session.scalar(sa.select(ApiKeyRow.id).where(due)) is None:
                return
        with self._database.write() as session:
            session.execute(sa.update(ApiKeyRow).where(due).values(last_used_at=now))

    def list(self, project_id: int | None = None) -> Sequence[ApiKey]:
        """The keys that open the project (None: all keys), revoked and expired ones too, oldest first."""
        query = sa.select(ApiKeyRow).options(joinedload(ApiKeyRow.user))
        if project_id is not None:
            query = query.where((ApiKeyRow.project_id == project_id) | ApiKeyRow.project_id.is_(None))
        with self._database.read() as session:
            return [_record(row) for row in session.scalars(query.order_by(ApiKeyRow.created_at, ApiKeyRow.id))]

    def revoke(self, key_id_or_mask: str, now: datetime) -> ApiKey:
        """End the key with the id or the mask, for good; revoking it again changes nothing.

        Raises:
            NotFound: No such key.
            InvalidInput: Several keys have the mask.
        """
        with self._database.write() as session:
            rows = session.scalars(
                sa.select(ApiKeyRow).where((ApiKeyRow.id == key_id_or_mask) | (ApiKeyRow.mask == key_id_or_mask))
            ).all()
            if not rows:
                raise NotFound(f"No key {key_id_or_mask}.")
            if len(rows) > 1:
                raise InvalidInput(f"{len(rows)} keys look like {key_id_or_mask}: give the id of the one you mean.")
            rows[0].revoked_at = rows[0].revoked_at or now
            session.flush()
            return _record(rows[0])


def _hash(secret: str) -> str:
    """Our secrets are 256 random bits, so nobody can try them all: a slow hash would only slow down each request."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _record(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        kind=KeyKind(row.kind),
        label=row.label,
        user=user_record(row.user) if row.user else None,
        project_id=row.project_id,
        scopes=tuple(row.scopes),
        mask=row.mask,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
