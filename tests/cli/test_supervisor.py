"""The supervisor with real processes, and real signals where it is a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from endpoints_pipeline.cli.supervisor import LOG_TAIL_LINES, Command, Supervisor
from endpoints_pipeline.errors import LocalStackError

MARK = "SUPERVISOR_TEST"
SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('armed', flush=True); time.sleep(60)"
)
# A leader with four children: one obedient, one that ignores SIGTERM, one that left for a session of its own, and one
# that kept nothing of the environment.
TREE = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=True)
bare = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], env={{}})
print("bare", bare.pid, flush=True)
time.sleep(60)
"""


def python(name: str, code: str, **options: object) -> Command:
    return Command(name=name, argv=[sys.executable, "-u", "-c", code], **options)  # type: ignore[arg-type]


def wait_until(condition: Callable[[], bool], timeout: float = 15.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


class Processes:
    """All processes that descend from a test, found by a mark that the supervisor knows nothing about."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def alive(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    found = Processes(mark)
    yield found
    for process in found.alive():
        process.kill()


class Flag:
    """Something that happens once; tells how often it was called."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.calls = 0
        self._then = then

    def __call__(self) -> None:
        self.calls += 1
        self._then()


class Stack:
    """A supervisor in a process of its own, so that it can be sent signals."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = folder / "ready"

    def start(self, commands: str, *, health: str = "{}", start_timeout: float = 30) -> subprocess.Popen[str]:
        script = self._folder / "stack.py"
        script.write_text(
            textwrap.dedent(f"""
                import sys
                from pathlib import Path
                from endpoints_pipeline.cli.supervisor import Command, Supervisor
                log_dir = Path({str(self._folder)!r}) / "logs"
                commands = {commands}
                sys.exit(Supervisor(commands, log_dir).run(
                    on_ready=Path({str(self._ready)!r}).touch, health={health}, start_timeout={start_timeout}))
            """)
        )
        return subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)

    def log(self, name: str) -> str:
        path = self._folder / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def wait_until_ready(self) -> None:
        wait_until(self._ready.exists)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def test_ready_is_called_once_when_all_are_healthy_and_not_before(tmp_path: Path, processes: Processes) -> None:
    late = tmp_path / "late"
    supervisor = Supervisor([python("a", SLEEP), python("b", SLEEP)], tmp_path / "logs")
    seen: list[bool] = []
    on_ready = Flag(lambda: (seen.append(late.exists()), supervisor.stop()))
    threading.Timer(0.6, late.touch).start()
    assert supervisor.run(on_ready=on_ready, health={"a": lambda: True, "b": late.exists}, start_timeout=10) == 0
    assert on_ready.calls == 1
    assert seen == [True]
    assert processes.alive() == []


def test_output_goes_to_a_log_for_each_and_the_log_before_is_kept(tmp_path: Path) -> None:
    def run(word: str) -> None:
        code = f"import sys, time; print({word!r}, 'out'); print({word!r}, 'err', file=sys.stderr); time.sleep(60)"
        supervisor = Supervisor([python("a", code)], tmp_path)
        written = supervisor.log_path("a")
        check = {"a": lambda: written.read_text().count("\n") == 2}
        supervisor.run(on_ready=supervisor.stop, health=check, start_timeout=10)

    run("first")
    run("second")
    assert (tmp_path / "a.log").read_text().splitlines() == ["second out", "second err"]
    assert (tmp_path / "a.previous.log").read_text().splitlines() == ["first out", "first err"]


def test_environment_and_folder_are_the_commands_own(tmp_path: Path) -> None:
    code = "import os, time; print(os.environ.get('ONLY'), os.environ.get('HOME'), os.getcwd()); time.sleep(60)"
    supervisor = Supervisor([python("a", code, env={"ONLY": "this"}, cwd=tmp_path)], tmp_path / "logs")
    written = supervisor.log_path("a")
    supervisor.run(on_ready=supervisor.stop, health={"a": lambda: "\n" in written.read_text()}, start_timeout=10)
    assert written.read_text().split() == ["this", "None", str(tmp_path)]


def test_ctrl_c_stops_trees_stubborn_ones_and_those_who_left_the_session(stack: Stack, processes: Processes) -> None:
    supervisor = stack.start(
        f"[Command(name='tree', argv=[sys.executable, '-c', {TREE!r}], grace=1.5),"
        f" Command(name='plain', argv=[sys.executable, '-c', {SLEEP!r}], grace=1.5)]"
    )
    stack.wait_until_ready()
    wait_until(lambda: stack.log("tree").count("armed") == 3)
    [bare] = [int(line.split()[1]) for line in stack.log("tree").splitlines() if line.startswith("bare")]
    assert len(processes.alive()) == 6, "the supervisor, two leaders and three children with the mark"
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(timeout=15) == 0
    assert processes.alive() == []
    assert not psutil.pid_exists(bare) or psutil.Process(bare).status() == psutil.STATUS_ZOMBIE


def test_a_second_ctrl_c_ends_the_grace_and_leaves_nobody(stack: Stack, processes: Processes) -> None:
    supervisor = stack.start(f"[Command(name='stubborn', argv=[sys.executable, '-c', {STUBBORN!r}], grace=300)]")
    stack.wait_until_ready()
    wait_until(lambda: "armed" in stack.log("stubborn"))
    supervisor.send_signal(signal.SIGINT)
    time.sleep(0.3)
    supervisor.send_signal(signal.SIGINT)  # The same key press, delivered twice: the grace goes on.
    with pytest.raises(subprocess.TimeoutExpired):
        supervisor.wait(timeout=1.5)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(timeout=10) == 0
    assert processes.alive() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_before_ready_stops_all_and_says_so(
    stack: Stack, processes: Processes, number: signal.Signals, code: int
) -> None:
    supervisor = stack.start(
        f"[Command(name='slow', argv=[sys.executable, '-c', {SLEEP!r}])]", health="{'slow': lambda: False}"
    )
    wait_until(lambda: len(processes.alive()) == 2)
    supervisor.send_signal(number)
    assert supervisor.wait(timeout=10) == code
    assert processes.alive() == []


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_leaders_end_when_the_supervisor_is_killed(stack: Stack, processes: Processes) -> None:
    supervisor = stack.start(f"[Command(name='a', argv=[sys.executable, '-c', {SLEEP!r}])]")
    stack.wait_until_ready()
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: processes.alive() == [])


def test_a_death_stops_the_group_and_is_told_with_the_end_of_the_log(tmp_path: Path, processes: Processes) -> None:
    # Its child keeps its output open and lives on: the death of a leader must be seen all the same.
    code = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
time.sleep(0.3)
for number in range(100): print("line", number)
sys.exit(7)
"""
    supervisor = Supervisor([python("fine", SLEEP), python("broken", code)], tmp_path)
    began = time.monotonic()
    with pytest.raises(LocalStackError) as ended:
        supervisor.run(on_ready=Flag(), health={}, start_timeout=10)
    assert time.monotonic() - began < 5
    message = ended.value.message
    assert message.startswith("broken ended by itself with exit code 7.")
    assert str(tmp_path / "broken.log") in message
    assert [line.strip() for line in message.splitlines()[1:]] == [
        f"line {number}" for number in range(100 - LOG_TAIL_LINES, 100)
    ]
    assert processes.alive() == []


def test_an_end_with_success_and_a_kill_are_deaths_too(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="done ended by itself with exit code 0"):
        Supervisor([python("done", "")], tmp_path).run(on_ready=Flag(), health={}, start_timeout=10)
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(LocalStackError, match="shot was killed by SIGKILL"):
        Supervisor([python("shot", suicide)], tmp_path).run(on_ready=Flag(), health={}, start_timeout=10)


def test_who_is_not_healthy_in_time_is_named_and_all_are_stopped(tmp_path: Path, processes: Processes) -> None:
    supervisor = Supervisor([python("fine", SLEEP), python("late", f"print('still loading'); {SLEEP}")], tmp_path)
    on_ready = Flag()
    with pytest.raises(LocalStackError, match=r"late wasn't healthy within 1 s(.|\n)*still loading") as ended:
        supervisor.run(on_ready=on_ready, health={"fine": lambda: True, "late": lambda: False}, start_timeout=1)
    assert "fine" not in ended.value.message
    assert on_ready.calls == 0
    assert processes.alive() == []


def test_a_check_that_hangs_delays_nothing(tmp_path: Path) -> None:
    def hang() -> bool:
        time.sleep(5)
        return False

    began = time.monotonic()
    with pytest.raises(LocalStackError, match="a wasn't healthy"):
        Supervisor([python("a", SLEEP)], tmp_path).run(on_ready=Flag(), health={"a": hang}, start_timeout=0.5)
    assert time.monotonic() - began < 3


def test_a_program_that_does_not_exist_stops_those_before_it(tmp_path: Path, processes: Processes) -> None:
    commands = [python("first", SLEEP), Command(name="second", argv=["/no/such/program"])]
    with pytest.raises(LocalStackError, match="second couldn't be started"):
        Supervisor(commands, tmp_path).run(on_ready=Flag(), health={}, start_timeout=10)
    assert processes.alive() == []


def test_what_ready_or_a_check_raises_comes_out_when_all_are_stopped(tmp_path: Path, processes: Processes) -> None:
    def fail() -> bool:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Supervisor([python("a", SLEEP)], tmp_path).run(on_ready=fail, health={}, start_timeout=10)
    assert processes.alive() == []
    with pytest.raises(KeyError, match="mine"):
        Supervisor([python("a", SLEEP)], tmp_path).run(on_ready=Flag(), health={"a": fail}, start_timeout=10)
    assert processes.alive() == []


def test_a_refused_connection_only_means_not_yet(tmp_path: Path) -> None:
    answers: Iterator[bool] = iter([False, True])

    def check() -> bool:
        if not next(answers):
            raise ConnectionRefusedError
        return True

    supervisor = Supervisor([python("a", SLEEP)], tmp_path)
    assert supervisor.run(on_ready=supervisor.stop, health={"a": check}, start_timeout=10) == 0


def test_what_the_others_need_is_stopped_last(tmp_path: Path) -> None:
    code = """
import signal, sys, time
def end(*_):
    print("asked", time.monotonic()); time.sleep(0.5); print("gone", time.monotonic()); sys.exit()
signal.signal(signal.SIGTERM, end); print("armed"); time.sleep(60)
"""
    supervisor = Supervisor([python("store", code, stop_last=True), python("writer", code)], tmp_path)

    def armed(name: str) -> Callable[[], bool]:
        return lambda: "armed" in supervisor.log_path(name).read_text()

    supervisor.run(
        on_ready=supervisor.stop, health={"store": armed("store"), "writer": armed("writer")}, start_timeout=10
    )

    def moment(name: str, word: str) -> float:
        [line] = [line for line in supervisor.log_path(name).read_text().splitlines() if line.startswith(word)]
        return float(line.split()[1])

    assert moment("writer", "gone") < moment("store", "asked")


def test_others_that_we_start_meanwhile_are_left_alone(tmp_path: Path) -> None:
    """A browser, say: our child, but none of the group."""
    browsers: list[subprocess.Popen[bytes]] = []
    supervisor = Supervisor([python("a", SLEEP)], tmp_path)

    def open_browser() -> None:
        browsers.append(subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True))
        supervisor.stop()

    supervisor.run(on_ready=open_browser, health={}, start_timeout=10)
    [browser] = browsers
    try:
        assert browser.poll() is None
    finally:
        browser.kill()
        browser.wait()


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in caught]
    supervisor = Supervisor([python("a", SLEEP)], tmp_path)
    supervisor.run(on_ready=supervisor.stop, health={}, start_timeout=10)
    assert [signal.getsignal(number) for number in caught] == before


def test_names_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unique"):
        Supervisor([python("a", SLEEP), python("a", SLEEP)], tmp_path)
    with pytest.raises(ValueError, match="without a command"):
        Supervisor([python("a", SLEEP)], tmp_path).run(on_ready=Flag(), health={"b": lambda: True}, start_timeout=1)
