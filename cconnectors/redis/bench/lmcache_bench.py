#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What sixcall-driver does, with LMCache's own client:

    lmcache_bench.py MODULE.so PORT OP BATCH VALUE_BYTES DEPTH SECONDS WORKERS

MODULE.so is lmcache_redis*.so of the wheel, on whose needs see bench/run. OP is
store, load or lookup. Prints one line of JSON with the driver's fields."""
import importlib.util
import json
import mmap
import select
import sys
import time

spec = importlib.util.spec_from_file_location("lmcache_redis", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
port, op = int(sys.argv[2]), sys.argv[3]
batch, size, depth = map(int, sys.argv[4:7])
seconds, workers = float(sys.argv[7]), int(sys.argv[8])

client = module.LMCacheRedisClient("127.0.0.1", port, workers)
keys = max(batch * depth, min(4096, (256 << 20) // max(size, 1)))
memory = mmap.mmap(-1, size * batch * depth)
for i in range(batch * depth):
    memory[i * size : (i + 1) * size] = b"v" * size
views = [memoryview(memory)[i * size : (i + 1) * size] for i in range(batch * depth)]
names = [f"lmcache/chat-8@00000001@0@{i:064x}" for i in range(keys)]
batches = [[names[(i + j) % keys] for j in range(batch)] for i in range(0, keys, batch)]
slots = [views[i * batch : (i + 1) * batch] for i in range(depth)]
poll = select.poll()
poll.register(client.event_fd(), select.POLLIN)


def run(op, until, at_most):
    submit = {"store": client.submit_batch_set, "load": client.submit_batch_get, "lookup": client.submit_batch_exists}[op]
    free, out, sent, done = list(range(depth)), {}, 0, 0
    while True:
        while free and sent < at_most and time.perf_counter() < until:
            slot = free.pop()
            names = batches[sent % len(batches)]
            out[submit(names) if op == "lookup" else submit(names, slots[slot])] = slot
            sent += 1
        if not out:
            return done
        if not poll.poll(30000):
            sys.exit("no completion within 30 s")
        for future, ok, error, results in client.drain_completions():
            if not ok or (results is not None and not all(results)):
                sys.exit(f"failed: {error}")
            free.append(out.pop(future))
            done += 1


run("store", time.perf_counter() + 3600, len(batches))
cpu, start = time.process_time(), time.perf_counter()
done = run(op, start + seconds, 1 << 60)
took = time.perf_counter() - start
print(
    json.dumps(
        {
            "op": op,
            "batch": batch,
            "value_bytes": size,
            "depth": depth,
            "ops_per_s": done / took,
            "keys_per_s": done * batch / took,
            "gb_per_s": done * batch * size / took / 1e9,
            "cpu_us_per_op": (time.process_time() - cpu) / max(done, 1) * 1e6,
        }
    )
)
client.close()
