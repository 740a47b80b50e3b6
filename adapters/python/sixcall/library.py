# SPDX-License-Identifier: Apache-2.0
"""A loaded connector library and its table."""

from __future__ import annotations

import ctypes
import logging
import os
import threading

from sixcall import abi, search, signals
from sixcall.errors import Error

_log = logging.getLogger("sixcall")
_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG}

_loaded: dict[str, "Library"] = {}
_loading = threading.Lock()


@abi.LogFunction
def _write_log(_context, level, text, length):
    _log.log(_LEVELS.get(level, logging.DEBUG), "%s", ctypes.string_at(text, length).decode("utf-8", "replace"))


HOST = abi.Host(
    struct_size=ctypes.sizeof(abi.Host),
    abi_major=abi.ABI_MAJOR,
    abi_minor=abi.ABI_MINOR,
    name=b"sixcall",
    version=b"python",
    log=_write_log,
    log_level=2,
)


class Library:
    """The table of a library. Libraries stay loaded for the life of the process."""

    def __init__(self, path: str):
        self.path = path
        self.lock = threading.Lock()  # for libraries that take one call at a time
        with signals.kept(path):
            try:
                self.handle = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
            except OSError as error:
                raise Error("load", path, abi.E_CONFIG, str(error)) from None
            try:
                entry = abi.EntryFunction((abi.ENTRY_SYMBOL, self.handle))
            except AttributeError:
                raise Error(
                    "load", path, abi.E_CONFIG, f"it does not export {abi.ENTRY_SYMBOL}: it is no Sixcall connector"
                ) from None
            address = entry(ctypes.addressof(HOST))
        if not address:
            raise Error("load", path, abi.E_VERSION, f"it refuses hosts of ABI {abi.ABI_MAJOR}.{abi.ABI_MINOR}")
        self.api = self._table(address)
        self.name = (self.api.name or b"").decode("utf-8", "replace")

    def _table(self, address: int) -> abi.API:
        size = abi.API.from_address(address).struct_size if address else 0
        if size < abi.API_REQUIRED_SIZE:
            raise Error(
                "load", self.path, abi.E_VERSION, f"its table has {size} bytes, want at least {abi.API_REQUIRED_SIZE}"
            )
        # A copy: what lies past the table of an older library reads as zero.
        api = abi.API()
        ctypes.memmove(ctypes.addressof(api), address, min(size, ctypes.sizeof(api)))
        if api.abi_major != abi.ABI_MAJOR:
            raise Error(
                "load",
                self.path,
                abi.E_VERSION,
                f"it implements ABI {api.abi_major}.{api.abi_minor}, this host speaks {abi.ABI_MAJOR}.{abi.ABI_MINOR}",
            )
        if api.needs:
            raise Error("load", self.path, abi.E_VERSION, f"it needs host features {api.needs:#x}, this host has none")
        for slot in abi.REQUIRED_SLOTS:
            if not getattr(api, slot):
                raise Error("load", self.path, abi.E_VERSION, f"the required call {slot} is missing in its table")
        return api


def load(connector: str, class_name: str = "", sha256: str = "") -> Library:
    """Finds, checks and loads a library, once per file."""
    path = search.check(search.find(connector), sha256)
    with _loading:
        library = _loaded.get(path)
        if library is None:
            library = _loaded[path] = Library(path)
    if class_name and class_name != library.name:
        raise Error("load", path, abi.E_CONFIG, f"it is the connector {library.name!r}, want {class_name!r}")
    return library
