# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the part of LMCache that plug-ins are written against.

Where LMCache cannot be imported, they are its modules. Where it can, they fill in
modules that its version does not have (any more, or yet): plug-ins outlive those.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys

from sixcall.worker.stubs import common, l2, remote, storage

# Module: what is in it. Names that only moved point to where they are now.
MODULES = {
    "lmcache": {},
    "lmcache.logging": {"init_logger": common.init_logger},
    "lmcache.utils": {"CacheEngineKey": common.CacheEngineKey, "LayerCacheEngineKey": common.LayerCacheEngineKey},
    "lmcache.config": {"LMCacheEngineMetadata": "lmcache.v1.metadata:LMCacheMetadata", "LMCacheEngineConfig": "lmcache.v1.config:LMCacheEngineConfig"},
    "lmcache.lmcache_native": {"Bitmap": "lmcache.native_storage_ops:Bitmap"},
    "lmcache.native_storage_ops": {"Bitmap": "lmcache.lmcache_native:Bitmap"},
    "lmcache.v1": {},
    "lmcache.v1.config": {"LMCacheEngineConfig": common.LMCacheEngineConfig},
    "lmcache.v1.metadata": {"LMCacheMetadata": common.LMCacheMetadata},
    "lmcache.v1.memory_management": {
        "MemoryFormat": common.MemoryFormat, "MemoryObj": common.MemoryObj, "MemoryObjMetadata": common.MemoryObjMetadata,
        "MemoryAllocatorInterface": common.MemoryAllocatorInterface,
    },
    "lmcache.v1.platform": {"create_event_notifier": l2.create_event_notifier, "consume_fd": l2.consume_fd, "EventNotifier": l2.EventNotifier},
    "lmcache.v1.distributed": {},
    "lmcache.v1.distributed.api": {"ObjectKey": l2.ObjectKey, "MemoryLayoutDesc": l2.MemoryLayoutDesc, "KeyEntry": l2.KeyEntry, "KeyListPage": l2.KeyListPage},
    "lmcache.v1.distributed.internal_api": {"L2StoreResult": l2.L2StoreResult, "L1MemoryDesc": l2.L1MemoryDesc, "L2AdapterListener": l2.L2AdapterListener},
    "lmcache.v1.distributed.l2_adapters": {},
    "lmcache.v1.distributed.l2_adapters.base": {"L2AdapterInterface": l2.L2AdapterInterface, "L2TaskId": int, "AdapterUsage": l2.AdapterUsage},
    "lmcache.v1.distributed.l2_adapters.config": {"L2AdapterConfigBase": l2.L2AdapterConfigBase, "register_l2_adapter_type": l2.register},
    "lmcache.v1.distributed.l2_adapters.factory": {"register_l2_adapter_factory": l2.register},
    "lmcache.v1.storage_backend": {"LocalCPUBackend": storage.LocalCPUBackend},
    "lmcache.v1.storage_backend.abstract_backend": {
        "StorageBackendInterface": storage.StorageBackendInterface, "AllocatorBackendInterface": storage.AllocatorBackendInterface,
        "StoragePluginInterface": storage.StoragePluginInterface, "ConfigurableStorageBackendInterface": storage.StoragePluginInterface,
    },
    "lmcache.v1.storage_backend.local_cpu_backend": {"LocalCPUBackend": storage.LocalCPUBackend},
    "lmcache.v1.storage_backend.connector": {
        "ConnectorAdapter": remote.ConnectorAdapter, "ConnectorContext": remote.ConnectorContext, "parse_remote_url": remote.parse_remote_url,
        "extract_plugin_type": remote.extract_plugin_type,
    },
    "lmcache.v1.storage_backend.connector.base_connector": {"RemoteConnector": remote.RemoteConnector},
}
_LAST = {("lmcache.lmcache_native", "Bitmap"): common.Bitmap, ("lmcache.native_storage_ops", "Bitmap"): common.Bitmap}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path=None, target=None):
        if fullname not in MODULES:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin="sixcall.worker.stubs")
        spec.submodule_search_locations = []
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        for name, value in MODULES[module.__name__].items():
            setattr(module, name, _moved(module.__name__, name, value) if isinstance(value, str) else value)


def _moved(module: str, name: str, where: str):
    """What moved, from where this version of LMCache has it."""
    target, _, attribute = where.partition(":")
    if (target, attribute) in _LAST and (spec := _real_spec(target)) is None:
        return _LAST[module, name]
    return getattr(importlib.import_module(target), attribute)


def _real_spec(name: str):
    """The spec of a module that is not one of the stand-ins."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec if spec is not None and not isinstance(spec.loader, _Finder) else None


def install() -> tuple:
    """Makes lmcache importable. Returns whether it is the real one, and why not."""
    finder = _Finder()
    spec = _real_spec("lmcache")
    if spec is None:
        sys.meta_path.append(finder)
        return False, "LMCache is not installed in this interpreter"
    sys.meta_path.append(finder)
    try:
        importlib.import_module("lmcache.v1.memory_management")
        return True, ""
    except Exception as error:  # whatever an installation that does not fit raises
        why = f"LMCache of this interpreter cannot be imported ({type(error).__name__}: {error})"
    for name in [n for n in sys.modules if n == "lmcache" or n.startswith("lmcache.")]:
        del sys.modules[name]
    sys.meta_path.remove(finder)
    sys.meta_path.insert(0, finder)
    return False, why
