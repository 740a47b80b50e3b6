# SPDX-License-Identifier: Apache-2.0
"""LMCache's contract for L2 adapters, against L2Adapter and its real plug-in factory."""

import ctypes
import mmap
import os
import subprocess
import sys
import tempfile
import threading
import unittest

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.internal_api import L1MemoryDesc, L2AdapterListener
from lmcache.v1.distributed.l2_adapters import create_l2_adapter

import sixcall
import storage
from helpers import WAIT, TestCase, readable

FAULTY = os.environ["SIXCALL_TEST_FAULTY"]


class Object:
    """The part of a MemoryObj that adapters use."""

    def __init__(self, content: bytes):
        self.memory = ctypes.create_string_buffer(content, max(len(content), 1))
        self.size = len(content)

    @property
    def data_ptr(self) -> int:
        return ctypes.addressof(self.memory)

    def get_size(self) -> int:
        return self.size

    def content(self) -> bytes:
        return self.memory.raw[: self.size]


class Listener(L2AdapterListener):
    def __init__(self):
        self.heard = []
        self.changed = threading.Condition()

    def tell(self, *what) -> None:
        with self.changed:
            self.heard.append(what)
            self.changed.notify_all()

    def on_l2_keys_stored(self, keys, sizes):
        self.tell("stored", list(keys), list(sizes))

    def on_l2_keys_accessed(self, keys):
        self.tell("accessed", list(keys))

    def on_l2_keys_deleted(self, keys):
        self.tell("deleted", list(keys))

    def wait(self, n: int) -> list:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.heard) >= n, WAIT), f"heard {self.heard}, want {n} events"
            return list(self.heard)


class AdapterCase(TestCase):
    """Makes adapters through LMCache's factory."""

    def make(self, l1=None, **params):
        config = {"type": "plugin", "module_path": "sixcall.lmcache", "class_name": "L2Adapter", "adapter_params": params}
        adapter = create_l2_adapter(storage.l2_config(config).adapters[0], l1)
        self.addCleanup(adapter.close)
        return adapter

    def faulty(self, isolation: str = "none", **params):
        settings = {key: params.pop(key) for key in list(params) if key in ("deadlines", "breaker", "integrity", "buffers", "l1")}
        named = {f"x-{key.replace('_', '-')}": value for key, value in params.items()}
        return self.make(library=FAULTY, class_name="faulty", params=named, isolation=isolation, **settings)

    def store(self, adapter, keys, values) -> int:
        task = adapter.submit_store_task(keys, [Object(v) for v in values])
        done = {}
        while task not in done:
            self.assertTrue(readable(adapter.get_store_event_fd(), WAIT), "no store was signalled")
            os.eventfd_read(adapter.get_store_event_fd())
            done.update(adapter.pop_completed_store_tasks())
        return int(done[task])

    def answer(self, fd: int, query, task: int):
        while True:
            self.assertTrue(readable(fd, WAIT), "no result was signalled")
            os.eventfd_read(fd)
            bits = query(task)
            if bits is not None:
                return bits

    def lookup(self, adapter, keys) -> str:
        task = adapter.submit_lookup_and_lock_task(keys, {})
        return str(self.answer(adapter.get_lookup_and_lock_event_fd(), adapter.query_lookup_and_lock_result, task))

    def load(self, adapter, keys, sizes) -> tuple:
        objects = [Object(b"\xee" * size) for size in sizes]
        task = adapter.submit_load_task(keys, objects)
        bits = self.answer(adapter.get_load_event_fd(), adapter.query_load_result, task)
        return str(bits), [o.content() for o in objects]


def key(n: int, salt: str = "") -> ObjectKey:
    return ObjectKey(bytes([n]), "meta/llama", 0x01000100, 3, salt)


