# SPDX-License-Identifier: Apache-2.0
"""Both classes below the real storage manager of whatever LMCache is on the path."""

import ctypes
import inspect
import unittest

import versions
from helpers import WAIT, TestCase, readable, until
from lmcache.v1.distributed.l2_adapters import create_l2_adapter

PLUGIN = {"type": "plugin", "module_path": "sixcall.lmcache", "class_name": "L2Adapter"}
NATIVE = {"type": "native_plugin", "module_path": "sixcall.lmcache", "class_name": "NativeConnector"}


class Object:
    """The part of a MemoryObj that adapters use."""

    def __init__(self, content: bytes):
        self.memory = ctypes.create_string_buffer(content, len(content))
        self.byte_array = memoryview(self.memory).cast("B")

    data_ptr = property(lambda self: ctypes.addressof(self.memory))

    def get_size(self) -> int:
        return len(self.byte_array)


class TestVersion(TestCase):
    def configs(self):
        for base in (PLUGIN, NATIVE):
            yield {**base, "adapter_params": {"library": "fs", "params": {"base_path": self.folder()}}}
        yield {**PLUGIN, "adapter_params": {"library": "fs", "params": {"base_path": self.folder()}, "isolation": "process"}}

    def test_values_outlive_a_storage_manager(self):
        for config in self.configs():
            with self.subTest(config):
                keys = [versions.key(i, "alice" if i % 2 else "") for i in range(8)]
                first = versions.manager(config)
                try:
                    versions.store(first, keys)
                    want = len(keys) * versions.VALUE_BYTES
                    until(lambda: versions.adapter(first).get_usage().total_bytes_used == want, "8 values in L2")
                    self.assertTrue(versions.adapter(first).report_status()["is_healthy"])
                finally:
                    first.close()
                second = versions.manager(config)
                try:
                    values = versions.prefetch(second, [*keys, versions.key(99), keys[0]])
                    self.assertEqual(values, {i: versions.content(k) for i, k in enumerate(keys)})
                finally:
                    second.close()

    def test_tasks_of_an_adapter(self):
        for config in self.configs():
            with self.subTest(config):
                adapter = create_l2_adapter(versions.adapters(config).adapters[0])
                try:
                    self.tasks(adapter)
                finally:
                    adapter.close()

    def tasks(self, adapter) -> None:
        keys = [versions.key(i) for i in range(3)]
        fds = [adapter.get_store_event_fd(), adapter.get_lookup_and_lock_event_fd(), adapter.get_load_event_fd()]
        self.assertEqual(len(set(fds)), 3)
        task = adapter.submit_store_task(keys[:2], [Object(b"first"), Object(b"other")])
        self.assertTrue(readable(fds[0], WAIT))
        done = adapter.pop_completed_store_tasks()
        self.assertEqual(list(done), [task])
        self.assertTrue(done[task].is_successful())

        def result(fd, query, task):
            self.assertTrue(readable(fd, WAIT))
            bits = query(task)
            self.assertIsNotNone(bits)
            return bits.get_indices_list()

        layouts = [{}] if len(inspect.signature(adapter.submit_lookup_and_lock_task).parameters) > 1 else []  # 0.4.7 has none
        lookup = adapter.submit_lookup_and_lock_task(keys, *layouts)
        self.assertEqual(result(fds[1], adapter.query_lookup_and_lock_result, lookup), [0, 1])
        objects = [Object(bytes(5)) for _ in keys]
        load = adapter.submit_load_task(keys, objects)
        self.assertEqual(result(fds[2], adapter.query_load_result, load), [0, 1])
        self.assertEqual([bytes(o.byte_array) for o in objects[:2]], [b"first", b"other"])
        adapter.submit_unlock(keys[:2])
        adapter.delete([keys[0]])
        until(lambda: adapter.get_usage().total_bytes_used == 5, "one value left")


if __name__ == "__main__":
    unittest.main()
