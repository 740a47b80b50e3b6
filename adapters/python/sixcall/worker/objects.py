# SPDX-License-Identifier: Apache-2.0
"""Memory objects that view the host's memory."""

import ctypes
import functools
import inspect
import math
import threading

from sixcall.worker import dtypes


class _Shared:
    """LMCache's MemoryObj over bytes that are somewhere else. References are counted
    and free nothing: Python does that."""

    def __init__(self, view: memoryview, metadata):
        self.meta, self._view, self._tensor = metadata, view, None
        self._used = None
        self.valid, self._lock = True, threading.Lock()
        self.parent_allocator = None

    def detach(self) -> None:
        """Gives the object memory of its own, before that of the host is given back."""
        self._view, self._tensor = memoryview(bytearray(self._view)), None
        self.meta.address = self.data_ptr

    def views(self, memory: memoryview) -> bool:
        return self._view is memory

    @property
    def metadata(self):
        return self.meta

    @property
    def byte_array(self) -> memoryview:
        return self._view[: self.get_size()]

    @property
    def raw_data(self):
        torch = dtypes.torch()
        if self._tensor is None and torch is not None and len(self._view):
            self._tensor = torch.frombuffer(self._view, dtype=torch.uint8)
        return self._tensor

    @raw_data.setter
    def raw_data(self, tensor) -> None:
        """A connector that read a shorter chunk keeps its beginning."""
        if len(tensor) > len(self._view):
            raise ValueError(f"raw_data has {len(self._view)} bytes, it cannot become {len(tensor)}")
        self._view, self._tensor = self._view[: len(tensor)], tensor

    @property
    def raw_tensor(self):
        return self.raw_data

    @property
    def tensor(self):
        raw = self.raw_data
        if raw is None or not self.valid:
            return None
        if self._used is not None:
            return raw[: self._used]
        return raw[: _bytes(self.meta.shape, self.meta.dtype)].view(self.meta.dtype).view(self.meta.shape)

    def get_tensor(self, index: int):
        start = sum(_bytes(*group) for group in list(zip(self.get_shapes(), self.get_dtypes()))[:index])
        shape, dtype = self.get_shapes()[index], self.get_dtypes()[index]
        return self.raw_data[start : start + _bytes(shape, dtype)].view(dtype).view(shape)

    @property
    def data_ptr(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self._view)) if len(self._view) else 0

    def get_size(self) -> int:
        if self._used is not None:
            return self._used
        return min(len(self._view), sum(_bytes(*group) for group in zip(self.get_shapes(), self.get_dtypes())))

    def set_used_size(self, n: int) -> None:
        if not 0 <= n <= len(self._view):
            raise ValueError(f"set_used_size: n={n} out of range [0, {len(self._view)}]")
        self._used = n

    def get_physical_size(self) -> int:
        return len(self._view)

    def get_shape(self):
        return self.meta.shape

    def get_dtype(self):
        return self.meta.dtype

    def get_shapes(self) -> list:
        # A partial chunk changes only the first.
        return self.meta.shapes if self.meta.shapes and len(self.meta.shapes) > 1 else [self.meta.shape]

    def get_dtypes(self) -> list:
        return self.meta.dtypes if self.meta.dtypes and len(self.meta.dtypes) > 1 else [self.meta.dtype]

    def get_memory_format(self):
        return self.meta.fmt

    def get_num_tokens(self) -> int:
        return self.meta.shape[self.meta.fmt.token_dim()]

    def ref_count_up(self) -> None:
        with self._lock:
            self.meta.ref_count += 1

    def ref_count_down(self) -> None:
        with self._lock:
            self.meta.ref_count -= 1

    def get_ref_count(self) -> int:
        return self.meta.ref_count

    def pin(self) -> bool:
        with self._lock:
            self.meta.pin_count += 1
        return True

    def unpin(self) -> bool:
        with self._lock:
            self.meta.pin_count = max(0, self.meta.pin_count - 1)
        return True

    @property
    def is_pinned(self) -> bool:
        return self.meta.pin_count > 0

    @property
    def can_evict(self) -> bool:
        return not self.is_pinned and self.meta.ref_count == 1

    def invalidate(self) -> None:
        self.valid = False

    def is_valid(self) -> bool:
        return self.valid

    def parent(self):
        return None


def _bytes(shape, dtype) -> int:
    return math.prod(shape) * dtype.itemsize


class Objects:
    """Makes memory objects of the interpreter's LMCache."""

    def __init__(self, memory_management):
        self._metadata, self.formats = memory_management.MemoryObjMetadata, memory_management.MemoryFormat
        # Which methods are abstract differs by version; all that are used are there.
        self._class = type("SharedMemoryObj", (_Shared, memory_management.MemoryObj), {})
        self._class.__abstractmethods__ = frozenset()
        self._known = frozenset(inspect.signature(self._metadata).parameters)

    def wrap(self, view: memoryview, shapes: list, types: list, fmt):
        fields = {"shape": shapes[0], "dtype": types[0], "address": 0, "phy_size": len(view), "ref_count": 1, "fmt": fmt, "shapes": shapes, "dtypes": types}
        made = self._class(view, self._metadata(**{name: value for name, value in fields.items() if name in self._known}))
        made.meta.address = made.data_ptr
        return made

    def plain(self, view: memoryview):
        """Bytes without a shape of their own."""
        return self.wrap(view, [dtypes.size((len(view),))], [dtypes.named("uint8")], self._binary)

    @functools.cached_property
    def _binary(self):
        return self.formats.BINARY
