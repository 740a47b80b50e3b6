# SPDX-License-Identifier: Apache-2.0
"""LMCache's real storage manager in any of the versions that are tested: what its calls
are named and take differs between them."""

from __future__ import annotations

import argparse
import inspect
import json
import time

import torch
from lmcache.v1.distributed import api
from lmcache.v1.distributed.config import EvictionConfig, L1ManagerConfig, L1MemoryManagerConfig, StorageManagerConfig
from lmcache.v1.distributed.l2_adapters.config import add_l2_adapters_args, parse_args_to_l2_adapters_config
from lmcache.v1.distributed.storage_manager import StorageManager

from helpers import WAIT

LAYOUT = api.MemoryLayoutDesc([torch.Size([2, 4, 64, 8])], [torch.float16])
VALUE_BYTES = 2 * 4 * 64 * 8 * 2


def adapters(*configs: dict):
    """The adapters of --l2-adapter flags, as LMCache parses them."""
    parser = argparse.ArgumentParser()
    add_l2_adapters_args(parser)
    flags = [word for config in configs for word in ("--l2-adapter", json.dumps(config))]
    return parse_args_to_l2_adapters_config(parser.parse_args(flags))


def manager(*configs: dict, l1_bytes: int = 64 << 20) -> StorageManager:
    memory = L1MemoryManagerConfig(size_in_bytes=l1_bytes, use_lazy=False)
    if hasattr(memory, "shm_name"):
        memory.shm_name = ""
    return StorageManager(
        StorageManagerConfig(
            l1_manager_config=L1ManagerConfig(memory_config=memory),
            eviction_config=EvictionConfig("LRU"),
            l2_adapter_config=adapters(*configs),
        )
    )


def adapter(sm: StorageManager):
    if hasattr(sm, "l2_adapters"):
        return sm.l2_adapters()[0][1]
    return sm._l2_adapters[0]  # 0.4.7


def key(n: int, salt: str = "") -> api.ObjectKey:
    return api.ObjectKey(n.to_bytes(8, "big"), "llama", 0x01000100, cache_salt=salt)


def content(k) -> bytes:
    return ((k.chunk_hash + k.cache_salt.encode()) * VALUE_BYTES)[:VALUE_BYTES]


def store(sm: StorageManager, keys: list) -> None:
    mode = ["new"] if "mode" in inspect.signature(sm.reserve_write).parameters else []
    objects = sm.reserve_write(keys, LAYOUT, *mode)
    assert list(objects) == keys, f"reserved {len(objects)} of {len(keys)}"
    for k, obj in objects.items():
        obj.byte_array.cast("B")[:] = content(k)
    sm.finish_write(keys)


def prefetch(sm: StorageManager, keys: list) -> dict:
    """Loads keys from L2, up to the first that is not there. Returns values by position."""
    if hasattr(api, "PrefetchTaskSpec"):
        task = (api.PrefetchTaskSpec([api.GroupedObjectKeys(keys, 0, LAYOUT)], fetching_policy="prefix"),)
    elif hasattr(api, "PrefetchRequestSpec"):  # 0.5.5
        task = (api.PrefetchRequestSpec(keys, {0: LAYOUT}),)
    else:
        task = (keys, LAYOUT)
    handle = sm.submit_prefetch_task(*task)
    deadline = time.monotonic() + WAIT
    while (result := sm.query_prefetch_status(handle)) is None:
        assert time.monotonic() < deadline, "the prefetch did not end"
        time.sleep(0.01)
    bits = result.hit_cells[0] if hasattr(result, "hit_cells") else result
    hits = bits.get_indices_list()
    values = {}
    if found := [keys[i] for i in hits]:
        with sm.read_prefetched_results(found) as objects:
            for i, obj in zip(hits, objects):
                values[i] = bytes(obj.byte_array.cast("B"))
        sm.finish_read_prefetched(found)
    return values
