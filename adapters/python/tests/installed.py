# SPDX-License-Identifier: Apache-2.0
"""Run in a clean environment with the wheel installed, and nothing else."""

import select
import shutil

import sixcall
from sixcall import bridge
from sixcall.lmcache import NativeConnector

assert "site-packages" in sixcall.__file__, sixcall.__file__
for tool in ("cc", "gcc", "go", "make"):
    assert shutil.which(tool) is None, f"{tool} is on the path"

connector = NativeConnector(library="mem")
connector.submit_batch_set(["a"], [b"value"])
done = []
while not done:
    poll = select.poll()
    poll.register(connector.event_fd(), select.POLLIN)
    assert poll.poll(30_000), "no completion came"
    done = connector.drain_completions()
assert done == [(1, True, "", None)], done
connector.close()

for isolation in ("none", "process"):
    config = {"type": "native_plugin", "module_path": "mem", "class_name": "mem", "isolation": isolation}
    handle, fds = bridge.load().open(config)
    assert len({*fds}) == 3 and min(fds) >= 0, fds
    status = bridge.load().describe(handle, bridge.STATUS)
    assert status["is_healthy"], status
    if isolation == "process":
        assert status["worker"]["state"] == "ready", status
    bridge.load().close(handle, "mem")
assert "site-packages" in bridge.load().path
print("installed")