class Rows:
    """The rows that hold on any connector."""

    def adapter(self, **more):
        raise NotImplementedError

    def test_fds_are_three_and_stay_the_same(self):
        first, second = self.adapter(), self.adapter()
        fds = [f() for a in (first, second) for f in (a.get_store_event_fd, a.get_lookup_and_lock_event_fd, a.get_load_event_fd)]
        self.assertEqual(len(set(fds)), 6)
        self.assertTrue(all(fd >= 0 and not readable(fd) for fd in fds))
        self.store(first, [key(1)], [b"v"])
        self.assertEqual(fds[0], first.get_store_event_fd())

    def test_a_store_is_reported_once(self):
        adapter = self.adapter()
        self.assertEqual(self.store(adapter, [key(1), key(2)], [b"x" * 10, b"y" * 20]), 30)
        self.assertEqual(adapter.pop_completed_store_tasks(), {})
        self.assertEqual(self.store(adapter, [key(1), key(2)], [b"x" * 10, b"y" * 20]), 0)
        self.assertEqual(adapter.get_usage().total_bytes_used, 30)

    def test_values_of_many_sizes_come_back(self):
        adapter = self.adapter()
        sizes = [1, 100, 4096, 5000, 1 << 20]
        keys = [key(i, "alice") for i in range(len(sizes))]
        values = [os.urandom(size) for size in sizes]
        self.assertEqual(self.store(adapter, keys, values), sum(sizes))
        bits, contents = self.load(adapter, [*keys, key(99)], [*sizes, 7])
        self.assertEqual(bits, "111110")
        self.assertEqual(contents[:-1], values)
        self.assertEqual(dict(adapter.get_usage().bytes_by_cache_salt), {"alice": sum(sizes)})

    def test_bitmaps_have_a_bit_per_key(self):
        adapter = self.adapter()
        n = 5000
        keys = [ObjectKey(i.to_bytes(4, "big"), "m", 1) for i in range(n)]
        self.store(adapter, keys[::3], [b"v"] * len(keys[::3]))
        want = "".join("1" if i % 3 == 0 else "0" for i in range(n))
        self.assertEqual(self.lookup(adapter, keys), want)
        self.assertEqual(self.lookup(adapter, keys[:1]), "1")
        self.assertEqual(self.lookup(adapter, keys[::3]), "1" * len(keys[::3]))

    def test_ids_are_distinct_and_unknown_ones_have_no_result(self):
        adapter = self.adapter()
        tasks = [adapter.submit_lookup_and_lock_task([key(i)], {}) for i in range(5)]
        tasks.append(adapter.submit_store_task([key(1)], [Object(b"v")]))
        self.assertEqual(len(set(tasks)), 6)
        self.assertIsNone(adapter.query_lookup_and_lock_result(10**6))
        self.assertIsNone(adapter.query_load_result(tasks[0]))

    def test_a_result_is_given_once(self):
        adapter = self.adapter()
        task = adapter.submit_lookup_and_lock_task([key(1)], {})
        self.answer(adapter.get_lookup_and_lock_event_fd(), adapter.query_lookup_and_lock_result, task)
        self.assertIsNone(adapter.query_lookup_and_lock_result(task))

    def test_keys_that_differ_in_one_field_are_different(self):
        adapter = self.adapter()
        base = dict(chunk_hash=b"\x01", model_name="m", kv_rank=1, object_group_id=0, cache_salt="")
        others = [{"chunk_hash": b"\x01\x00"}, {"model_name": "n"}, {"kv_rank": 1 << 40}, {"object_group_id": 1}, {"cache_salt": "s"}]
        keys = [ObjectKey(**base)] + [ObjectKey(**{**base, **other}) for other in others]
        values = [bytes([i]) * 8 for i in range(len(keys))]
        self.store(adapter, keys, values)
        self.assertEqual(self.load(adapter, keys, [8] * len(keys)), ("1" * len(keys), values))

    def test_what_cannot_be_submitted_is_refused(self):
        adapter = self.adapter()
        with self.assertRaisesRegex(sixcall.Error, "keys list is empty"):
            adapter.submit_lookup_and_lock_task([], {})
        with self.assertRaisesRegex(sixcall.Error, "one object per key"):
            adapter.submit_store_task([key(1), key(2)], [Object(b"v")])
        with self.assertRaises(AttributeError):
            adapter.submit_lookup_and_lock_task(["no key"], {})
        with self.assertRaises(AttributeError):
            adapter.submit_load_task([key(1)], ["no object"])
        with self.assertRaises(OverflowError):
            adapter.submit_lookup_and_lock_task([ObjectKey(b"", "m", 1 << 70)], {})
        self.assertEqual(self.lookup(adapter, [key(1)]), "0")

    def test_pins_hold_a_key_until_the_last_is_given_back(self):
        adapter = self.adapter()
        self.store(adapter, [key(1)], [b"v"])
        self.assertEqual(self.lookup(adapter, [key(1), key(1)]), "11")
        adapter.submit_unlock([key(1), key(7)])
        adapter.delete([key(1)])
        self.assertEqual(self.lookup(adapter, [key(1)]), "1", "one pin was left")
        adapter.submit_unlock([key(1), key(1)])
        adapter.delete([key(1)])
        self.assertEqual(self.lookup(adapter, [key(1)]), "0")
        self.assertEqual(adapter.get_usage().total_bytes_used, 0)

    def test_deletes_account_before_they_return(self):
        adapter = self.adapter()
        adapter.delete([])
        adapter.delete([key(9)])
        self.store(adapter, [key(1), key(2)], [b"x" * 400, b"y"])
        adapter.delete([key(1), key(9)])
        self.assertEqual(adapter.get_usage().total_bytes_used, 1)
        self.assertEqual(self.lookup(adapter, [key(1), key(2)]), "01")

    def test_listeners_hear_in_order(self):
        adapter, listener = self.adapter(), Listener()
        failing = Listener()
        failing.on_l2_keys_stored = lambda keys, sizes: (_ for _ in ()).throw(ValueError("a listener that fails"))
        adapter.register_listener(listener)
        adapter.register_listener(failing)
        with self.assertLogs("sixcall", "ERROR"):
            self.store(adapter, [key(1), key(2, "s")], [b"x" * 10, b"y" * 20])
            self.store(adapter, [key(1)], [b"x" * 10])
            self.load(adapter, [key(2, "s")], [20])
            adapter.delete([key(1)])
            self.store(adapter, [key(1)], [b"z" * 5])
            heard = listener.wait(5)
        self.assertEqual(
            heard,
            [
                ("stored", [key(1), key(2, "s")], [10, 20]),
                ("stored", [key(1)], [0]),
                ("accessed", [key(2, "s")]),
                ("deleted", [key(1)]),
                ("stored", [key(1)], [5]),
            ],
        )
        self.assertEqual(adapter.get_usage().total_bytes_used, 25)

    def test_status_and_close(self):
        adapter = self.adapter()
        adapter.set_backend_identity("first", shared=True)
        with self.assertRaises(ValueError):
            adapter.set_backend_identity("")
        status = adapter.report_status()
        self.assertEqual((status["is_healthy"], status["type"], status["name"], status["shared"]), (True, "L2Adapter", "first", True))
        adapter.close()
        adapter.close()
        self.assertFalse(adapter.report_status()["is_healthy"])
        self.assertEqual([adapter.get_store_event_fd(), adapter.get_load_event_fd()], [-1, -1])
        for submit in (
            lambda: adapter.submit_lookup_and_lock_task([key(1)], {}),
            lambda: adapter.submit_store_task([key(1)], [Object(b"v")]),
            lambda: adapter.submit_load_task([key(1)], [Object(b"v")]),
        ):
            with self.assertRaisesRegex(sixcall.Error, "the adapter is closed"):
                submit()
        adapter.submit_unlock([key(1)])
        adapter.delete([key(1)])
        self.assertEqual(adapter.get_usage().total_bytes_used, 0)

    def test_capacity_is_what_the_host_sees(self):
        adapter = self.adapter(max_capacity_gb=2.5)
        self.assertTrue(adapter.supports_global_eviction)
        self.assertEqual(adapter.get_usage().total_capacity_bytes, 2_684_354_560)
        self.assertEqual(self.adapter().get_usage().usage_fraction, -1.0)

    def test_a_corrupt_value_is_a_miss(self):
        adapter = self.adapter(integrity="xxh3")
        self.store(adapter, [key(1), key(2)], [b"first", b"other"])
        self.assertEqual(self.load(adapter, [key(1), key(2)], [5, 5]), ("11", [b"first", b"other"]))
        self.assertEqual(self.load(adapter, [key(1)], [4])[0], "0", "another size")


