# SPDX-License-Identifier: Apache-2.0
from lmcache.v1.storage_backend.connector import (
    ConnectorAdapter,
    ConnectorContext,
)
from lmcache.v1.storage_backend.connector.base_connector import RemoteConnector

from .connector import Lacking, MyStoreConnector, Sync


class MyStoreConnectorAdapter(ConnectorAdapter):
    def __init__(self) -> None:
        super().__init__("mystore://")

    def create_connector(self, context: ConnectorContext) -> RemoteConnector:
        return MyStoreConnector(context.url, context.config, context.metadata, context.local_cpu_backend)


class SyncAdapter(ConnectorAdapter):
    def __init__(self) -> None:
        super().__init__("sync://")

    def create_connector(self, context: ConnectorContext):
        return Sync()


class LackingAdapter(SyncAdapter):
    def create_connector(self, context: ConnectorContext):
        return Lacking()


class FailingAdapter(SyncAdapter):
    def create_connector(self, context: ConnectorContext):
        raise ConnectionRefusedError("mystore is not there")
