# SPDX-License-Identifier: Apache-2.0
"""The class that LMCache's adapter type native_plugin loads."""

from __future__ import annotations

from typing import Any, Sequence

from sixcall import abi
from sixcall.connection import Connection
from sixcall.errors import Error


class NativeConnector:
    """A connector library as one of LMCache's native connectors: six calls, and
    submit_batch_delete when the library can delete.

    library      a path, or a bare name such as "mem"
    params       the connector's own configuration
    class_name   the name that the library must declare
    sha256       the only content of the file that is accepted, in hex
    isolation    "none": the library runs in this process, as everything does that
                 LMCache loads as a native plug-in
    open_timeout seconds that the connector may take to connect
    """

    def __init__(
        self,
        library: str = "",
        params: dict | None = None,
        class_name: str = "",
        sha256: str = "",
        isolation: str = "none",
        instance: str = "",
        open_timeout: float = 10.0,
        **unknown: Any,
    ):
        if unknown:
            names = ", ".join(sorted(unknown))
            raise Error(
                "open",
                library or "native_plugin",
                abi.E_CONFIG,
                f"adapter_params has unknown keys: {names}; known are library, params, class_name, sha256, isolation, "
                "instance, open_timeout. Settings of the connector itself belong into params",
            )
        if isolation not in ("none", "auto"):
            raise Error(
                "open",
                library,
                abi.E_CONFIG,
                f"isolation is {isolation!r}, want \"none\": a native plug-in runs in LMCache's process. A process of its "
                'own needs "type": "plugin" with "class_name": "L2Adapter"',
            )
        self._connection = Connection(library, params, class_name, sha256, instance, open_timeout)
        if self._connection.can_delete:
            self.submit_batch_delete = self._submit_batch_delete

    def event_fd(self) -> int:
        return self._connection.event_fd()

    def submit_batch_get(self, keys: Sequence[str], buffers: Sequence[Any]) -> int:
        return self._connection.submit(abi.OP_GET, keys, buffers)

    def submit_batch_set(self, keys: Sequence[str], buffers: Sequence[Any]) -> int:
        return self._connection.submit(abi.OP_SET, keys, buffers)

    def submit_batch_exists(self, keys: Sequence[str]) -> int:
        return self._connection.submit(abi.OP_EXISTS, keys)

    def _submit_batch_delete(self, keys: Sequence[str]) -> int:
        return self._connection.submit(abi.OP_DELETE, keys)

    def drain_completions(self) -> list[tuple[int, bool, str, list[bool] | None]]:
        """(id, ok, error, results): as LMCache's connectors, a set has no list and
        fails as a whole; the others are ok with a result per key, unless the batch
        could not run at all."""
        done = []
        for future in self._connection.drain():
            error = self._connection.explain(future)
            results = [status == abi.STATUS_HIT for status in future.status]
            if future.op == abi.OP_SET:
                done.append((future.id, all(results), error, None))
            else:
                done.append((future.id, future.rc >= 0, error, results))
        return done

    def close(self) -> None:
        self._connection.close()
