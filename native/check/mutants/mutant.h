// SPDX-License-Identifier: Apache-2.0
//
// A connector with mistakes to order. Without one it keeps the whole contract and
// passes every check. A mistake is chosen by the configuration, {"x-mutant":"name"},
// or, for what happens before open, by the environment variable SIXCALL_MUTANT.
#ifndef SIXCALL_MUTANT_H
#define SIXCALL_MUTANT_H

#include <cstdint>
#include <string>

namespace mutant {

/// Whether the mistake of that name was chosen.
bool Is(const char* name);
void Choose(const std::string& name);

}  // namespace mutant

#endif  // SIXCALL_MUTANT_H
