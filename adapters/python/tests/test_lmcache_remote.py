# SPDX-License-Identifier: Apache-2.0
"""Single-process LMCache: its real remote backend over SixcallConnector."""

import asyncio
import json
import threading
import unittest

import torch
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.memory_management import MemoryFormat
from lmcache.v1.metadata import LMCacheMetadata
from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend
from lmcache.v1.storage_backend.remote_backend import RemoteBackend

import sixcall
import storage
from helpers import TestCase

LAYERS, CHUNK, HEADS, HEAD = 2, 16, 4, 8
SHAPE = torch.Size([2, LAYERS, CHUNK, HEADS * HEAD])


def key(n: int) -> CacheEngineKey:
    return CacheEngineKey("test/model", 1, 0, n, torch.bfloat16)


class TestRemoteBackend(TestCase):
    def backend(self, **settings):
        config = LMCacheEngineConfig.from_defaults(
            chunk_size=CHUNK, max_local_cpu_size=0.05, local_cpu=True, remote_serde="naive", **settings
        )
        metadata = LMCacheMetadata(
            model_name="test/model",
            world_size=1,
            local_world_size=1,
            worker_id=0,
            local_worker_id=0,
            kv_dtype=torch.bfloat16,
            kv_shape=(LAYERS, 2, CHUNK, HEADS, HEAD),
            chunk_size=CHUNK,
        )
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        cpu = LocalCPUBackend(config, metadata)
        name = (config.remote_storage_plugins or [None])[0] if not config.remote_url else None
        remote = RemoteBackend(config, metadata, loop, cpu, plugin_name=name)

        def end():
            remote.close()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

        self.addCleanup(end)
        return remote, cpu, loop

    def plugin(self, name: str = "sixcall", **extra) -> dict:
        prefix = f"remote_storage_plugin.{name}"
        return dict(
            remote_storage_plugins=[name],
            extra_config={
                f"{prefix}.module_path": "sixcall.lmcache",
                f"{prefix}.class_name": "SixcallConnectorAdapter",
                **{f"{prefix}.{k}": v for k, v in extra.items()},
            },
        )

    def round_trip(self, remote, cpu, loop) -> None:
        self.assertIsNotNone(remote.connection)
        contents = {}
        for n in range(4):
            obj = cpu.allocate([SHAPE], [torch.bfloat16], MemoryFormat.KV_2LTD)
            contents[n] = bytes((n * 31 + i) % 251 for i in range(obj.get_size()))
            obj.byte_array.cast("B")[:] = contents[n]
            remote.submit_put_task(key(n), obj).result(30)
            self.assertEqual(obj.get_ref_count(), 1, "the backend gave its references back")
            obj.ref_count_down()
        for n in range(4):
            self.assertTrue(remote.contains(key(n)))
            got = remote.get_blocking(key(n))
            self.assertEqual(bytes(got.byte_array.cast("B")), contents[n])
            self.assertEqual((got.get_shape(), got.get_dtype(), got.get_ref_count()), (SHAPE, torch.bfloat16, 1))
            got.ref_count_down()
        self.assertFalse(remote.contains(key(9)))
        self.assertIsNone(remote.get_blocking(key(9)))
        found = remote.batched_async_contains("id", [key(0), key(1), key(9), key(2)])
        self.assertEqual(asyncio.run_coroutine_threadsafe(found, loop).result(30), 2)
        self.assertTrue(remote.remove(key(0)))
        self.assertFalse(remote.contains(key(0)))
        self.assertIsNone(remote.get_blocking(key(0)))
        self.assertFalse(remote.remove(key(0)))

    def test_as_a_plugin(self):
        self.round_trip(*self.backend(**self.plugin(library="mem", params={"capacity_bytes": 1 << 24})))
        self.round_trip(*self.backend(**self.plugin("sixcall.disk", library="fs", params=json.dumps({"base_path": self.folder()}))))

    def test_by_url(self):
        settings = self.plugin()
        self.round_trip(*self.backend(remote_url='sixcall://mem?params={"capacity_bytes":16777216}', **settings))

    def test_wrong_urls_are_named(self):
        from sixcall.lmcache.remote import parse_url

        self.assertEqual(parse_url("sixcall:///opt/libx.so"), ("/opt/libx.so", {}))
        for url, want in (("sixcall://mem?x=1", "unknown settings: x"), ("sixcall://mem?params=1{", "params is no JSON")):
            with self.assertRaisesRegex(sixcall.Error, want):
                parse_url(url)


if __name__ == "__main__":
    unittest.main()
