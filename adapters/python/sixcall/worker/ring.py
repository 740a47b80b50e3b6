# SPDX-License-Identifier: Apache-2.0
"""The two rings of ring.h, from the worker's side.

Python has no atomic exchange and no fences. This side needs none of the first: it
asks the host to write the eventfd with every submission (WAKE_ALWAYS), and writes
its own with every completion, without a look at the host's flag. What is left is
order: a record before the tail that publishes it, and the tail after the eventfd
that announced it. A load or a store of an aligned c_uint32 is one instruction. On
x86-64 the hardware keeps stores in order, and loads, and the kernel's eventfd code
is a full barrier; elsewhere membarrier(2), which is a full barrier for its caller,
stands between.
"""

import ctypes
import mmap
import os
import platform
import select
import struct
import threading
import time

_MAGIC = 0x31474E4952584953
_VERSION = 1
WAKE_ALWAYS = 2  # of sq_need_wake: the host leaves it and always writes the eventfd
CANCEL = 0x100
CALL_SUBMIT, CALL_DRAIN = 0x1000, 0x2000

_HEAD = struct.Struct("<QIIIII")
SUBMISSION = struct.Struct("<QIIQQQQQQ")
_COMPLETION = struct.Struct("=QiIIIQ")
_SQ_TAIL, _SQ_HEAD, _SQ_NEED_WAKE, _CQ_TAIL, _CQ_HEAD = 64, 128, 132, 192, 256
_CALL, _CALL_TICKET, _CALL_SINCE, _CALLS, _COMPLETIONS = 320, 328, 336, 344, 352
_MEMBARRIER = {"aarch64": 283, "x86_64": 324}


def barrier(machine: str = platform.machine()):
    """A full memory barrier as a function; nothing on x86-64, which needs none."""
    if machine == "x86_64":
        return lambda: None
    return membarrier(machine)


def membarrier(machine: str):
    number = _MEMBARRIER.get(machine)
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    register, private = 16, 8  # MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, _PRIVATE_EXPEDITED
    if number is None or syscall(number, register, 0, 0) != 0:
        raise OSError(f"membarrier is needed on {machine}, and cannot be used: {os.strerror(ctypes.get_errno())}")
    return lambda: syscall(number, private, 0, 0)


class Rings:
    def __init__(self, fd: int, sq_event: int, cq_event: int):
        self._memory = mmap.mmap(fd, os.fstat(fd).st_size)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        magic, version, self._sq_entries, self._cq_entries, self._sq, self._cq = _HEAD.unpack_from(self._memory)
        ends = (self._sq + self._sq_entries * SUBMISSION.size, self._cq + self._cq_entries * _COMPLETION.size)
        if magic != _MAGIC or version != _VERSION or max(ends) > len(self._memory):
            raise ValueError(f"the ring memory is of version {version}, want {_VERSION}")
        self._barrier = barrier()
        word = lambda at: ctypes.c_uint32.from_address(self._base + at)  # noqa: E731
        long = lambda at: ctypes.c_uint64.from_address(self._base + at)  # noqa: E731
        self._sq_tail, self._sq_head, self._cq_tail, self._cq_head = word(_SQ_TAIL), word(_SQ_HEAD), word(_CQ_TAIL), word(_CQ_HEAD)
        self._call, self._since = word(_CALL), long(_CALL_SINCE)
        self._call_ticket, self._calls, self._completions = long(_CALL_TICKET), long(_CALLS), long(_COMPLETIONS)
        self._head, self._tail = self._sq_head.value, self._cq_tail.value
        self._sq_event, self._cq_event = sq_event, cq_event
        self._poll = select.poll()
        self._poll.register(sq_event, select.POLLIN)
        self._publishing = threading.Lock()
        word(_SQ_NEED_WAKE).value = WAKE_ALWAYS

    def wait(self) -> None:
        """Returns when the host, or wake, may have something."""
        self._poll.poll()
        try:
            os.read(self._sq_event, 8)
        except BlockingIOError:
            pass
        self._barrier()

    def wake(self) -> None:
        os.write(self._sq_event, (1).to_bytes(8, "little"))

    def take(self):
        """The next submission, or None."""
        if self._sq_tail.value == self._head:
            return None
        self._barrier()
        at = self._sq + (self._head & self._sq_entries - 1) * SUBMISSION.size
        submission = SUBMISSION.unpack_from(self._memory, at)
        self._barrier()
        self._head = self._head + 1 & 0xFFFFFFFF
        self._sq_head.value = self._head
        return submission

    def publish(self, ticket: int, rc: int, op: int, n_ok: int) -> None:
        """Completes a submission; from any thread."""
        with self._publishing:
            while self._tail - self._cq_head.value & 0xFFFFFFFF >= self._cq_entries:
                time.sleep(0.001)  # the host reads: it has room for twice what it submits
            at = self._cq + (self._tail & self._cq_entries - 1) * _COMPLETION.size
            _COMPLETION.pack_into(self._memory, at, ticket, rc, op, n_ok, 0, time.monotonic_ns())
            self._completions.value += 1
            self._barrier()  # the record, the values and the status bytes before the tail
            self._tail = self._tail + 1 & 0xFFFFFFFF
            self._cq_tail.value = self._tail
            self._barrier()
            try:
                os.write(self._cq_event, (1).to_bytes(8, "little"))
            except BlockingIOError:
                pass  # it is full: the host is awake

    def enter(self, call: int, ticket: int) -> None:
        """Says which call of the plug-in the pump is in, for hang detection."""
        self._call_ticket.value = ticket
        self._since.value = time.monotonic_ns()
        self._barrier()
        self._call.value = call

    def leave(self) -> None:
        self._call.value = 0
        self._calls.value += 1

    def state(self) -> dict:
        return {"calls": self._calls.value, "completions": self._completions.value, "call": self._call.value, "since_ns": self._since.value}
