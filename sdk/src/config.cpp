// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/config.h"

#include "pergola/suggest.h"

#include <algorithm>

namespace pergola {
namespace {

std::string shortened(const Value& value) {
  constexpr std::size_t kLongest = 80;
  std::string text = to_string(value);
  if (text.size() > kLongest) text = text.substr(0, kLongest - 3) + "...";
  return text;
}

Error wrong_type(const Config& config, std::string_view key, const Value& value,
                 const char* expected) {
  return config.error(key, concat("is ", value.type_name(), "; expected ", expected));
}

template <class T>
struct Reader;
template <>
struct Reader<bool> {
  static constexpr const char* kExpected = "true or false";
  static bool fits(const Value& v) { return v.type() == Value::Type::kBoolean; }
  static bool read(const Value& v) { return v.as_boolean(); }
};
template <>
struct Reader<std::int64_t> {
  static constexpr const char* kExpected = "an integer";
  static bool fits(const Value& v) { return v.type() == Value::Type::kInteger; }
  static std::int64_t read(const Value& v) { return v.as_integer(); }
};
template <>
struct Reader<double> {
  static constexpr const char* kExpected = "a number";
  static bool fits(const Value& v) {
    return v.type() == Value::Type::kFloat || v.type() == Value::Type::kInteger;
  }
  static double read(const Value& v) { return v.as_float(); }
};
template <>
struct Reader<std::string> {
  static constexpr const char* kExpected = "a string";
  static bool fits(const Value& v) { return v.is_string(); }
  static std::string read(const Value& v) { return v.as_string(); }
};

}  // namespace

Config::Config() : Config(Value(Value::Table{})) {}

Config::Config(Value table, std::string path)
    : root_(std::make_shared<const Value>(std::move(table))),
      node_(root_.get()),
      path_(std::move(path)) {
  PERGOLA_ASSERT(node_->is_table());
}

Config::Config(std::shared_ptr<const Value> root, const Value* node, std::string path)
    : root_(std::move(root)), node_(node), path_(std::move(path)) {}

std::string Config::path_of(std::string_view key) const {
  if (path_.empty()) return std::string(key);
  if (key.empty()) return path_;
  return concat(path_, key.front() == '[' ? "" : ".", key);
}

Error Config::error(std::string_view key, const std::string& problem) const {
  const Value* value = node_->find(key);
  if (value == nullptr) return Error(ErrorKind::kConfig, path_of(key), " ", problem);
  const std::string& origin = value->origin();
  return Error(ErrorKind::kConfig, path_of(key), " = ", shortened(*value),
               origin.empty() ? "" : " (" + origin + ")", " ", problem);
}

bool Config::has(std::string_view key) const {
  const Value* value = node_->find(key);
  return value != nullptr && !value->is_null();
}

const Value& Config::require(std::string_view key) const {
  if (!has(key)) {
    throw Error(ErrorKind::kConfig, path_of(key), " is missing",
                node_->origin().empty() ? "" : " in the table at " + node_->origin(),
                "; set it in the config or on the command line");
  }
  return *node_->find(key);
}

#define PERGOLA_DEFINE_GET(T)                                                               \
  template <>                                                                               \
  T Config::get<T>(std::string_view key) const {                                            \
    const Value& value = require(key);                                                      \
    if (!Reader<T>::fits(value)) throw wrong_type(*this, key, value, Reader<T>::kExpected); \
    return Reader<T>::read(value);                                                          \
  }                                                                                         \
  template <>                                                                               \
  std::vector<T> Config::get<std::vector<T>>(std::string_view key) const {                  \
    return get_list<T>(*this, key, require(key));                                           \
  }
namespace {

template <class T>
std::vector<T> get_list(const Config& config, std::string_view key, const Value& value) {
  if (!value.is_array()) throw wrong_type(config, key, value, "an array");
  std::vector<T> list;
  for (const Value& item : value.as_array()) {
    if (!Reader<T>::fits(item)) {
      const std::string place = concat(key, "[", list.size(), "]");
      throw wrong_type(config, place, item, Reader<T>::kExpected);
    }
    list.push_back(Reader<T>::read(item));
  }
  return list;
}

}  // namespace
template <>
bool Config::get<bool>(std::string_view key) const {
  const Value& value = require(key);
  if (!Reader<bool>::fits(value)) throw wrong_type(*this, key, value, Reader<bool>::kExpected);
  return value.as_boolean();
}
PERGOLA_DEFINE_GET(std::int64_t)
PERGOLA_DEFINE_GET(double)
PERGOLA_DEFINE_GET(std::string)
#undef PERGOLA_DEFINE_GET

std::int64_t Config::get_integer(std::string_view key, std::int64_t fallback, std::int64_t low,
                                 std::int64_t high) const {
  const std::int64_t number = get<std::int64_t>(key, fallback);
  if (number >= low && number <= high) return number;
  if (high == INT64_MAX) throw error(key, concat("is out of range; expected at least ", low));
  throw error(key, concat("is out of range; expected ", low, " to ", high));
}

double Config::get_float(std::string_view key, double fallback, double low, double high) const {
  const double number = get<double>(key, fallback);
  if (number >= low && number <= high) return number;
  throw error(key, concat("is out of range; expected ", low, " to ", high));
}

std::int64_t Config::get_fact(std::string_view key, std::string_view what) const {
  constexpr std::int64_t kMost = 1 << 27;
  const auto number = get<std::int64_t>(key, 0);
  if (number != 0) return get_integer(key, number, 1, kMost);
  throw error(key, concat("must be the number of ", what,
                          "; the data set gives it, and this one has none: set it, or choose "
                          "another data set"));
}

std::string Config::get_choice(std::string_view key, const std::string& fallback,
                               const std::vector<std::string>& choices) const {
  std::string word = get<std::string>(key, fallback);
  if (std::find(choices.begin(), choices.end(), word) != choices.end()) return word;
  const std::string near = closest(word, choices);
  throw error(key, concat("is not one of ", join(choices),
                          near.empty() ? "" : "; did you mean '" + near + "'?"));
}

Config Config::table(std::string_view key) const {
  if (!has(key)) return Config(Value(Value::Table{}), path_of(key));
  const Value& value = require(key);
  if (!value.is_table()) throw wrong_type(*this, key, value, "a table");
  return Config(root_, &value, path_of(key));
}

TypedConfig Config::typed_at(const Value& value, const std::string& path) const {
  const std::string where = path + (value.origin().empty() ? "" : " (" + value.origin() + ")");
  if (value.is_string()) {
    const Value none{Value::Table{}};
    return {value.as_string(), Config(none, path + ".params"), Config(none, path), where};
  }
  if (!value.is_table()) {
    throw Error(ErrorKind::kConfig, where, " is ", value.type_name(),
                "; expected a name or {type = \"name\", params = {...}}");
  }
  const Config options(root_, &value, path);
  if (!options.has("type")) {
    throw Error(ErrorKind::kConfig, where, " has no `type`; expected a name or {type = \"name\", ",
                "params = {...}}");
  }
  const Value* params = value.find("params");
  if (params != nullptr && params->is_array()) {  // MMF's `multi`: the parts are the params
    return {options.get<std::string>("type"), Config(Value::Table{{"params", *params}}, path),
            options, where};
  }
  return {options.get<std::string>("type"), options.table("params"), options, where};
}

TypedConfig Config::typed(std::string_view key) const {
  return typed_at(require(key), path_of(key));
}

std::vector<TypedConfig> Config::typed_list(std::string_view key) const {
  std::vector<TypedConfig> list;
  if (!has(key)) return list;
  const Value& value = require(key);
  if (!value.is_array()) throw wrong_type(*this, key, value, "an array");
  for (const Value& item : value.as_array()) {
    list.push_back(typed_at(item, concat(path_of(key), "[", list.size(), "]")));
  }
  return list;
}

void Config::allow_only(const std::vector<std::string>& known) const {
  for (const auto& [key, value] : node_->as_table()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw Error(ErrorKind::kConfig, path_of(key),
                value.origin().empty() ? "" : " (" + value.origin() + ")", " is not a known key",
                did_you_mean(key, known));
  }
}

}  // namespace pergola
