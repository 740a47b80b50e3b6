# SPDX-License-Identifier: Apache-2.0
"""Storage backends and storage plug-ins of the engine in one process."""

import abc


class StorageBackendInterface(abc.ABC):
    def __init__(self, dst_device: str = "cpu"):
        self.dst_device = dst_device

    @abc.abstractmethod
    def contains(self, key, pin: bool = False) -> bool: ...

    @abc.abstractmethod
    def exists_in_put_tasks(self, key) -> bool: ...

    @abc.abstractmethod
    def batched_submit_put_task(self, keys, objs, transfer_spec=None, on_complete_callback=None): ...

    @abc.abstractmethod
    def get_blocking(self, key): ...

    @abc.abstractmethod
    def pin(self, key) -> bool: ...

    @abc.abstractmethod
    def unpin(self, key) -> bool: ...

    @abc.abstractmethod
    def remove(self, key, force: bool = True) -> bool: ...

    @abc.abstractmethod
    def get_allocator_backend(self): ...

    @abc.abstractmethod
    def close(self) -> None: ...

    def get_non_blocking(self, key, location=None):
        raise NotImplementedError

    def batched_get_blocking(self, keys) -> list:
        return [self.get_blocking(key) for key in keys]

    def batched_contains(self, keys, pin: bool = False) -> int:
        return next((i for i, key in enumerate(keys) if not self.contains(key, pin)), len(keys))

    def batched_remove(self, keys, force: bool = True) -> int:
        return sum(self.remove(key, force=force) for key in keys)

    def touch_cache(self) -> None:
        raise NotImplementedError

    def cancel_request(self, req_id: str) -> None:
        return None


class AllocatorBackendInterface(StorageBackendInterface):
    pass


class LocalCPUBackend(AllocatorBackendInterface):
    pass


class StoragePluginInterface(StorageBackendInterface):
    def __init__(self, dst_device: str = "cpu", config=None, metadata=None, local_cpu_backend=None, loop=None):
        super().__init__(dst_device=dst_device)
        self.config, self.metadata, self.local_cpu_backend, self.loop = config, metadata, local_cpu_backend, loop
