# SPDX-License-Identifier: Apache-2.0
"""Says what a class is, for a host that has to know before it needs it."""

import json
import os

from sixcall.worker import stubs
from sixcall.worker.errors import LoadError, last_lines


def describe(plugin, url: str, fd: int) -> None:
    try:
        if plugin.lmcache:
            stubs.install()
        plugin.load()
        answer = plugin.describe(url)
    except LoadError as error:
        answer = {"error": str(error)}
    except BaseException as error:  # of a plug-in, which may raise anything
        answer = {"error": last_lines(error)}
    os.write(fd, json.dumps(answer).encode())
    os._exit(0)  # whatever threads the import has started
