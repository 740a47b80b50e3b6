# SPDX-License-Identifier: Apache-2.0
"""Three ways to the same storage: LMCache's bridge with its own connector (lmcache_fs
or lmcache_redis), LMCache's bridge over NativeConnector, and L2Adapter. Operations are
awaited as LMCache's controllers do it: submit, poll the event fd, take the result.

  bench.py [--library fs|redis|mem] [--depth D] [--rounds R] [--seconds S] [--busy]
           [--rows REGEX] [--folder F] [--json FILE]

All three are open at once and take turns, row by row and round by round; a figure is
the median of its rounds. With --library mem the last two only, without a backend's
cost: LMCache has no connector of its own to compare. redis starts a redis-server.

--busy runs a Python thread beside that does not stop computing: the case of a server
whose interpreter has something else to do.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import json
import os
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters import create_l2_adapter
from lmcache.v1.distributed.l2_adapters.config import add_l2_adapters_args, parse_args_to_l2_adapters_config

WORKERS = 4  # of LMCache's connectors; ours have their defaults
LOOKUPS = [1, 16, 64, 256]
TRANSFERS = [(size, batch) for size in (4 << 10, 64 << 10, 1 << 20, 4 << 20, 8 << 20) for batch in (1, 16, 64)]
MOST = 256 << 20  # bytes of one operation


class Object:
    """The part of a MemoryObj that adapters use, with LMCache's own cost of a view."""

    types: dict = {}

    def __init__(self, memory, offset: int, size: int):
        self.address, self.size = ctypes.addressof(memory) + offset, size

    @property
    def data_ptr(self) -> int:
        return self.address

    def get_size(self) -> int:
        return self.size

    @property
    def byte_array(self) -> memoryview:
        array = self.types.setdefault(self.size, ctypes.c_ubyte * self.size)
        return memoryview(array.from_address(self.address))


def configurations(library: str, folder: str, port: int) -> dict:
    """LMCache's own connector first, where there is one."""
    own, params = {}, {"capacity_bytes": 2 << 30}  # of mem, which forgets the oldest
    if library == "fs":
        params = {"base_path": os.path.join(folder, "sixcall")}
        own = {"lmcache_fs": {"type": "fs_native", "base_path": os.path.join(folder, "lmcache"), "num_workers": WORKERS}}
    elif library == "redis":
        params = {"host": "127.0.0.1", "port": port}
        own = {"lmcache_redis": {"type": "resp", "host": "127.0.0.1", "port": port, "num_workers": WORKERS}}
    native = {"type": "native_plugin", "module_path": "sixcall.lmcache", "class_name": "NativeConnector"}
    plugin = {"type": "plugin", "module_path": "sixcall.lmcache", "class_name": "L2Adapter"}
    return {
        **own,
        "NativeConnector": {**native, "adapter_params": {"library": library, "params": params}},
        "L2Adapter": {**plugin, "adapter_params": {"library": library, "params": params, "buffers": "direct"}},
    }


def make(config: dict):
    parser = argparse.ArgumentParser()
    add_l2_adapters_args(parser)
    return create_l2_adapter(parse_args_to_l2_adapters_config(parser.parse_args(["--l2-adapter", json.dumps(config)])).adapters[0], None)


def key(n: int) -> ObjectKey:
    return ObjectKey(n.to_bytes(32, "big"), "meta-llama/Llama-3.1-8B", 0x01000100)


class Driver:
    """One adapter, and up to depth operations of one kind on it at a time."""

    def __init__(self, config: dict):
        self.adapter = make(config)
        self.polls = {}

    def wait(self, fd: int) -> None:
        poll = self.polls.get(fd)
        if poll is None:
            poll = self.polls[fd] = select.poll()
            poll.register(fd, select.POLLIN)
        if not poll.poll(30_000):
            sys.exit("bench: no answer in 30 s")
        os.eventfd_read(fd)

    def run(self, kind: str, batches, objects, depth: int, seconds: float, limit: int) -> tuple[list, float]:
        """Runs batches in a circle, until seconds have passed or limit of them are
        done; objects has one list per operation in flight. Returns the seconds that
        each took, and the whole."""
        a, flight, slots, times = self.adapter, {}, list(range(depth)), []
        submit, fd, taken = {
            "lookup": (lambda keys, _: a.submit_lookup_and_lock_task(keys, {}), a.get_lookup_and_lock_event_fd(), a.query_lookup_and_lock_result),
            "load": (a.submit_load_task, a.get_load_event_fd(), a.query_load_result),
            "store": (a.submit_store_task, a.get_store_event_fd(), None),
        }[kind]
        sent, start = 0, time.perf_counter()
        while True:
            now = time.perf_counter()
            while slots and sent < limit and (now - start < seconds or sent < 20):
                slot, keys = slots.pop(), batches[sent % len(batches)]
                now = time.perf_counter()
                flight[submit(keys, objects[slot])] = (now, slot, keys)
                sent += 1
            if not flight:
                return times, now - start
            self.wait(fd)
            if taken is None:
                done = {task: result.is_successful() for task, result in a.pop_completed_store_tasks().items()}
            else:
                results = {task: taken(task) for task in list(flight)}
                done = {task: bits.popcount() == len(flight[task][2]) for task, bits in results.items() if bits is not None}
            now = time.perf_counter()
            for task, all_right in done.items():
                at, slot, keys = flight.pop(task)
                if not all_right:
                    sys.exit(f"bench: a {kind} failed")
                times.append(now - at)
                slots.append(slot)
                if kind == "lookup":
                    a.submit_unlock(keys)

    def measure(self, kind: str, batches, objects, depth: int, seconds: float, limit: int) -> dict:
        cpu = time.process_time()
        times, wall = self.run(kind, batches, objects, depth, seconds, limit)
        cpu = time.process_time() - cpu
        times.sort()
        pick = lambda q: times[min(int(len(times) * q), len(times) - 1)] * 1e6  # noqa: E731
        return {"ops": len(times) / wall, "p50": pick(0.5), "p99": pick(0.99), "cpu": cpu / len(times) * 1e6}


