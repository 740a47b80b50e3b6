# SPDX-License-Identifier: Apache-2.0
"""Drives a native client of LMCache's wheel for a test:

    client.py MODULE.so CLASS [ARGUMENT as JSON]...

Reads requests from stdin, a JSON object each line, and answers each with one on
descriptor 3:
{"op": "set", "keys": [...], "values": [base64...]}, {"op": "get", "keys": [...],
"lens": [...]}, {"op": "exists" or "delete", "keys": [...]}. The answer has ok,
error, results (bools, null for set), and values (base64) for get."""
import base64
import importlib.util
import json
import os
import select
import sys

spec = importlib.util.spec_from_file_location(os.path.basename(sys.argv[1]).split(".")[0], sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
client = getattr(module, sys.argv[2])(*map(json.loads, sys.argv[3:]))
answers = os.fdopen(3, "w")
poll = select.poll()
poll.register(client.event_fd(), select.POLLIN)

for line in sys.stdin:
    request = json.loads(line)
    op, keys = request["op"], request["keys"]
    # The client does not keep the buffers alive.
    buffers = None
    if op == "set":
        buffers = [memoryview(bytearray(base64.b64decode(v))) for v in request["values"]]
    elif op == "get":
        buffers = [memoryview(bytearray(n)) for n in request["lens"]]
    submit = getattr(client, "submit_batch_" + op)
    future = submit(keys, buffers) if buffers is not None else submit(keys)
    done = []
    while not done:
        if not poll.poll(60000):
            sys.exit("no completion within a minute")
        done = [d for d in client.drain_completions() if d[0] == future]
    _, ok, error, results = done[0]
    answer = {"ok": ok, "error": error, "results": results}
    if op == "get":
        answer["values"] = [base64.b64encode(b).decode() for b in buffers]
    print(json.dumps(answer), file=answers, flush=True)
client.close()
