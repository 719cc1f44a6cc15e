"""Alembic's entry: it runs inside the connection and transaction that ``migrate.py`` hands over."""

from __future__ import annotations

from alembic import context

from endpoints_pipeline.catalog.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
