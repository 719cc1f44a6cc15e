"""Rows on their way from the engine to a caller, who may be slow.

A thread reads the engine at its own speed into a buffer that is memory first and a temporary file beyond a size. So a
slow caller holds no handle, memory stays bounded, and what fails before the buffer outgrows memory is a proper error.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager

from endpoints_pipeline.engine.rows import JsonRows

_CHUNK = 1024 * 1024

#: Opens the rows: blocks as they come.
OpenRows = Callable[[], AbstractContextManager[Iterator[JsonRows]]]


class Abandoned(Exception):
    """Nobody wants the rows any more."""


class Spool:
    """The rows of one answer: the inside of a JSON array, in bytes.

    ``count``, ``size``, ``more`` and ``error`` are final once ``finished`` is true.
    """

    def __init__(self, memory: int) -> None:
        """Prepare to hold ``memory`` bytes in memory, and what is beyond them in a file; ``start`` begins to read."""
        self.count = 0
        self.size = 0
        self.more = False
        self.error: BaseException | None = None
        self.finished = False
        self._memory = memory
        self._file = tempfile.SpooledTemporaryFile(max_size=memory)  # noqa: SIM115 - closed by close()
        self._changed = threading.Condition()
        self._abandoned = False
        self._at_end: list[Callable[[], None]] = []

    def start(self, executor: Executor, open_rows: OpenRows) -> None:
        executor.submit(self._read, open_rows)

    def wait(self) -> bool:
        """Wait until reading ended or memory is full; True if it ended. Raises what ended it early."""
        with self._changed:
            self._changed.wait_for(lambda: self.finished or self.size > self._memory)
            if self.error is not None:
                raise self.error
            return self.finished

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the beginning, as they come. Raises what ended reading early; closes the spool at the end."""
        position = 0
        try:
            while chunk := self._next(position):
                position += len(chunk)
                yield chunk
        finally:
            self.close()

    def whole(self) -> bytes:
        """All bytes; only once reading ended."""
        with self._changed:
            self._file.seek(0)
            return self._file.read()

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once reading ended for whatever reason: now if it has, else on the reading thread."""
        with self._changed:
            if not self.finished:
                self._at_end.append(callback)
                return
        callback()

    def close(self) -> None:
        """Stop reading and forget the rows."""
        with self._changed:
            self._abandoned = True
            if self.finished:
                self._file.close()

    def _next(self, position: int) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self.size > position or self.finished)
            if self.error is not None:
                raise self.error
            self._file.seek(position)
            return self._file.read(_CHUNK)

    def _read(self, open_rows: OpenRows) -> None:
        try:
            with open_rows() as blocks:
                for block in blocks:
                    self._add(block)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self.error = error
        with self._changed:
            self.finished = True
            callbacks = self._at_end
            if self._abandoned:
                self._file.close()
            self._changed.notify_all()
        for callback in callbacks:
            callback()

    def _add(self, block: JsonRows) -> None:
        with self._changed:
            if self._abandoned:
                raise Abandoned
            self.more = self.more or block.more
            if not block.count:
                return
            self._file.seek(self.size)
            data = b"," + block.data if self.count else block.data
            self._file.write(data)
            self.size += len(data)
            self.count += block.count
            self._changed.notify_all()
