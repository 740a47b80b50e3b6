# SPDX-License-Identifier: Apache-2.0
"""Runs one of LMCache's plug-ins, written in Python, for a host that is not Python.

``python -m sixcall.worker`` is a worker process: it speaks the protocol of
sixcall-worker (native/worker/PROTOCOL.md in the source) over a Unix socket, two
rings and mapped memory. Values stay where they are: a plug-in's memory objects are
views of the host's memory.

It needs Python 3.10 on Linux and nothing else. A plug-in imports LMCache, torch and
whatever it likes from the interpreter that runs it; where LMCache is not installed,
``stubs`` stands in for the part that plug-ins are written against.
"""
