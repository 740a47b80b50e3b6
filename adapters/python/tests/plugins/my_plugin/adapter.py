# SPDX-License-Identifier: Apache-2.0
"""An L2 adapter the way LMCache's documentation writes one: its own event loop on a
thread, three event notifiers, values in a dictionary."""

import asyncio
import threading

from lmcache.native_storage_ops import Bitmap
from lmcache.v1.distributed.api import KeyEntry, KeyListPage
from lmcache.v1.distributed.internal_api import L2StoreResult
from lmcache.v1.distributed.l2_adapters.base import (
    L2AdapterInterface,
    L2TaskId,
)
from lmcache.v1.distributed.l2_adapters.config import L2AdapterConfigBase
from lmcache.v1.platform import create_event_notifier


class MyL2AdapterConfig(L2AdapterConfigBase):
    def __init__(self, host: str, capacity: int):
        self.host, self.capacity = host, capacity

    @classmethod
    def from_dict(cls, d: dict) -> "MyL2AdapterConfig":
        if not isinstance(d.get("host"), str):
            raise ValueError("host must be a string")
        return cls(d["host"], int(d.get("capacity", 1000)))


class MyL2Adapter(L2AdapterInterface):
    def __init__(self, config, **_kw):
        super().__init__(max_capacity_bytes=config.capacity)
        self._store_efd = create_event_notifier()
        self._lookup_efd = create_event_notifier()
        self._load_efd = create_event_notifier()
        self._values, self._locks = {}, {}
        self._lock = threading.Lock()
        self._next = 0
        self._stored, self._looked_up, self._loaded = {}, {}, {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def get_store_event_fd(self) -> int:
        return self._store_efd.fileno()

    def get_lookup_and_lock_event_fd(self) -> int:
        return self._lookup_efd.fileno()

    def get_load_event_fd(self) -> int:
        return self._load_efd.fileno()

    def _start(self, coroutine) -> L2TaskId:
        with self._lock:
            task_id = self._next
            self._next += 1
        asyncio.run_coroutine_threadsafe(coroutine(task_id), self._loop)
        return task_id

    def submit_store_task(self, keys, objects) -> L2TaskId:
        async def store(task_id):
            sizes = []
            for key, obj in zip(keys, objects):
                self._values[key] = bytes(obj.byte_array)
                sizes.append(obj.get_size())
            self._notify_keys_stored(keys, sizes)
            with self._lock:
                self._stored[task_id] = L2StoreResult(True, sum(sizes))
            self._store_efd.notify()

        return self._start(store)

    def pop_completed_store_tasks(self) -> dict:
        with self._lock:
            done, self._stored = self._stored, {}
        return done

    def submit_lookup_and_lock_task(self, keys, group_layout_descs) -> L2TaskId:
        async def lookup(task_id):
            bitmap = Bitmap(len(keys))
            for i, key in enumerate(keys):
                if key in self._values:
                    bitmap.set(i)
                    self._locks[key] = self._locks.get(key, 0) + 1
            with self._lock:
                self._looked_up[task_id] = bitmap
            self._lookup_efd.notify()

        return self._start(lookup)

    def query_lookup_and_lock_result(self, task_id: L2TaskId):
        with self._lock:
            return self._looked_up.pop(task_id, None)

    def submit_unlock(self, keys) -> None:
        for key in keys:
            self._locks[key] -= 1

    def submit_load_task(self, keys, objects) -> L2TaskId:
        async def load(task_id):
            bitmap = Bitmap(len(keys))
            for i, (key, obj) in enumerate(zip(keys, objects)):
                value = self._values.get(key)
                if value is not None and len(value) == obj.get_size():
                    obj.byte_array[:] = value
                    bitmap.set(i)
            with self._lock:
                self._loaded[task_id] = bitmap
            self._load_efd.notify()

        return self._start(load)

    def query_load_result(self, task_id: L2TaskId):
        with self._lock:
            return self._loaded.pop(task_id, None)

    def delete(self, keys) -> None:
        gone = [(key, len(value)) for key in keys if (value := self._values.pop(key, None)) is not None]
        self._notify_keys_deleted([key for key, _ in gone], [size for _, size in gone])

    def list_l2_keys(self, model_name=None, page_size=500, page_token=None):
        keys = sorted(self._values, key=repr)
        start = int(page_token or 0)
        page = keys[start : start + 2]
        more = start + 2 < len(keys)
        return KeyListPage([KeyEntry(key, len(self._values[key])) for key in page], str(start + 2) if more else None)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        print("locks at close:", sum(self._locks.values()), flush=True)
        self._store_efd.close()
        self._lookup_efd.close()
        self._load_efd.close()
