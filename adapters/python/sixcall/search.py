# SPDX-License-Identifier: Apache-2.0
"""Where connector libraries are looked up, and what is checked before one is loaded."""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import struct

from sixcall.abi import E_CONFIG
from sixcall.errors import Error

SEARCH_PATH_ENV = "SIXCALL_CONNECTOR_PATH"
_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine of ELF


def package_folder() -> str:
    """The folder of this package, where a wheel has the bundled connectors."""
    return os.path.dirname(os.path.abspath(__file__))


def bundled_folder() -> str:
    return os.path.join(package_folder(), "connectors")


def find(connector: str) -> str:
    """Returns the absolute path of a connector library.

    A connector with a '/' is a path. Any other is a bare name, for which
    libsixcall_NAME.so is looked up in $SIXCALL_CONNECTOR_PATH, the user's folder of
    configuration, the connectors of this package, and the system's folders; never in
    the working folder.
    """
    if not isinstance(connector, str) or not connector or "\0" in connector:
        raise Error("find", str(connector), E_CONFIG, "want the path or the name of a connector library")
    if "/" in connector:
        path = os.path.abspath(connector)
        why = _not_a_library(path)
        if why:
            raise Error("find", connector, E_CONFIG, f"{path!r}: {why}")
        return path
    if connector.endswith(".so"):
        raise Error(
            "find",
            connector,
            E_CONFIG,
            f"the working folder is never searched; write './{connector}' for a file in it, or the bare name",
        )
    if not _ALPHABET.issuperset(connector):
        raise Error("find", connector, E_CONFIG, "a bare name has letters, digits, '_' and '-' only")
    name = f"libsixcall_{connector}.so"
    tried = []
    for folder, skip in _places():
        if skip:
            tried.append(skip)
            continue
        path = os.path.join(folder, name)
        why = _not_a_library(path)
        if not why:
            return path
        tried.append(f"{path!r}: {why}")
    raise Error("find", connector, E_CONFIG, f"no {name} in any of the {len(tried)} places tried: {'; '.join(tried)}")


def raised_privileges() -> bool:
    """Whether the environment must not direct this process."""
    return os.geteuid() != os.getuid() or os.getegid() != os.getgid()


def _places():
    """Yields (folder, "") for each place to search and ("", reason) for each that is not."""
    if raised_privileges():
        yield "", f"{SEARCH_PATH_ENV} and the home folder: ignored, the process runs with another user's rights"
    else:
        value = os.environ.get(SEARCH_PATH_ENV, "")
        if not value:
            yield "", f"{SEARCH_PATH_ENV}: not set"
        for entry in value.split(os.pathsep) if value else ():
            if os.path.isabs(entry):
                yield entry, ""
            else:
                yield "", f"{SEARCH_PATH_ENV}: {entry!r} is ignored, only absolute folders are searched"
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        if os.path.isabs(config):
            yield os.path.join(config, "sixcall", "connectors"), ""
    yield bundled_folder(), ""
    yield f"/usr/lib/{platform.machine()}-linux-gnu/sixcall", ""
    yield "/usr/local/lib/sixcall", ""


def _not_a_library(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error))
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    return "" if stat.S_ISREG(mode) else "not a regular file"


def check(path: str, sha256: str = "") -> str:
    """Checks a library without running it and returns its real path.

    Refused are files that others may write, what is no shared library for this
    machine, and content other than the pinned one.
    """
    real = os.path.realpath(path)

    def refuse(text: str) -> Error:
        return Error("load", path, E_CONFIG, text)

    for thing, what in ((real, "file"), (os.path.dirname(real), "folder")):
        info = os.stat(thing)
        if info.st_mode & stat.S_IWOTH and not (what == "folder" and info.st_mode & stat.S_ISVTX):
            raise refuse(f"the {what} {thing!r} can be written by everybody; chmod o-w it")
    with open(real, "rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF":
            raise refuse(f"not an ELF file: it begins with {head[:8]!r}")
        if len(head) < 64:
            raise refuse(f"truncated ELF file: {len(head)} bytes, the header alone has 64")
        machine = struct.unpack_from("<H", head, 18)[0]
        if head[4] != 2 or head[5] != 1 or machine != _MACHINES.get(platform.machine()):
            raise refuse(f"built for another machine (ELF machine {machine}), this host is {platform.machine()}")
        if struct.unpack_from("<H", head, 16)[0] != 3:
            raise refuse("not a shared library")
        if sha256:
            file.seek(0)
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            if digest.hexdigest() != sha256.lower():
                raise refuse(
                    f"the file is not the one that is pinned: its sha256 is {digest.hexdigest()}, want {sha256.lower()}"
                )
    return real
