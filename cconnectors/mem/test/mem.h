// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MEM_TEST_MEM_H
#define SIXCALL_MEM_TEST_MEM_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "harness/connection.h"

namespace sixcall_test {

// The library under test, loaded once.
inline const sixcall_api *Mem() {
  static const sixcall_api *api = LoadLibrary(SIXCALL_TEST_MEM);
  return api;
}

inline OpenOptions MemOptions(const std::string &config) {
  OpenOptions options;
  options.config = config;
  return options;
}

inline sixcall_usage UsageOf(const sixcall_api *api, sixcall_conn *conn) {
  sixcall_usage usage = {};
  usage.struct_size = sizeof(usage);
  EXPECT_EQ(api->usage(conn, &usage), SIXCALL_OK);
  return usage;
}

// Every page of a listing, from the start to the last.
inline std::vector<ListedKey> ListAll(Connection &connection, uint64_t page_cap) {
  std::vector<ListedKey> all;
  std::string cursor;
  for (int pages = 0; pages < 100000; ++pages) {
    const Result page = connection.Run(Request::List(page_cap, cursor));
    if (page.rc != SIXCALL_OK) throw std::runtime_error("list: " + page.err_text);
    all.insert(all.end(), page.listed.begin(), page.listed.end());
    if (page.last_page) return all;
    cursor = page.cursor;
  }
  throw std::runtime_error("a listing without an end");
}

}  // namespace sixcall_test

#endif  // SIXCALL_MEM_TEST_MEM_H
