# SPDX-License-Identifier: Apache-2.0
"""Storage backends: one that keeps memory objects, and one of the older interface."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from lmcache.v1.storage_backend.abstract_backend import StorageBackendInterface, StoragePluginInterface


class MyCustomBackendClass(StoragePluginInterface):
    def __init__(self, dst_device="cpu", config=None, metadata=None, local_cpu_backend=None, loop=None):
        super().__init__(dst_device=dst_device, config=config, metadata=metadata, local_cpu_backend=local_cpu_backend, loop=loop)
        self._kept, self._lock = {}, threading.Lock()
        self._pool = ThreadPoolExecutor(1)

    def contains(self, key, pin=False):
        return key.to_string() in self._kept

    def exists_in_put_tasks(self, key):
        return False

    def batched_submit_put_task(self, keys, objs, transfer_spec=None, on_complete_callback=None):
        return [self._pool.submit(self._keep, key, obj) for key, obj in zip(keys, objs)]

    def _keep(self, key, obj):
        obj.ref_count_up()
        self._kept[key.to_string()] = obj

    def get_blocking(self, key):
        kept = self._kept.get(key.to_string())
        if kept is None:
            return None
        obj = self.local_cpu_backend.allocate(kept.get_shapes(), kept.get_dtypes(), kept.get_memory_format())
        obj.byte_array[:] = kept.byte_array
        return obj

    def pin(self, key):
        return True

    def unpin(self, key):
        return True

    def remove(self, key, force=True):
        return self._kept.pop(key.to_string(), None) is not None

    def get_allocator_backend(self):
        return self.local_cpu_backend

    def close(self):
        self._pool.shutdown()


class Older(StorageBackendInterface):
    """The constructor and the methods of LMCache 0.3: no allocator backend, puts one by one."""

    def __init__(self, config, metadata, loop, memory_allocator, local_cpu_backend, dst_device, lookup_server=None):
        super().__init__(dst_device=dst_device)
        self.memory_allocator, self._values = memory_allocator, {}

    def contains(self, key, pin=False):
        return key in self._values

    def exists_in_put_tasks(self, key):
        return False

    def submit_put_task(self, key, obj):
        done = Future()
        self._values[key] = (bytes(obj.byte_array), obj.get_shape(), obj.get_dtype())
        done.set_result(None)
        return done

    def get_blocking(self, key):
        if key not in self._values:
            return None
        data, shape, dtype = self._values[key]
        obj = self.memory_allocator.allocate(shape, dtype)
        obj.byte_array[:] = data
        return obj

    def pin(self, key):
        return True

    def unpin(self, key):
        return True

    def remove(self, key, force=True):
        return self._values.pop(key, None) is not None

    def close(self):
        pass


class WantsMore(Older):
    def __init__(self, config, gpu_connector):
        super().__init__(config, None, None, None, None, "cpu")
