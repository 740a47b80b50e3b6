// SPDX-License-Identifier: Apache-2.0
// Texts for people: error sentences and what libraries say about themselves.
#ifndef SIXCALL_WORKER_TEXT_H
#define SIXCALL_WORKER_TEXT_H

#include <cstdarg>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sixcall::worker {

/// Why something did not work, in the codes of the ABI.
struct Failure {
  int32_t code = 0;  // SIXCALL_E_
  std::string text;  // one line
  int32_t vendor_code = 0;
};

__attribute__((format(printf, 1, 2))) std::string Format(const char* format, ...);

/// One line of valid UTF-8: control characters become blanks, wrong bytes U+FFFD.
std::string Printable(std::string_view text);

/// In double quotes, with quotes and backslashes escaped.
std::string Quote(std::string_view text);

std::string Join(const std::vector<std::string>& parts, const char* between);

/// "No such file or directory" of an errno.
std::string ErrnoText(int error);

}  // namespace sixcall::worker

#endif
