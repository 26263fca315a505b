// SPDX-License-Identifier: BSD-3-Clause
// One table of a plugin's manifest and the way to it; its getters check as they read, and throw
// Error{kPlugin} with the place. Borrows the table. Thread-safe.
#pragma once

#include "pergola/value.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// By hand: std::regex recurses for each character, and a manifest may hold a million of them.
[[nodiscard]] constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr bool is_small_letter(char c) { return c >= 'a' && c <= 'z'; }

class TableReader {
 public:
  // `value` must live as long as the reader.
  TableReader(const Value& value, std::string path, std::string where);

  void allow_only(const std::vector<std::string>& known) const;

  [[nodiscard]] const Value* find(const std::string& key) const;
  [[nodiscard]] std::string text(const std::string& key) const;
  // Nothing when the key is missing, as the others below.
  [[nodiscard]] std::vector<std::string> texts(const std::string& key) const;
  [[nodiscard]] std::map<std::string, std::string> text_table(const std::string& key) const;
  [[nodiscard]] std::vector<TableReader> tables(const std::string& key) const;
  // REQUIRES: find(key).
  [[nodiscard]] TableReader table(const std::string& key) const;
  [[nodiscard]] const Value::Table& entries() const { return *table_; }

  // How messages name this table, and the dotted path of a key of it.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::string path_of(const std::string& key) const;

  // Throws unless `text` is a key: [a-z][a-z0-9_]*.
  void require_key(const std::string& text, std::string_view what) const;

  [[noreturn]] void fail(const std::string& problem) const;
  // The same, at the place of `key`. REQUIRES: find(key).
  [[noreturn]] void fail_in(const std::string& key, const std::string& problem) const;

 private:
  [[noreturn]] void fail_at(const Value& value, const std::string& problem) const;
  [[nodiscard]] std::string text_of(const Value& value, const std::string& path) const;

  const Value::Table* table_ = nullptr;
  std::string path_;
  std::string where_;
};

}  // namespace pergola::host
