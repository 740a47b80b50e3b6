# SPDX-License-Identifier: Apache-2.0
"""sixcall.worker with the real LMCache and torch."""

import ctypes
import unittest

from sixcall.worker import dtypes, engine, header, localcpu, objects, stubs

REAL, WHY = stubs.install()


class Objects(unittest.TestCase):
    def setUp(self):
        self.assertTrue(REAL, WHY)
        import torch
        from lmcache.v1 import memory_management

        self.torch, self.management = torch, memory_management
        self.objects = objects.Objects(memory_management)

    def test_tensors_view_the_memory(self):
        memory = bytearray(2 * 3 * 4 * 5 * 2)
        shape = self.torch.Size((2, 3, 4, 5))
        obj = self.objects.wrap(memoryview(memory), [shape], [self.torch.bfloat16], self.management.MemoryFormat.KV_2LTD)
        self.assertIsInstance(obj, self.management.MemoryObj)
        self.assertEqual((obj.tensor.shape, obj.tensor.dtype, obj.get_num_tokens()), (shape, self.torch.bfloat16, 4))
        obj.tensor.fill_(1.0)
        self.assertEqual(memory, b"\x80\x3f" * 120)
        memory[:2] = b"\0\0"
        self.assertEqual(float(obj.tensor.reshape(-1)[0]), 0.0)
        self.assertEqual(obj.tensor.data_ptr(), ctypes.addressof(ctypes.c_char.from_buffer(memory)))
        # What RemoteConnector.reshape_partial_chunk does.
        obj.raw_data = obj.raw_data[:60]
        obj.meta.shape = self.torch.Size((2, 3, 1, 5))
        self.assertEqual((obj.get_size(), obj.tensor.shape), (60, obj.meta.shape))

    def test_groups_of_layers(self):
        memory = bytearray(8 + 16)
        shapes = [self.torch.Size((2, 1, 1, 2)), self.torch.Size((2, 2, 1, 2))]
        obj = self.objects.wrap(memoryview(memory), shapes, [self.torch.float16, self.torch.float16], self.management.MemoryFormat.KV_2LTD)
        obj.get_tensor(1).fill_(1.0)
        self.assertEqual(memory, bytes(8) + b"\x00\x3c" * 8)
        text = header.pack(obj)
        self.assertEqual(header.unpack(text, 2, self.management.MemoryFormat), (24, shapes, [self.torch.float16] * 2, self.management.MemoryFormat.KV_2LTD))

    def test_headers_are_those_of_lmcache(self):
        from lmcache.v1.protocol import RemoteMetadata, init_remote_metadata_info

        init_remote_metadata_info(1)
        obj = self.objects.wrap(memoryview(bytearray(480)), [self.torch.Size((2, 3, 4, 5))], [self.torch.float32], self.management.MemoryFormat.KV_2LTD)
        theirs = RemoteMetadata(480, obj.get_shapes(), obj.get_dtypes(), obj.get_memory_format())
        self.assertEqual(header.pack(obj), bytes(theirs.serialize()))

    def test_keys(self):
        from lmcache.utils import CacheEngineKey, LayerCacheEngineKey

        plugin = engine.EnginePlugin("m", "c")
        import lmcache.utils

        plugin._utils = lmcache.utils
        self.assertIs(type(plugin.key("m@2@1@ff@bfloat16@a%b")), CacheEngineKey)
        self.assertEqual(plugin.key("m@2@1@ff@bfloat16@a%b").to_string(), "m@2@1@ff@bfloat16@a%b")
        self.assertIs(type(plugin.key("m@2@1@ff@half@7")), LayerCacheEngineKey)

    def test_the_cpu_backend_is_one(self):
        from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend

        cpu = localcpu.make(self.objects, None, None, 1)
        self.assertIsInstance(cpu, LocalCPUBackend)
        obj = cpu.allocate(self.torch.Size((4,)), self.torch.float16)
        self.assertEqual((obj.tensor.shape, obj.get_size()), (self.torch.Size((4,)), 8))
        self.assertEqual(dtypes.code(self.torch.float8_e4m3fn), 7)


if __name__ == "__main__":
    unittest.main()
