# SPDX-License-Identifier: Apache-2.0
"""python -m sixcall.worker --kind KIND --module MODULE --class CLASS --control-fd FD"""

import argparse
import pkgutil

import sixcall
from sixcall.worker import channel, describe, process, session
from sixcall.worker.l2 import L2Plugin
from sixcall.worker.remote import RemotePlugin
from sixcall.worker.storage import StoragePlugin

KINDS = {"l2": L2Plugin, "remote": RemotePlugin, "storage": StoragePlugin}


def main() -> None:
    parser = argparse.ArgumentParser(prog="sixcall.worker", description="Runs one plug-in of LMCache for a host. Hosts start it; see PROTOCOL.md.")
    parser.add_argument("--kind", required=True, choices=sorted(KINDS), help="what the class is")
    parser.add_argument("--module", required=True, help="import path of the plug-in's module")
    parser.add_argument("--class", required=True, dest="class_name", help="the plug-in's class in it")
    parser.add_argument("--config-class", default="", help="an L2 adapter's configuration class; default: found as LMCache does")
    fd = parser.add_mutually_exclusive_group(required=True)
    fd.add_argument("--control-fd", type=int, help="the host's socket")
    fd.add_argument("--describe-fd", type=int, help="write what the class is, as JSON, and exit")
    parser.add_argument("--url", default="", help="with --describe-fd: is it one that the class serves?")
    arguments = parser.parse_args()
    plugin = KINDS[arguments.kind](arguments.module, arguments.class_name, arguments.config_class)
    # A host brings the worker with it; the rest of the package may be installed.
    sixcall.__path__ = pkgutil.extend_path(sixcall.__path__, "sixcall")
    if arguments.describe_fd is not None:
        return describe.describe(plugin, arguments.url, arguments.describe_fd)
    process.harden(arguments.control_fd)
    session.Session(channel.Channel(arguments.control_fd), plugin).run()


if __name__ == "__main__":
    main()
