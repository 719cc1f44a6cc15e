"""What a query reads: tables of the engine, and other endpoints by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reads:
    """The names in a query's FROM, JOIN and IN that aren't its own, sorted.

    Attributes:
        tables: Tables as ``name`` or ``database.name``.
        endpoints: Endpoints of the same project.
    """

    tables: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"tables": [*self.tables], "endpoints": [*self.endpoints]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reads:
        return cls(tuple(value.get("tables", ())), tuple(value.get("endpoints", ())))
