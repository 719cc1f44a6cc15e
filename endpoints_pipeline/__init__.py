"""SQL endpoints over ClickHouse, materialized by Dagster as Parquet on S3."""
