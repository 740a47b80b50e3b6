# SPDX-License-Identifier: Apache-2.0
"""What the host asks for: three threads, as in sixcall-worker. The control thread
answers what needs no plug-in, the service thread does the rest one by one, and the
pump serves the rings."""

import json
import logging
import os
import queue
import resource
import struct
import threading

import sixcall
from sixcall.worker import batch as b
from sixcall.worker import channel as ch
from sixcall.worker import load, memory, process, ring, stubs
from sixcall.worker.errors import LoadError, last_lines, say

PROTOCOL = (1, 1)
_DATA_FLOOR = 256 << 20  # bytes above the memory limit
_PAGE_BYTES = 48 << 10  # of a listing
_ENTRY = struct.Struct("<IIQ")
_THREADS_PARALLEL = 2
_log = logging.getLogger("sixcall.worker")


class Session:
    def __init__(self, control: ch.Channel, plugin):
        self._channel, self._plugin = control, plugin
        self._maps, self._jobs = memory.Maps(), queue.SimpleQueue()
        self._rings, self._loaded, self._open, self._stop = None, False, False, False
        self._pump_thread = None

    def run(self) -> None:
        threading.Thread(target=self._serve, name="sixcall-service", daemon=True).start()
        self._channel.send(0, "Hello", protocol_major=PROTOCOL[0], protocol_minor=PROTOCOL[1], abi_major=1, abi_minor=0, version=sixcall.__version__ + " (Python)", pid=os.getpid())
        while True:
            id_, name, fields, fds = self._channel.receive()
            process.check_fork()
            self._handle(id_, name, fields, fds)

    def _handle(self, id_: int, name: str, fields: dict, fds: list) -> None:
        want = {"Load": 3, "Open": 1, "Map": 1}.get(name, 0)
        try:
            if len(fds) != want:
                self._channel.fail(id_, b.INVAL, f"{name} came with {len(fds)} descriptors, want {want}")
            elif name == "Ping":
                self._channel.send(id_, "Pong", **(self._rings.state() if self._rings else {}))
            elif name == "Map":
                base = self._maps.map(fds[0], fields["len"], fields["offset"])
                if fields["register"]:
                    self._maps.unmap(base, fields["len"])
                    return self._channel.fail(id_, b.UNSUPPORTED, "a plug-in in Python registers no memory")
                self._channel.send(id_, "Mapped", base=base, handle=0)
            elif name == "Unmap":
                self._maps.unmap(fields["base"], fields["len"])
                self._channel.send(id_, "Done")
            elif hasattr(self, "_do_" + name.lower()):
                kept, fds = fds, []  # the job closes them
                self._jobs.put((getattr(self, "_do_" + name.lower()), id_, name, fields, kept))
            else:
                self._channel.fail(id_, b.UNSUPPORTED, f"{name} is no message of a host, or of a protocol later than {PROTOCOL[0]}.{PROTOCOL[1]}")
        except (OSError, ValueError) as error:
            self._channel.fail(id_, b.INVAL, str(error))
        finally:
            for fd in fds:
                os.close(fd)

    def _serve(self) -> None:
        while True:
            job, id_, name, fields, fds = self._jobs.get()
            try:
                kept = job(id_, fields, fds)
                for fd in fds:
                    if fd not in (kept or ()):
                        os.close(fd)
            except LoadError as error:
                self._channel.fail(id_, error.code, str(error))
            except BaseException as error:  # of a plug-in, which may raise anything
                self._channel.fail(id_, b.INTERNAL, f"{name}: {last_lines(error)}")
            process.check_fork()

    def _do_load(self, id_: int, fields: dict, fds: list) -> list:
        """Returns the descriptors that it keeps."""
        if self._rings is not None:
            raise LoadError("Load came twice", b.INVAL)
        if fields["protocol_minor"] < PROTOCOL[1]:
            raise LoadError(f"the host speaks protocol 1.{fields['protocol_minor']}, this worker needs 1.{PROTOCOL[1]}", b.VERSION)
        if not fields["allow_exec"]:
            raise LoadError("a worker in Python cannot forbid its plug-in to start programs; the setting allow_exec must be true", b.UNSUPPORTED)
        _limit(fields["core_dumps"], fields["memory_limit"])
        _send_log(self._channel, fields["log_level"])
        rings = ring.Rings(*fds)
        if self._plugin.lmcache:
            real, why = stubs.install()
            if not real:
                self._plugin.warnings.append(f"stand-ins take the place of LMCache: {why}")
        self._plugin.load()
        self._rings, self._loaded = rings, True
        self._channel.send(
            id_, "Loaded", name=self._plugin.class_name, version=self._plugin.version, vendor=self._plugin.vendor, abi_major=1, abi_minor=0, table_size=0,
            caps=self._plugin.caps, needs=0, thread_model=_THREADS_PARALLEL, changed=[], warnings=[text[:1024] for text in self._plugin.warnings],
        )
        return fds[1:]

    def _do_open(self, id_: int, fields: dict, fds: list) -> None:
        if not self._loaded or self._open:
            raise LoadError("Open came out of order", b.INVAL)
        with open(fds[0], "rb", closefd=False) as file:
            params = json.loads(file.read(fields["config_len"]) or b"{}")
        self._plugin.open(params, fields["instance"])
        self._open = True
        self._pump_thread = threading.Thread(target=self._pump, name="sixcall-pump", daemon=True)
        self._pump_thread.start()
        self._channel.send(id_, "Opened", limits=(0, 0, 1, 0, 0, 0), changed=[], warnings=[])

    def _do_usage(self, id_: int, fields: dict, fds: list) -> None:
        self._need_open()
        self._channel.send(id_, "UsageReply", **self._plugin.usage())

    def _do_stats(self, id_: int, fields: dict, fds: list) -> None:
        raise LoadError("a plug-in in Python has no statistics here", b.UNSUPPORTED)

    def _do_list(self, id_: int, fields: dict, fds: list) -> None:
        self._need_open()
        entries, cursor = self._plugin.list(fields["cursor"])
        page = bytearray()
        for key, size in entries:
            data = key.encode()
            page += _ENTRY.pack(len(data), 0, b.UNKNOWN_LENGTH if size is None else size) + data + bytes(-len(data) % 8)
        if len(page) > _PAGE_BYTES:
            raise LoadError(f"a page of {len(entries)} keys has {len(page)} bytes, want at most {_PAGE_BYTES}", b.INTERNAL)
        self._channel.send(id_, "ListReply", n=len(entries), entries=bytes(page), cursor=cursor, last=not cursor)

    def _do_close(self, id_: int, fields: dict, fds: list) -> None:
        self._stop = True
        if self._pump_thread is not None:
            self._rings.wake()
            self._pump_thread.join(fields["grace_ms"] / 1000 + 1)
        if self._open:
            try:
                self._plugin.close()
            except BaseException as error:
                _log.error("close: %s", say(error))
        logging.shutdown()
        self._channel.send(id_, "Done")
        os._exit(0)

    def _need_open(self) -> None:
        if not self._open:
            raise LoadError("the connection is not open", b.CLOSED)

    def _pump(self) -> None:
        rings = self._rings
        while not self._stop:
            rings.wait()
            while not self._stop and (submission := rings.take()) is not None:
                self._submit(submission)

    def _submit(self, submission: tuple) -> None:
        if submission[1] == ring.CANCEL:
            return  # the batch completes as it does
        batch = b.Batch(submission, self._rings.publish)
        self._rings.enter(ring.CALL_SUBMIT | batch.op, batch.ticket)
        try:
            self._plugin.submit(batch)
        except BaseException as error:
            batch.fail(f"{self._plugin.class_name}: {say(error)}")
            batch.done()
        finally:
            process.check_fork()
            self._rings.leave()


class _ToHost(logging.Handler):
    """Sends what is logged to the host."""

    def __init__(self, control: ch.Channel):
        super().__init__()
        self._channel = control

    def emit(self, record: logging.LogRecord) -> None:
        level = 0 if record.levelno >= logging.ERROR else 1 if record.levelno >= logging.WARNING else 2 if record.levelno >= logging.INFO else 3
        try:
            self._channel.log(level, f"{record.name}: {record.getMessage()}")
        except Exception:
            self.handleError(record)


def _send_log(control: ch.Channel, level: int) -> None:
    root = logging.getLogger()
    root.addHandler(_ToHost(control))
    root.setLevel({-1: logging.ERROR, 0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}.get(level, logging.DEBUG))


def _limit(core_dumps: bool, memory_limit: int) -> None:
    # No core file is one byte long; 0 would not keep the kernel from starting the
    # program of core_pattern.
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard) if core_dumps else (1, 1) if hard != 0 else (0, 0))
    if memory_limit:
        want = memory_limit + max(memory_limit, _DATA_FLOOR)
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if hard == resource.RLIM_INFINITY or want < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (want, want))
