# SPDX-License-Identifier: Apache-2.0
"""Rounds of LMCache's NativeConnectorL2Adapter over a connector library.

Reads one JSON object per line, the options of sixcall-driver without the dashes plus
"busy", and answers each with the line that sixcall-driver would print, or with
{"error": "..."}. It stays up between rounds, because importing LMCache takes longer
than a round. What it does per task is what LMCache's controllers do: submit, poll the
event fd of the kind, ask for the results of the tasks in flight, unlock.

The objects are given as memoryviews made beforehand, which favours the adapter: in
LMCache each one is made anew.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import sys
import threading
import time

import sixcall_peer
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters.native_connector_l2_adapter import NativeConnectorL2Adapter

SET_BYTES, SET_KEYS = 256 << 20, 4096  # the working set, as in sixcall-driver


class Object:
    """The part of a MemoryObj that the adapter uses."""

    __slots__ = ("byte_array", "size")

    def __init__(self, view: memoryview):
        self.byte_array, self.size = view, len(view)

    def get_size(self) -> int:
        return self.size


class Lane:
    """What one task in flight uses."""

    def __init__(self, batches: list, objects: list, first: int):
        self.batches, self.objects, self.next = batches, objects, first

    def keys(self) -> list:
        keys = self.batches[self.next]
        self.next = (self.next + 1) % len(self.batches)
        return keys


class Round:
    def __init__(self, options: dict):
        self.op, self.batch, self.depth = options["op"], options["batch"], options["depth"]
        self.size = max(options["value-bytes"], 1)
        client = sixcall_peer.Client(options["lib"], options["params"], 2 * self.depth)
        self.adapter = NativeConnectorL2Adapter(client, type_name="bench")
        try:
            self.prepare()
        except BaseException:
            self.adapter.close()
            raise

    def prepare(self) -> None:
        total = max(min(SET_KEYS, SET_BYTES // self.size), self.batch)
        keys = []
        for i in range(total):
            head = (i * 0x9E3779B97F4A7C15) & (1 << 64) - 1
            keys.append(ObjectKey(head.to_bytes(8, "big") + bytes(16) + i.to_bytes(8, "big"), "bench/llama70b", 0x01000100))
        batches = [keys[at : at + self.batch] for at in range(0, total - self.batch + 1, self.batch)]
        memory = mmap.mmap(-1, self.depth * self.batch * self.size)
        view = memoryview(memory)
        view[:] = bytes(len(view))
        objects = [Object(view[i * self.size : (i + 1) * self.size]) for i in range(self.depth * self.batch)]
        self.lanes = [
            Lane(batches, objects[i * self.batch : (i + 1) * self.batch], i * len(batches) // self.depth)
            for i in range(self.depth)
        ]
        a = self.adapter
        self.fds = {"lookup": a.get_lookup_and_lock_event_fd, "load": a.get_load_event_fd, "store": a.get_store_event_fd}
        want, self.op = self.op, "store"
        for keys in batches:  # fill
            self.run_some([Lane([keys], self.lanes[0].objects, 0)], 0)
        self.op = want

    def submit(self, lane: Lane) -> tuple:
        keys, a = lane.keys(), self.adapter
        start = time.perf_counter()
        if self.op == "lookup":
            return a.submit_lookup_and_lock_task(keys, {}), lane, keys, start
        if self.op == "load":
            return a.submit_load_task(keys, lane.objects), lane, keys, start
        return a.submit_store_task(keys, lane.objects), lane, keys, start

    def run_some(self, lanes: list, seconds: float) -> list:
        """Keeps one task per lane in flight for the time, at least one each."""
        a, fd, times = self.adapter, self.fds[self.op](), []
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        end = time.perf_counter() + seconds
        flying = {}
        for lane in lanes:
            task = self.submit(lane)
            flying[task[0]] = task
        query = a.query_lookup_and_lock_result if self.op == "lookup" else a.query_load_result
        while flying:
            if not poll.poll(30_000):
                raise RuntimeError(f"no answer in 30 s, {len(flying)} tasks in flight")
            try:
                os.eventfd_read(fd)
            except BlockingIOError:
                pass
            done = []
            if self.op == "store":
                for id, result in a.pop_completed_store_tasks().items():
                    if not result.is_successful():
                        raise RuntimeError("a store failed")
                    done.append(id)
            else:
                for id, (_, _, keys, _) in flying.items():
                    bits = query(id)
                    if bits is None:
                        continue
                    if bits.popcount() != len(keys):
                        raise RuntimeError(f"{bits.popcount()} of {len(keys)} keys")
                    if self.op == "lookup":
                        a.submit_unlock(keys)
                    done.append(id)
            now = time.perf_counter()
            for id in done:
                _, lane, _, start = flying.pop(id)
                times.append(now - start)
                if now < end:
                    task = self.submit(lane)
                    flying[task[0]] = task
        return times

    def measure(self, seconds: float) -> dict:
        self.run_some(self.lanes, min(0.1, seconds / 4))  # warm-up
        cpu, start = time.process_time(), time.perf_counter()
        times = self.run_some(self.lanes, seconds)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        times.sort()
        pick = lambda q: times[int(q * (len(times) - 1))] * 1e6  # noqa: E731
        ops = len(times) / wall
        return {
            "op": self.op, "batch": self.batch, "value_bytes": self.size, "depth": self.depth, "ops_per_s": ops,
            "keys_per_s": ops * self.batch, "p50_us": pick(0.5), "p99_us": pick(0.99), "p999_us": pick(0.999),
            "gb_per_s": 0 if self.op == "lookup" else ops * self.batch * self.size / 1e9,
            "cpu_us_per_op": cpu / len(times) * 1e6,
        }  # fmt: skip


def busy(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))


def answer(options: dict) -> dict:
    r = Round(options)
    stop = threading.Event()
    try:
        if options.get("busy"):
            threading.Thread(target=busy, args=(stop,), daemon=True).start()
        return r.measure(options["seconds"])
    finally:
        stop.set()
        r.adapter.close()


def main() -> None:
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
