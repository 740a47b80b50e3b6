# SPDX-License-Identifier: Apache-2.0
"""Makes torch importable without CUDA's libraries: cuda_stubs.py FOLDER TORCH.

PyPI's torch for amd64 is linked to 3 GB of CUDA libraries that a program on a CPU
never calls. FOLDER, on PYTHONPATH, gets an empty library for each of them and a
sitecustomize that loads these before torch looks for the real ones.
"""

import os
import re
import subprocess
import sys

_STUBBED = re.compile(r"^lib(cu|nv|nccl)")
_REAL = re.compile(r"^libcudart\.|^libcuda\.so")  # registers kernels at load; belongs to the driver
_DATA = re.compile(r"(?:GLOB_DAT|R_X86_64_64)\s.*?\b((?:nvshmem|nccl|nvrtc|cudnn|cublas|cusparse|cufft|cusolver|cupti)\w*)@")

_SITECUSTOMIZE = """\
import ctypes, glob, os, sys
# Functions are looked up when they are called, which they are not.
sys.setdlopenflags(os.RTLD_LAZY)
for _path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "*.so*"))):
    ctypes.CDLL(_path, mode=os.RTLD_LAZY | os.RTLD_GLOBAL)
"""


def readelf(flag: str, path: str) -> str:
    return subprocess.run(["readelf", flag, path], check=True, capture_output=True, text=True).stdout


def main(folder: str, torch: str) -> None:
    os.makedirs(folder, exist_ok=True)
    needed, data = set(), set()
    lib = os.path.join(torch, "lib")
    for name in sorted(os.listdir(lib)):
        if ".so" in name:
            path = os.path.join(lib, name)
            needed.update(re.findall(r"NEEDED.*\[(.*)\]", readelf("-dW", path)))
            if "cuda" in name or "nvshmem" in name or "nvrtc" in name:
                data.update(_DATA.findall(readelf("-rW", path)))
    source = os.path.join(folder, "stub.c")

    def build(name: str, text: str, *flags: str) -> None:
        with open(source, "w") as file:
            file.write(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", os.path.join(folder, name), source, *flags], check=True)

    for name in sorted(needed):
        if _STUBBED.match(name) and not _REAL.match(name):
            build(name, "", f"-Wl,-soname,{name}")
    # What is taken the address of has to be there at load.
    build("symbols.so", "".join(f"char {name}[64];\n" for name in sorted(data)))
    with open(os.path.join(folder, "sitecustomize.py"), "w") as file:
        file.write(_SITECUSTOMIZE)


if __name__ == "__main__":
    main(*sys.argv[1:])
