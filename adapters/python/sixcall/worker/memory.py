# SPDX-License-Identifier: Apache-2.0
"""Memory that the host shares, by address."""

import ctypes
import mmap
import os
import threading

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value


class Maps:
    """What is mapped. By libc and not by the module mmap, which lets nothing go while
    a view of it is about."""

    def __init__(self):
        self._lock = threading.Lock()
        self._maps = {}

    def map(self, fd: int, length: int, offset: int) -> int:
        if length == 0 or offset % mmap.PAGESIZE or os.fstat(fd).st_size < offset + length:
            raise ValueError(f"{length} bytes at {offset} are not within the descriptor of {os.fstat(fd).st_size} bytes, or not on a page")
        base = _libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, offset)
        if base == _MAP_FAILED:
            raise OSError(ctypes.get_errno(), f"map {length} bytes: {os.strerror(ctypes.get_errno())}")
        with self._lock:
            self._maps[base] = length
        return base

    def unmap(self, base: int, length: int) -> None:
        with self._lock:
            if self._maps.get(base) != length:
                raise ValueError(f"{length} bytes at {base:#x} are not mapped")
            del self._maps[base]
        _libc.munmap(base, length)


def view(address: int, length: int) -> memoryview:
    """Writable bytes at an address, without a copy."""
    return memoryview((ctypes.c_ubyte * length).from_address(address)).cast("B")
