# SPDX-License-Identifier: Apache-2.0
"""LMCache's real server in multi-process mode, on loopback, with its own client for
machines without a GPU: store, lookup and retrieve, then all of it again from L2."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

from helpers import WAIT, TestCase

REQUESTS, CHUNKS = 2, 2
SHAPE = "(2,256,4,8,64):float16:8"  # of the KV cache; a chunk is 16 MiB / 8


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, case: unittest.TestCase, folder: str, adapter: dict, flags: list):
        self.flags = flags
        self.log = os.path.join(folder, "server.log")
        for attempt in range(3):  # another program may take a port first
            self.rpc, self.http = free_port(), free_port()
            self.start(adapter)
            case.addCleanup(self.stop, self.process)
            if self.ready():
                return
            self.stop(self.process)
        case.fail(f"the server did not start:\n{self.printed()}")

    def start(self, adapter: dict) -> None:
        command = f"""server --host 127.0.0.1 --port {self.rpc} --http-host 127.0.0.1 --http-port {self.http}
            --l1-size-gb 0.25 --no-l1-use-lazy --eviction-policy LRU --chunk-size 256 --supported-transfer-mode auto"""
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lmcache.cli.main", *command.split(), *self.flags, "--l2-adapter", json.dumps(adapter)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self) -> bool:
        deadline = time.monotonic() + 4 * WAIT
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if self.status()["is_healthy"]:
                    return True
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.1)
        return False

    def request(self, path: str, method: str = "GET") -> dict:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method)
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return json.load(answer)

    def status(self) -> dict:
        return self.request("/status")

    @staticmethod
    def stop(process: subprocess.Popen) -> None:
        if process.poll() is None and process.pid > 0:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(WAIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def printed(self) -> str:
        with open(self.log) as log:
            return log.read()[-4000:]

    def bench(self) -> str:
        """What LMCache's client prints; it needs no engine and no GPU."""
        command = f"""bench server --mode cpu --rpc-url tcp://127.0.0.1:{self.rpc} --url http://127.0.0.1:{self.http}
            --num-tokens {256 * CHUNKS} --start 0 --end {REQUESTS} --interval 0.01"""
        run = subprocess.run(
            [sys.executable, "-m", "lmcache.cli.main", *command.split(), "--kvcache-shape-spec", SHAPE],
            capture_output=True,
            text=True,
            timeout=6 * WAIT,
        )
        return run.stdout + run.stderr


class TestServer(TestCase):
    def go_through(self, adapter: dict, folder: str, *flags: str) -> Server:
        server = Server(self, self.folder(), adapter, list(flags))
        first = server.bench()
        self.assertIn(f"Checksum OK:{REQUESTS:>52}", first, first + server.printed())
        self.assertRegex(first, r"Checksum FAIL: +0\n")
        stored = lambda: sum(name.endswith(".data") for _, _, names in os.walk(folder) for name in names)  # noqa: E731
        deadline = time.monotonic() + WAIT
        while stored() < REQUESTS * CHUNKS:
            self.assertLess(time.monotonic(), deadline, f"{stored()} chunks in L2\n{server.printed()}")
            time.sleep(0.05)
        # L1 is emptied: what is found now comes from L2.
        deadline = time.monotonic() + WAIT
        while True:
            self.assertEqual(server.request("/cache/clear", "POST")["status"], "ok")
            if all(m["total_object_count"] == 0 for m in server.status()["storage_manager"]["l1_managers"].values()):
                break
            self.assertLess(time.monotonic(), deadline, "L1 does not get empty")
            time.sleep(0.05)
        second = server.bench()
        cold = re.findall(r"/cold\] LOOKUP: (\d+)/(\d+) chunks hit", second)
        self.assertEqual(cold, [(str(CHUNKS), str(CHUNKS))] * REQUESTS, second + server.printed())
        sums = [re.findall(r"\[seq (\d+)/\w+\] CHECKSUM: (\w+)", text) for text in (first, second)]
        self.assertEqual(len(set(sums[0])), REQUESTS, first)
        self.assertEqual(set(sums[0]), set(sums[1]), "other bytes came back from L2")
        return server

    def test_native_connector(self):
        folder = self.folder()
        self.go_through(
            {
                "type": "native_plugin",
                "module_path": "sixcall.lmcache",
                "class_name": "NativeConnector",
                "adapter_params": {"library": "fs", "params": {"base_path": folder}},
            },
            folder,
        )

    def test_l2_adapter_with_l1_mapped_into_the_worker(self):
        folder = self.folder()
        server = self.go_through(
            {
                "type": "plugin",
                "module_path": "sixcall.lmcache",
                "class_name": "L2Adapter",
                "adapter_params": {
                    "library": "fs",
                    "params": {"base_path": folder},
                    "isolation": "process",
                    "buffers": "direct",
                },
            },
            folder,
            "--shm-name",
            f"sixcall-test-{os.getpid()}",
        )
        (adapter,) = server.status()["storage_manager"]["l2_adapters"]
        self.assertEqual((adapter["host_memory"], adapter["copied_bytes"]), ("mapped", 0))
        self.assertEqual((adapter["worker"]["state"], adapter["keys"]), ("ready", REQUESTS * CHUNKS))


if __name__ == "__main__":
    unittest.main()
