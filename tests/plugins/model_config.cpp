// SPDX-License-Identifier: BSD-3-Clause
#include "plugins/model_config.h"

#include <toml++/toml.h>

namespace pergola::test {
namespace {

Value to_value(const toml::node& node) {
  if (const toml::table* table = node.as_table()) {
    Value::Table result;
    for (const auto& [key, value] : *table) result.emplace(key.str(), to_value(value));
    return Value(std::move(result));
  }
  if (const toml::array* array = node.as_array()) {
    Value::Array result;
    for (const toml::node& item : *array) result.push_back(to_value(item));
    return Value(std::move(result));
  }
  if (const auto* boolean = node.as_boolean()) return Value(boolean->get());
  if (const auto* integer = node.as_integer()) return Value(std::int64_t{integer->get()});
  if (const auto* number = node.as_floating_point()) return Value(number->get());
  return Value(node.as_string()->get());
}

void merge(Value& into, const Value& changes) {
  for (const auto& [key, value] : changes.as_table()) {
    Value& old = into[key];
    if (old.is_table() && value.is_table()) {
      merge(old, value);
    } else {
      old = value;
    }
  }
}

}  // namespace

Config model_config(const std::string& model, const std::vector<std::string>& changes,
                    const std::string& plugin) {
  const auto manifest = toml::parse_file(
      concat(PERGOLA_PLUGIN_SOURCES, "/", plugin.empty() ? model : plugin, "/plugin.toml"));
  Value config = to_value(*manifest.at_path(concat("models.", model, ".config")).node());
  for (const std::string& change : changes) merge(config, to_value(toml::parse(change)));
  return Config(std::move(config), concat("model_config.", model));
}

}  // namespace pergola::test
