"""Loaded by Dagster: each folder holds one component's YAML."""
