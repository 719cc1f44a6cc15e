"""What a query reads, why its variables can't be materialized, and how a snapshot answers their values"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Versions of before are told to read nothing until they are published again; they could not name endpoints."""
    op.add_column("versions", sa.Column("reads", _JSON, nullable=False, server_default=sa.text("'{}'")))
    op.add_column("versions", sa.Column("variables_obstacle", sa.Text(), nullable=True))
    op.add_column("snapshots", sa.Column("read_plan", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("revision 0002 has no place for what 0003 holds: go back to a copy of the database")
