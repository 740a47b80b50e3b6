# SPDX-License-Identifier: Apache-2.0
"""NativeConnector against the bundled libraries: LMCache's six methods."""

import os
import signal
import subprocess
import sys
import unittest

from sixcall import Error
from sixcall.lmcache import NativeConnector
from helpers import ROOT, WAIT, TestCase, compile_c, readable


class Native(TestCase):
    def mem(self, **params) -> NativeConnector:
        connector = NativeConnector(library="mem", params={"capacity_bytes": 64 << 20, **params})
        self.addCleanup(connector.close)
        return connector

    def fs(self) -> NativeConnector:
        connector = NativeConnector(library="fs", params={"base_path": self.folder()})
        self.addCleanup(connector.close)
        return connector

    def wait(self, connector: NativeConnector, future: int):
        """The completion of future, which is the only operation in flight."""
        while True:
            self.assertTrue(readable(connector.event_fd(), WAIT), "no completion came")
            done = connector.drain_completions()
            if done:
                self.assertEqual([d[0] for d in done], [future])
                return done[0][1:]


class TestCalls(Native):
    def test_values_come_back_with_a_result_per_key(self):
        for connector in (self.mem(), self.fs()):
            with self.subTest(connector=connector._connection.name):
                keys = [f"m@0000000{i}@0@{i:02x}" for i in range(3)]
                values = [b"one", bytearray(b"second"), memoryview(b"\0" * 5000)]
                self.assertEqual(self.wait(connector, connector.submit_batch_set(keys, values)), (True, "", None))
                absent = "m@00000000@0@ff"
                self.assertEqual(
                    self.wait(connector, connector.submit_batch_exists([*keys, absent, keys[0]])),
                    (True, "", [True, True, True, False, True]),
                )
                into = [bytearray(3), bytearray(b"untouched"), bytearray(6), bytearray(5000)]
                got = self.wait(connector, connector.submit_batch_get([keys[0], absent, keys[1], keys[2]], into))
                self.assertEqual(got, (True, "", [True, False, True, True]))
                self.assertEqual(into, [b"one", b"untouched", b"second", bytes(5000)])
                deleted = self.wait(connector, connector.submit_batch_delete([keys[0], absent]))
                self.assertEqual(deleted, (True, "", [True, False]))
                self.assertEqual(self.wait(connector, connector.submit_batch_exists(keys))[2], [False, True, True])

    def test_a_value_of_another_size_is_no_hit_and_is_named(self):
        connector = self.mem()
        self.wait(connector, connector.submit_batch_set(["k"], [b"12345"]))
        for size in (4, 6):
            ok, error, results = self.wait(connector, connector.submit_batch_get(["k"], [bytearray(size)]))
            self.assertEqual((ok, results), (True, [False]))
            self.assertRegex(error, "get 'mem': 1 of 1 keys failed")

    def test_one_bad_key_does_not_spoil_its_batch(self):
        connector = self.mem()
        bad = "k" * (connector._connection._limits.max_key_len + 1)
        ok, error, _ = self.wait(connector, connector.submit_batch_set(["a", bad, "b"], [b"1", b"2", b"3"]))
        self.assertFalse(ok)
        self.assertRegex(error, "set 'mem': 1 of 3 keys failed: key 1 has")
        self.assertEqual(self.wait(connector, connector.submit_batch_exists(["a", bad, "b"]))[2], [True, False, True])
        self.assertEqual(self.wait(connector, connector.submit_batch_exists([bad]))[::2], (True, [False]))

    def test_ids_count_from_one_and_refusals_take_none(self):
        connector = self.mem()
        with self.assertRaisesRegex(Error, "keys list is empty"):
            connector.submit_batch_exists([])
        for call in (connector.submit_batch_set, connector.submit_batch_get):
            with self.assertRaisesRegex(Error, "2 keys and 1 buffers"):
                call(["a", "b"], [bytearray(1)])
        with self.assertRaises(BufferError):
            connector.submit_batch_get(["a"], [b"immutable"])
        for want in (1, 2, 3):
            future = connector.submit_batch_exists(["a"])
            self.assertEqual(future, want)
            self.wait(connector, future)

    def test_the_event_fd_is_readable_exactly_while_completions_wait(self):
        connector = self.mem()
        fd = connector.event_fd()
        self.assertFalse(readable(fd))
        self.assertFalse(os.get_inheritable(fd))
        self.wait(connector, connector.submit_batch_exists(["a"]))
        for _ in range(2):  # one spurious wake-up per completion is allowed
            self.assertEqual(connector.drain_completions(), [])
        self.assertFalse(readable(fd))
        self.assertEqual(connector.event_fd(), fd)
        self.assertEqual(connector.drain_completions(), [])

    def test_buffers_are_held_until_completion(self):
        connector = self.mem()
        buffer = bytearray(1 << 20)
        future = connector.submit_batch_set(["a"], [buffer])
        try:
            buffer.append(1)  # moves the memory: refused while it is lent
            lent = False
        except BufferError:
            lent = True
        self.assertTrue(lent)
        self.wait(connector, future)
        buffer.append(1)

    def test_more_batches_than_the_queue_holds_are_all_answered(self):
        connector = self.mem()
        n = (connector._connection._limits.max_inflight or 4096) + 500
        futures = {connector.submit_batch_set([f"k{i}"], [b"v"]) for i in range(n)}
        self.assertEqual(len(futures), n)
        while futures:
            self.assertTrue(readable(connector.event_fd(), WAIT), f"{len(futures)} were never answered")
            for future, ok, error, _ in connector.drain_completions():
                self.assertTrue(ok, error)
                futures.remove(future)
        self.assertEqual(self.wait(connector, connector.submit_batch_exists([f"k{n - 1}"]))[2], [True])

    def test_closing(self):
        connector = self.mem()
        connector.submit_batch_set(["a"], [b"v"])
        connector.close()
        connector.close()
        self.assertEqual(connector.event_fd(), -1)
        self.assertEqual(connector.drain_completions(), [])
        with self.assertRaisesRegex(Error, "the connector is closed"):
            connector.submit_batch_exists(["a"])


