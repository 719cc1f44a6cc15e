"""The cache on the local disk: one folder for each process, swept when that has ended, and never in the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from endpoints_pipeline.engine.disk_cache import DiskCache, open_disk_cache
from tests.fixtures.engine import MakeApplication
from tests.snapshots.builders import NAME, PROJECT, create, refresh

_HOLD = (
    "import sys, time; from pathlib import Path; from endpoints_pipeline.engine.disk_cache import DiskCache\n"
    "cache = DiskCache(Path(sys.argv[1]), 1000); print(cache.folder, flush=True); time.sleep(60)"
)


def folders(parent: Path) -> set[Path]:
    return {entry for entry in parent.iterdir() if entry.is_dir()}


def test_each_has_its_own_folder(tmp_path: Path) -> None:
    first, second = DiskCache(tmp_path, 1000), DiskCache(tmp_path, 1000)

    assert folders(tmp_path) == {first.folder, second.folder}
    assert "<max_size>1000</max_size>" in first.config_file.read_text()
    for cache in (first, second):
        cache.close()
    assert folders(tmp_path) == set()


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    living, killed = (
        subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    assert living.stdout is not None
    assert killed.stdout is not None
    kept, left = Path(living.stdout.readline().strip()), Path(killed.stdout.readline().strip())
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()

    own = DiskCache(tmp_path, 1000)

    assert folders(tmp_path) == {kept, own.folder}
    assert not left.exists()
    own.close()
    living.kill()
    living.wait()


def test_a_relative_home_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = DiskCache(Path("state/cache"), 1000)

    assert cache.folder.is_absolute()
    assert f"<path>{tmp_path}/state/cache/" in cache.config_file.read_text()
    cache.close()


def test_a_disk_without_room_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one fault that is played: a full disk would be everybody's on this machine."""
    cache = DiskCache(tmp_path, 1000)
    assert cache.is_usable
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(10**9, 10**9 - 999, 999))  # type: ignore[attr-defined]
    assert not cache.is_usable
    monkeypatch.undo()
    assert cache.is_usable
    cache.close()
    assert not cache.is_usable


def test_none_is_wanted_or_none_can_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert open_disk_cache(tmp_path / "no", 0) is None
    assert not (tmp_path / "no").exists()
    assert open_disk_cache(tmp_path / "file", 1000) is None


@pytest.mark.parametrize("size", [100_000_000, 0])
def test_an_application_that_answers_runs_has_one(make_application: MakeApplication, tmp_path: Path, size: int) -> None:
    """In a process of its own: the embedded engine takes its configuration when it is opened first."""
    application = make_application(home=tmp_path / "home", snapshot_cache=size)
    refresh(application, create(application, "SELECT id, name FROM events ORDER BY id"))
    settings = application.settings
    names = ("HOME", "WAREHOUSE", "CATALOG_DSN", "S3_PREFIX", "S3_ENDPOINT_URL", "S3_BUCKET", "S3_ACCESS_KEY")
    values = {name: getattr(settings, name.lower()) for name in (*names, "S3_SECRET_KEY", "SNAPSHOT_CACHE")}
    environment = {
        f"ENDPOINTS_{name}": value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        for name, value in values.items()
    }
    environment["ENDPOINTS_HOME"] = "home"  # relative, as the default is

    ended = subprocess.run(
        [sys.executable, "-c", _RUN, str(PROJECT), NAME],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr

    answered, cached = ended.stdout.split()
    assert answered == "300,300,300"
    assert (int(cached) > 0) is (size > 0)
    assert not (tmp_path / "home" / "cache").exists() or folders(tmp_path / "home" / "cache") == set()


_RUN = """
import sys
from endpoints_pipeline.serving.application import open_application
from endpoints_pipeline.settings import load_settings

application = open_application(load_settings(), caching=True)
snapshot = application.catalog.endpoints.get(int(sys.argv[1]), sys.argv[2]).version.snapshot
counts = []
for _ in range(3):
    with application.reader.stream(snapshot) as blocks:
        counts.append(str(sum(block.count for block in blocks)))
[(cached,)] = application.engine.query("SELECT sum(size) FROM system.filesystem_cache")
application.close()
print(",".join(counts), cached)
"""
