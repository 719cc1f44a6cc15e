"""Health: ``/livez`` (the process answers) and ``/readyz`` (all that a run needs answers)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from endpoints_pipeline.api.representation import answer
from endpoints_pipeline.serving.application import Application

router = APIRouter(tags=["health"])

_PATIENCE = 5.0


class Health(BaseModel):
    status: str = Field(description="`ok` or `unavailable`.")
    checks: dict[str, str] = Field(description="`ok`, or what is wrong, for each part.")


class Readiness:
    """The checks of one process. A part that hangs keeps one thread busy, however often it is asked about."""

    def __init__(self, application: Application, scrub: Callable[[str], str], *, patience: float = _PATIENCE) -> None:
        """``scrub`` is applied to the reasons; ``patience`` is in seconds, for all checks together."""
        self._checks: Mapping[str, Callable[[], object]] = {
            "catalog": application.catalog.refreshes.revision,
            "engine": lambda: application.engine.query("SELECT 1"),
            "storage": application.bucket.check,
        }
        self._scrub = scrub
        self._patience = patience
        self._threads = ThreadPoolExecutor(len(self._checks), thread_name_prefix="readiness")
        self._running: dict[str, Future[object]] = {}
        self._lock = threading.Lock()

    def look(self) -> dict[str, str]:
        """``ok`` or the reason why not, for each part."""
        with self._lock:
            for name, check in self._checks.items():
                if name not in self._running or self._running[name].done():
                    self._running[name] = self._threads.submit(check)
            running = dict(self._running)
        wait(running.values(), timeout=self._patience)
        return {name: self._outcome(future) for name, future in running.items()}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _outcome(self, future: Future[object]) -> str:
        if not future.done():
            return f"no answer in {self._patience:g} s"
        error = future.exception()
        return "ok" if error is None else self._scrub(str(error) or type(error).__name__)


@router.get("/livez", response_model=Health)
async def livez() -> Response:
    """The process answers. This one never waits for a thread, so that a busy process isn't taken for a dead one."""
    return answer(Health(status="ok", checks={}))


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
def readyz(request: Request) -> Response:
    """Catalog, engine and storage answer: this process can serve runs."""
    readiness: Readiness = request.app.state.readiness
    checks = readiness.look()
    ready = all(outcome == "ok" for outcome in checks.values())
    return answer(Health(status="ok" if ready else "unavailable", checks=checks), 200 if ready else 503)
