"""The embedded engine's cache of what it reads from S3: a bounded folder on the local disk.

The engine doesn't lock its folder, and two processes in one would spoil it: so each process has its own, under a lock
that ends with it, and sweeps away those of processes that have ended.

Nor does it get over a disk that is full: it would read what it couldn't write. So the cache is used only while the disk
has room for all that it may still hold.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import structlog

_log = structlog.get_logger(__name__)

#: The cache's name in a query's ``filesystem_cache_name``.
NAME = "snapshots"
_LOCK = "lock"


def open_disk_cache(parent: Path, size: int) -> DiskCache | None:
    """A cache of ``size`` bytes; None for 0, or where the disk can't be written: reads need none."""
    try:
        return DiskCache(parent, size) if size else None
    except OSError as error:
        _log.warning("snapshots are read without a cache on the local disk", folder=str(parent), error=str(error))
        return None


class DiskCache:
    """A folder of this process's own. Never to be carried over a fork."""

    def __init__(self, parent: Path, size: int) -> None:
        """Make the folder under ``parent``, for ``size`` bytes at most.

        Raises:
            OSError: The disk can't be written.
        """
        parent = parent.absolute()  # the engine takes a relative path in its configuration for another one
        parent.mkdir(parents=True, exist_ok=True)
        self._size = min(size, shutil.disk_usage(parent).free // 3)
        with (parent / _LOCK).open("w") as entry:
            fcntl.flock(entry, fcntl.LOCK_EX)  # who sweeps must not take a folder that is being made for a stale one
            _sweep(parent)
            self.folder = Path(tempfile.mkdtemp(dir=parent))
            self._lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.config_file = self.folder / "clickhouse.xml"
        data = escape(f"{self.folder}/data/")
        self.config_file.write_text(
            f"<clickhouse><filesystem_caches_path>{data}</filesystem_caches_path><filesystem_caches><{NAME}>"
            f"<path>{data}</path><max_size>{self._size:d}</max_size></{NAME}></filesystem_caches></clickhouse>"
        )

    @property
    def is_usable(self) -> bool:
        """Whether the next read may go through the cache."""
        try:
            return shutil.disk_usage(self.folder).free > self._size
        except OSError:  # someone has deleted the folder
            return False

    def close(self) -> None:
        """Delete the folder; after the engine was closed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _sweep(parent: Path) -> None:
    for folder in parent.iterdir():
        lock = folder / _LOCK
        if not lock.is_file():
            continue
        with lock.open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            _log.info("the cache of a process that has ended was deleted", folder=str(folder))
