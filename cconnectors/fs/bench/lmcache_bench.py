#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What fs_bench does, with LMCache's own client:

    lmcache_bench.py MODULE.so FOLDER SIZE KEYS BATCH DEPTH WORKERS LOADS

MODULE.so is lmcache_fs*.so of the wheel, on whose needs see bench/run."""
import importlib.util
import mmap
import select
import sys
import time

spec = importlib.util.spec_from_file_location("lmcache_fs", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
folder = sys.argv[2]
size, keys, batch, depth, workers, loads = map(int, sys.argv[3:9])

client = module.LMCacheFSClient(folder, workers)
step = (size + 4095) // 4096 * 4096
memory = mmap.mmap(-1, step * batch * depth)
memory[:] = (bytes(range(256)) * (step // 256)) * (batch * depth)
views = [memoryview(memory)[i * step : i * step + size] for i in range(batch * depth)]
names = [f"meta-llama/Llama-3.1-8B@01000100@0@{i:064x}" for i in range(keys)]
batches = [names[i : i + batch] for i in range(0, keys, batch)]
slots = [views[i * batch : (i + 1) * batch] for i in range(depth)]
poll = select.poll()
poll.register(client.event_fd(), select.POLLIN)


def run(submit):
    start = time.perf_counter()
    free, out, at = list(range(depth)), {}, 0
    while at < len(batches) or out:
        while at < len(batches) and free:
            slot = free.pop()
            keys_of = batches[at]
            out[submit(keys_of, slots[slot][: len(keys_of)])] = slot
            at += 1
        poll.poll()
        for future, ok, error, results in client.drain_completions():
            if not ok or (results is not None and not all(results)):
                sys.exit(f"failed: {error}")
            free.append(out.pop(future))
    return time.perf_counter() - start


for load in range(loads + 1):
    cpu = time.process_time()
    wall = run(client.submit_batch_get if load else client.submit_batch_set)
    print("%.9f %.9f" % (wall, time.process_time() - cpu))
client.close()
