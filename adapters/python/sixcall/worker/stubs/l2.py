# SPDX-License-Identifier: Apache-2.0
"""L2 adapters."""

import abc
import dataclasses
import os
import threading
import types


@dataclasses.dataclass(frozen=True)
class ObjectKey:
    chunk_hash: bytes
    model_name: str
    kv_rank: int
    object_group_id: int = 0
    cache_salt: str = ""


@dataclasses.dataclass
class MemoryLayoutDesc:
    shapes: list
    dtypes: list


@dataclasses.dataclass
class KeyEntry:
    key: ObjectKey
    size_bytes: int


@dataclasses.dataclass
class KeyListPage:
    entries: list
    next_page_token: object = None


class L2StoreResult(int):
    """The bytes that were stored, or -1."""

    def __new__(cls, success: bool, bytes_transferred: int):
        if bytes_transferred < 0:
            raise ValueError(f"bytes_transferred must be >= 0, got {bytes_transferred}")
        return super().__new__(cls, bytes_transferred if success else -1)

    def is_successful(self) -> bool:
        return int(self) >= 0

    def bytes_transferred(self) -> int:
        return max(int(self), 0)


@dataclasses.dataclass(frozen=True)
class L1MemoryDesc:
    ptr: int
    size: int
    align_bytes: int
    stable_registration_size: object = None


class L2AdapterListener(abc.ABC):
    pass


@dataclasses.dataclass(frozen=True)
class AdapterUsage:
    total_bytes_used: int
    total_capacity_bytes: int
    bytes_by_cache_salt: object = dataclasses.field(default_factory=lambda: types.MappingProxyType({}))

    @property
    def usage_fraction(self) -> float:
        return self.total_bytes_used / self.total_capacity_bytes if self.total_capacity_bytes > 0 else -1.0


class L2AdapterConfigBase(abc.ABC):
    shared = False
    eviction_config = None
    serde_config = None
    persist_config = types.SimpleNamespace(persist_enabled=True)

    @classmethod
    @abc.abstractmethod
    def from_dict(cls, d: dict):
        """Reads adapter_params."""

    @classmethod
    def help(cls) -> str:
        return ""


def register(*_args, **_kwargs) -> None:
    """The worker is told which class to make: nothing is looked up."""


class EventNotifier:
    """An event fd: readable after notify until consume."""

    def __init__(self):
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def notify(self) -> None:
        os.eventfd_write(self._fd, 1)

    def consume(self) -> None:
        consume_fd(self._fd)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def create_event_notifier() -> EventNotifier:
    return EventNotifier()


def consume_fd(fd: int) -> None:
    try:
        os.read(fd, 8)
    except BlockingIOError:
        pass


class L2AdapterInterface(abc.ABC):
    def __init__(self, max_capacity_bytes: int = 0):
        self._listeners = []
        self._backend_name, self._shared = "", False
        self._max_capacity_bytes, self._total_bytes_used = max_capacity_bytes, 0
        self._bytes_by_cache_salt = {}
        self._usage_lock = threading.Lock()

    @abc.abstractmethod
    def get_store_event_fd(self) -> int: ...

    @abc.abstractmethod
    def get_lookup_and_lock_event_fd(self) -> int: ...

    @abc.abstractmethod
    def get_load_event_fd(self) -> int: ...

    @abc.abstractmethod
    def submit_store_task(self, keys, objects) -> int: ...

    @abc.abstractmethod
    def pop_completed_store_tasks(self) -> dict: ...

    @abc.abstractmethod
    def submit_lookup_and_lock_task(self, keys, group_layout_descs) -> int: ...

    @abc.abstractmethod
    def query_lookup_and_lock_result(self, task_id): ...

    @abc.abstractmethod
    def submit_unlock(self, keys) -> None: ...

    @abc.abstractmethod
    def submit_load_task(self, keys, objects) -> int: ...

    @abc.abstractmethod
    def query_load_result(self, task_id): ...

    @abc.abstractmethod
    def close(self) -> None: ...

    def register_listener(self, listener) -> None:
        self._listeners.append(listener)

    def set_backend_identity(self, name: str, shared: bool = False) -> None:
        if not name:
            raise ValueError("backend name must be non-empty")
        self._backend_name, self._shared = name, shared

    def delete(self, keys) -> None:
        return None

    def list_l2_keys(self, model_name=None, page_size=500, page_token=None):
        raise NotImplementedError

    @property
    def supports_global_eviction(self) -> bool:
        return self._max_capacity_bytes > 0

    def get_usage(self) -> AdapterUsage:
        with self._usage_lock:
            return AdapterUsage(self._total_bytes_used, self._max_capacity_bytes, types.MappingProxyType(dict(self._bytes_by_cache_salt)))

    def report_status(self) -> dict:
        return {"is_healthy": True}

    def _notify_keys_stored(self, keys, sizes) -> None:
        self._account(keys, sizes, 1)
        for listener in self._listeners:
            listener.on_l2_keys_stored(keys, sizes)

    def _notify_keys_accessed(self, keys) -> None:
        for listener in self._listeners:
            listener.on_l2_keys_accessed(keys)

    def _notify_keys_deleted(self, keys, sizes) -> None:
        self._account(keys, sizes, -1)
        for listener in self._listeners:
            listener.on_l2_keys_deleted(keys)

    def _account(self, keys, sizes, sign: int) -> None:
        with self._usage_lock:
            for key, size in zip(keys, sizes, strict=True):
                self._total_bytes_used = max(0, self._total_bytes_used + sign * size)
                left = self._bytes_by_cache_salt.get(key.cache_salt, 0) + sign * size
                if left > 0:
                    self._bytes_by_cache_salt[key.cache_salt] = left
                else:
                    self._bytes_by_cache_salt.pop(key.cache_salt, None)
