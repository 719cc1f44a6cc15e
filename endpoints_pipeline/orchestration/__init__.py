"""Dagster: an asset for each materialized endpoint, schedules, sensors, and how they follow the catalog."""