class TestCreate(Native):
    def test_what_is_wrong_is_named(self):
        for kwargs, want in (
            (dict(library="nothing"), "libsixcall_nothing.so"),
            (dict(library="mem", params={"capasity_bytes": 1}), 'unknown config key "capasity_bytes"'),
            (dict(library="mem", params=[]), "params is a list, want an object"),
            (dict(library="mem", class_name="fs"), "it is the connector 'mem', want 'fs'"),
            (dict(library="mem", isolation="process"), '"class_name": "L2Adapter"'),
            (dict(library="mem", sha256="00"), "not the one that is pinned"),
            (dict(library="mem", capacity_bytes=1), "unknown keys: capacity_bytes"),
            (dict(library="fs", params={"base_path": "/proc/nope"}), "/proc/nope"),
        ):
            with self.subTest(want), self.assertRaisesRegex(Error, want):
                NativeConnector(**kwargs)

    def test_other_libraries_are_refused(self):
        folder = self.folder()
        plain = compile_c(folder, "int x;", "plain.so", "-shared", "-fPIC")
        with self.assertRaisesRegex(Error, "does not export sixcall_connector_entry_v1"):
            NativeConnector(library=plain)
        entry = "#include <sixcall/connector.h>\nSIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *h) "
        for name, body, want in (
            ("null", "{ (void)h; return 0; }", "it refuses hosts of ABI 1.0"),
            ("short", "{ static sixcall_api a = {.struct_size = 112}; (void)h; return &a; }", "has 112 bytes, want at least 120"),
            ("major", "{ static sixcall_api a = {.struct_size = 200, .abi_major = 2}; (void)h; return &a; }", "implements ABI 2.0"),
            ("needs", "{ static sixcall_api a = {.struct_size = 200, .abi_major = 1, .needs = 4}; (void)h; return &a; }", "needs host features 0x4"),
            ("open", "{ static sixcall_api a = {.struct_size = 200, .abi_major = 1}; (void)h; return &a; }", "the required call open is missing"),
        ):
            path = compile_c(folder, entry + body, name + ".so", "-shared", "-fPIC")
            with self.subTest(name), self.assertRaisesRegex(Error, want):
                NativeConnector(library=path)

    def test_a_library_that_takes_signals_over_is_put_right(self):
        source = (
            "#include <signal.h>\n#include <sixcall/connector.h>\n"
            "static void take(int s) { (void)s; }\n"
            "__attribute__((constructor)) static void init(void) { signal(SIGURG, take); }\n"
            "SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *h) { (void)h; return 0; }\n"
        )
        path = compile_c(self.folder(), source, "signals.so", "-shared", "-fPIC")
        seen = []
        signal.signal(signal.SIGURG, lambda number, frame: seen.append(number))
        self.addCleanup(signal.signal, signal.SIGURG, signal.SIG_DFL)
        with self.assertLogs("sixcall", "WARNING") as logs, self.assertRaises(Error):
            NativeConnector(library=path)
        self.assertIn("SIGURG", logs.output[0])
        os.kill(os.getpid(), signal.SIGURG)
        self.assertEqual(seen, [signal.SIGURG])


class TestFork(Native):
    def test_a_forked_child_is_told_so_and_can_open_its_own(self):
        program = (
            "import os, sys\n"
            "from sixcall.lmcache import NativeConnector\n"
            "import helpers\n"
            "parent = NativeConnector(library='mem')\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    try:\n"
            "        parent.submit_batch_exists(['a'])\n"
            "    except Exception as error:\n"
            "        print(error, flush=True)\n"
            "    parent.close()\n"
            "    own = NativeConnector(library='mem')\n"
            "    own.submit_batch_set(['a'], [b'v'])\n"
            "    done = []\n"
            "    while not done:\n"
            "        assert helpers.readable(own.event_fd(), helpers.WAIT)\n"
            "        done = own.drain_completions()\n"
            "    print(done, flush=True)\n"
            "    own.close()\n"
            "    os._exit(0)\n"
            "print(os.waitpid(pid, 0)[1])\n"
        )
        env = dict(os.environ, PYTHONPATH=os.pathsep.join([os.path.join(ROOT, "adapters/python"), os.path.dirname(__file__)]))
        run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=WAIT * 2)
        lines = run.stdout.splitlines()
        self.assertEqual(len(lines), 3, run.stdout + run.stderr)
        self.assertIn("this process was forked", lines[0])
        self.assertEqual(lines[1:], ["[(1, True, '', None)]", "0"])


if __name__ == "__main__":
    unittest.main()
