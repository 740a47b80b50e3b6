# SPDX-License-Identifier: Apache-2.0
"""Single-process LMCache: a storage plug-in on a connector library."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late  # the built-in one since Python 3.11
from types import SimpleNamespace
from typing import Any, Callable, List, Optional, Sequence

from lmcache.utils import CacheEngineKey
from lmcache.v1.memory_management import MemoryObj
from lmcache.v1.storage_backend.abstract_backend import StoragePluginInterface

from sixcall import abi
from sixcall.errors import Error
from sixcall.lmcache.remote import SixcallConnector

_log = logging.getLogger("sixcall")


class SixcallStorage(StoragePluginInterface):
    """One backend of the engine's storage manager. Settings are storage_plugin.NAME.library
    and .params in extra_config; NAME is the plug-in whose class_name is this one."""

    def __init__(self, config=None, metadata=None, local_cpu_backend=None, loop=None, dst_device: str = "cpu", **_later: Any):
        super().__init__(dst_device, config, metadata, local_cpu_backend, loop)
        library, params = settings(config, type(self).__name__)
        context = SimpleNamespace(config=config, metadata=metadata, local_cpu_backend=local_cpu_backend)
        self._connector = SixcallConnector(context, library, params)
        self._timeout = getattr(config, "blocking_timeout_secs", 10)
        self._lock = threading.Lock()  # guards _putting
        self._putting: set = set()

    def _run(self, coroutine) -> Future:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def contains(self, key: CacheEngineKey, pin: bool = False) -> bool:
        return self._connector.exists_sync(key)

    def exists_in_put_tasks(self, key: CacheEngineKey) -> bool:
        with self._lock:
            return key in self._putting

    def batched_submit_put_task(
        self,
        keys: Sequence[CacheEngineKey],
        objs: List[MemoryObj],
        transfer_spec: Any = None,
        on_complete_callback: Optional[Callable[[CacheEngineKey], None]] = None,
    ) -> List[Future]:
        started = []
        for key, obj in zip(keys, objs):
            with self._lock:
                if key in self._putting:
                    continue
                self._putting.add(key)
            obj.ref_count_up()
            started.append(self._run(self._put(key, obj, on_complete_callback)))
        return started

    async def _put(self, key: CacheEngineKey, obj: MemoryObj, done: Optional[Callable]) -> None:
        try:
            await self._connector.put(key, obj)
        except Exception as error:  # nobody waits for it
            _log.warning("put of %s failed: %s", key, error)
            return
        finally:
            obj.ref_count_down()
            with self._lock:
                self._putting.discard(key)
        if done is not None:
            done(key)

    def get_blocking(self, key: CacheEngineKey) -> Optional[MemoryObj]:
        answer = self._run(self._connector.get(key))
        try:
            return answer.result(self._timeout)
        except Late:
            # The connector may write until it has answered: what comes late is given back.
            answer.add_done_callback(_give_back)
            _log.warning("get of %s was not answered in %s s", key, self._timeout)
        except Error as error:
            _log.warning("get of %s failed: %s", key, error)
        return None

    async def batched_async_contains(self, lookup_id: str, keys: List[CacheEngineKey], pin: bool = False) -> int:
        return await self._connector.batched_async_contains(lookup_id, keys, pin)

    async def batched_get_non_blocking(
        self, lookup_id: str, keys: List[CacheEngineKey], transfer_spec: Any = None
    ) -> List[MemoryObj]:
        return await self._connector.batched_get_non_blocking(lookup_id, keys)

    def pin(self, key: CacheEngineKey) -> bool:
        return self.contains(key)

    def unpin(self, key: CacheEngineKey) -> bool:
        return self.contains(key)

    def remove(self, key: CacheEngineKey, force: bool = True) -> bool:
        return self._connector.remove_sync(key)

    def get_allocator_backend(self):
        return self.local_cpu_backend

    def close(self) -> None:
        self._connector._asking.close()


def _give_back(answer: Future) -> None:
    if not answer.cancelled() and answer.exception() is None and answer.result() is not None:
        answer.result().ref_count_down()


def settings(config: Any, class_name: str) -> tuple[str, dict]:
    """The library and params of the plug-in of a class."""
    extra = (config.extra_config if config is not None else None) or {}
    names = [n for n in (config.storage_plugins or ()) if extra.get(f"storage_plugin.{n}.class_name") == class_name]
    if len(names) != 1:
        raise Error("configure", class_name, abi.E_CONFIG, f"{len(names)} storage plug-ins name this class, want one")
    library, params = extra.get(f"storage_plugin.{names[0]}.library", ""), extra.get(f"storage_plugin.{names[0]}.params", {})
    return library, json.loads(params) if isinstance(params, str) else params
