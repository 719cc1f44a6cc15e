"""How many runs a project may have under way in this process (contract 5.3)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from endpoints_pipeline.errors import TooManyRuns
from endpoints_pipeline.serving.decision import Path


class Concurrency:
    def __init__(self, limits: Mapping[Path, int]) -> None:
        self._limits = limits
        self._running: Counter[tuple[int, Path]] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, project_id: int, path: Path) -> Iterator[None]:
        """Count as one run of the project for the length of the block.

        Raises:
            TooManyRuns: The project has its share already.
        """
        key = (project_id, path)
        with self._lock:
            if self._running[key] >= self._limits[path]:
                raise TooManyRuns("Too many concurrent requests. Please try again later.")
            self._running[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[key] -= 1
                if not self._running[key]:
                    del self._running[key]
