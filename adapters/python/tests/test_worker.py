# SPDX-License-Identifier: Apache-2.0
"""The parts of sixcall.worker that a host does not show."""

import os
import platform
import subprocess
import sys
import unittest

from sixcall.worker import ring, stubs, wire


class Wire(unittest.TestCase):
    def test_messages_come_back(self):
        for name, fields in (
            ("Load", {"protocol_minor": 1, "host_version": "9.9", "library": "/a b", "log_level": -1, "memory_limit": 1 << 40, "allow_exec": True}),
            ("Open", {"config_len": 5, "instance": "ü", "open_timeout_ms": 7}),
            ("Map", {"len": 4096, "offset": 1 << 33, "register": True}),
            ("List", {"cursor": b"\0\xff", "timeout_ms": 3}),
            ("Ping", {}),
            ("Close", {"grace_ms": 0}),
        ):
            id_, kind, got = wire.decode(wire.encode(77, name, **fields))
            self.assertEqual((id_, kind), (77, name))
            self.assertEqual({k: got[k] for k in fields}, fields)

    def test_what_is_no_message(self):
        whole = wire.encode(1, "Open", config_len=5, instance="name")
        for data in (b"", b"6CWK", b"\0" * 64, whole[:-20], b"\xff" * 4 + whole[4:]):
            with self.assertRaises(wire.Malformed):
                wire.decode(data)


class Order(unittest.TestCase):
    def test_membarrier_is_there(self):
        # What stands between on arm64; here it only has to work.
        self.assertEqual(ring.membarrier(platform.machine())(), 0)
        with self.assertRaisesRegex(OSError, "membarrier is needed on riscv64"):
            ring.barrier("riscv64")


class StandIns(unittest.TestCase):
    def test_bitmap(self):
        bitmap = stubs.common.Bitmap(10, 3)
        bitmap.set(8)
        bitmap.set(99)
        self.assertEqual(str(bitmap), "1110000010")
        self.assertEqual((bitmap.popcount(), bitmap.count_leading_ones(), bitmap.highest_set_bit(), len(bitmap)), (4, 3, 8, 10))
        self.assertEqual(str(~bitmap), "0001111101")
        self.assertEqual(str(bitmap & stubs.common.Bitmap(4, 2)), "1100")
        self.assertEqual(bitmap.gather("abc"), ["a", "b", "c"])

    def test_keys(self):
        for text in ("m@2@1@ff@half", "m@2@1@-ff@bfloat16@a%b", "m@2@1@ff@half@a%b%c@d%"):
            self.assertEqual(stubs.common.CacheEngineKey.from_string(text).to_string(), text)
        layer = stubs.common.LayerCacheEngineKey.from_string("m@2@1@ff@half@7@a%b")
        self.assertEqual((layer.layer_id, layer.to_string()), (7, "m@2@1@ff@half@7@a%b"))


class ByHand(unittest.TestCase):
    def test_it_is_a_module(self):
        done = subprocess.run([sys.executable, "-m", "sixcall.worker", "--help"], capture_output=True, text=True, env={**os.environ})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--control-fd", done.stdout)
        done = subprocess.run([sys.executable, "-m", "sixcall.worker", "--kind", "l2", "--module", "m", "--class", "c"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)


if __name__ == "__main__":
    unittest.main()
