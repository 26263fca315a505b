// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/config_changes.h"

#include "host/config/interpolate.h"
#include "host/config/toml.h"
#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace pergola::host {
namespace {

constexpr std::size_t kMostTold = 8;
constexpr std::size_t kMostText = 80;  // of one value

// A table stands for all that is in it.
constexpr std::string_view kNoMatter[] = {"checkpoint",
                                          "env",
                                          "plugins",
                                          "run_type",
                                          "training.colored_logs",
                                          "training.experiment_name",
                                          "training.histogram_interval",
                                          "training.log_detailed_config",
                                          "training.log_format",
                                          "training.log_interval",
                                          "training.logger_level",
                                          "training.num_workers",
                                          "training.pin_memory",
                                          "training.profile",
                                          "training.should_not_log",
                                          "training.tensorboard"};

bool is_number(const Value& value) {
  return value.type() == Value::Type::kInteger || value.type() == Value::Type::kFloat;
}

// A file may have 1 where another one has 1.0.
bool is_same(const Value& saved, const Value& now) {
  if (is_number(saved) && is_number(now)) return saved.as_float() == now.as_float();
  if (saved.is_string() && now.is_string()) {
    return saved.as_string() == escape_references(now.as_string());
  }
  if (!saved.is_array() || !now.is_array()) return saved == now;
  return std::ranges::equal(saved.as_array(), now.as_array(), is_same);
}

std::string text_of(const Value* value) {
  if (value == nullptr) return "not set";
  std::string text = to_string(*value);
  if (text.size() > kMostText) text = text.substr(0, kMostText - 3) + "...";
  return text;
}

const Value* member(const Value* table, const std::string& key) {
  if (table == nullptr || !table->is_table()) return nullptr;
  const auto found = table->as_table().find(key);
  return found == table->as_table().end() || found->second.is_null() ? nullptr : &found->second;
}

void add_keys(const Value* table, std::set<std::string>& keys) {
  if (table == nullptr || !table->is_table()) return;
  for (const auto& [key, value] : table->as_table()) keys.insert(key);
}

bool is_table(const Value* value) { return value != nullptr && value->is_table(); }

void compare_at(const std::string& path, const Value* saved, const Value* now,
                std::vector<std::string>& changes) {
  if (std::ranges::find(kNoMatter, path) != std::end(kNoMatter)) return;
  if (is_table(saved) || is_table(now)) {
    std::set<std::string> keys;
    add_keys(saved, keys);
    add_keys(now, keys);
    for (const std::string& key : keys) {
      compare_at(path.empty() ? key : concat(path, ".", key), member(saved, key), member(now, key),
                 changes);
    }
    return;
  }
  if (saved == nullptr && (now == nullptr || now->origin() == "defaults")) return;
  if (saved != nullptr && now != nullptr && is_same(*saved, *now)) return;
  changes.push_back(concat(path, " = ", text_of(now), " (it was ", text_of(saved), ")"));
}

}  // namespace

std::vector<std::string> config_changes(const Value& saved, const Value& now) {
  std::vector<std::string> changes;
  compare_at("", &saved, &now, changes);
  return changes;
}

void log_config_changes(const Value& state, const Config& now) {
  const Value* const text = state.find("config");
  if (text == nullptr) return;
  const Value saved =
      parse_toml(text->as_string(), "the config in state.json", ErrorKind::kCheckpoint);
  std::vector<std::string> changes = config_changes(saved, now.value());
  if (changes.empty()) return;
  std::string more;
  if (changes.size() > kMostTold) {
    more = concat(", and ", changes.size() - kMostTold, " more");
    changes.resize(kMostTold);
  }
  log::info("[resume] the config is not the checkpoint's: ", join(changes), more);
}

}  // namespace pergola::host
