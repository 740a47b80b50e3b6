# SPDX-License-Identifier: Apache-2.0
"""Storage connectors with a C ABI, for KV-cache hosts in Python.

``sixcall.lmcache`` has the classes that LMCache loads. The rest is what they are
made of: ``sixcall.connection`` is a connector library by ctypes.
"""

from sixcall.errors import Error

__version__ = "0.1.0"
__all__ = ["Error", "__version__"]
