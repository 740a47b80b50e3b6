# SPDX-License-Identifier: Apache-2.0
"""The CPU backend that a plug-in of the engine allocates from."""

import contextvars
import importlib
import math

from sixcall.worker import dtypes

#: The host's memory that the read which runs here is to fill, and is not taken yet.
destination = contextvars.ContextVar("destination", default=None)


class _LocalCPU:
    """Hands out the destination of the read that asks, where the size is right: then
    nothing is copied. Everything else is memory of this process."""

    def __init__(self, objects, config, metadata, chunk_bytes: int):
        self._objects, self.config, self.metadata, self._chunk_bytes = objects, config, metadata, chunk_bytes
        self.memory_allocator = self
        self.dst_device = "cpu"

    def allocate(self, shapes, dtypes=None, fmt=None, eviction: bool = True, busy_loop: bool = True, **_kwargs):
        shapes, types = _lists(shapes, dtypes)
        length = sum(math.prod(shape) * dtype.itemsize for shape, dtype in zip(shapes, types))
        if length <= 0:
            return None
        slot = destination.get()
        if slot and len(slot[0]) == length:
            memory = slot.pop()
        else:
            memory = memoryview(bytearray(length))
        return self._objects.wrap(memory, shapes, types, fmt if fmt is not None else self._objects.formats.KV_2LTD)

    def batched_allocate(self, shapes, dtypes=None, batch_size: int = 1, fmt=None, eviction: bool = True, busy_loop: bool = True, **_kwargs):
        return [self.allocate(shapes, dtypes, fmt) for _ in range(batch_size)]

    def initialize_allocator(self, *_args):
        return self

    def get_memory_allocator(self):
        return self

    def get_allocator_backend(self):
        return self

    def get_full_chunk_size_bytes(self) -> int:
        return self._chunk_bytes

    def free(self, *_args) -> None:
        return None

    def contains(self, key, pin: bool = False) -> bool:
        return False

    def batched_submit_put_task(self, keys, objs, transfer_spec=None, on_complete_callback=None):
        return None

    def get_blocking(self, key):
        return None

    def close(self) -> None:
        return None


def _lists(shapes, types) -> tuple:
    if types is None:
        types = dtypes.named("uint8")
    if not isinstance(types, (list, tuple)):
        shapes, types = [shapes], [types]
    return [dtypes.size(shape) for shape in shapes], list(types)


def make(objects, config, metadata, chunk_bytes: int):
    """A CPU backend of the class that plug-ins may ask for."""
    try:
        base = importlib.import_module("lmcache.v1.storage_backend.local_cpu_backend").LocalCPUBackend
    except Exception:  # a version of LMCache that has it elsewhere
        base = object
    cls = type("SharedLocalCPUBackend", (_LocalCPU, base), {})
    cls.__abstractmethods__ = frozenset()
    return cls(objects, config, metadata, chunk_bytes)
