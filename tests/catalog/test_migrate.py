"""The schema revision that the package believes in is the newest migration's."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from endpoints_pipeline.catalog import migrate


def test_the_schema_revision_is_the_newest_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.SCHEMA_REVISION
