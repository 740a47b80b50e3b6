# SPDX-License-Identifier: Apache-2.0
"""Single-process LMCache: its real remote backend over SixcallConnector."""

import asyncio
import inspect
import json
import threading
import unittest

import torch
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.memory_management import MemoryFormat
from lmcache.v1.metadata import LMCacheMetadata
from lmcache.v1.storage_backend import storage_plugin_launcher
from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend
from lmcache.v1.storage_backend.remote_backend import RemoteBackend

import sixcall
from helpers import TestCase

NAMED = "plugin_name" in inspect.signature(RemoteBackend).parameters
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
        # In 0.4.1 and before a plug-in has no name of its own and serves remote_url.
        named = {"plugin_name": name} if NAMED else {}
        remote = RemoteBackend(config, metadata, loop, cpu, **named)

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

    if NAMED:

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


class TestStoragePlugin(TestCase):
    """SixcallStorage, made by LMCache's launcher of storage plug-ins."""

    def test_round_trip(self):
        config = LMCacheEngineConfig.from_defaults(
            chunk_size=CHUNK,
            max_local_cpu_size=0.05,
            storage_plugins=["acme"],
            extra_config={
                "storage_plugin.acme.module_path": "sixcall.lmcache",
                "storage_plugin.acme.class_name": "SixcallStorage",
                "storage_plugin.acme.library": "fs",
                "storage_plugin.acme.params": {"base_path": self.folder()},
            },
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
        self.addCleanup(lambda: (loop.call_soon_threadsafe(loop.stop), thread.join(), loop.close()))
        cpu, backends = LocalCPUBackend(config, metadata), {}
        storage_plugin_launcher(config, metadata, loop, cpu, "cpu", backends)
        self.assertEqual(list(backends), ["acme"])
        backend = backends["acme"]
        self.addCleanup(backend.close)
        objects = [cpu.allocate([SHAPE], [torch.bfloat16], MemoryFormat.KV_2LTD) for _ in range(3)]
        for n, obj in enumerate(objects):
            obj.byte_array.cast("B")[:] = bytes((n * 31 + i) % 251 for i in range(obj.get_size()))
        told = []
        for future in backend.batched_submit_put_task([key(n) for n in range(3)], objects, on_complete_callback=told.append):
            future.result(30)
        self.assertEqual(sorted(k.chunk_hash for k in told), [0, 1, 2])
        self.assertFalse(backend.exists_in_put_tasks(key(0)))
        for n, obj in enumerate(objects):
            self.assertTrue(backend.contains(key(n)))
            got = backend.get_blocking(key(n))
            self.assertEqual(bytes(got.byte_array.cast("B")), bytes(obj.byte_array.cast("B")))
            self.assertEqual((got.get_ref_count(), obj.get_ref_count()), (1, 1))
            got.ref_count_down()
        found = backend.batched_async_contains("id", [key(0), key(9), key(1)])
        self.assertEqual(asyncio.run_coroutine_threadsafe(found, loop).result(30), 1)
        loaded = asyncio.run_coroutine_threadsafe(backend.batched_get_non_blocking("id", [key(0), key(1), key(9)]), loop).result(30)
        self.assertEqual(len(loaded), 2)
        for obj in loaded:
            obj.ref_count_down()
        self.assertIsNone(backend.get_blocking(key(9)))
        self.assertTrue(backend.remove(key(1)))
        self.assertFalse(backend.contains(key(1)))
        for obj in objects:
            obj.ref_count_down()


if __name__ == "__main__":
    unittest.main()
