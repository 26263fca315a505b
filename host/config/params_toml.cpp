// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/params_toml.h"

#include "host/config/toml.h"
#include "host/support/printable.h"
#include "pergola/suggest.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// 134217728, not 1.34218e+08.
std::string number_text(double number) {
  constexpr double kMostDigits = 1e15;
  const bool is_whole = number == std::floor(number) && std::abs(number) < kMostDigits;
  return is_whole ? concat(static_cast<std::int64_t>(number)) : to_string(Value(number));
}

const char* type_words(Value::Type type) {
  constexpr const char* kWords[] = {"",         "true or false", "an integer", "a number",
                                    "a string", "an array",      "a table"};
  return kWords[static_cast<std::size_t>(type)];
}

// Of a table of which nobody says anything: the names.
ConfigParams names_in(const Value& table) {
  ConfigParams params;
  for (const auto& [name, value] : table.as_table()) params.emplace_back().spec.name = name;
  return params;
}

class Writer {
 public:
  // `comment` is what is known of the table itself.
  void write(const std::string& path, const Value& defaults, const ConfigParams& params,
             const std::string& comment) {
    std::string lines;
    for (const ConfigParam& param : params) {
      const Value* value = value_of(defaults, param);
      if (value == nullptr || !value->is_table()) write_key(lines, param, value);
    }
    if (!lines.empty() || !comment.empty() || defaults.as_table().empty()) {
      if (!out_.empty()) out_ += '\n';
      if (!comment.empty()) out_ += concat("# ", comment, "\n");
      out_ += concat("[", path, "]\n");
    }
    out_ += lines;
    for (const ConfigParam& param : params) {
      const Value* value = value_of(defaults, param);
      if (value == nullptr || !value->is_table()) continue;
      write(concat(path, ".", toml_key(param.spec.name)), *value,
            param.members.empty() ? names_in(*value) : param.members, meaning_text(param.spec));
    }
  }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  static const Value* value_of(const Value& defaults, const ConfigParam& param) {
    const auto found = defaults.as_table().find(param.spec.name);
    return found == defaults.as_table().end() ? nullptr : &found->second;
  }

  static void write_key(std::string& out, const ConfigParam& param, const Value* value) {
    const std::string key = toml_key(param.spec.name);
    const std::string comment = meaning_text(param.spec);
    if (value != nullptr && !comment.empty()) out += concat("# ", comment, "\n");
    if (value == nullptr) out += concat("# ", key, " has no default", of_no_default(param), "\n");
    for (const ConfigParam& member : param.members) list_member(out, member, "");
    if (value != nullptr) out += concat(key, " = ", to_string(*value), "\n");
  }

  // ": its meaning; an integer (at least 1)"
  static std::string of_no_default(const ConfigParam& param) {
    const std::string comment = meaning_text(param.spec);
    const std::string type = type_words(param.spec.type);
    return concat(type.empty() ? "" : "; " + type, comment.empty() ? "" : "; " + comment);
  }

  // What is known of what stands in an array, or in a table that is not the default.
  static void list_member(std::string& out, const ConfigParam& param, const std::string& path) {
    const std::string key = path + toml_key(param.spec.name);
    const std::string comment = meaning_text(param.spec);
    if (param.members.empty() || !comment.empty()) {
      out += concat("#   ", key, comment.empty() ? "" : ": " + comment, "\n");
    }
    for (const ConfigParam& member : param.members) list_member(out, member, key + ".");
  }

  std::string out_;
};

}  // namespace

std::string limits_text(const ParamSpec& spec) {
  std::vector<std::string> limits;
  if (spec.need == ParamSpec::Need::kRequired) limits.emplace_back("required");
  if (std::isfinite(spec.low)) limits.push_back("at least " + number_text(spec.low));
  if (std::isfinite(spec.high)) limits.push_back("at most " + number_text(spec.high));
  if (!spec.choices.empty()) limits.push_back(join(spec.choices, " or "));
  return join(limits);
}

std::string meaning_text(const ParamSpec& spec) {
  const std::string limits = limits_text(spec);
  std::string meaning = printable(spec.meaning);
  if (limits.empty()) return meaning;
  return concat(meaning, meaning.empty() ? "(" : " (", printable(limits), ")");
}

std::string params_as_toml(const std::string& path, const Value& defaults,
                           const ConfigParams& params) {
  Writer writer;
  writer.write(path, defaults, params, "");
  return writer.take();
}

}  // namespace pergola::host
