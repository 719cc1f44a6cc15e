"""Where things lie in the bucket. Keys of parts never repeat; only ``current.json`` is ever replaced.

{prefix}/projects/{project}/endpoints/{name}/v{n}/parts/{snapshot}/part-00000.parquet
{prefix}/projects/{project}/endpoints/{name}/v{n}/manifests/{snapshot}.json
{prefix}/projects/{project}/endpoints/{name}/v{n}/current.json
{prefix}/projects/{project}/results/{execution}.json
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
        return f"{_project(self.prefix, self.project_id)}/endpoints/{self.name}/v{self.version}"

    def parts_folder(self, snapshot_id: str) -> str:
        return f"{self.root}/parts/{snapshot_id}/"

    def part(self, snapshot_id: str, number: int) -> str:
        return f"{self.parts_folder(snapshot_id)}part-{number:05d}.parquet"

    def manifest(self, snapshot_id: str) -> str:
        return f"{self.root}/manifests/{snapshot_id}.json"

    @property
    def current(self) -> str:
        return f"{self.root}/current.json"


def result(prefix: str, project_id: int, execution_id: str) -> str:
    """The key of an asynchronous run's answer, which is kept for a while only."""
    return f"{_project(prefix, project_id)}/results/{execution_id}.json"


def _project(prefix: str, project_id: int) -> str:
    base = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    return f"{base}projects/{project_id}"
