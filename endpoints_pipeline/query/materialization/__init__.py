"""One snapshot for every value of a query's variables (contract 3): what is stored, and how it is read."""

from endpoints_pipeline.query.materialization.plan import Plan, RangePair, Reaggregation, materializable
from endpoints_pipeline.query.materialization.read import NotServable, ReadQuery
from endpoints_pipeline.query.materialization.refusal import Refused

__all__ = ["NotServable", "Plan", "RangePair", "ReadQuery", "Reaggregation", "Refused", "materializable"]
