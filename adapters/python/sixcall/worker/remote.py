# SPDX-License-Identifier: Apache-2.0
"""Remote connectors: LMCache's ConnectorAdapter and RemoteConnector."""

import asyncio
import importlib
import inspect

from sixcall.worker import batch as b
from sixcall.worker import load, localcpu
from sixcall.worker.engine import EnginePlugin, construct, fill
from sixcall.worker.errors import LoadError, last_lines, say

_REQUIRED = ("exists", "get", "put", "close")


class RemotePlugin(EnginePlugin):
    """Methods run on the loop that the connector is given, sync ones too, as in
    LMCache."""

    def load(self) -> None:
        module = load.module(self.module_path)
        connectors = importlib.import_module("lmcache.v1.storage_backend.connector")
        self._adapter_base, self._context = connectors.ConnectorAdapter, connectors.ConnectorContext
        base = importlib.import_module("lmcache.v1.storage_backend.connector.base_connector").RemoteConnector
        found = load.named(module, self.class_name)
        # An adapter that works without LMCache derives from nothing.
        self._is_adapter = inspect.isclass(found) and (issubclass(found, self._adapter_base) or callable(getattr(found, "create_connector", None)))
        if not self._is_adapter and not (inspect.isclass(found) and issubclass(found, base)):
            raise LoadError(f'class_name is "{self.class_name}", but {self.module_path}.{self.class_name} is neither a ConnectorAdapter nor a RemoteConnector')
        load.complete(found, "a ConnectorAdapter" if self._is_adapter else "a RemoteConnector")
        self._class = found
        self.caps = load.CAP_LIMITS | load.CAP_VALUE_LENS | load.CAP_DELETE | load.CAP_LIST

    def describe(self, url: str) -> dict:
        if not self._is_adapter:
            return {"adapter": False, "parses": False}
        try:
            return {"adapter": True, "parses": bool(load.make(self._class).can_parse(url))}
        except AttributeError as error:
            raise LoadError(f"{self.class_name}.can_parse: {say(error)}") from error

    def open(self, params: dict, instance: str) -> None:
        pool = self.prepare(params)
        self.wait(self._make(pool))
        missing = [name for name in _REQUIRED if not callable(getattr(self._connector, name, None))]
        if missing:
            raise LoadError(f"{type(self._connector).__module__}.{type(self._connector).__name__} lacks {', '.join(missing)}, which a RemoteConnector must have")

    async def _make(self, pool: dict) -> None:
        """On the loop: connectors make clients there."""
        if not self._is_adapter:
            self._connector = construct(self._class, pool, ("loop", "local_cpu_backend", "config"))
            return
        context = self._context(**fill(self._context, pool, "ConnectorContext"))
        try:
            self._connector = load.make(self._class).create_connector(context)
            if inspect.isawaitable(self._connector):
                self._connector = await self._connector
        except LoadError:
            raise
        except BaseException as error:
            raise LoadError(f"{self.class_name}.create_connector: {last_lines(error)}") from error
        if self._connector is None:
            raise LoadError(f"{self.class_name}.create_connector returned None, want a RemoteConnector")

    def submit(self, batch) -> None:
        asyncio.run_coroutine_threadsafe(self._run(batch), self._loop)

    async def _run(self, batch) -> None:
        try:
            if batch.op == b.SET:
                await self._put_all(batch)
            else:
                one = {b.GET: self._get, b.EXISTS: self._exists, b.DELETE: self._remove}[batch.op]
                await asyncio.gather(*(self._guard(one, batch, i) for i in range(batch.n)))
        except BaseException as error:  # of a plug-in, which may raise anything
            batch.fail(f"{self.class_name}: {say(error)}")
        batch.done()

    async def _guard(self, one, batch, i: int) -> None:
        try:
            await one(batch, i)
        except BaseException as error:
            self.key_failed(batch, i, error)

    async def _exists(self, batch, i: int) -> None:
        text = batch.key(i)
        if text.count("@") < 4:  # a sign of life is asked for, not a key
            if _supports(self._connector, "ping") and (code := await _result(self._connector.ping())) != 0:
                raise RuntimeError(f"ping returned {code}")
            batch.set(i, b.MISS)
            return
        key = self.key(text)
        try:
            found = await _result(self._connector.exists(key))
        except NotImplementedError:
            found = await _result(self._connector.exists_sync(key))
        self.there(batch, i, bool(found))

    async def _get(self, batch, i: int) -> None:
        slots = self.destination(batch, i)
        slot, obj = slots[0], None
        localcpu.destination.set(slots)  # each of these runs in a context of its own
        try:
            obj = await _result(self._connector.get(self.key(batch.key(i))))
            self.found(batch, i, obj, slot)
        finally:
            slots.clear()
            self.let_go(obj, slot)

    async def _put_all(self, batch) -> None:
        keys = [self.key(text) for text in batch.keys()]
        objects = [self.value_object(batch, i) for i in range(batch.n)]
        if batch.n > 1 and _supports(self._connector, "batched_put"):
            await _result(self._connector.batched_put(keys, list(objects)))
            for i in range(batch.n):
                self.stored(batch, i, objects[i])
            return
        await asyncio.gather(*(self._guard(lambda batch, i: self._put(batch, i, keys[i], objects), batch, i) for i in range(batch.n)))

    async def _put(self, batch, i: int, key, objects: list) -> None:
        if await _result(self._connector.put(key, objects[i])) is False:
            raise RuntimeError("put returned False")
        self.stored(batch, i, objects[i])

    async def _remove(self, batch, i: int) -> None:
        if not callable(getattr(self._connector, "remove_sync", None)):
            raise NotImplementedError(f"{type(self._connector).__name__} has no remove_sync")
        gone = await _result(self._connector.remove_sync(self.key(batch.key(i))))
        batch.set(i, b.HIT if gone else b.MISS)

    def list(self, cursor: bytes) -> tuple:
        async def ask():
            return await _result(self._connector.list())

        start = int(cursor or b"0")
        names = sorted(str(name) for name in self.wait(ask()) or ())
        page, used = [], 0
        for name in names[start:]:
            used += len(name.encode()) + 32
            if used > 40 << 10:
                break
            page.append((name, None))
        if not page and start < len(names):
            raise LoadError(f"a key of {len(names[start])} characters is too long for a listing", b.INTERNAL)
        end = start + len(page)
        return page, str(end).encode() if end < len(names) else b""

    def close(self) -> None:
        async def end():
            await _result(self._connector.close())

        self.wait(end())
        self._loop.call_soon_threadsafe(self._loop.stop)


def _supports(connector, what: str) -> bool:
    flag = getattr(connector, "support_" + what, None)
    return callable(flag) and bool(flag()) and callable(getattr(connector, what, None))


async def _result(value):
    return await value if inspect.isawaitable(value) else value
