# SPDX-License-Identifier: Apache-2.0
"""Storage backends: LMCache's StorageBackendInterface and StoragePluginInterface."""

import concurrent.futures
import importlib
import inspect

from sixcall.worker import batch as b
from sixcall.worker import load, localcpu
from sixcall.worker.engine import EnginePlugin, construct
from sixcall.worker.errors import say

_THREADS = 8
_INTERFACE = "StorageBackendInterface"


class StoragePlugin(EnginePlugin):
    """Methods are called on threads of a pool, as LMCache calls them from several. The
    host keeps pins itself: pin and unpin of the plug-in are not called."""

    def load(self) -> None:
        base = importlib.import_module("lmcache.v1.storage_backend.abstract_backend").StorageBackendInterface
        module = load.module(self.module_path)
        self._class = load.subclass(module, self.class_name, base, _INTERFACE)
        missing = set(getattr(self._class, "__abstractmethods__", ()))
        filled = {name: method for name, method in _FILLED.items() if name in missing}
        if "batched_submit_put_task" in missing and hasattr(self._class, "submit_put_task"):
            filled["batched_submit_put_task"] = _put_one_by_one
        if filled:
            self._class = type(self._class.__name__, (self._class,), {"__module__": self._class.__module__, **filled})
            self.warnings.append(f"{self.class_name} lacks {', '.join(sorted(filled))}; the worker fills in what LMCache's interface did not have when it was written")
        load.complete(self._class, "a " + _INTERFACE)
        self.caps = load.CAP_LIMITS | load.CAP_VALUE_LENS | load.CAP_DELETE

    def open(self, params: dict, instance: str) -> None:
        pool = self.prepare(params)
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="sixcall-storage")
        self._backend = construct(self._class, pool, ("dst_device", "config", "metadata", "local_cpu_backend", "loop"))
        self._backend.__dict__.setdefault("_sixcall_local_cpu", pool["local_cpu_backend"])

    def submit(self, batch) -> None:
        self._pool.submit(self._run, batch)

    def _run(self, batch) -> None:
        try:
            {b.GET: self._get, b.SET: self._put, b.EXISTS: self._exists, b.DELETE: self._remove}[batch.op](batch)
        except BaseException as error:  # of a plug-in, which may raise anything
            batch.fail(f"{self.class_name}: {say(error)}")
        batch.done()

    def _exists(self, batch) -> None:
        for i in range(batch.n):
            if batch.key(i).count("@") < 4:  # a sign of life is asked for, not a key
                batch.set(i, b.MISS)
                continue
            try:
                self.there(batch, i, bool(self._backend.contains(self.key(batch.key(i)), False)))
            except BaseException as error:
                self.key_failed(batch, i, error)

    def _put(self, batch) -> None:
        keys = [self.key(text) for text in batch.keys()]
        objects = [self.value_object(batch, i) for i in range(batch.n)]
        futures = self._backend.batched_submit_put_task(keys, list(objects))
        for future in futures or ():
            if isinstance(future, concurrent.futures.Future):
                future.result()
            elif inspect.isawaitable(future):
                self.wait(future)
        futures = None
        for i in range(batch.n):
            self.stored(batch, i, objects[i])

    def _get(self, batch) -> None:
        for i in range(batch.n):
            slots = self.destination(batch, i)
            slot, obj = slots[0], None
            token = localcpu.destination.set(slots)
            try:
                obj = self._backend.get_blocking(self.key(batch.key(i)))
                self.found(batch, i, obj, slot)
            except BaseException as error:
                self.key_failed(batch, i, error)
            finally:
                localcpu.destination.reset(token)
                slots.clear()
                self.let_go(obj, slot)

    def _remove(self, batch) -> None:
        for i in range(batch.n):
            try:
                batch.set(i, b.HIT if self._backend.remove(self.key(batch.key(i))) else b.MISS)
            except BaseException as error:
                self.key_failed(batch, i, error)

    def close(self) -> None:
        self._pool.shutdown(wait=False)
        self._backend.close()
        self._loop.call_soon_threadsafe(self._loop.stop)


def _put_one_by_one(self, keys, objs, transfer_spec=None, on_complete_callback=None):
    futures = [self.submit_put_task(key, obj) for key, obj in zip(keys, objs)]
    return [f for f in futures if f is not None]


def _allocator_backend(self):
    own = getattr(self, "local_cpu_backend", None)
    return own if own is not None else self._sixcall_local_cpu


#: What a class of an older interface may lack.
_FILLED = {
    "get_allocator_backend": _allocator_backend,
    "exists_in_put_tasks": lambda self, key: False,
    "pin": lambda self, key: False,
    "unpin": lambda self, key: False,
    "remove": lambda self, key, force=True: False,
    "close": lambda self: None,
}