class TestMem(Rows, AdapterCase):
    isolation = "none"

    def adapter(self, **more):
        return self.make(library="mem", params={"capacity_bytes": 256 << 20}, isolation=self.isolation, **more)


class TestMemIsolated(TestMem):
    isolation = "process"


class TestFS(Rows, AdapterCase):
    isolation = "none"

    def adapter(self, **more):
        return self.make(library="fs", params={"base_path": self.folder()}, isolation=self.isolation, **more)

    def test_a_file_that_was_changed_is_a_miss(self):
        folder = self.folder()
        adapter = self.make(library="fs", params={"base_path": folder}, integrity="xxh3", isolation=self.isolation)
        self.store(adapter, [key(1)], [b"A" * 4096])
        (path,) = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if name.endswith(".data")]
        with open(path, "r+b") as file:
            file.seek(100)
            file.write(b"B")
        self.assertEqual(self.load(adapter, [key(1)], [4096])[0], "0")
        self.assertEqual(adapter.report_status()["corrupt"], 1)


class TestFSIsolated(TestFS):
    isolation = "process"


class TestFaults(AdapterCase):
    """A connector that breaks on demand, in and out of process."""

    def test_a_silent_connector_is_answered_by_deadline(self):
        for isolation in ("none", "process"):
            with self.subTest(isolation):
                adapter = self.faulty(isolation, hold=1000, deadlines={"lookup_ms": 50, "load_ms": 50, "store_ms": 50})
                self.assertEqual(self.lookup(adapter, [key(1), key(2)]), "00")
                self.assertEqual(self.load(adapter, [key(1)], [8])[0], "0")
                self.assertEqual(self.store(adapter, [key(1)], [b"v"]), -1)
                self.assertEqual(adapter.get_usage().total_bytes_used, 0)

    def test_an_open_breaker_answers_without_the_connector(self):
        breaker = {"failures": 3, "cooldown_ms": 3_600_000, "max_cooldown_ms": 3_600_000}
        adapter = self.faulty(hold=3, breaker=breaker, deadlines={"lookup_ms": 50})
        for _ in range(3):
            self.assertEqual(self.lookup(adapter, [key(1)]), "0")
        storage.until(lambda: adapter.report_status()["state"] == "open", "the breaker")
        status = adapter.report_status()
        self.assertFalse(status["is_healthy"])
        self.assertEqual(self.lookup(adapter, [key(1)]), "0")
        self.assertEqual(adapter.report_status()["classes"]["lookup"]["Dropped"], 1)

    def test_a_failed_store_is_reported_and_not_accounted(self):
        adapter = self.faulty(behaviour="unset")
        self.assertEqual(self.store(adapter, [key(1)], [b"v"]), -1)
        self.assertEqual(adapter.get_usage().total_bytes_used, 0)

    def test_a_crash_of_the_worker_is_a_miss_and_then_it_works(self):
        adapter = self.faulty("process", fault="crash_in_get", after=1)
        self.store(adapter, [key(1)], [b"value"])
        self.assertEqual(self.load(adapter, [key(1)], [5]), ("1", [b"value"]))
        self.assertEqual(self.load(adapter, [key(1)], [5])[0], "0")

        def again() -> bool:  # "ready" alone may still be the one that crashed
            worker = adapter.report_status()["worker"]
            return worker["restarts"] >= 1 and worker["state"] == "ready"

        storage.until(again, "the worker's restart")
        self.assertEqual(self.store(adapter, [key(2)], [b"again"]), 5)
        self.assertEqual(self.load(adapter, [key(2)], [5]), ("1", [b"again"]))

    def test_what_was_in_flight_is_answered_at_close(self):
        adapter = self.faulty(hold=1000)
        tasks = [adapter.submit_store_task([key(i)], [Object(b"v")]) for i in range(3)]
        lookup = adapter.submit_lookup_and_lock_task([key(1)], {})
        load = adapter.submit_load_task([key(1)], [Object(b"v")])
        adapter._bridge.close(adapter._handle, "faulty")
        self.assertEqual({t: int(r) for t, r in adapter.pop_completed_store_tasks().items()}, dict.fromkeys(tasks, -1))
        self.assertEqual(str(adapter.query_lookup_and_lock_result(lookup)), "0")
        self.assertEqual(str(adapter.query_load_result(load)), "0")

    def test_a_connector_without_delete(self):
        path = FAULTY.replace("libsixcall_faulty.so", "libsixcall_faulty_bare.so")
        adapter = self.make(library=path, class_name="faulty", isolation="none")
        self.store(adapter, [key(1)], [b"v"])
        adapter.delete([key(1)])
        self.assertEqual(self.lookup(adapter, [key(1)]), "1")
        with self.assertRaises(NotImplementedError):
            adapter.list_l2_keys()

    def test_lost_keys_of_an_adapter_with_faults(self):
        inner = {"type": "native_plugin", "module_path": "mem", "class_name": "mem"}
        adapter = self.make(type="fault_inject", inner=inner, gap_indices=[1])
        keys = [key(i) for i in range(3)]
        self.store(adapter, keys, [b"v"] * 3)
        self.assertEqual(self.lookup(adapter, keys), "111")
        self.assertEqual(self.load(adapter, keys, [1] * 3)[0], "101")


