# SPDX-License-Identifier: Apache-2.0
"""The class that LMCache's adapter type plugin loads: the Go bridge as an L2 adapter."""

from __future__ import annotations

import atexit
import threading
import weakref
from types import MappingProxyType
from typing import Any, Mapping

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.internal_api import L2StoreResult
from lmcache.v1.distributed.l2_adapters.base import AdapterUsage, L2AdapterInterface

from sixcall import abi, bridge
from sixcall.errors import Error
from sixcall.lmcache.compat import Bitmap
from sixcall.lmcache.config import L2AdapterConfig

_open: "weakref.WeakSet[L2Adapter]" = weakref.WeakSet()


class L2Adapter(L2AdapterInterface):
    """LMCache's L2 adapter on a connector library, served by libsixcall.so.

    Deadlines, circuit breakers, checksums, per-key results and accounts are the
    bridge's. Errors of submits are sixcall.Error. Safe for concurrent use.
    """

    config_class_name = "L2AdapterConfig"

    def __init__(self, config: "L2AdapterConfig | Mapping[str, Any]", l1_memory_desc: Any = None, **_later: Any):
        if not isinstance(config, L2AdapterConfig):
            config = L2AdapterConfig.from_dict(dict(config))
        self._closed = True  # until it is open
        l1 = (l1_memory_desc.ptr, l1_memory_desc.size) if l1_memory_desc is not None else (0, 0)
        self._bridge = bridge.load()
        self._handle, fds = self._bridge.open(config.l2_adapter(), *l1)
        weakref.finalize(self, self._bridge.forget, self._handle)
        self._name = config.name()
        self._store_fd, self._lookup_fd, self._load_fd = fds
        self._closed = False
        _open.add(self)
        # The host's objects of each task, until its result was taken. A result may be
        # taken by another thread before the submit has returned.
        self._lent: dict[int, list] = {}
        self._early: set[int] = set()
        self._lent_lock = threading.Lock()
        self._events: threading.Thread | None = None
        self._events_lock = threading.Lock()
        super().__init__(max_capacity_bytes=self._usage()["capacity"])
        if getattr(getattr(self, "_event_bus", None), "enabled", False):
            self._start_events()

    # Event fds: -1 after close.

    def get_store_event_fd(self) -> int:
        return self._store_fd

    def get_lookup_and_lock_event_fd(self) -> int:
        return self._lookup_fd

    def get_load_event_fd(self) -> int:
        return self._load_fd

    # Tasks.

    def _submit(self, kind: int, operation: str, keys: list, objects: list | None) -> int:
        if self._closed:
            raise Error(operation, self._name, abi.E_CLOSED, "the adapter is closed")
        task = self._bridge.submit(self._handle, kind, keys, objects)
        if task < 0:
            raise self._bridge.error(operation, self._name)
        return task

    def _lend(self, task: int, objects: list) -> int:
        with self._lent_lock:
            if task in self._early:
                self._early.discard(task)
            else:
                self._lent[task] = objects
        return task

    def _give_back(self, task: int) -> None:
        with self._lent_lock:
            if self._lent.pop(task, None) is None:
                self._early.add(task)

    def submit_store_task(self, keys, objects) -> int:
        return self._lend(self._submit(bridge.STORE, "store", keys, objects), objects)

    def pop_completed_store_tasks(self) -> dict:
        done = self._bridge.pop_stores(self._handle, L2StoreResult)
        for task in done:
            self._give_back(task)
        return done

    def submit_lookup_and_lock_task(self, keys, group_layout_descs=None) -> int:
        return self._submit(bridge.LOOKUP, "lookup", keys, None)

    def query_lookup_and_lock_result(self, task_id: int):
        return self._bridge.query(self._handle, bridge.LOOKUP, task_id, Bitmap)

    def submit_unlock(self, keys) -> None:
        self._bridge.unlock(self._handle, keys)

    def submit_load_task(self, keys, objects) -> int:
        return self._lend(self._submit(bridge.LOAD, "load", keys, objects), objects)

    def query_load_result(self, task_id: int):
        result = self._bridge.query(self._handle, bridge.LOAD, task_id, Bitmap)
        if result is not None:
            self._give_back(task_id)
        return result

    # Eviction and listings.

    def delete(self, keys) -> None:
        """Deletes what is not pinned and waits for it, at most until the deadline."""
        if keys and not self._closed and self._bridge.delete(self._handle, keys) != 0:
            raise self._bridge.error("delete", self._name)

    def list_l2_keys(self, model_name: str | None = None, page_size: int = 500, cursor: str | None = None):
        from lmcache.v1.distributed.api import KeyEntry, KeyListPage

        arguments = {"model": model_name or "", "page_size": page_size, "cursor": cursor or ""}
        try:
            page = self._bridge.describe(self._handle, bridge.LIST, arguments, self._name)
        except Error as error:
            if error.code == abi.E_UNSUPPORTED:
                raise NotImplementedError(str(error)) from None
            if error.code == abi.E_INVAL:
                raise ValueError(str(error)) from None
            raise
        entries = [KeyEntry(_key(entry["Key"]), max(entry["SizeBytes"], 0)) for entry in page["entries"] or ()]
        return KeyListPage(entries, page["next"] or None)

    def _usage(self) -> dict:
        return self._bridge.describe(self._handle, bridge.USAGE, name=self._name)

    def get_usage(self) -> AdapterUsage:
        usage = self._usage()
        return AdapterUsage(
            total_bytes_used=usage["used"],
            total_capacity_bytes=usage["capacity"],
            bytes_by_cache_salt=MappingProxyType(usage["salts"] or {}),
        )

    # Listeners and events: off the data path, on a thread of their own.

    def register_listener(self, listener) -> None:
        super().register_listener(listener)
        self._start_events()

    def set_backend_identity(self, name: str, shared: bool = False) -> None:
        inherited = getattr(super(), "set_backend_identity", None)  # 0.5.0 has none
        if inherited is not None:
            inherited(name, shared)
        self._bridge.describe(self._handle, bridge.SET_IDENTITY, {"name": name, "shared": shared}, self._name)

    def _start_events(self) -> None:
        with self._events_lock:
            if self._events is None and not self._closed:
                self._bridge.describe(self._handle, bridge.START_EVENTS, name=self._name)
                self._events = threading.Thread(
                    target=_tell, args=(weakref.ref(self), self._bridge, self._handle), name="sixcall-events", daemon=True
                )
                self._events.start()

    def _tell(self, event: dict) -> None:
        keys = [_key(fields) for fields in event["keys"]]
        if event["kind"] == "stored":
            self._notify_keys_stored(keys, event["sizes"])
        elif event["kind"] == "accessed":
            self._notify_keys_accessed(keys)
        else:
            # The accounts are the bridge's; the base class gets no sizes to take off.
            self._notify_keys_deleted(keys, [0] * len(keys))

    # Status and end.

    def report_status(self) -> dict:
        status = self._bridge.describe(self._handle, bridge.STATUS, name=self._name)
        status["connector"], status["type"] = status.get("type"), type(self).__name__
        if self._closed:
            status["is_healthy"] = False
        return status

    def close(self) -> None:
        """Answers every task in flight as failed and ends the connector. Further calls
        do nothing."""
        with self._events_lock:
            if self._closed:
                return
            self._closed = True
        _open.discard(self)
        self._store_fd = self._lookup_fd = self._load_fd = -1
        try:
            self._bridge.close(self._handle, self._name)
        finally:
            events = self._events
            if events is not None and events is not threading.current_thread():
                events.join(5.0)


def _key(fields: dict) -> ObjectKey:
    """The key of LMCache's JSON form."""
    optional = {}
    if fields["object_group_id"]:  # versions without groups have no such field
        optional["object_group_id"] = fields["object_group_id"]
    if fields["cache_salt"]:
        optional["cache_salt"] = fields["cache_salt"]
    return ObjectKey(bytes.fromhex(fields["chunk_hash_hex"]), fields["model_name"], fields["kv_rank"], **optional)


def _tell(adapter: "weakref.ref[L2Adapter]", library: bridge.Bridge, handle: int) -> None:
    """Takes events to the listeners of an adapter, until its close."""
    import logging

    while True:
        events = library.next_events(handle)
        if events is None:
            return
        owner = adapter()
        if owner is None:
            return
        for event in events:
            try:
                owner._tell(event)
            except Exception:  # a listener's: the others are told all the same
                logging.getLogger("sixcall").exception("a listener of adapter %r failed", owner._name)
        del owner


def _close_all() -> None:
    for adapter in list(_open):
        adapter.close()


atexit.register(_close_all)
