"""Variables: typed parameters that a query names as ``{variables.code_name}`` (contract 2.3)."""

from __future__ import annotations

from enum import StrEnum


class VariableType(StrEnum):
    STRING = "String"
    NUMBER = "Number"
    BOOLEAN = "Boolean"
    LIST = "List"
    DATE = "Date"
