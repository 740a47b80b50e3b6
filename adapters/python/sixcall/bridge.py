# SPDX-License-Identifier: Apache-2.0
"""libsixcall.so, the Go bridge, in this process."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import threading
from typing import Any

from sixcall import abi, search
from sixcall.errors import Error

LIBRARY_ENV = "SIXCALL_LIBRARY"
_INTERFACE = 2  # of adapters/capi/python.c

LOOKUP, LOAD, STORE = 0, 1, 2
STATUS, USAGE, LIST, START_EVENTS, SET_IDENTITY = 1, 2, 3, 4, 5

_WAY_OUT = (
    "two Go runtimes in one process fight for signals; run the connector without Go "
    '("type": "native_plugin", "class_name": "NativeConnector"), or load that library in a process of its own'
)


def _elf_sections(path: str) -> set[str]:
    """The names of the sections of an ELF file; empty for anything else."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01":
                return set()
            offset, size, count, names = struct.unpack_from("<Q10xHHH", head, 40)
            file.seek(offset)
            table = file.read(size * count)
            at, length = struct.unpack_from("<QQ", table, names * size + 24)
            file.seek(at)
            text = file.read(length)
    except (OSError, struct.error):
        return set()
    return set(text.decode("ascii", "replace").split("\0"))


def other_go_runtime(own: str = "") -> str:
    """The path of a loaded library, other than own, that embeds a Go runtime; "" if
    there is none."""
    seen = set()
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split(None, 5)
            if len(fields) < 6 or not fields[5].startswith("/") or ".so" not in fields[5]:
                continue
            path = fields[5].rstrip("\n")
            if path in seen or (own and path == own):
                continue
            seen.add(path)
            if _elf_sections(path) & {".go.buildinfo", ".note.go.buildid", ".gopclntab"}:
                return path
    return ""


def _find() -> str:
    tried = []
    named = "" if search.raised_privileges() else os.environ.get(LIBRARY_ENV, "")
    for path in (named, os.path.join(search.package_folder(), "lib", "libsixcall.so")):
        if path and os.path.isfile(path):
            return os.path.realpath(path)
        tried.append(repr(path) if path else f"{LIBRARY_ENV}: not set")
    raise Error("load", "libsixcall.so", abi.E_CONFIG, f"it is in none of the places tried: {'; '.join(tried)}")


def _places() -> dict:
    """Where connectors and the worker are: what the environment names, then what came
    with this package. Go sees the environment of the process's start only."""
    environment = {} if search.raised_privileges() else os.environ
    folders = [f for f in environment.get(search.SEARCH_PATH_ENV, "").split(os.pathsep) if os.path.isabs(f)]
    worker = environment.get("SIXCALL_WORKER") or os.path.join(search.package_folder(), "bin", "sixcall-worker")
    return {"search_path": [*folders, search.bundled_folder()], "worker": worker if os.path.exists(worker) else ""}


class Bridge:
    """The functions of libsixcall.so. One per process; see load."""

    def __init__(self, path: str):
        other = other_go_runtime(path)
        if other:
            raise Error("load", path, abi.E_CONFIG, f"{other!r} has a Go runtime and is loaded already: {_WAY_OUT}")
        self.path = path
        # PyDLL keeps the interpreter's lock: calls that do not wait, with Python's
        # objects. CDLL gives it up: calls that wait.
        held, free = ctypes.PyDLL(path), ctypes.CDLL(path)
        start = held.sixcall_py_start
        if start() != _INTERFACE:
            raise Error("load", path, abi.E_VERSION, "it is of another version than this package; install both together")
        u64, i32, i64, obj, text = ctypes.c_uint64, ctypes.c_int32, ctypes.c_int64, ctypes.py_object, ctypes.c_char_p

        def call(library, name: str, result, *arguments):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            return function

        self.submit = call(held, "sixcall_py_submit", i64, u64, i32, obj, obj)
        self.query = call(held, "sixcall_py_query", obj, u64, i32, i64, obj)
        self.pop_stores = call(held, "sixcall_py_pop_stores", obj, u64, obj)
        self.unlock = call(held, "sixcall_py_unlock", i32, u64, obj)
        self.delete = call(held, "sixcall_py_delete", i32, u64, obj)
        self._last_error = call(held, "sixcall_last_error", i32, text, u64)
        self._open = call(free, "sixcall_open", u64, text, u64, u64, u64, ctypes.c_void_p)
        self._describe = call(free, "sixcall_describe", ctypes.c_void_p, u64, i32, text, u64)
        self._next_event = call(free, "sixcall_next_event", ctypes.c_void_p, u64)
        self._close = call(free, "sixcall_close", i32, u64)
        self.forget = call(held, "sixcall_forget", None, u64)
        self._free = call(free, "sixcall_free", None, ctypes.c_void_p)

    def error(self, operation: str, connector: str) -> Error:
        """What the last call of this thread failed with."""
        buffer = ctypes.create_string_buffer(1024)
        code = self._last_error(buffer, len(buffer))
        return Error(operation, connector, code, buffer.value.decode("utf-8", "replace"))

    def open(self, config: dict, l1: int = 0, l1_len: int = 0) -> tuple[int, list[int]]:
        """Opens an adapter and returns its handle and its three event fds."""
        fds = (ctypes.c_int32 * 3)()
        encoded = json.dumps({"adapter": config, **_places()}).encode()
        handle = self._open(encoded, len(encoded), l1, l1_len, ctypes.addressof(fds))
        if not handle:
            raise self.error("open", str(config.get("module_path") or config.get("type")))
        return handle, list(fds)

    def describe(self, handle: int, what: int, arguments: dict | None = None, name: str = "") -> Any:
        encoded = json.dumps(arguments or {}).encode()
        text = self._taken(self._describe(handle, what, encoded, len(encoded)))
        if text is None:
            raise self.error("ask", name)
        return json.loads(text)

    def next_events(self, handle: int) -> list | None:
        """Waits for events of an adapter; None after its close."""
        text = self._taken(self._next_event(handle))
        return None if text is None else json.loads(text)

    def close(self, handle: int, name: str) -> None:
        if self._close(handle) != 0:
            raise self.error("close", name)

    def _taken(self, pointer: int | None) -> bytes | None:
        if not pointer:
            return None
        try:
            return ctypes.string_at(pointer)
        finally:
            self._free(pointer)


_bridge: Bridge | None = None
_loading = threading.Lock()


def load() -> Bridge:
    """The bridge of this process, loaded at the first call."""
    global _bridge
    with _loading:
        if _bridge is None:
            _bridge = Bridge(_find())
        return _bridge
