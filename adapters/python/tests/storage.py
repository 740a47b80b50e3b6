# SPDX-License-Identifier: Apache-2.0
"""LMCache's real storage manager, with its store, prefetch and eviction controllers."""

from __future__ import annotations

import argparse
import json
import time

import torch
from lmcache.v1.distributed.api import GroupedObjectKeys, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec
from lmcache.v1.distributed.config import EvictionConfig, L1ManagerConfig, L1MemoryManagerConfig, StorageManagerConfig
from lmcache.v1.distributed.l2_adapters.config import add_l2_adapters_args, parse_args_to_l2_adapters_config
from lmcache.v1.distributed.storage_manager import StorageManager

from helpers import WAIT, until  # noqa: F401: tests call storage.until

LAYOUT = MemoryLayoutDesc([torch.Size([2, 4, 64, 8])], [torch.float16])
VALUE_BYTES = 2 * 4 * 64 * 8 * 2


def l2_config(*adapters: dict):
    """The adapters of --l2-adapter flags, as LMCache parses them."""
    parser = argparse.ArgumentParser()
    add_l2_adapters_args(parser)
    flags = [word for adapter in adapters for word in ("--l2-adapter", json.dumps(adapter))]
    return parse_args_to_l2_adapters_config(parser.parse_args(flags))


def manager(*adapters: dict, l1_bytes: int = 64 << 20, shm: bool = False, **settings) -> StorageManager:
    memory = L1MemoryManagerConfig(size_in_bytes=l1_bytes, use_lazy=False)
    if not shm:
        memory.shm_name = ""
    return StorageManager(
        StorageManagerConfig(
            l1_manager_config=L1ManagerConfig(memory_config=memory),
            eviction_config=EvictionConfig("LRU"),
            l2_adapter_config=l2_config(*adapters),
            **settings,
        )
    )


def key(n: int, model: str = "llama", salt: str = "") -> ObjectKey:
    return ObjectKey(n.to_bytes(8, "big"), model, 0x01000100, 0, salt)


def content(k: ObjectKey) -> bytes:
    """What is stored under a key; differs between keys everywhere."""
    seed = (k.chunk_hash + k.model_name.encode() + k.cache_salt.encode()) * VALUE_BYTES
    return seed[:VALUE_BYTES]


def store(sm: StorageManager, keys: list[ObjectKey]) -> None:
    """Writes keys into L1, from where the store controller takes them to L2."""
    objects = sm.reserve_write(keys, LAYOUT)
    assert list(objects) == keys, f"reserved {len(objects)} of {len(keys)}"
    for k, obj in objects.items():
        obj.byte_array.cast("B")[:] = content(k)
    sm.finish_write(keys)


def drop_l1(sm: StorageManager, keys: list[ObjectKey]) -> None:
    """Removes keys from L1 as soon as no controller holds them."""
    deadline = time.monotonic() + WAIT
    while sm.delete_l1_keys(keys)[1]:
        assert time.monotonic() < deadline, "keys stay locked in L1"
        time.sleep(0.01)


def adapter(sm: StorageManager, index: int = 0):
    return sm.l2_adapters()[index][1]


def prefetch(sm: StorageManager, keys: list[ObjectKey], policy: str = "full"):
    """Loads keys from L2. Returns the bits that came from there and the values by position."""
    spec = PrefetchTaskSpec([GroupedObjectKeys(keys, 0, LAYOUT)], fetching_policy=policy)
    handle = sm.submit_prefetch_task(spec)
    assert sm.wait_prefetch_status(handle, WAIT), "the prefetch did not end"
    result = sm.query_prefetch_status(handle)
    hits = result.hit_cells[0].get_indices_list()
    values = {}
    found = [keys[i] for i in hits]
    if found:
        with sm.read_prefetched_results(found) as objects:
            for i, obj in zip(hits, objects):
                values[i] = bytes(obj.byte_array.cast("B"))
        sm.finish_read_prefetched(found)
    return str(result.l2_hit_cells[0]), values