class TestCreate(AdapterCase):
    def test_what_is_wrong_is_named_all_at_once(self):
        for params, wants in (
            (dict(), ["library is missing"]),
            (dict(library=3), ["library is a int, want a string"]),
            (dict(library="mem", params=[]), ["params is a list, want an object"]),
            (dict(library="nothing"), ["libsixcall_nothing.so"]),
            (dict(library="mem", class_name="fs"), ['"mem"', '"fs"']),
            (dict(library="mem", isolation="yes", deadlines={"lookup_ms": "5"}, bufers="x"), ["isolation", "deadlines.lookup_ms", "bufers"]),
            (dict(library="mem", params={"capasity_bytes": 1}), ["capasity_bytes"]),
            (dict(library="mem", type="mock"), ["either"]),
            (dict(type="no_such"), ["no_such"]),
            (dict(library=FAULTY, class_name="faulty", params={"x-fault": "fail_in_open"}, isolation="none"), ["open"]),
            (dict(library=FAULTY, class_name="faulty", params={"x-fault": "crash_in_open"}, isolation="process"), ["SIGSEGV"]),
        ):
            with self.subTest(params), self.assertRaises(sixcall.Error) as caught:
                self.make(**params)
            for want in wants:
                self.assertIn(want, str(caught.exception))

    def test_a_list_of_keys_is_paged(self):
        adapter = self.make(library="mem", isolation="none")
        keys = [key(i) for i in range(7)]
        self.store(adapter, keys, [bytes(i + 1) for i in range(7)])
        found, cursor = {}, None
        while True:
            page = adapter.list_l2_keys("meta/llama", 3, cursor)
            found.update({entry.key: entry.size_bytes for entry in page.entries})
            cursor = page.next_page_token
            if cursor is None:
                break
        self.assertEqual(found, {k: i + 1 for i, k in enumerate(keys)})
        self.assertEqual(adapter.list_l2_keys("other").entries, [])
        with self.assertRaises(ValueError):
            adapter.list_l2_keys(page_size=0)


