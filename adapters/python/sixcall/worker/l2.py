# SPDX-License-Identifier: Apache-2.0
"""L2 adapters: LMCache's L2AdapterInterface."""

import importlib
import inspect
import logging
import os
import queue
import select
import threading
import time

from sixcall.worker import batch as b
from sixcall.worker import load
from sixcall.worker.errors import LoadError, last_lines, say
from sixcall.worker.objects import Objects
from sixcall.worker.plugin import Plugin

_log = logging.getLogger("sixcall.worker")
_LEASE_S = 60.0  # how long what a lookup locked stays locked when nobody loads it
_INTERFACE = "L2AdapterInterface"


class L2Plugin(Plugin):
    """A lookup locks what it finds in the plug-in. The host has pins of its own, and
    no word for unlock: a load unlocks what it loaded, and the rest is unlocked after
    a lease."""

    lmcache = True

    def load(self) -> None:
        self._base = importlib.import_module("lmcache.v1.distributed.l2_adapters.base").L2AdapterInterface
        self._config_base = importlib.import_module("lmcache.v1.distributed.l2_adapters.config").L2AdapterConfigBase
        self._key_class = importlib.import_module("lmcache.v1.distributed.api").ObjectKey
        self._module = load.module(self.module_path)
        self._class = load.subclass(self._module, self.class_name, self._base, _INTERFACE)
        load.complete(self._class, "an " + _INTERFACE)
        self.caps = load.CAP_LIMITS | load.CAP_USAGE
        if load.overrides(self._class, self._base, "delete"):
            self.caps |= load.CAP_DELETE
        if load.overrides(self._class, self._base, "list_l2_keys"):
            self.caps |= load.CAP_LIST

    def open(self, params: dict, instance: str) -> None:
        self._objects = Objects(importlib.import_module("lmcache.v1.memory_management"))
        self._adapter = load.make(self._class, self._configure(params))
        try:
            self._adapter.set_backend_identity(instance or self.class_name)
        except AttributeError:
            pass  # a version without it, or a constructor that does not call the base's
        self._fds = {}
        for op, getter in ((b.SET, "get_store_event_fd"), (b.EXISTS, "get_lookup_and_lock_event_fd"), (b.GET, "get_load_event_fd")):
            fd = getattr(self._adapter, getter)()
            if not isinstance(fd, int) or isinstance(fd, bool) or fd < 0:
                raise LoadError(f"{self.class_name}.{getter} returned {fd!r}, want an open descriptor")
            if fd in self._fds:
                raise LoadError(f"{self.class_name}.{getter} returned {fd}, which is that of another operation; each needs its own")
            self._fds[fd] = op
        self._lock = threading.Lock()  # guards what follows; held while a task is submitted, so that none completes unknown
        self._tasks = {b.SET: {}, b.EXISTS: {}, b.GET: {}}
        self._locked = {}  # key: times at which locks end
        self._slow = queue.SimpleQueue()
        self._stopping = False
        for target in (self._collect, self._work):
            threading.Thread(target=target, name=f"sixcall-l2{target.__name__}", daemon=True).start()

    def _configure(self, params: dict):
        """The constructor's argument, found as LMCache finds it."""
        explicit = self.config_class
        for name in (explicit, self.class_name + "Config", getattr(self._class, "config_class_name", None)):
            cls = getattr(self._module, name, None) if name else None
            if inspect.isclass(cls) and issubclass(cls, self._config_base):
                try:
                    return cls.from_dict(params)
                except BaseException as error:
                    raise LoadError(f"adapter_params are not what {name}.from_dict takes: {last_lines(error)}") from error
            if name and name == explicit:
                raise LoadError(f'config_class_name is "{name}", but module "{self.module_path}" has no such class that derives from L2AdapterConfigBase')
        return params

    def _key(self, text: str):
        """The ObjectKey of model@rank@group@hash[@salt]."""
        model, rank, group, digest, *salt = text.split("@")
        return self._key_class(chunk_hash=bytes.fromhex(digest), model_name=model, kv_rank=int(rank, 16), object_group_id=int(group, 16), cache_salt=salt[0] if salt else "")

    @staticmethod
    def _text(key) -> str:
        text = f"{key.model_name}@{key.kv_rank:08x}@{key.object_group_id:x}@{key.chunk_hash.hex()}"
        return f"{text}@{key.cache_salt}" if key.cache_salt else text

    def submit(self, batch) -> None:
        if batch.op == b.DELETE:
            self._slow.put(batch)  # it may block
            return
        keys = [self._key(text) for text in batch.keys()]
        objects = [self._objects.plain(batch.value(i)) for i in range(batch.n)] if batch.op != b.EXISTS else None
        with self._lock:
            if batch.op == b.SET:
                task = self._adapter.submit_store_task(keys, objects)
            elif batch.op == b.GET:
                task = self._adapter.submit_load_task(keys, objects)
            else:
                task = self._adapter.submit_lookup_and_lock_task(keys, {})
            if not isinstance(task, int) or task in self._tasks[batch.op]:
                raise TypeError(f"submitting a task returned {task!r}, want the number of a new task")
            self._tasks[batch.op][task] = (batch, keys, objects)

    def _collect(self) -> None:
        """Takes results when their event fd says that there are some."""
        poll = select.poll()
        for fd in self._fds:
            poll.register(fd, select.POLLIN)
        while not self._stopping:
            for fd, event in poll.poll(1000):
                if event & ~select.POLLIN:
                    if not self._stopping:
                        _log.error("event fd %d of %s was closed; its results are lost", fd, self.class_name)
                    poll.unregister(fd)
                    continue
                try:
                    os.read(fd, 8)
                except BlockingIOError:
                    pass
                try:
                    self._take(self._fds[fd])
                except BaseException as error:  # a plug-in may raise anything
                    self._fail_all(self._fds[fd], error)
            self._unlock([key for key, ends in list(self._locked.items()) if ends and ends[0] < time.monotonic()])

    def _take(self, op: int) -> None:
        tasks = self._tasks[op]
        if op == b.SET:
            with self._lock:
                results = self._adapter.pop_completed_store_tasks()
                found = [(tasks.pop(task), result) for task, result in results.items() if task in tasks]
        else:
            query = self._adapter.query_load_result if op == b.GET else self._adapter.query_lookup_and_lock_result
            found = []
            with self._lock:
                for task in list(tasks):
                    if (result := query(task)) is not None:
                        found.append((tasks.pop(task), result))
        for (batch, keys, objects), result in found:
            self._finish(op, batch, keys, result)

    def _finish(self, op: int, batch, keys: list, result) -> None:
        try:
            hits = [_stored(result)] * batch.n if op == b.SET else _bits(result, batch.n)
        except Exception as error:
            batch.fail(f"{self.class_name}: {error}", b.INTERNAL)
            batch.done()
            return
        if op == b.SET and not all(hits):
            batch.fail(f"{self.class_name}: the store task failed")
        for i, hit in enumerate(hits):
            batch.set(i, b.HIT if hit else b.ERROR if op == b.SET else b.MISS)
        if op == b.EXISTS:
            with self._lock:
                for key, hit in zip(keys, hits):
                    if hit:
                        self._locked.setdefault(key, []).append(time.monotonic() + _LEASE_S)
        batch.done()
        if op == b.GET:
            self._unlock(keys)

    def _unlock(self, keys: list) -> None:
        """Undoes one lock of each key, where there is one."""
        with self._lock:
            held = []
            for key in keys:
                if ends := self._locked.get(key):
                    ends.pop(0)
                    held.append(key)
                    if not ends:
                        del self._locked[key]
        if not held:
            return
        try:
            self._adapter.submit_unlock(held)
        except BaseException as error:
            _log.error("%s.submit_unlock: %s", self.class_name, say(error))

    def _fail_all(self, op: int, error: BaseException) -> None:
        """Results that cannot be asked for: nothing that is out can be told apart."""
        with self._lock:
            tasks, self._tasks[op] = list(self._tasks[op].values()), {}
        for batch, _, _ in tasks:
            batch.fail(f"{self.class_name}: {say(error)}")
            batch.done()

    def _work(self) -> None:
        while (batch := self._slow.get()) is not None:
            try:
                self._adapter.delete([self._key(text) for text in batch.keys()])
                for i in range(batch.n):
                    batch.set(i, b.HIT)
            except BaseException as error:
                batch.fail(f"{self.class_name}.delete: {say(error)}")
            batch.done()

    def usage(self) -> dict:
        usage = self._adapter.get_usage()
        return {"bytes_used": int(usage.total_bytes_used), "bytes_capacity": int(usage.total_capacity_bytes) or b.UNKNOWN_LENGTH, "keys": b.UNKNOWN_LENGTH}

    def list(self, cursor: bytes) -> tuple:
        page = self._adapter.list_l2_keys(None, 200, cursor.decode() or None)
        entries = [(self._text(entry.key), entry.size_bytes) for entry in page.entries]
        return entries, str(page.next_page_token or "").encode()

    def close(self) -> None:
        self._stopping = True
        self._slow.put(None)
        self._unlock([key for key, ends in list(self._locked.items()) for _ in ends])
        self._adapter.close()


def _stored(result) -> bool:
    """Whether a store task succeeded: an L2StoreResult, or a bool of older versions."""
    if hasattr(result, "is_successful"):
        return bool(result.is_successful())
    if isinstance(result, bool):
        return result
    raise TypeError(f"the result of a store task is {result!r}, want an L2StoreResult")


def _bits(result, n: int) -> list:
    test = getattr(result, "test", None)
    if not callable(test):
        raise TypeError(f"the result of a task is {result!r}, want a Bitmap")
    size = result.size() if callable(getattr(result, "size", None)) else len(result)
    if size != n:
        raise ValueError(f"the result of a task with {n} keys has {size} bits")
    return [bool(test(i)) for i in range(n)]
