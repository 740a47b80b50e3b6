# SPDX-License-Identifier: Apache-2.0
"""What a kind of plug-in is to the worker."""

from sixcall.worker.errors import LoadError


class Plugin:
    """One plug-in. load and open are called once, then submit from the pump for each
    batch, which completes whenever it likes, and the rest from the service thread."""

    #: Of the table that the host sees.
    caps = 0
    version = vendor = ""
    #: LMCache's modules are wanted, or stand-ins for them.
    lmcache = False

    def __init__(self, module: str, class_name: str, config_class: str = ""):
        self.module_path, self.class_name, self.config_class = module, class_name, config_class
        self.warnings = []

    def load(self) -> None:
        """Imports the class."""

    def describe(self, url: str) -> dict:
        """Whether the class is an adapter of connectors, and whether that serves url."""
        return {"adapter": False, "parses": False}

    def open(self, params: dict, instance: str) -> None:
        """Makes the instance."""

    def submit(self, batch) -> None:
        """Starts a batch; an exception fails all of it."""

    def usage(self) -> dict:
        raise LoadError("usage is not supported")

    def list(self, cursor: bytes) -> tuple:
        """A page of (key, size or None), and the next cursor, empty at the end."""
        raise LoadError("list is not supported")

    def close(self) -> None:
        """Ends the plug-in."""
