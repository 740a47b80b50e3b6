# SPDX-License-Identifier: Apache-2.0
"""An open connection of a connector library, with LMCache's words for it."""

from __future__ import annotations

import atexit
import ctypes
import os
import select
import threading
import weakref
from typing import Any, Sequence

from sixcall import abi, params as parameters, signals
from sixcall.batch import Future, Part, Views
from sixcall.errors import CODES, STATUS, Error
from sixcall.library import HOST, load

_RECORDS = 256
_OPS = {abi.OP_GET: "get", abi.OP_SET: "set", abi.OP_EXISTS: "exists", abi.OP_DELETE: "delete"}

FORKED = (
    "this process was forked from the one that opened the connector, whose threads it does not have; "
    "open another one here, or start processes with the method spawn"
)

_open: "weakref.WeakSet[Connection]" = weakref.WeakSet()
_stuck: list[Any] = []  # what a connector that did not stop may still touch


class Connection:
    """A connector that is asked in batches and answers through one event fd.

    All methods are safe for concurrent use; none waits for the backend but close.
    Buffers are kept alive until their batch has completed.
    """

    def __init__(
        self,
        connector: str,
        params: dict | None = None,
        class_name: str = "",
        sha256: str = "",
        instance: str = "",
        open_timeout: float = 10.0,
    ):
        self.library = load(connector, class_name, sha256)
        api = self.library.api
        self.name = instance or self.library.name
        self._conn = ctypes.c_void_p()
        self._closed = False
        self._forked = False
        self._lock = self.library.lock if api.thread_model == abi.THREADS_SERIAL else threading.Lock()
        self._open(parameters.encode(params, self.name), open_timeout)
        self._submits = {
            abi.OP_GET: abi.SubmitFunction(api.submit_batch_get),
            abi.OP_SET: abi.SubmitFunction(api.submit_batch_set),
            abi.OP_EXISTS: abi.SubmitFunction(api.submit_batch_exists),
        }
        if api.caps & abi.CAP_DELETE and api.submit_batch_delete:
            self._submits[abi.OP_DELETE] = abi.SubmitFunction(api.submit_batch_delete)
        self._drain = abi.DrainFunction(api.drain_completions)
        self._records = (abi.Completion * _RECORDS)()
        self._limits = self._read_limits()
        # Below _lock:
        self._next_future = 1
        self._next_ticket = 1
        self._flying: dict[int, Part] = {}
        self._backlog: list[Part] = []
        self._finished: list[Future] = []
        # One descriptor for completions of the connector and for our own.
        self._own = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._own, select.EPOLLIN)
        fd = abi.EventFDFunction(api.event_fd)(self._conn)
        if fd < 0:
            self.close()
            raise Error("open", self.name, fd, "event_fd failed")
        self._poll.register(fd, select.EPOLLIN)
        _open.add(self)

    def _open(self, config: bytes, timeout: float) -> None:
        args = abi.OpenArgs(
            struct_size=ctypes.sizeof(abi.OpenArgs),
            config_json=config,
            config_len=len(config),
            instance=self.name.encode(),
            open_timeout_ms=max(int(timeout * 1000), 1),
        )
        err = abi.Err.new()
        with signals.kept(self.library.path):
            rc = abi.OpenFunction(self.library.api.open)(
                ctypes.addressof(HOST), ctypes.addressof(args), ctypes.addressof(self._conn), ctypes.addressof(err)
            )
        if rc < 0 or not self._conn:
            self._closed = True
            raise Error("open", self.name, rc or abi.E_INTERNAL, err.text())

    def _read_limits(self) -> abi.Limits:
        limits = abi.Limits(struct_size=ctypes.sizeof(abi.Limits))
        api = self.library.api
        if api.caps & abi.CAP_LIMITS and api.limits:
            abi.SubmitFunction(api.limits)(self._conn, ctypes.addressof(limits))
        return limits

    @property
    def can_delete(self) -> bool:
        return abi.OP_DELETE in self._submits

    def event_fd(self) -> int:
        """The descriptor that is readable while a completion waits; -1 after close."""
        return -1 if self._poll.closed else self._poll.fileno()

    def submit(self, op: int, keys: Sequence[str | bytes], buffers: Sequence[Any] | None = None) -> int:
        """Starts an operation on keys and returns the id that drain will report."""
        what, n = _OPS[op], len(keys)
        if n == 0:
            raise Error(what, self.name, abi.E_INVAL, "keys list is empty, want 1 key or more")
        if buffers is not None and len(buffers) != n:
            raise Error(what, self.name, abi.E_INVAL, f"{n} keys and {len(buffers)} buffers, want one buffer per key")
        if op not in self._submits:
            raise Error(what, self.name, abi.E_UNSUPPORTED, f"connector {self.library.name!r} has no submit_batch_delete")
        encoded = [k.encode("utf-8", "surrogatepass") if isinstance(k, str) else k for k in keys]
        views = None if buffers is None else Views(buffers, writable=op == abi.OP_GET)
        try:
            with self._lock:
                return self._submit(op, encoded, views)
        except BaseException:
            if views is not None:
                views.release()
            raise

    def _submit(self, op: int, keys: list[bytes], views: Views | None) -> int:
        if self._forked:
            raise Error(_OPS[op], self.name, abi.E_CLOSED, FORKED)
        if self._closed:
            raise Error(_OPS[op], self.name, abi.E_CLOSED, "the connector is closed")
        future = Future(self._next_future, op, len(keys), views)
        wanted = self._acceptable(future, keys, views)
        step = self._limits.max_batch or len(wanted)
        for first in range(0, len(wanted), max(step, 1)):
            part = Part(self._next_ticket, op, future, wanted[first : first + step], keys, views)
            self._next_ticket += 1
            future.parts += 1
            rc = self._send(part)
            if rc < 0:
                future.parts -= 1
                if first == 0:
                    raise Error(_OPS[op], self.name, rc, part.err.text())
                future.fail(rc, part.err.text())
        self._next_future += 1
        if future.parts == 0:  # no key went to the connector
            self._finish(future)
            os.eventfd_write(self._own, 1)
        return future.id

    def _acceptable(self, future: Future, keys: list[bytes], views: Views | None) -> Sequence[int]:
        """The positions that the connector can be asked for; the others are refused here."""
        limits = self._limits
        longest, largest, align = limits.max_key_len, limits.max_value_len, limits.buf_align
        if align > 1 and views is not None:
            for i, address in enumerate(views.addresses):
                if address % align:
                    raise Error(
                        _OPS[future.op], self.name, abi.E_INVAL, f"buffer {i} is not aligned to the {align} bytes it needs"
                    )
        good = []
        for i, key in enumerate(keys):
            if not key or longest and len(key) > longest:
                future.status[i] = abi.STATUS_REFUSED
                future.fail(0, f"key {i} has {len(key)} bytes, want 1 to {longest or 'any number'}")
            elif largest and views is not None and views.lengths[i] > largest:
                future.status[i] = abi.STATUS_REFUSED
                future.fail(0, f"value {i} has {views.lengths[i]} bytes, want at most {largest}")
            else:
                good.append(i)
        return good

    def _send(self, part: Part) -> int:
        """Gives a part to the connector, or to the backlog; < 0 when it was refused."""
        if self._backlog:
            self._backlog.append(part)
            return 0
        self._flying[part.ticket] = part
        rc = self._submits[part.op](self._conn, ctypes.addressof(part.batch))
        if rc >= 0:
            return 0
        del self._flying[part.ticket]
        if rc == abi.E_AGAIN and self._flying:
            self._backlog.append(part)
            return 0
        return rc

    def drain(self) -> list[Future]:
        """Takes all operations that have ended. It does not wait."""
        with self._lock:
            if self._closed or self._forked:
                return []
            try:
                os.eventfd_read(self._own)
            except BlockingIOError:
                pass
            n = _RECORDS
            while n == _RECORDS:
                n = self._drain(self._conn, ctypes.addressof(self._records), _RECORDS, ctypes.sizeof(abi.Completion))
                if n < 0:
                    raise Error("drain", self.name, n, "drain_completions failed")
                for record in self._records[:n]:
                    self._complete(record.ticket, record.rc)
            while self._backlog:
                backlog, self._backlog = self._backlog, []
                part = backlog.pop(0)
                rc = self._send(part)
                if self._backlog:  # still full: keep the order
                    self._backlog += backlog
                    break
                self._backlog = backlog
                if rc < 0:
                    self._end(part, rc)
            finished, self._finished = self._finished, []
        return finished

    def _complete(self, ticket: int, rc: int) -> None:
        part = self._flying.pop(ticket, None)
        if part is not None:  # else the connector made it up
            self._end(part, rc)

    def _end(self, part: Part, rc: int) -> None:
        future = part.future
        if rc < 0 or part.err.code:
            future.fail(rc, part.err.text())
        for position, status in zip(part.indices, part.status):
            future.status[position] = status
        future.parts -= 1
        if future.parts == 0:
            self._finish(future)

    def _finish(self, future: Future) -> None:
        if future.views is not None:
            future.views.release()
        self._finished.append(future)

    def explain(self, future: Future) -> str:
        """The first failure of an operation in words, "" when there was none."""
        bad = [i for i, status in enumerate(future.status) if status > abi.STATUS_HIT]
        if not bad and future.rc >= 0:
            return ""
        text = future.text or STATUS.get(future.status[bad[0]], "failed") if bad else future.text
        cause = text or CODES.get(future.rc, f"code {future.rc}")
        return f"{_OPS[future.op]} {self.name!r}: {len(bad)} of {len(future.status)} keys failed: {cause}"

    def close(self, grace: float = 5.0) -> None:
        """Ends the connection; operations in flight are not answered. Further calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            _open.discard(self)
        if not self._forked:
            rc = abi.CloseFunction(self.library.api.close)(self._conn, int(grace * 1000))
            if rc == abi.E_BUSY:
                _stuck.append((self._conn, self._flying, self._records))
            else:
                for part in [*self._flying.values(), *self._backlog]:
                    if part.future.views is not None:
                        part.future.views.release()
        self._poll.close()
        os.close(self._own)


def _after_fork_in_child() -> None:
    for connection in list(_open):
        connection._forked = True
        connection._lock = threading.Lock()  # its holder may be a thread that is not here
        _stuck.append((connection._flying, connection._records))


def _close_all() -> None:
    for connection in list(_open):
        connection.close(1.0)


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