class TestL1(AdapterCase):
    """LMCache's L1 in direct mode."""

    def test_the_storage_managers_l1_is_mapped_into_the_worker(self):
        for isolation, shm, want in (("process", True, "mapped"), ("process", False, "copied"), ("none", False, "direct")):
            with self.subTest(isolation=isolation, shm=shm):
                config = {
                    "type": "plugin",
                    "module_path": "sixcall.lmcache",
                    "class_name": "L2Adapter",
                    "adapter_params": {"library": "mem", "isolation": isolation, "buffers": "direct"},
                }
                sm = storage.manager(config, shm=shm)
                try:
                    adapter = storage.adapter(sm)
                    self.assertEqual(adapter.report_status()["host_memory"], want)
                    keys = [storage.key(i) for i in range(8)]
                    storage.store(sm, keys)
                    storage.until(lambda: adapter.get_usage().total_bytes_used == 8 * storage.VALUE_BYTES, "8 values in L2")
                    storage.drop_l1(sm, keys)
                    bits, values = storage.prefetch(sm, keys)
                    self.assertEqual(bits, "1" * 8)
                    self.assertEqual(values, {i: storage.content(k) for i, k in enumerate(keys)})
                    self.assertEqual(adapter.report_status()["copied_bytes"], 0)
                finally:
                    sm.close()

    def test_a_connector_that_registers_memory_gets_l1_and_its_handle(self):
        file = tempfile.NamedTemporaryFile(dir="/dev/shm")
        self.addCleanup(file.close)
        file.truncate(1 << 16)
        memory = mmap.mmap(file.fileno(), 1 << 16)
        l1 = L1MemoryDesc(ctypes.addressof(ctypes.c_char.from_buffer(memory)), len(memory), 4096)
        adapter = self.faulty(buffers="direct", l1=l1)
        self.assertEqual(adapter.report_status()["host_memory"], "registered")
        self.assertEqual(self.faulty(l1=l1).report_status()["host_memory"], "copied")
        with self.assertRaisesRegex(sixcall.Error, "register 65536 bytes of the host's memory.*no more memory regions"):
            self.faulty(buffers="direct", l1=l1, fault="fail_in_register")


