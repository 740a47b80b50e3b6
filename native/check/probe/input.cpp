// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core.h"

namespace probe {
namespace {

std::vector<std::pair<std::string, std::string>>& Records() {
  static std::vector<std::pair<std::string, std::string>> records;
  return records;
}

}  // namespace

bool ReadInput(const char* path) {
  FILE* file = fopen(path, "re");
  if (file == nullptr) return false;
  std::string text;
  char part[4096];
  for (size_t n; (n = fread(part, 1, sizeof(part), file)) > 0;) text.append(part, n);
  fclose(file);
  for (size_t at = 0; at < text.size();) {
    const size_t tab = text.find('\t', at), line = text.find('\n', at);
    if (tab == std::string::npos || line == std::string::npos || tab > line) return false;
    const size_t len = strtoull(text.c_str() + tab + 1, nullptr, 10);
    if (len > text.size() - line - 1) return false;
    Records().emplace_back(text.substr(at, tab - at), text.substr(line + 1, len));
    at = line + 1 + len + 1;
  }
  return true;
}

void SetInput(const std::string& name, const std::string& value) {
  for (auto& record : Records()) {
    if (record.first == name) {
      record.second = value;
      return;
    }
  }
  Records().emplace_back(name, value);
}

const std::string& In(const std::string& name, const std::string& otherwise) {
  static std::string kept;
  for (const auto& record : Records()) {
    if (record.first == name) return record.second;
  }
  return kept = otherwise;
}

bool Has(const std::string& name) {
  for (const auto& record : Records()) {
    if (record.first == name) return true;
  }
  return false;
}

std::vector<std::string> All(const std::string& name) {
  std::vector<std::string> values;
  for (const auto& record : Records()) {
    if (record.first == name) values.push_back(record.second);
  }
  return values;
}

uint64_t InNumber(const std::string& name, uint64_t otherwise) {
  for (const auto& record : Records()) {
    if (record.first == name) return strtoull(record.second.c_str(), nullptr, 10);
  }
  return otherwise;
}

uint64_t PatienceMs() { return InNumber("patience_ms", 20000); }
uint64_t EffortMs() { return InNumber("effort_ms", 3000); }

}  // namespace probe
