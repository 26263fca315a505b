// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/hugging_face.h"

#include "host/plugin/table_reader.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <string_view>

namespace pergola::host {
namespace {

// Whether `name` is in the part `beginning`: "cls" has "cls.weight", and not "clsx.weight".
bool begins(std::string_view name, std::string_view beginning) {
  return name.size() > beginning.size() && name.starts_with(beginning) &&
         name[beginning.size()] == '.';
}

void replace_part(std::string& name, const std::string& from, const std::string& to) {
  const std::size_t at = name.find("." + from + ".");
  if (at != std::string::npos) name.replace(at + 1, from.size(), to);
}

SizeSource parse_source(const TableReader& reader, const std::string& key) {
  const std::string text = reader.text(key);
  if (!text.ends_with(']')) return {text, std::nullopt};
  const std::size_t open = text.size() < 4 ? 0 : text.size() - 3;
  const char digit = text[open + 1];
  if (open == 0 || text[open] != '[' || digit < '0' || digit > '9') {
    reader.fail_in(key, concat("is '", text, "'; expected a weight and one of its dimensions, ",
                               "\"model.words.weight[0]\", or a row of parts, \"model.layer\""));
  }
  return {text.substr(0, open), static_cast<std::size_t>(digit - '0')};
}

SizeSources parse_sources(const TableReader& reader) {
  SizeSources sources;
  if (reader.find("sizes") == nullptr) return sources;
  const TableReader sizes = reader.table("sizes");
  for (const auto& [key, value] : sizes.entries()) sources[key] = parse_source(sizes, key);
  return sources;
}

// A table, empty when it is missing.
Value parse_table(const TableReader& reader, const std::string& key) {
  if (reader.find(key) == nullptr) return Value::Table{};
  return reader.table(key).entries();
}

void check_config_key(const TableReader& reader, const std::string& in, const std::string& key,
                      const Value& config) {
  if (config.as_table().contains(key)) return;
  std::vector<std::string> known;
  for (const auto& [name, value] : config.as_table()) known.push_back(name);
  reader.fail_in(
      in, concat("has '", key, "', which the model's config has not", did_you_mean(key, known)));
}

HuggingFaceClass parse_class(const TableReader& reader, const Value& config) {
  reader.allow_only({"name", "names", "sizes", "when"});
  HuggingFaceClass parsed{reader.text("name"), reader.text_table("names"), parse_sources(reader),
                          parse_table(reader, "when")};
  if (parsed.names.empty()) {
    reader.fail(
        "a class without names; add names = { \"model.bert\" = \"bert\" }, the model's "
        "names and theirs");
  }
  for (const auto& [key, value] : parsed.when.as_table()) {
    check_config_key(reader, "when", key, config);
  }
  return parsed;
}

void check_unambiguous(const TableReader& reader, const std::vector<HuggingFaceClass>& classes) {
  std::map<std::string, std::string> known;  // by their name
  for (const HuggingFaceClass& each : classes) {
    for (const auto& [own, theirs] : each.names) {
      const auto [other, is_new] = known.emplace(theirs, own);
      if (is_new || other->second == own) continue;
      reader.fail_in("classes",
                     concat("calls both '", other->second, "' and '", own, "' '", theirs,
                            "'; name more of the parts, so that weights can be read ", "back"));
    }
  }
}

}  // namespace

HuggingFaceFormat parse_hugging_face(const TableReader& reader, const Value& config) {
  reader.allow_only({"model_type", "config", "constants", "head_size", "note", "skip", "parts",
                     "sizes", "classes"});
  HuggingFaceFormat format;
  format.model_type = reader.text("model_type");
  format.config = reader.texts("config");
  for (const std::string& key : format.config) check_config_key(reader, "config", key, config);
  format.constants = parse_table(reader, "constants");
  if (const Value* size = reader.find("head_size"); size != nullptr) {
    if (size->type() != Value::Type::kInteger || size->as_integer() < 1) {
      reader.fail_in("head_size", concat("is ", to_string(*size), "; expected 1 or more"));
    }
    format.head_size = size->as_integer();
  }
  if (reader.find("note") != nullptr) format.note = reader.text("note");
  format.skip = reader.texts("skip");
  format.parts = reader.text_table("parts");
  format.sizes = parse_sources(reader);
  for (const TableReader& each : reader.tables("classes")) {
    format.classes.push_back(parse_class(each, config));
  }
  if (format.classes.empty()) {
    reader.fail("the hugging_face table has no [[...classes]]; add one with a name and names");
  }
  check_unambiguous(reader, format.classes);
  return format;
}

std::string own_name(const HuggingFaceFormat& format, const std::string& name) {
  std::string_view longest;
  std::string found = name;
  for (const HuggingFaceClass& each : format.classes) {
    for (const auto& [own, theirs] : each.names) {
      if (theirs.size() <= longest.size() || !begins(name, theirs)) continue;
      longest = theirs;
      found = own + name.substr(theirs.size());
    }
  }
  if (longest.empty()) return name;
  for (const auto& [own, theirs] : format.parts) replace_part(found, theirs, own);
  return found;
}

bool is_skipped(const HuggingFaceFormat& format, const std::string& name) {
  const std::string last = name.substr(name.rfind('.') + 1);
  return std::find(format.skip.begin(), format.skip.end(), last) != format.skip.end();
}

std::optional<std::string> name_in(const HuggingFaceFormat& format, const HuggingFaceClass& of,
                                   const std::string& name) {
  // The longest comes last among those that `name` begins with: they are sorted.
  const auto found = std::find_if(of.names.rbegin(), of.names.rend(),
                                  [&](const auto& item) { return begins(name, item.first); });
  if (found == of.names.rend()) return std::nullopt;
  std::string theirs = found->second + name.substr(found->first.size());
  for (const auto& [own, other] : format.parts) replace_part(theirs, own, other);
  return theirs;
}

}  // namespace pergola::host
