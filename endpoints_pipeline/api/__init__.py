"""The HTTP API: FastAPI routes over ``serving`` and ``catalog``. ``docs/compatibility.md`` says what they do."""
