"""The component's state: what the code location knows of the catalog, pinned in a file.

Run workers rebuild the assets from the same file without touching the catalog.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import MaterializedVersion
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads


@dataclass(frozen=True, slots=True)
class CatalogState:
    """The materialized versions as of one revision of the catalog; revision 0 is the empty state."""

    revision: int
    versions: Sequence[MaterializedVersion]

    def upstream(self) -> Mapping[dg.AssetKey, Sequence[dg.AssetKey]]:
        """By asset, those of the endpoints that it reads; without the assets that read none."""
        return {
            naming.asset_key(version): naming.upstream_keys(version)
            for version in self.versions
            if version.reads.endpoints
        }


EMPTY = CatalogState(revision=0, versions=())


def read_catalog(catalog: Catalog) -> CatalogState:
    """The catalog's state of now. The revision is read first: a change meanwhile only makes a later look find it."""
    revision = catalog.refreshes.revision()
    return CatalogState(revision=revision, versions=catalog.refreshes.materialized_versions())


def dump(state: CatalogState, path: Path) -> None:
    path.write_text(json.dumps({"revision": state.revision, "versions": [asdict(v) for v in state.versions]}))


def load(path: Path | None) -> CatalogState:
    """The state in a file; the empty state if there is none yet."""
    if path is None:
        return EMPTY
    content: dict[str, Any] = json.loads(path.read_text())
    return CatalogState(
        revision=content["revision"],
        versions=[_version(version) for version in content["versions"]],
    )


def _version(content: dict[str, Any]) -> MaterializedVersion:
    columns = tuple(Column(**column) for column in content["columns"])
    # a state of an earlier release knows nothing of what queries read
    return MaterializedVersion(**{**content, "columns": columns, "reads": Reads.from_json(content.get("reads", {}))})
