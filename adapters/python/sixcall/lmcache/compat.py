# SPDX-License-Identifier: Apache-2.0
"""Where LMCache's versions differ. Everything else here is in all that are tested."""

from __future__ import annotations

try:
    from lmcache.lmcache_native import Bitmap
except ImportError:  # its name in 0.5.0 and before
    from lmcache.native_storage_ops import Bitmap

__all__ = ["Bitmap"]
