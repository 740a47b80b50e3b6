# SPDX-License-Identifier: Apache-2.0
"""L2Adapter below LMCache's real storage manager, in and out of process."""

import unittest

import contract
from helpers import TestCase


class TestMem(contract.UnderTheStorageManager, TestCase):
    isolation = "none"

    def adapter_config(self, capacity_bytes: int = 0) -> dict:
        return {
            "type": "plugin",
            "module_path": "sixcall.lmcache",
            "class_name": "L2Adapter",
            "adapter_params": {
                "library": "mem",
                "params": {"capacity_bytes": 256 << 20},
                "max_capacity_gb": capacity_bytes / (1 << 30),
                "isolation": self.isolation,
            },
        }


class TestMemIsolated(TestMem):
    isolation = "process"


class TestFS(TestMem):
    def adapter_config(self, capacity_bytes: int = 0) -> dict:
        config = super().adapter_config(capacity_bytes)
        config["adapter_params"].update(library="fs", params={"base_path": self.folder()})
        return config


class TestFSIsolated(TestFS):
    isolation = "process"


if __name__ == "__main__":
    unittest.main()
