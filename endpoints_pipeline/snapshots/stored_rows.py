"""The SELECT that gives a snapshot's rows as they lie in Parquet. What is secret in it is bound, never written."""

from __future__ import annotations

from collections.abc import Sequence

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.engine.types import structure
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.snapshots.objects import Bucket


def stored_rows(
    engine: Engine, bucket: Bucket, columns: Sequence[Column], keys: Sequence[str], *, prefix: str = "s3"
) -> tuple[str, dict[str, object]]:
    """A SELECT over parts, and its parameters.

    Args:
        engine: Knows the way to S3.
        bucket: Where the parts are.
        columns: The snapshot's columns.
        keys: The parts' keys.
        prefix: Begins the names of parameters that are this snapshot's own; ``s3_key`` and ``s3_secret`` aren't.
    """
    parameters: dict[str, object] = {
        "s3_key": engine.s3.access_key,
        "s3_secret": engine.s3.secret_key,
        f"{prefix}_structure": structure(columns),
    }
    selects = []
    for number, key in enumerate(keys):
        parameters[f"{prefix}_url_{number}"] = engine.s3.url(bucket.name, key)
        selects.append(
            f"SELECT * FROM s3({{{prefix}_url_{number}:String}}, {{s3_key:String}}, {{s3_secret:String}}, 'Parquet', "
            f"{{{prefix}_structure:String}})"
        )
    return " UNION ALL ".join(selects), parameters
