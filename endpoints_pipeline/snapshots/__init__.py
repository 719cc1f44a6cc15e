"""Snapshots: Parquet on S3 that is written by the engine, verified, published by the catalog, and read back."""
