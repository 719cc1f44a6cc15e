"""One snapshot for every value of a query's variables (contract 3): what is stored, and how it is read."""

from endpoints_pipeline.query.materialization.buckets import BUCKETS
from endpoints_pipeline.query.materialization.layout import Reaggregation
from endpoints_pipeline.query.materialization.plan import Plan, RangePair, materializable
from endpoints_pipeline.query.materialization.read import BucketedColumn, ReadPlan, ReadQuery
from endpoints_pipeline.query.materialization.refusal import Refused

__all__ = [
    "BUCKETS",
    "BucketedColumn",
    "Plan",
    "RangePair",
    "ReadPlan",
    "ReadQuery",
    "Reaggregation",
    "Refused",
    "materializable",
]
