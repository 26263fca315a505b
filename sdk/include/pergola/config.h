// SPDX-License-Identifier: BSD-3-Clause
// A Config is a read-only view of a table of the resolved config, with typed getters whose errors
// name the key, its place in the file, what was found and what was expected. Parse it into a struct
// in one function; nobody reads string keys later. Cheap to copy; shares its tree; thread-safe.
#pragma once

#include "pergola/error.h"
#include "pergola/value.h"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace pergola {

struct TypedConfig;

// What Config::get reads.
template <class T>
inline constexpr bool kIsConfigType = std::disjunction_v<
    std::is_same<T, bool>, std::is_same<T, std::int64_t>, std::is_same<T, double>,
    std::is_same<T, std::string>, std::is_same<T, std::vector<std::int64_t>>,
    std::is_same<T, std::vector<double>>, std::is_same<T, std::vector<std::string>>>;

class PERGOLA_API Config {
 public:
  // An empty table.
  Config();
  // `path` is the dotted path of this table in the whole config, for messages.
  // REQUIRES: `table` is a table.
  explicit Config(Value table, std::string path = "");

  // True when `key` (dotted paths allowed) is there and not null.
  [[nodiscard]] bool has(std::string_view key) const;

  // T: bool, std::int64_t, double (takes integers), std::string, std::vector of the last three.
  // Throws Error{kConfig} when the key is missing or of another type.
  template <class T>
  [[nodiscard]] T get(std::string_view /*key*/) const {  // those types are specialised below
    static_assert(kIsConfigType<T>,
                  "Config::get reads bool, std::int64_t, double, std::string, and std::vector of "
                  "the last three; name the type: get<std::int64_t>(key, 0), not get(key, 0)");
  }
  // The same, but `fallback` when the key is missing.
  template <class T>
  [[nodiscard]] T get(std::string_view key, T fallback) const {
    return has(key) ? get<T>(key) : fallback;
  }
  template <class T>
  [[nodiscard]] std::optional<T> find(std::string_view key) const {
    return has(key) ? std::optional<T>(get<T>(key)) : std::nullopt;
  }
  // The number, or `fallback` when the key is missing. Throws Error{kConfig} when it is of another
  // type, or not in [low, high].
  [[nodiscard]] std::int64_t get_integer(std::string_view key, std::int64_t fallback,
                                         std::int64_t low, std::int64_t high = INT64_MAX) const;
  [[nodiscard]] double get_float(std::string_view key, double fallback, double low,
                                 double high) const;
  // A number that plugin.toml has as 0 and the data set fills in, such as that of the words. `what`
  // it counts is for the message. Throws Error{kConfig} when nothing has filled it in, or when it
  // is below 1 or beyond what any data set has (2^27).
  [[nodiscard]] std::int64_t get_fact(std::string_view key, std::string_view what) const;
  // The word, or `fallback` when the key is missing. Throws Error{kConfig} when it is no string, or
  // none of `choices`; the closest one is in the message.  REQUIRES: choices is not empty.
  [[nodiscard]] std::string get_choice(std::string_view key, const std::string& fallback,
                                       const std::vector<std::string>& choices) const;

  // The table behind `key`; an empty one when it is missing. Throws Error{kConfig} when it is no
  // table.
  [[nodiscard]] Config table(std::string_view key) const;
  // MMF's way to choose an implementation: a name, or {type = "name", params = {...}}.
  // Throws Error{kConfig} when the key is missing or is neither.
  [[nodiscard]] TypedConfig typed(std::string_view key) const;
  // An array of those; empty when the key is missing. Throws Error{kConfig} when it is no array, or
  // an item is neither.
  [[nodiscard]] std::vector<TypedConfig> typed_list(std::string_view key) const;

  // Throws Error{kConfig} for a key that is not in `known`, with its place and the closest one.
  void allow_only(const std::vector<std::string>& known) const;

  // An Error{kConfig}: "<path of key> = <value> (<origin>) <problem>".
  [[nodiscard]] Error error(std::string_view key, const std::string& problem) const;

  [[nodiscard]] const Value& value() const noexcept { return *node_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  Config(std::shared_ptr<const Value> root, const Value* node, std::string path);
  [[nodiscard]] const Value& require(std::string_view key) const;
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] TypedConfig typed_at(const Value& value, const std::string& path) const;

  std::shared_ptr<const Value> root_;
  const Value* node_;
  std::string path_;
};

struct TypedConfig {
  std::string type;
  // What the implementation is made from. Where the config has an array, the table {params =
  // array}.
  Config params;
  Config options;     // the whole table (`key` of a metric); empty for a bare name
  std::string where;  // "losses[0] (file:3:4)"
};

#define PERGOLA_DECLARE_GET(T) \
  template <>                  \
  PERGOLA_API T Config::get<T>(std::string_view key) const
PERGOLA_DECLARE_GET(bool);
PERGOLA_DECLARE_GET(std::int64_t);
PERGOLA_DECLARE_GET(double);
PERGOLA_DECLARE_GET(std::string);
PERGOLA_DECLARE_GET(std::vector<std::int64_t>);
PERGOLA_DECLARE_GET(std::vector<double>);
PERGOLA_DECLARE_GET(std::vector<std::string>);
#undef PERGOLA_DECLARE_GET

}  // namespace pergola
