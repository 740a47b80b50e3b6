# SPDX-License-Identifier: Apache-2.0
"""What the tests share."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
WAIT = 30.0  # seconds until a test gives up on an event that has to come


def readable(fd: int, seconds: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def until(condition, what: str) -> None:
    """Waits for a condition of another thread."""
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {WAIT} s for: {what}")
        time.sleep(0.01)


def compile_c(folder: str, source: str, name: str, *flags: str) -> str:
    """Compiles C source and returns the path of what came out."""
    path, out = os.path.join(folder, name + ".c"), os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(source)
    command = ["cc", "-std=c11", "-I", os.path.join(ROOT, "native", "include"), "-o", out, path, *flags]
    subprocess.run(command, check=True)
    return out


class TestCase(unittest.TestCase):
    def folder(self) -> str:
        path = tempfile.mkdtemp(prefix="sixcall-test-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path
