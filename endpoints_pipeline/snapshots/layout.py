"""Where things lie in the bucket. Keys of parts never repeat; only ``current.json`` is ever replaced.

{prefix}/projects/{project}/endpoints/{name}/v{n}/parts/{snapshot}/part-00000.parquet
{prefix}/projects/{project}/endpoints/{name}/v{n}/manifests/{snapshot}.json
{prefix}/projects/{project}/endpoints/{name}/v{n}/current.json
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VersionLayout:
    """The keys of one version of an endpoint."""

    prefix: str
    project_id: int
    name: str
    version: int

    @property
    def root(self) -> str:
        base = f"{self.prefix.strip('/')}/" if self.prefix.strip("/") else ""
        return f"{base}projects/{self.project_id}/endpoints/{self.name}/v{self.version}"

    def parts_folder(self, snapshot_id: str) -> str:
        return f"{self.root}/parts/{snapshot_id}/"

    def part(self, snapshot_id: str, number: int) -> str:
        return f"{self.parts_folder(snapshot_id)}part-{number:05d}.parquet"

    def manifest(self, snapshot_id: str) -> str:
        return f"{self.root}/manifests/{snapshot_id}.json"

    @property
    def current(self) -> str:
        return f"{self.root}/current.json"
