# SPDX-License-Identifier: Apache-2.0
"""The control socket."""

import array
import os
import socket
import sys
import threading
import time

from sixcall.worker import wire

_LOG_PER_SECOND = 1000
_MAX_LINE = 4 << 10  # bytes
_MAX_FDS = 8

EXIT_FAILED, EXIT_ARGUMENTS, EXIT_NO_MESSAGE, EXIT_HOST_GONE, EXIT_CONTRACT = 1, 2, 3, 4, 5


def die(code: int, text: str) -> None:
    """Ends the worker with one line on stderr."""
    try:
        os.write(2, f"sixcall.worker: {text}\n".encode(errors="replace"))
    finally:
        os._exit(code)


class Channel:
    def __init__(self, fd: int):
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._sending = threading.Lock()
        self._second, self._sent, self._dropped = 0, 0, 0

    def receive(self) -> tuple:
        """The id, the name, the fields and the descriptors of the next message."""
        size = array.array("i").itemsize
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(wire.MAX_MESSAGE + 1, socket.CMSG_SPACE(_MAX_FDS * size), socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            die(EXIT_HOST_GONE, f"read from the host: {error}")
        if not data:
            die(EXIT_HOST_GONE, "the host is gone")
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % size])
        try:
            if flags & socket.MSG_TRUNC:
                raise wire.Malformed(f"a message of more than {wire.MAX_MESSAGE} bytes")
            return (*wire.decode(data), list(fds))
        except wire.Malformed as error:
            die(EXIT_NO_MESSAGE, f"the host sent {error}")

    def send(self, id_: int, name: str, /, **fields) -> None:
        data = wire.encode(id_, name, **fields)
        try:
            with self._sending:
                self._socket.send(data)
        except OSError as error:
            die(EXIT_HOST_GONE, f"send {name} to the host: {error}")

    def fail(self, id_: int, code: int, text: str) -> None:
        self.send(id_, "Failed", code=code, text=text[: wire.MAX_MESSAGE - 1024])

    def log(self, level: int, text: str) -> None:
        """Sends a line of the log, without waiting."""
        with self._sending:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._sent = second, 0
            if self._sent >= _LOG_PER_SECOND:
                self._dropped += 1
                return
            self._sent += 1
            data = wire.encode(0, "Log", level=level, text=text[:_MAX_LINE], dropped=self._dropped)
            try:
                self._socket.send(data, socket.MSG_DONTWAIT)
                self._dropped = 0
            except OSError:
                self._dropped += 1


def note(text: str) -> None:
    """A line for whoever reads stderr."""
    print(f"sixcall.worker: {text}", file=sys.stderr, flush=True)
