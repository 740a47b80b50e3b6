# SPDX-License-Identifier: Apache-2.0
"""LMCache's own bridge over NativeConnector, below its real storage manager."""

import unittest

import contract
import storage
from helpers import TestCase


class TestMem(contract.UnderTheStorageManager, TestCase):
    def adapter_config(self, capacity_bytes: int = 0) -> dict:
        return {
            "type": "native_plugin",
            "module_path": "sixcall.lmcache",
            "class_name": "NativeConnector",
            "max_capacity_gb": capacity_bytes / (1 << 30),
            "adapter_params": {"library": "mem", "params": {"capacity_bytes": 256 << 20}},
        }


class TestFS(TestMem):
    def adapter_config(self, capacity_bytes: int = 0) -> dict:
        config = super().adapter_config(capacity_bytes)
        config["adapter_params"] = {"library": "fs", "params": {"base_path": self.folder()}}
        return config


class TestCreate(TestCase):
    def test_what_is_wrong_reaches_the_operator(self):
        config = {"type": "native_plugin", "module_path": "sixcall.lmcache", "class_name": "NativeConnector"}
        for params, want in (
            ({"library": "nothing"}, "libsixcall_nothing.so"),
            ({"library": "mem", "params": {"capasity": 1}}, 'unknown config key "capasity"'),
        ):
            with self.subTest(want), self.assertRaisesRegex(Exception, want):
                storage.manager({**config, "adapter_params": params})
        with self.assertRaisesRegex(AttributeError, "has no class 'Connector', want one of"):
            storage.manager({**config, "class_name": "Connector"})


if __name__ == "__main__":
    unittest.main()
