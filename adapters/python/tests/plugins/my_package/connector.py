# SPDX-License-Identifier: Apache-2.0
"""A remote connector the way LMCache's documentation writes one."""

import asyncio
from typing import List, Optional

from lmcache.config import LMCacheEngineMetadata
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.memory_management import MemoryObj
from lmcache.v1.storage_backend.connector.base_connector import RemoteConnector


class MyStoreConnector(RemoteConnector):
    """Values in a dictionary, with what LMCache needs to make them memory objects again."""

    def __init__(self, url: str, config: LMCacheEngineConfig, metadata: Optional[LMCacheEngineMetadata], local_cpu_backend=None):
        super().__init__(config, metadata)
        self.url, self.local_cpu_backend = url, local_cpu_backend
        self._values = {}
        if metadata.model_name != "org/m" or config.chunk_size != 64:
            raise ValueError(f"metadata {metadata} and chunk_size {config.chunk_size} are not those of the host")

    async def exists(self, key: CacheEngineKey) -> bool:
        await asyncio.sleep(0)
        return key.to_string() in self._values

    def exists_sync(self, key: CacheEngineKey) -> bool:
        return key.to_string() in self._values

    async def get(self, key: CacheEngineKey) -> Optional[MemoryObj]:
        await asyncio.sleep(0)
        if (found := self._values.get(key.to_string())) is None:
            return None
        data, shapes, dtypes, fmt = found
        obj = self.local_cpu_backend.allocate(shapes, dtypes, fmt)
        obj.byte_array[:] = data
        return obj

    async def put(self, key: CacheEngineKey, memory_obj: MemoryObj):
        await asyncio.sleep(0)
        if key.model_name == "no/space":
            raise OSError("no space left on MyStore")
        self._values[key.to_string()] = (bytes(memory_obj.byte_array), memory_obj.get_shapes(), memory_obj.get_dtypes(), memory_obj.get_memory_format())

    async def list(self) -> List[str]:
        return list(self._values)

    async def close(self):
        print("MyStore closes", self.url, flush=True)

    def remove_sync(self, key: CacheEngineKey) -> bool:
        return self._values.pop(key.to_string(), None) is not None

    def support_ping(self) -> bool:
        return True

    async def ping(self) -> int:
        return 0


class Sync:
    """Says everything at once, and derives from nothing."""

    def __init__(self):
        self._kept = {}

    def exists(self, key):
        return str(key) in self._kept

    def get(self, key):
        obj = self._kept.get(str(key))
        if obj is not None:
            obj.ref_count_up()  # the caller gets a reference of its own
        return obj

    def put(self, key, memory_obj):
        memory_obj.ref_count_up()
        self._kept[str(key)] = memory_obj

    def list(self):
        return None

    def close(self):
        self._kept.clear()


class Lacking:
    def exists(self, key):
        return False
