# SPDX-License-Identifier: Apache-2.0
"""A connection for callers that wait for their own operation."""

from __future__ import annotations

import os
import select
import threading
from concurrent.futures import Future as Answer
from typing import Any, Sequence

from sixcall import abi
from sixcall.connection import Connection
from sixcall.errors import Error


class Asking:
    """Gives each operation a future of its own; one thread takes the completions.

    A result is a list with one status byte per key. Safe for concurrent use.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._lock = threading.Lock()  # guards what follows
        self._waiting: dict[int, Answer] = {}
        self._early: dict[int, Any] = {}  # ended before submit had returned
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="sixcall-answers", daemon=True)
        self._thread.start()

    @property
    def can_delete(self) -> bool:
        return self._connection.can_delete

    def ask(self, op: int, keys: Sequence[str], buffers: Sequence[Any] | None = None) -> "Answer[list[int]]":
        answer: Answer = Answer()
        future_id = self._connection.submit(op, keys, buffers)
        with self._lock:
            if self._closed:
                answer.set_exception(Error("submit", self._connection.name, abi.E_CLOSED, "the connector is closed"))
            elif future_id in self._early:
                self._settle(answer, self._early.pop(future_id))
            else:
                self._waiting[future_id] = answer
        return answer

    def _settle(self, answer: Answer, future: Any) -> None:
        if answer.set_running_or_notify_cancel():
            answer.set_result(list(future.status))

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._connection.event_fd(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            poll.poll()
            with self._lock:
                if self._closed:
                    return
            done = self._connection.drain()
            with self._lock:
                for future in done:
                    answer = self._waiting.pop(future.id, None)
                    if answer is None:
                        self._early[future.id] = future
                    else:
                        self._settle(answer, future)

    def close(self) -> None:
        """Ends the connection; operations in flight fail. Further calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            waiting, self._waiting = list(self._waiting.values()), {}
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._connection.close()
        os.close(self._wake)
        for answer in waiting:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(Error("wait", self._connection.name, abi.E_CLOSED, "the connector was closed"))