class TestProcess(AdapterCase):
    """What belongs to the whole process, in interpreters of their own."""

    PROGRAM = """
import os, sys
import test_adapter as t
from lmcache.v1.distributed.l2_adapters import create_l2_adapter
case = t.AdapterCase()
adapter = case.make(library="mem", isolation="none")
case.store(adapter, [t.key(1)], [b"v"])
"""

    def run_python(self, program: str, **environment) -> list:
        run = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, timeout=4 * WAIT
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout.splitlines()

    def test_after_a_fork_the_child_is_told_so(self):
        lines = self.run_python(self.PROGRAM + """
pid = os.fork()
if pid == 0:
    for call in (
        lambda: adapter.submit_lookup_and_lock_task([t.key(1)], {}),
        lambda: adapter.delete([t.key(1)]),
        lambda: adapter.report_status(),
        lambda: case.make(library="mem"),
    ):
        try:
            print("worked", call(), flush=True)
        except Exception as error:
            print(type(error).__name__, error, flush=True)
    print(adapter.query_lookup_and_lock_result(0), adapter.pop_completed_store_tasks(), flush=True)
    adapter.close()
    os._exit(0)
print(os.waitpid(pid, 0)[1])
print(case.lookup(adapter, [t.key(1)]))
adapter.close()
""")
        self.assertEqual(len(lines), 7, lines)
        for line in lines[:4]:
            self.assertRegex(line, "^Error .*this process was forked.*NativeConnector.*spawn")
        self.assertEqual(lines[4:], ["None {}", "0", "1"])

    def test_multiprocessing(self):
        for method, want in (("fork", "forked"), ("spawn", "10")):
            with self.subTest(method):
                lines = self.run_python(
                    "import multiprocessing, test_adapter\n"
                    "if __name__ == '__main__':\n"
                    "    case = test_adapter.AdapterCase()\n"
                    "    adapter = case.make(library='mem', isolation='none')\n"
                    f"    context = multiprocessing.get_context({method!r})\n"
                    "    answers = context.Queue()\n"
                    "    child = context.Process(target=test_adapter.in_a_child, args=(answers,))\n"
                    "    child.start()\n"
                    "    print(answers.get(timeout=100))\n"
                    "    child.join()\n"
                    "    adapter.close()\n"
                )
                self.assertIn(want, lines[-1])

    def test_a_second_go_runtime_is_refused_with_the_way_out(self):
        folder = self.folder()
        go = os.path.join(folder, "other.go")
        with open(go, "w") as file:
            file.write('package main\n\nimport "C"\n\n//export Other\nfunc Other() {}\n\nfunc main() {}\n')
        other = os.path.join(folder, "libother.so")
        subprocess.run(
            ["go", "build", "-buildmode=c-shared", "-o", other, go], check=True, env={**os.environ, "CGO_ENABLED": "1", "GO111MODULE": "off"}
        )
        lines = self.run_python(
            f"import ctypes; ctypes.CDLL({other!r})\n"
            "import test_adapter as t\n"
            "from sixcall.lmcache import NativeConnector\n"
            "try:\n"
            "    t.AdapterCase().make(library='mem')\n"
            "except Exception as error:\n"
            "    print(error)\n"
            "NativeConnector(library='mem').close()\n"
            "print('the way out works')\n"
        )
        self.assertRegex(lines[0], "libother.so.*Go runtime.*NativeConnector.*process of its own")
        self.assertEqual(lines[1], "the way out works")

    def test_an_adapter_that_nobody_closed_does_not_hold_the_exit(self):
        lines = self.run_python(self.PROGRAM.replace('isolation="none"', 'isolation="process"') + "\nprint('end')\n")
        self.assertEqual(lines, ["end"])


def in_a_child(answers) -> None:
    """What a process that multiprocessing started sees of its own adapter."""
    try:
        case = AdapterCase()
        adapter = case.make(library="mem", isolation="none")
        case.store(adapter, [key(1)], [b"v"])
        answers.put(case.lookup(adapter, [key(1), key(2)]))
        adapter.close()
    except Exception as error:
        answers.put(str(error))



if __name__ == "__main__":
    unittest.main()
