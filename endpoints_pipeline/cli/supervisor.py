"""Run a few commands as one group: all are up, or none is.

No process supervisor for Python keeps the promise that matters here, that nothing outlives the group: honcho, circus
and supervisord take a dead leader for a dead group. So this is ``subprocess`` and psutil, with one loop that watches
and one that stops.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

from endpoints_pipeline.errors import LocalStackError

#: Seconds from SIGTERM to SIGKILL. Dagster took 2 s when idle and 5 s with six processes of runs (two cores): they
#: write the end of their runs first. Slower than four times that is a run stuck in an export, which no signal
#: interrupts; to kill it is safe, because only the catalog's transaction publishes.
STOP_GRACE = 20.0
LOG_TAIL_LINES = 20

_TICK = 0.2
_KILL_PATIENCE = 10.0  # A killed process that is still there is stuck in the kernel, and waiting won't help.
_REPEAT_WINDOW = 1.0  # A terminal and a wrapper (make, uv) may both deliver one and the same Ctrl-C.
_MARK = "ENDPOINTS_SUPERVISOR"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Command:
    """One process of the group.

    Attributes:
        name: Unique in the group; names the log.
        argv: Program and arguments; no shell is involved.
        env: The whole environment; None passes ours on.
        cwd: Working folder; None keeps ours.
        grace: Seconds from SIGTERM to SIGKILL.
        stop_last: Stop it only when all the others are gone, because they need it to end cleanly.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    grace: float = STOP_GRACE
    stop_last: bool = False


class _Note(Enum):
    READY = "ready"
    STOP = "stop"


@dataclass(frozen=True, eq=False)
class _Running:
    command: Command
    mark: str
    popen: subprocess.Popen[bytes]

    def owns(self, process: psutil.Process) -> bool:
        """True for the leader's session, and for whoever left that session but kept its environment."""
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return os.getsid(process.pid) == self.popen.pid or process.environ().get(_MARK) == self.mark
        except (psutil.Error, OSError):
            return False


