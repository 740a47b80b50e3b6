# SPDX-License-Identifier: Apache-2.0
"""Mixed traffic with faults below LMCache's real storage manager, for SIXCALL_SOAK_SECONDS.

L2Adapter keeps values in a redis-server. The server and the worker process that the
connector runs in are killed now and then. Every value that comes back is compared; what
does not come back after a while without faults is a failure. Memory, descriptors and
threads of this process and memory and descriptors of the worker must not grow: the most
of the last quarter is compared with the most of the second one.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

import storage
from helpers import WAIT, TestCase, until

SECONDS = float(os.environ["SIXCALL_SOAK_SECONDS"])
KEYS = 3000  # 96 MB of values; L1 has 16, L2 a limit of 48
SLACK_KB, SLACK_FDS, SLACK_THREADS = 16 << 10, 4, 2
MARGIN = 0.05


class Redis:
    """A redis-server on a port that stays the same."""

    def __init__(self, folder: str):
        self._folder = folder
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.start()

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed"
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self._folder]
        self._process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.answers, "redis-server")

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def footprint(pid) -> dict:
    """Resident kilobytes, descriptors and threads of a process; empty if it has gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return {
            "rss_kb": int(fields["VmRSS"].split()[0]),
            "fds": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(fields["Threads"]),
        }
    except (OSError, KeyError):
        return {}


class TestSoak(TestCase):
    def setUp(self):
        self.redis = Redis(self.folder())
        self.addCleanup(lambda: self.redis.kill())
        self.sm = storage.manager(
            {
                "type": "plugin",
                "module_path": "sixcall.lmcache",
                "class_name": "L2Adapter",
                "adapter_params": {
                    "library": "redis",
                    "params": {"host": "127.0.0.1", "port": self.redis.port},
                    "isolation": "process",
                    "integrity": "xxh3",
                    "max_capacity_gb": (48 << 20) / (1 << 30),
                    "worker": {"restarts_per_minute": 30},
                },
                "eviction": {"eviction_policy": "LRU", "trigger_watermark": 0.8, "eviction_ratio": 0.2},
            },
            l1_bytes=16 << 20,
        )
        self.addCleanup(self.sm.close)
        self.counts = dict.fromkeys(("stored", "asked", "hits", "redis_kills", "worker_kills"), 0)
        self.lock = threading.Lock()
        self.failed: list = []
        self.stop = threading.Event()

    def count(self, **more: int) -> None:
        with self.lock:
            for name, n in more.items():
                self.counts[name] += n

    def status(self) -> dict:
        return storage.adapter(self.sm).report_status()

    def traffic(self, number: int) -> None:
        """Stores and asks for runs of keys. Runs of the two threads are apart: LMCache
        hands a key that is being written to one writer."""
        choice = random.Random(number)
        try:
            while not self.stop.is_set():
                start, length = choice.randrange(number, KEYS, 2), choice.choice((1, 2, 8, 16))
                keys = [storage.key(n, salt=str(n % 3)) for n in range(start, min(start + 2 * length, KEYS), 2)]
                if choice.random() < 0.5:
                    objects = self.sm.reserve_write(keys, storage.LAYOUT)
                    for key, obj in objects.items():
                        obj.byte_array.cast("B")[:] = storage.content(key)
                    self.sm.finish_write(list(objects))
                    self.count(stored=len(objects))
                else:
                    _, values = storage.prefetch(self.sm, keys, choice.choice(("prefix", "full")))
                    self.count(asked=len(keys), hits=len(values))
                    for i, value in values.items():
                        if value != storage.content(keys[i]):
                            raise AssertionError(f"other bytes for {keys[i]}")
        except BaseException as error:  # for the main thread
            self.failed.append(error)
            self.stop.set()

    def fault(self, number: int) -> None:
        if number % 3 == 2:
            pid = self.status()["worker"]["pid"]
            if pid > 1:
                os.kill(pid, signal.SIGKILL)
                self.count(worker_kills=1)
        else:
            self.redis.kill()
            self.stop.wait(1 + number % 3)
            self.redis.start()
            self.count(redis_kills=1)

    def serves(self) -> bool:
        """Whether a value goes to L2 and comes back from there."""
        k = storage.key(10**6 + self.counts["redis_kills"] * 1000 + self.counts["worker_kills"])
        objects = self.sm.reserve_write([k], storage.LAYOUT)
        if not objects:
            self.sm.delete_l1_keys([k])
            return False
        objects[k].byte_array.cast("B")[:] = storage.content(k)
        self.sm.finish_write([k])
        deadline = time.monotonic() + 1
        while self.sm.delete_l1_keys([k])[1] and time.monotonic() < deadline:
            time.sleep(0.01)
        _, values = storage.prefetch(self.sm, [k])
        self.sm.delete_l1_keys([k])
        return values == {0: storage.content(k)}

    def test_memory_and_descriptors_are_flat(self):
        threads = [threading.Thread(target=self.traffic, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        began, faults, samples = time.monotonic(), 0, []
        every = max(SECONDS / 40, 3)
        while not self.stop.wait(min(every / 3, 5)):
            passed = time.monotonic() - began
            samples.append((passed, footprint("self"), footprint(self.status()["worker"]["pid"] or 0)))
            if passed > SECONDS:
                break
            if passed > (faults + 1) * every:
                self.fault(faults)
                faults += 1
                until(lambda: self.stop.is_set() or self.serves(), f"L2 after fault {faults}: {json.dumps(self.status(), default=str)}")
        self.stop.set()
        for thread in threads:
            thread.join()
        for error in self.failed:
            raise error
        until(self.serves, "L2 at the end")
        status = self.status()
        print(json.dumps({"seconds": round(time.monotonic() - began), **self.counts, "restarts": status["worker"]["restarts"]}), file=sys.stderr)
        self.assertGreater(self.counts["hits"], 0)
        self.assertGreater(self.counts["redis_kills"], 0)
        self.assertGreater(self.counts["worker_kills"], 0)
        self.assertEqual((status["in_flight"], status["quarantined"]), (0, 0), status)
        for who, at in (("host", 1), ("worker", 2)):
            for what, slack in (("rss_kb", SLACK_KB), ("fds", SLACK_FDS), ("threads", SLACK_THREADS)):
                quarters = [[], [], [], []]
                for sample in samples:
                    if what in sample[at]:
                        quarters[min(int(4 * sample[0] / SECONDS), 3)].append(sample[at][what])
                most = [max(q, default=0) for q in quarters]
                print(f"{who} {what}: most of each quarter {most}", file=sys.stderr)
                self.assertLessEqual(most[3], most[1] * (1 + MARGIN) + slack, f"{who} {what} grows: {most}")


if __name__ == "__main__":
    unittest.main()
