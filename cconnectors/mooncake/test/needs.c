// SPDX-License-Identifier: Apache-2.0
//
// A library that needs one which the loader does not find.
int mooncake_test_needed(void);
int mooncake_test_needs(void);
int mooncake_test_needs(void) { return mooncake_test_needed(); }
