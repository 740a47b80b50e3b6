# SPDX-License-Identifier: Apache-2.0
"""Puts chunks into LMCache's remote backend and takes them out again, without an engine."""

import asyncio
import os
import sys
import threading

import torch
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.memory_management import MemoryFormat
from lmcache.v1.metadata import LMCacheMetadata
from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend
from lmcache.v1.storage_backend.remote_backend import RemoteBackend

LAYERS, HEADS, HEAD = 2, 4, 8


def main(path: str) -> None:
    config = LMCacheEngineConfig.from_file(path)
    shape = torch.Size([2, LAYERS, config.chunk_size, HEADS * HEAD])
    metadata = LMCacheMetadata(
        model_name="example",
        world_size=1,
        local_world_size=1,
        worker_id=0,
        local_worker_id=0,
        kv_dtype=torch.bfloat16,
        kv_shape=(LAYERS, 2, config.chunk_size, HEADS, HEAD),
        chunk_size=config.chunk_size,
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    cpu = LocalCPUBackend(config, metadata)
    remote = RemoteBackend(config, metadata, loop, cpu)
    keys = [CacheEngineKey("example", 1, 0, n, torch.bfloat16) for n in range(4)]
    contents = []
    for key in keys:
        chunk = cpu.allocate([shape], [torch.bfloat16], MemoryFormat.KV_2LTD)
        contents.append(os.urandom(chunk.get_size()))
        chunk.byte_array.cast("B")[:] = contents[-1]
        remote.submit_put_task(key, chunk).result()
        chunk.ref_count_down()
    for key, content in zip(keys, contents):
        chunk = remote.get_blocking(key)
        same = bytes(chunk.byte_array.cast("B")) == content
        print(f"{key.to_string()}: {chunk.get_size()} bytes, {'as stored' if same else 'OTHER BYTES'}")
        chunk.ref_count_down()
        if not same:
            sys.exit(1)
    remote.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
