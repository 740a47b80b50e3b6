# SPDX-License-Identifier: Apache-2.0
"""One batch in the layout of the C ABI, and what it keeps alive."""

from __future__ import annotations

import array
import ctypes
from typing import Any, Sequence

from sixcall import abi

_BATCH_SIZE = ctypes.sizeof(abi.Batch)
_ITEM_SIZE = ctypes.sizeof(abi.Item)


class _PyBuffer(ctypes.Structure):
    """Py_buffer, which is part of Python's stable ABI since 3.11 and the same before."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [ctypes.c_void_p]
_release_buffer.restype = None
_WRITABLE = 1
_VIEW_SIZE = ctypes.sizeof(_PyBuffer)
_ALIGNED_SIZE = (_VIEW_SIZE + 15) // 16 * 16


class Views:
    """The memory of the buffers of a batch, which stay exported until release."""

    def __init__(self, buffers: Sequence[Any], writable: bool):
        self._memory = bytearray(_ALIGNED_SIZE * max(len(buffers), 1))
        self._pin = ctypes.c_char.from_buffer(self._memory)
        self._base = ctypes.addressof(self._pin)
        self._held = 0
        self.addresses: list[int] = []
        self.lengths: list[int] = []
        try:
            for i, buffer in enumerate(buffers):
                at = self._base + i * _ALIGNED_SIZE
                _get_buffer(buffer, at, _WRITABLE if writable else 0)
                self._held += 1
                view = _PyBuffer.from_address(at)
                self.addresses.append(view.buf or 0)
                self.lengths.append(view.len)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        for i in range(self._held):
            _release_buffer(self._base + i * _ALIGNED_SIZE)
        self._held = 0


class Part:
    """A batch on its way: all that the connector may look at until it has completed."""

    __slots__ = ("ticket", "op", "future", "indices", "batch", "items", "keys", "status", "err", "_pin")

    def __init__(self, ticket: int, op: int, future: Any, indices: Sequence[int], keys: list[bytes], views: Views | None):
        self.ticket, self.op, self.future, self.indices = ticket, op, future, indices
        n = len(indices)
        self.keys = b"".join([keys[i] for i in indices])
        at = ctypes.cast(ctypes.c_char_p(self.keys), ctypes.c_void_p).value
        words: list[int] = []
        for i in indices:
            length = len(keys[i])
            if views is None:
                words += (at, length, 0, 0)
            else:
                words += (at, length, views.addresses[i], views.lengths[i])
            at += length
        self.items = array.array("Q", words)
        self.status = bytearray(b"\xff" * n)
        self._pin = ctypes.c_char.from_buffer(self.status)
        self.err = abi.Err.new()
        self.batch = abi.Batch(
            struct_size=_BATCH_SIZE,
            ticket=ticket,
            n=n,
            item_stride=_ITEM_SIZE,
            items=self.items.buffer_info()[0],
            status=ctypes.addressof(self._pin),
            err=ctypes.addressof(self.err),
        )


class Future:
    """What a caller submitted: one or more parts, and one answer."""

    __slots__ = ("id", "op", "status", "parts", "rc", "text", "views")

    def __init__(self, future_id: int, op: int, n: int, views: Views | None):
        self.id, self.op, self.views = future_id, op, views
        self.status = bytearray(b"\xff" * n)
        self.parts = 0  # that have not completed
        self.rc, self.text = 0, ""

    def fail(self, rc: int, text: str) -> None:
        """Keeps the first failure."""
        if self.rc == 0 and not self.text:
            self.rc, self.text = rc, text
