# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel of the package sixcall: build_wheel.py OUT LIBRARY WORKER CONNECTORS

OUT         folder for the wheel
LIBRARY     libsixcall.so
WORKER      sixcall-worker
CONNECTORS  folder with libsixcall_NAME.so

The same input gives the same bytes. Prints the path of the wheel.
"""

import base64
import glob
import hashlib
import os
import platform
import re
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))


def version() -> str:
    with open(os.path.join(HERE, "sixcall", "__init__.py")) as file:
        return re.search(r'__version__ = "(.*)"', file.read()).group(1)


def platform_tag(binaries: list) -> str:
    """The oldest glibc that all binaries run on, as a manylinux tag."""
    glibc, newest_cxx = 17, 0
    for path in binaries:
        text = subprocess.run(["readelf", "-VW", path], check=True, capture_output=True, text=True).stdout
        glibc = max([glibc, *(int(n) for n in re.findall(r"GLIBC_2\.(\d+)", text))])
        newest_cxx = max([newest_cxx, *(int(n) for n in re.findall(r"GLIBCXX_3\.4\.(\d+)", text))])
    if newest_cxx > 29:  # the C++ library of gcc 12, which systems with glibc 2.36 have
        glibc = max(glibc, 36)
    return f"manylinux_2_{glibc}_{platform.machine()}"


def contents(library: str, worker: str, connectors: str) -> dict:
    """Path in the wheel of each file, and whether it is a program."""
    files = {}
    for path in glob.glob(os.path.join(HERE, "sixcall", "**", "*.py"), recursive=True):
        files[os.path.relpath(path, HERE)] = (path, False)
    files["sixcall/lib/libsixcall.so"] = (library, False)
    files["sixcall/bin/sixcall-worker"] = (worker, True)
    twins = ("_asan.so", "_tsan.so")  # for tests only
    found = sorted(path for path in glob.glob(os.path.join(connectors, "libsixcall_*.so")) if not path.endswith(twins))
    if not found:
        sys.exit(f"build_wheel: no connectors in {connectors}")
    for path in found:
        files["sixcall/connectors/" + os.path.basename(path)] = (path, False)
    files["sixcall/LICENSE"] = (os.path.join(HERE, "..", "..", "LICENSE"), False)
    return files


def main(out: str, library: str, worker: str, connectors: str) -> None:
    files = contents(library, worker, connectors)
    tag = f"py3-none-{platform_tag([p for name, (p, _) in files.items() if name.endswith(('.so', '/sixcall-worker'))])}"
    name, info = f"sixcall-{version()}", f"sixcall-{version()}.dist-info"
    with open(os.path.join(HERE, "README.md")) as file:
        readme = file.read()
    texts = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: sixcall\nVersion: {version()}\n"
        "Summary: Storage connectors with a C ABI, for LMCache\nLicense: Apache-2.0\n"
        f"Requires-Python: >=3.10\nDescription-Content-Type: text/markdown\n\n{readme}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: sixcall\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, f"{name}-{tag}.whl")
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:

        def add(where: str, data: bytes, program: bool = False) -> None:
            entry = zipfile.ZipInfo(where)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if program else 0o100644) << 16
            wheel.writestr(entry, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{where},sha256={digest},{len(data)}")

        for where, (source, program) in sorted(files.items()):
            with open(source, "rb") as file:
                add(where, file.read(), program)
        for where, text in texts.items():
            add(where, text.encode())
        record.append(f"{info}/RECORD,,")
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "\n".join(record) + "\n")
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