class Supervisor:
    """A group of commands that start together and end together; each group is run once.

    Each command writes to ``<log_dir>/<name>.log``; what the start before wrote is kept in ``<name>.previous.log``.
    """

    def __init__(self, commands: Sequence[Command], log_dir: Path) -> None:
        if len({command.name for command in commands}) != len(commands):
            raise ValueError("the commands' names must be unique")
        self._commands = commands
        self._log_dir = log_dir
        self._token = secrets.token_hex(8)
        self._running: list[_Running] = []
        self._events: SimpleQueue[signal.Signals | _Note | Exception] = SimpleQueue()
        self._over = threading.Event()

    def log_path(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    def stop(self) -> None:
        """Ask ``run`` to stop the group and return 0; from any thread, ``on_ready`` included."""
        self._events.put(_Note.STOP)

    def run(
        self, *, on_ready: Callable[[], object], health: Mapping[str, Callable[[], bool]], start_timeout: float
    ) -> int:
        """Start all, call ``on_ready`` once every check in ``health`` has passed, and watch until the end.

        The checks and ``on_ready`` run on another thread, so a slow one delays neither Ctrl-C nor the news of a death.
        SIGINT, SIGTERM and SIGHUP stop the group: SIGTERM to each process group, SIGKILL to what is left after the
        grace. A second signal ends the grace. However this method ends, no process of the group is left. Only if we
        are killed with -9 they are on their own: Linux sends SIGTERM to each command's first process (Dagster's ends
        when the runs in flight have ended), elsewhere nobody does.

        Returns:
            0 if the group was stopped when it was ready, else 128 and the signal's number.

        Raises:
            LocalStackError: A process couldn't start, ended by itself, or wasn't healthy in time; the message holds
                the end of its log. None is restarted.
            Exception: What a check or ``on_ready`` raised, once all are stopped. Only an ``OSError`` of a check
                counts as "not healthy yet".
            ValueError: Not on the main thread, the only one that receives signals.
        """
        if unknown := set(health) - {command.name for command in self._commands}:
            raise ValueError(f"health checks without a command: {sorted(unknown)}")
        pending = dict(health)
        with self._signals_received():
            try:
                self._start_all()
                threading.Thread(target=self._await_health, args=(pending, on_ready), daemon=True).start()
                return self._watch(pending, start_timeout)
            finally:
                self._over.set()
                try:
                    self._stop([process for process in self._running if not process.command.stop_last])
                finally:
                    self._stop([process for process in self._running if process.command.stop_last])

    @contextmanager
    def _signals_received(self) -> Iterator[None]:
        def receive(number: int, _frame: object) -> None:
            self._events.put(signal.Signals(number))  # A SimpleQueue is safe in a handler; an Event can deadlock.

        caught = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks us to outlive the terminal.
            caught.append(signal.SIGHUP)
        before = [signal.signal(number, receive) for number in caught]
        try:
            yield
        finally:
            for number, handler in zip(caught, before, strict=True):
                signal.signal(number, handler)

    def _start_all(self) -> None:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for command in self._commands:
            mark = f"{self._token}-{command.name}"
            log_path = self.log_path(command.name)
            with suppress(FileNotFoundError):
                log_path.replace(log_path.with_suffix(".previous.log"))
            try:
                with log_path.open("wb") as log:
                    popen = subprocess.Popen(  # noqa: S603 - our own code made the command
                        list(command.argv),
                        env={**(os.environ if command.env is None else command.env), _MARK: mark},
                        cwd=command.cwd,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                        preexec_fn=die_with_parent,
                    )
            except OSError as error:
                raise LocalStackError(f"{command.name} couldn't be started: {error}") from error
            self._running.append(_Running(command, mark, popen))

    def _await_health(self, pending: dict[str, Callable[[], bool]], on_ready: Callable[[], object]) -> None:
        try:
            while pending:
                for name, is_healthy in list(pending.items()):
                    with suppress(OSError):
                        if is_healthy():
                            del pending[name]
                if pending and self._over.wait(_TICK):
                    return
            self._events.put(_Note.READY)
            if not self._over.is_set():
                on_ready()
        except Exception as error:  # noqa: BLE001 - handed to the thread that stops the group and raises it
            self._events.put(error)

    def _watch(self, pending: Mapping[str, object], start_timeout: float) -> int:
        deadline = time.monotonic() + start_timeout
        ready = False
        while True:
            event = self._next_event(_TICK)
            if isinstance(event, Exception):
                raise event
            if event is _Note.STOP:
                return 0
            if isinstance(event, signal.Signals):
                return 0 if ready else 128 + event
            ready = ready or event is _Note.READY
            if ended := [process for process in self._running if process.popen.poll() is not None]:
                raise LocalStackError("\n".join(self._report(p.command.name, _ending(p.popen)) for p in ended))
            if not ready and time.monotonic() > deadline:
                late = f"wasn't healthy within {start_timeout:g} s"
                raise LocalStackError("\n".join(self._report(name, late) for name in list(pending)))

    def _next_event(self, timeout: float) -> signal.Signals | _Note | Exception | None:
        with suppress(Empty):
            return self._events.get(timeout=timeout)
        return None

    def _report(self, name: str, what: str) -> str:
        path = self.log_path(name)
        lines = "\n".join(f"  {line}" for line in _tail(path)) or "  (nothing)"
        return f"{name} {what}. Last lines of {path}:\n{lines}"

    def _stop(self, processes: Sequence[_Running]) -> None:
        for process in processes:
            with suppress(ProcessLookupError, PermissionError):  # macOS refuses when only zombies are left.
                os.killpg(process.popen.pid, signal.SIGTERM)
        began = time.monotonic()
        kill_at = {process: began + process.command.grace for process in processes}
        # Twice: a process that forks and ends while we look can hide its child from one look, not from two.
        while left := _members(processes) or _members(processes):
            repeated = isinstance(self._next_event(_TICK / 2), signal.Signals)
            now = time.monotonic()
            if repeated and now - began > _REPEAT_WINDOW:
                kill_at = dict.fromkeys(kill_at, now)
            for owner, member in left:
                if now >= kill_at[owner]:
                    with suppress(psutil.NoSuchProcess):
                        member.kill()
            if now > max(kill_at.values()) + _KILL_PATIENCE:
                stuck = ", ".join(f"{owner.command.name} (pid {member.pid})" for owner, member in left)
                raise LocalStackError(f"These processes can't be killed: {stuck}")


def die_with_parent() -> None:
    """For ``preexec_fn``: on Linux, the new process gets SIGTERM when the thread that started it ends."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _members(processes: Sequence[_Running]) -> list[tuple[_Running, psutil.Process]]:
    for process in processes:
        process.popen.poll()  # A leader that isn't waited for stays as a zombie.
    return [(owner, found) for found in psutil.process_iter() for owner in processes if owner.owns(found)]


def _ending(popen: subprocess.Popen[bytes]) -> str:
    code = popen.returncode
    return f"ended by itself with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"


def _tail(path: Path) -> list[str]:
    with path.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 64 * 1024))
        return log.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
