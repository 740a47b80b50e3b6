# SPDX-License-Identifier: Apache-2.0
"""Three ways to the same files: LMCache's bridge with its own connector lmcache_fs,
LMCache's bridge over NativeConnector, and L2Adapter. One operation at a time, as
LMCache's controllers wait for it: submit, poll the event fd, take the result.

  bench.py [--seconds S] [--folder F] [--busy] [--library fs|mem]

With --library mem the last two only, without a file system's cost: LMCache has no
connector of its own to compare.

--busy runs a Python thread beside that does not stop computing: the case of a server
whose interpreter has something else to do.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import select
import shutil
import sys
import tempfile
import threading
import time

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters import create_l2_adapter
from lmcache.v1.distributed.l2_adapters.config import add_l2_adapters_args, parse_args_to_l2_adapters_config

WORKERS = 4
LOOKUPS = [1, 16, 256]
TRANSFERS = [(4 << 10, 1), (4 << 10, 16), (4 << 10, 256), (64 << 10, 1), (64 << 10, 16), (1 << 20, 1), (1 << 20, 16), (4 << 20, 1), (4 << 20, 4)]


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


def adapters(library: str, folder: str) -> dict:
    params = {"base_path": folder, "workers": WORKERS} if library == "fs" else {}
    native = {"type": "native_plugin", "module_path": "sixcall.lmcache", "class_name": "NativeConnector"}
    plugin = {"type": "plugin", "module_path": "sixcall.lmcache", "class_name": "L2Adapter"}
    own = {"lmcache_fs": {"type": "fs_native", "base_path": folder, "num_workers": WORKERS}} if library == "fs" else {}
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
    def __init__(self, adapter):
        self.adapter = adapter
        self.polls = {}

    def wait(self, fd: int) -> None:
        poll = self.polls.get(fd)
        if poll is None:
            poll = self.polls[fd] = select.poll()
            poll.register(fd, select.POLLIN)
        if not poll.poll(30_000):
            sys.exit("bench: no answer in 30 s")
        os.eventfd_read(fd)

    def lookup(self, keys) -> None:
        a, bits = self.adapter, None
        task = a.submit_lookup_and_lock_task(keys, {})
        while bits is None:
            self.wait(a.get_lookup_and_lock_event_fd())
            bits = a.query_lookup_and_lock_result(task)
        assert bits.popcount() == len(keys), "a key is missing"
        a.submit_unlock(keys)

    def load(self, keys, objects) -> None:
        a, bits = self.adapter, None
        task = a.submit_load_task(keys, objects)
        while bits is None:
            self.wait(a.get_load_event_fd())
            bits = a.query_load_result(task)
        assert bits.popcount() == len(keys), "a key is missing"

    def store(self, keys, objects) -> None:
        a, done = self.adapter, {}
        task = a.submit_store_task(keys, objects)
        while task not in done:
            self.wait(a.get_store_event_fd())
            done.update(a.pop_completed_store_tasks())
        assert done[task].is_successful(), "a store failed"


def measure(seconds: float, operation, limit: int = 1 << 30) -> dict:
    for i in range(min(5, limit)):
        operation(i)
    times, i = [], 5
    cpu, start = time.process_time(), time.perf_counter()
    end = start + seconds
    while i < limit:
        at = time.perf_counter()
        if at > end and len(times) >= 20:
            break
        operation(i)
        times.append(time.perf_counter() - at)
        i += 1
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    times.sort()
    pick = lambda q: times[min(int(len(times) * q), len(times) - 1)] * 1e6  # noqa: E731
    return {"ops": len(times) / wall, "p50": pick(0.5), "p99": pick(0.99), "cpu": cpu / len(times) * 1e6}


def run(config: dict, folder: str, seconds: float) -> dict:
    results, next_key = {}, iter(range(1, 1 << 40))
    adapter = make(config)
    driver = Driver(adapter)
    largest = max(size * n for size, n in TRANSFERS)
    memory = ctypes.create_string_buffer(largest)
    ctypes.memset(memory, 0x5A, largest)
    try:
        for n in LOOKUPS:
            keys = [key(next(next_key)) for _ in range(n)]
            driver.store(keys, [Object(memory, i * 16, 16) for i in range(n)])
            results[f"lookup {n}"] = measure(seconds, lambda i: driver.lookup(keys))
        for size, n in TRANSFERS:
            objects = [Object(memory, i * size, size) for i in range(n)]
            # Stores are of new keys: lmcache_fs writes none that is there already.
            rounds = max(min((512 << 20) // (size * n), 4000), 30)
            batches = [[key(next(next_key)) for _ in range(n)] for _ in range(rounds)]
            results[f"store {size >> 10} KiB x {n}"] = measure(seconds, lambda i: driver.store(batches[i], objects), rounds)
            last = batches[0]
            results[f"load {size >> 10} KiB x {n}"] = measure(seconds, lambda i: driver.load(last, objects))
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    os.remove(path)
    finally:
        adapter.close()
    return results


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=1.0, help="per row and adapter")
    options.add_argument("--folder", default="/dev/shm", help="where the files go")
    options.add_argument("--busy", action="store_true", help="a Python thread computes beside")
    options.add_argument("--library", choices=["fs", "mem"], default="fs")
    args = options.parse_args()
    if args.busy:
        threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(int, 1)], daemon=True).start()
    table = {}
    for name in adapters(args.library, ""):
        folder = tempfile.mkdtemp(prefix="sixcall-bench-", dir=args.folder)
        try:
            table[name] = run(adapters(args.library, folder)[name], folder, args.seconds)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print("ops/s · p50 µs · p99 µs · CPU µs per operation\n")
    names = list(table)
    print("| operation | " + " | ".join(names) + f" | L2Adapter to {names[0]}: ops, p99 |")
    print("|---" * (len(names) + 2) + "|")
    for row in table[names[0]]:
        cells = [f"{r['ops']:.0f} · {r['p50']:.0f} · {r['p99']:.0f} · {r['cpu']:.0f}" for r in (table[n][row] for n in names)]
        peer, ours = table[names[0]][row], table["L2Adapter"][row]
        print(f"| {row} | {' | '.join(cells)} | {ours['ops'] / peer['ops']:.2f}, {peer['p99'] / ours['p99']:.1f} |")


if __name__ == "__main__":
    main()