def rows(options):
    """(name, kind, bytes, keys)"""
    for n in LOOKUPS:
        yield f"lookup {n}", "lookup", 16, n
    for size, n in TRANSFERS:
        if size * n * options.depth <= MOST:
            yield f"store {size >> 10} KiB x {n}", "store", size, n
            yield f"load {size >> 10} KiB x {n}", "load", size, n


def compare(options, drivers: dict, folder: str) -> dict:
    """The rows of the table: name of the row to name of the adapter to its figures."""
    memory = ctypes.create_string_buffer(MOST)
    ctypes.memset(memory, 0x5A, MOST)
    numbers, table = iter(range(1, 1 << 40)), {}
    for name, kind, size, n in rows(options):
        if not re.search(options.rows, name):
            continue
        stride = max(size, 16)
        objects = [[Object(memory, (d * n + i) * stride, size) for i in range(n)] for d in range(options.depth)]
        # Stores are of new keys: lmcache_fs writes none that is there already.
        many = max(min((512 << 20) // (size * n), 2000), 4) if kind == "store" else max(4, options.depth)
        figures = collections.defaultdict(list)
        for _ in range(options.rounds):
            for adapter, driver in drivers.items():
                batches = [[key(next(numbers)) for _ in range(n)] for _ in range(many)]  # nobody's before
                if kind != "store":
                    driver.run("store", batches, objects, options.depth, 3600, many)
                    driver.run(kind, batches, objects, options.depth, 0, 5)
                figures[adapter].append(driver.measure(kind, batches, objects, options.depth, options.seconds, many if kind == "store" else 1 << 40))
                clean(options, folder)
        table[name] = {a: {f: statistics.median(r[f] for r in rounds) for f in rounds[0]} for a, rounds in figures.items()}
    return table


def clean(options, folder: str) -> None:
    """Removes what was stored: the next round has new keys."""
    if options.library == "redis":
        with socket.create_connection(("127.0.0.1", options.port)) as s:
            s.sendall(b"FLUSHALL\r\n")
            s.recv(64)
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".data") or ".data." in name:
                os.remove(os.path.join(place, name))


def redis(folder: str):
    """A redis-server and its port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(1000):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.01)
    process.kill()
    sys.exit("bench: redis-server does not listen")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=0.3, help="per row, adapter and round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--depth", type=int, default=1, help="operations in flight")
    options.add_argument("--rows", default="", help="regular expression: the rows to run")
    options.add_argument("--folder", default="/dev/shm", help="where the files go")
    options.add_argument("--busy", action="store_true", help="a Python thread computes beside")
    options.add_argument("--library", choices=["fs", "redis", "mem"], default="fs")
    options.add_argument("--json", help="file for the figures")
    options = options.parse_args()
    folder, server, drivers = tempfile.mkdtemp(prefix="sixcall-bench-", dir=options.folder), None, {}
    try:
        options.port = 0
        if options.library == "redis":
            server, options.port = redis(folder)
        for name in ("lmcache", "sixcall"):
            os.mkdir(os.path.join(folder, name))
        for name, config in configurations(options.library, folder, options.port).items():
            drivers[name] = Driver(config)
        if options.busy:
            threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(int, 1)], daemon=True).start()
        table = compare(options, drivers, folder)
    finally:
        for driver in drivers.values():
            driver.adapter.close()
        if server is not None:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    names = list(drivers)
    print("ops/s · p50 µs · p99 µs · CPU µs per operation\n")
    print("| operation | " + " | ".join(names) + f" | L2Adapter to {names[0]}: ops, p99 |")
    print("|---" * (len(names) + 2) + "|")
    for row, figures in table.items():
        cells = [f"{r['ops']:.0f} · {r['p50']:.0f} · {r['p99']:.0f} · {r['cpu']:.0f}" for r in (figures[n] for n in names)]
        peer, ours = figures[names[0]], figures["L2Adapter"]
        print(f"| {row} | {' | '.join(cells)} | {ours['ops'] / peer['ops']:.2f}, {peer['p99'] / ours['p99']:.1f} |")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"options": vars(options), "table": table}, file, indent=1)


if __name__ == "__main__":
    main()
