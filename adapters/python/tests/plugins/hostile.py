# SPDX-License-Identifier: Apache-2.0
"""L2 adapters that do what they must not, in their own process."""

import ctypes
import os
import sys
import time

from my_plugin.adapter import MyL2Adapter, MyL2AdapterConfig


class Hostile(MyL2Adapter):
    """Behaves until a key of the model "evil" is looked up, loaded or stored; then does
    what adapter_params say."""

    def __init__(self, config, **kwargs):
        self._does = config.host
        if self._does.startswith("create-"):
            self._misbehave(self._does.removeprefix("create-"))
        super().__init__(config, **kwargs)

    def _misbehave(self, what: str):
        if what == "raise":
            raise RuntimeError("the backend is on fire")
        if what == "exit":
            sys.exit("no more")
        if what == "os-exit":
            os._exit(77)
        if what == "segfault":
            ctypes.string_at(0)
        if what == "hang":
            time.sleep(10000)
        if what == "print":
            for _ in range(20000):
                print("\x1b[31m" + "much" * 200, file=sys.stderr)
        if what == "fork":
            if os.fork() == 0:
                return "child"
            os.wait()
        return what

    def _evil(self, keys) -> bool:
        return any(key.model_name == "evil" for key in keys)

    def submit_store_task(self, keys, objects):
        if self._evil(keys) and self._does in ("rubbish-id", "same-id"):
            return "seven"
        if self._evil(keys):
            self._misbehave(self._does)
        return super().submit_store_task(keys, objects)

    def submit_load_task(self, keys, objects):
        if self._evil(keys):
            if self._does == "wrong-bytes":
                for obj in objects:
                    obj.byte_array[:] = bytes(obj.get_size())
                keys = []
            self._misbehave(self._does)
        task = super().submit_load_task(keys, objects)
        return task

    def query_load_result(self, task_id):
        result = super().query_load_result(task_id)
        if result is not None and result.size() == 0 and self._does == "wrong-bytes":
            return type(result)(1, 1)  # says that it loaded
        return result

    def query_lookup_and_lock_result(self, task_id):
        result = super().query_lookup_and_lock_result(task_id)
        if result is not None and self._does == "rubbish-result":
            return "10101"
        if result is not None and self._does == "long-result":
            return type(result)(result.size() + 1)
        return result

    def close(self) -> None:
        if self._does == "close":
            raise RuntimeError("cannot close")
        super().close()


class HostileConfig(MyL2AdapterConfig):
    pass


class Incomplete(MyL2Adapter.__mro__[1]):
    def get_store_event_fd(self):
        return 1


class NotAnAdapter:
    pass


a_value = 7
