# SPDX-License-Identifier: Apache-2.0
"""A batch of the host, as sixcall_batch of connector.h lies in shared memory."""

import ctypes
import struct
import threading

from sixcall.worker import memory, process

GET, SET, EXISTS, DELETE, PING = 1, 2, 3, 4, 5
OP_NAMES = {GET: "get", SET: "set", EXISTS: "exists", DELETE: "delete", PING: "ping"}
# Status bytes.
MISS, HIT, ERROR, SIZE, CANCELLED, UNSET = 0, 1, 2, 3, 4, 0xFF
# Codes.
INVAL, CLOSED, UNSUPPORTED, IO, CONFIG, INTERNAL, VERSION, BUSY = -1, -3, -4, -5, -11, -12, -13, -14
UNKNOWN_LENGTH = (1 << 64) - 1

_ITEM = struct.Struct("<QIIQQ")
_ERROR_HEAD = struct.Struct("=iiI")
_MESSAGE_BYTES = 239


class Batch:
    """One submission. Whoever has it calls done, once, from any thread; nothing of it
    may be touched after that."""

    __slots__ = ("op", "n", "ticket", "_items", "_status", "_lengths", "_error", "_publish", "_failed", "_lock", "_over")

    def __init__(self, submission: tuple, publish):
        self.ticket, self.op, self.n, items, status, lengths, error, _, _ = submission
        self._items = list(_ITEM.iter_unpack(memory.view(items, self.n * _ITEM.size))) if self.n else []
        self._status = memory.view(status, self.n) if self.n else None
        self._lengths = memory.view(lengths, 8 * self.n).cast("Q") if lengths and self.n else None
        self._error, self._publish = error, publish
        self._failed, self._over, self._lock = False, False, threading.Lock()

    def key(self, i: int) -> str:
        address, length, *_ = self._items[i]
        return ctypes.string_at(address, length).decode()

    def keys(self) -> list:
        return [self.key(i) for i in range(self.n)]

    def size(self, i: int) -> int:
        return self._items[i][4]

    def value(self, i: int) -> memoryview:
        """The bytes to store, or those to fill."""
        return memory.view(self._items[i][3], self._items[i][4])

    def set(self, i: int, status: int, length=None) -> None:
        self._status[i] = status
        if length is not None and self._lengths is not None:
            self._lengths[i] = length

    def fail(self, text: str, code: int = IO) -> None:
        """Notes why keys failed; the first text of a batch counts."""
        if self._failed or not self._error:
            return
        self._failed = True
        data = text.encode(errors="replace")[:_MESSAGE_BYTES]
        area = memory.view(self._error + 4, _ERROR_HEAD.size + _MESSAGE_BYTES + 1)
        _ERROR_HEAD.pack_into(area, 0, code, 0, len(data))
        area[_ERROR_HEAD.size : _ERROR_HEAD.size + len(data) + 1] = data + b"\0"

    def done(self, rc: int = 0) -> None:
        """Completes the batch. Keys without a status have failed."""
        process.check_fork()
        with self._lock:
            if self._over:
                return
            self._over = True
        hits = 0
        for i in range(self.n):
            if self._status[i] == UNSET:
                self._status[i] = ERROR
            hits += self._status[i] == HIT
        self._publish(self.ticket, rc, self.op, hits)
