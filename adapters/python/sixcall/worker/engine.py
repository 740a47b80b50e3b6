# SPDX-License-Identifier: Apache-2.0
"""What the plug-ins of the engine in one process share: storage plug-ins and remote
connectors. A value of the host is LMCache's header and the chunk."""

import asyncio
import collections
import importlib
import inspect
import re
import sys
import threading

from sixcall.worker import batch as b
from sixcall.worker import dtypes, header, load, localcpu
from sixcall.worker.errors import LoadError, say
from sixcall.worker.objects import Objects
from sixcall.worker.plugin import Plugin

_REMEMBERED = 65536  # keys whose sizes are known
_OURS = 3  # references of the interpreter to an object that only our caller has
_LAYERED = re.compile(r"^\d+$")


class EnginePlugin(Plugin):
    lmcache = True

    def prepare(self, params: dict) -> dict:
        """Makes what constructors take, by the names that they have for it."""
        memory = importlib.import_module("lmcache.v1.memory_management")
        self._objects = Objects(memory)
        self._utils = importlib.import_module("lmcache.utils")
        config, metadata = _config(params["config"]), _metadata(params["metadata"])
        self._groups = params["groups"]
        self._sizes, self._sizes_lock = collections.OrderedDict(), threading.Lock()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="sixcall-loop", daemon=True).start()
        local_cpu = localcpu.make(self._objects, config, metadata, params["chunk_bytes"])
        return {
            "url": params["url"], "plugin_name": params["plugin_name"] or None, "dst_device": params["dst_device"], "device": params["dst_device"],
            "config": config, "lmcache_config": config, "metadata": metadata, "loop": self._loop, "local_cpu_backend": local_cpu, "memory_allocator": local_cpu,
            "lookup_server": None,
        }

    def key(self, text: str):
        parts = text.split("@")
        if len(parts) > 5 and _LAYERED.match(parts[5]):
            return self._utils.LayerCacheEngineKey.from_string(text)
        return self._utils.CacheEngineKey.from_string(text)

    def value_object(self, batch, i: int):
        """The memory object of a value that is to be stored."""
        data = batch.value(i)
        length, shapes, types, fmt = header.unpack(data, self._groups, self._objects.formats)
        payload = data[header.size(self._groups) :]
        if length > len(payload):
            raise ValueError(f"the header says {length} bytes, the value has {len(payload)}")
        return self._objects.wrap(payload[:length], shapes, types, fmt)

    def stored(self, batch, i: int, obj) -> None:
        """Notes a value that the plug-in has stored. obj is the caller's only reference:
        an object that the plug-in keeps gets memory of its own."""
        self._remember(batch.key(i), batch.size(i))
        if obj.get_ref_count() > 1 or sys.getrefcount(obj) > _OURS:
            obj.detach()
        batch.set(i, b.HIT)

    def destination(self, batch, i: int) -> list:
        """What allocations of a read may use, once."""
        return [batch.value(i)[header.size(self._groups) :]]

    def found(self, batch, i: int, obj, slot: memoryview) -> None:
        """Gives what the plug-in read to the host. slot is the destination of the read."""
        if obj is None:
            batch.set(i, b.MISS)
            return
        head, data = header.pack(obj), obj.byte_array
        total = len(head) + len(data)
        self._remember(batch.key(i), total)
        if total != batch.size(i) or len(head) != header.size(self._groups):
            batch.set(i, b.SIZE, total)
            return
        out = batch.value(i)
        out[: len(head)] = head
        if not getattr(obj, "views", lambda _: False)(slot):
            out[len(head) :] = memoryview(data).cast("B")
        batch.set(i, b.HIT, total)

    @staticmethod
    def let_go(obj, slot: memoryview) -> None:
        """Gives a reference back; an object that the plug-in still has leaves the host's
        memory."""
        if obj is None:
            return
        obj.ref_count_down()
        if getattr(obj, "views", lambda _: False)(slot) and (obj.get_ref_count() > 0 or sys.getrefcount(obj) > _OURS):
            obj.detach()

    def there(self, batch, i: int, found: bool) -> None:
        with self._sizes_lock:
            length = self._sizes.get(batch.key(i), b.UNKNOWN_LENGTH)
        batch.set(i, b.HIT if found else b.MISS, length if found else None)

    def _remember(self, key: str, length: int) -> None:
        """Sizes are remembered for lookups, which plug-ins answer without them."""
        with self._sizes_lock:
            self._sizes[key] = length
            self._sizes.move_to_end(key)
            while len(self._sizes) > _REMEMBERED:
                self._sizes.popitem(last=False)

    def wait(self, awaitable, timeout=None):
        """The result of something for the loop, from another thread."""

        async def run():
            return await awaitable

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout)

    def key_failed(self, batch, i: int, error: BaseException) -> None:
        batch.set(i, b.ERROR)
        batch.fail(f"{self.class_name}: {say(error)}")


def fill(function, pool: dict, what: str) -> dict:
    """The keywords that a constructor takes, by their names."""
    given = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in pool:
            given[name] = pool[name]
        elif parameter.default is parameter.empty:
            raise LoadError(f"{what} wants {name}, which is none of {', '.join(sorted(pool))}")
    return given


def construct(cls: type, pool: dict, minimal: tuple):
    """An instance of a plug-in's class. minimal is what one that takes anything gets."""
    parameters = inspect.signature(cls).parameters.values()
    takes = fill(cls, pool, f"the constructor of {cls.__name__}")
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        takes = {**{name: pool[name] for name in minimal}, **takes}
    positional = [takes.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_ONLY]
    return load.make(cls, *positional, **takes)


def _config(settings: dict):
    cls = importlib.import_module("lmcache.v1.config").LMCacheEngineConfig
    for maker in ("from_dict", "from_defaults"):
        if hasattr(cls, maker):
            make = getattr(cls, maker)
            return make(settings) if maker == "from_dict" else make(**settings)
    return cls(settings)


def _metadata(fields: dict):
    try:
        cls = importlib.import_module("lmcache.v1.metadata").LMCacheMetadata
    except (ImportError, AttributeError):
        cls = importlib.import_module("lmcache.config").LMCacheEngineMetadata
    pool = {**fields, "kv_dtype": dtypes.named(fields["kv_dtype"]), "kv_shape": tuple(fields["kv_shape"]), "fmt": "vllm"}
    return cls(**fill(cls, pool, cls.__name__))
