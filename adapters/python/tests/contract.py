# SPDX-License-Identifier: Apache-2.0
"""What holds for every adapter below LMCache's storage manager. Mixed into the test
cases of each kind of adapter."""

from __future__ import annotations

import storage


class UnderTheStorageManager:
    """Needs adapter_config(capacity_bytes) and stored_bytes(manager)."""

    def manager(self, *adapters: dict, **settings):
        sm = storage.manager(*(adapters or (self.adapter_config(),)), **settings)
        self.addCleanup(sm.close)
        return sm

    def stored(self, sm, keys) -> None:
        want = len(keys) * storage.VALUE_BYTES
        storage.until(lambda: storage.adapter(sm).get_usage().total_bytes_used >= want, f"{want} bytes in L2")

    def test_what_the_store_controller_stores_comes_back_by_prefetch(self):
        sm = self.manager()
        keys = [storage.key(i, salt="alice" if i % 2 else "") for i in range(16)]
        storage.store(sm, keys)
        self.stored(sm, keys)
        storage.drop_l1(sm, keys)
        asked = [*keys, storage.key(99)]
        bits, values = storage.prefetch(sm, asked)
        self.assertEqual(bits, "1" * 16 + "0")
        self.assertEqual(values, {i: storage.content(k) for i, k in enumerate(keys)})
        usage = storage.adapter(sm).get_usage()
        self.assertEqual(dict(usage.bytes_by_cache_salt), {"": 8 * storage.VALUE_BYTES, "alice": 8 * storage.VALUE_BYTES})
        self.assertTrue(sm.report_status()["is_healthy"])

    def test_prefix_stops_at_the_first_hole(self):
        sm = self.manager()
        keys = [storage.key(i) for i in range(5)]
        storage.store(sm, [k for i, k in enumerate(keys) if i != 2])
        self.stored(sm, keys[:4])
        storage.drop_l1(sm, keys)
        bits, values = storage.prefetch(sm, keys, "prefix")
        self.assertEqual(bits, "11000")
        self.assertEqual(sorted(values), [0, 1])

    def test_the_eviction_controller_keeps_the_capacity(self):
        capacity = 20 * storage.VALUE_BYTES
        config = self.adapter_config(capacity)
        config["eviction"] = {"eviction_policy": "LRU", "trigger_watermark": 0.5, "eviction_ratio": 0.5}
        sm = self.manager(config)
        self.assertTrue(storage.adapter(sm).supports_global_eviction)
        keys = [storage.key(i) for i in range(16)]
        storage.store(sm, keys)
        self.stored(sm, keys[:1])

        def settled() -> bool:
            usage, left = storage.adapter(sm).get_usage(), len(self.present(sm, keys))
            return 0 < left < 10 and usage.total_bytes_used == left * storage.VALUE_BYTES

        storage.until(settled, "eviction below the watermark, with the accounts of what is there")

    def present(self, sm, keys) -> list:
        """The keys that L2 has; their pins are given back."""
        from helpers import WAIT, readable

        adapter = storage.adapter(sm)
        # The prefetch controller reads the fd as well, so the result is asked for
        # whether it is signalled or not.
        task = adapter.submit_lookup_and_lock_task(list(keys), {})
        bits = None
        while bits is None:
            bits = adapter.query_lookup_and_lock_result(task)
            if bits is None:
                readable(adapter.get_lookup_and_lock_event_fd(), min(WAIT, 0.01))
        found = bits.gather(list(keys))
        adapter.submit_unlock(found)
        return found

    def test_adapters_come_and_go_at_run_time(self):
        sm = self.manager()
        second = sm.add_l2_adapter(storage.l2_config(self.adapter_config()).adapters[0])
        keys = [storage.key(i) for i in range(4)]
        storage.store(sm, keys)
        self.stored(sm, keys)
        storage.until(
            lambda: storage.adapter(sm, 1).get_usage().total_bytes_used == 4 * storage.VALUE_BYTES, "the second adapter's store"
        )
        gone = storage.adapter(sm)
        sm.delete_l2_adapter(0)
        self.assertFalse(gone.report_status()["is_healthy"])
        with self.assertRaises(ValueError):
            sm.delete_l2_adapter(0)
        storage.drop_l1(sm, keys)
        bits, values = storage.prefetch(sm, keys)
        self.assertEqual((bits, len(values)), ("1111", 4))
        self.assertEqual([d.index for d, _ in sm.l2_adapters()], [second])
