// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/table_reader.h"

#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>

namespace pergola::host {
namespace {

bool is_key_character(char c) { return is_small_letter(c) || is_digit(c) || c == '_'; }

bool is_key(std::string_view text) {
  return !text.empty() && is_small_letter(text[0]) &&
         std::all_of(text.begin(), text.end(), is_key_character);
}

[[noreturn]] void fail_from(const std::string& where, const std::string& problem) {
  throw Error(ErrorKind::kPlugin, printable(where), ": ", printable(problem));
}

}  // namespace

TableReader::TableReader(const Value& value, std::string path, std::string where)
    : path_(std::move(path)), where_(value.origin().empty() ? std::move(where) : value.origin()) {
  if (!value.is_table()) fail(concat(name(), " is ", value.type_name(), "; expected a table"));
  table_ = &value.as_table();
}

void TableReader::allow_only(const std::vector<std::string>& known) const {
  for (const auto& [key, value] : *table_) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail_at(value, concat("unknown key '", path_of(key), "'", did_you_mean(key, known)));
  }
}

const Value* TableReader::find(const std::string& key) const {
  const auto found = table_->find(key);
  return found == table_->end() ? nullptr : &found->second;
}

std::string TableReader::text(const std::string& key) const {
  const Value* value = find(key);
  if (value == nullptr) fail(concat(name(), " has no '", key, "'; add ", key, " = \"...\""));
  return text_of(*value, path_of(key));
}

std::vector<std::string> TableReader::texts(const std::string& key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) {
    fail_at(*value, concat("'", path_of(key), "' is ", value->type_name(),
                           "; expected an array of strings"));
  }
  std::vector<std::string> all;
  for (const Value& item : value->as_array()) all.push_back(text_of(item, path_of(key)));
  return all;
}

std::map<std::string, std::string> TableReader::text_table(const std::string& key) const {
  std::map<std::string, std::string> all;
  if (find(key) == nullptr) return all;
  const TableReader reader = table(key);
  for (const auto& [name, value] : reader.entries()) all[name] = reader.text(name);
  return all;
}

std::vector<TableReader> TableReader::tables(const std::string& key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) {
    fail_at(*value, concat("'", path_of(key), "' is ", value->type_name(),
                           "; expected an array of tables, [[", path_of(key), "]]"));
  }
  std::vector<TableReader> all;
  for (const Value& item : value->as_array()) all.emplace_back(item, path_of(key), where_);
  return all;
}

TableReader TableReader::table(const std::string& key) const {
  return {*find(key), path_of(key), where_};
}

void TableReader::require_key(const std::string& text, std::string_view what) const {
  if (is_key(text)) return;
  fail(concat(what, " '", text,
              "' must begin with a small letter and hold only small letters, "
              "digits and underscores"));
}

void TableReader::fail(const std::string& problem) const { fail_from(where_, problem); }

void TableReader::fail_in(const std::string& key, const std::string& problem) const {
  fail_at(*find(key), concat("'", path_of(key), "' ", problem));
}

void TableReader::fail_at(const Value& value, const std::string& problem) const {
  fail_from(value.origin().empty() ? where_ : value.origin(), problem);
}

std::string TableReader::text_of(const Value& value, const std::string& path) const {
  if (!value.is_string()) {
    fail_at(value, concat("'", path, "' is ", value.type_name(), "; expected a string"));
  }
  return printable(value.as_string());
}

std::string TableReader::name() const {
  return path_.empty() ? "the plugin manifest" : concat("'", path_, "'");
}

std::string TableReader::path_of(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

}  // namespace pergola::host
