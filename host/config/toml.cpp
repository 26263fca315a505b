// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/toml.h"

#include "host/support/files.h"
#include "host/support/printable.h"

#include <stdexcept>

// toml++ is compiled into this unit alone, without its shared library, and with its own checks on
// and throwing in every build: some text ("[[[") breaks a promise that its parser makes to itself,
// which would be an abort or worse (marzer/tomlplusplus#301).
[[noreturn]] static void broken_promise(const char* condition) {
  throw std::logic_error(condition);
}
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? void() : broken_promise(#condition))
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <vector>

namespace pergola::host {
namespace {

constexpr int kDeepest = 64;

// Refuses, before the parser sees it, what the parser does not survive:
// - tables and arrays nested too deep: a million levels of dotted keys would overflow the stack of
//   its destructors. A level is a dot or an open bracket;
// - characters outside of ASCII where TOML has none: its tables of white space are undefined there.
// Where strings end is found roughly, which is enough, since the parser refuses what is not TOML.
class Guard {
 public:
  Guard(std::string_view text, const std::string& source, ErrorKind kind)
      : text_(text), source_(source), kind_(kind) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) position_ = kByteOrderMark.size();
  }

  void check() {
    while (position_ < text_.size()) step();
  }

 private:
  void step() {
    const char c = text_[position_++];
    switch (c) {
      case '"':
      case '\'':
        return skip_string(c);
      case '#':
        position_ = std::min(text_.find('\n', position_), text_.size());
        return;
      case '[':
      case '{':
        open_.push_back(depth_);
        return deeper();
      case ']':
      case '}':
        if (!open_.empty()) open_.pop_back();
        return;
      case '.':
        return deeper();
      case ',':
        depth_ = open_.empty() ? 0 : open_.back() + 1;
        return;
      case '\n':
        ++line_;
        // Only arrays go on over lines; whatever else is open here is an error that the parser
        // finds.
        depth_ = open_.empty() ? 0 : open_.back() + 1;
        return;
      default:
        if (static_cast<unsigned char>(c) < 0x80) return;
        throw Error(
            kind_, source_, ":", line_,
            " is not valid TOML: a character outside of ASCII stands outside of quotes; put "
            "it in quotes, or delete it");
    }
  }

  void deeper() {
    if (++depth_ <= kDeepest) return;
    throw Error(kind_, source_, ":", line_, " is nested deeper than ", kDeepest,
                " levels; flatten it");
  }

  void skip_string(char quote) {
    const std::string triple(3, quote);
    const bool multi_line = text_.substr(position_ - 1, 3) == triple;
    if (multi_line) position_ += 2;
    for (; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (c == '\n') {
        if (!multi_line) return;
        ++line_;
      } else if (c == '\\' && quote == '"') {
        ++position_;
      } else if (c == quote && (!multi_line || text_.substr(position_, 3) == triple)) {
        // Up to two more quotes are the string's last characters: """a"""" is a".
        std::size_t longest = multi_line ? 5 : 1;
        while (longest-- > 0 && position_ < text_.size() && text_[position_] == quote) ++position_;
        return;
      }
    }
  }

  std::string_view text_;
  const std::string& source_;
  ErrorKind kind_;
  std::size_t position_ = 0;
  int line_ = 1;
  int depth_ = 0;
  std::vector<int> open_;  // the depth at which each open bracket stands
};

// Every value has one, so a stream would be a tenth of all reading.
std::string place(const std::string& source, const toml::source_position& position) {
  constexpr std::size_t kNumbers = 16;
  std::string text;
  text.reserve(source.size() + kNumbers);
  text.append(source).append(":").append(std::to_string(position.line));
  return text.append(":").append(std::to_string(position.column));
}

// toml++'s "Error while parsing key: ..." as a part of a sentence, without the file's stray bytes.
std::string reason_of(std::string_view description) {
  constexpr std::string_view kHead = "Error ";
  if (description.substr(0, kHead.size()) == kHead) description.remove_prefix(kHead.size());
  std::string out(description);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return out;
}

class Converter {
 public:
  Converter(const std::string& source, ErrorKind kind) : source_(source), kind_(kind) {}

  [[nodiscard]] Value convert(const toml::node& node) const {
    Value value = convert_data(node);
    value.set_origin(place(source_, node.source().begin));
    return value;
  }

 private:
  [[nodiscard]] Value convert_data(const toml::node& node) const {
    switch (node.type()) {
      case toml::node_type::table: {
        Value::Table table;
        for (const auto& [key, child] : *node.as_table()) {
          table.emplace(std::string(key.str()), convert(child));
        }
        return table;
      }
      case toml::node_type::array: {
        Value::Array array;
        array.reserve(node.as_array()->size());
        for (const toml::node& child : *node.as_array()) array.push_back(convert(child));
        return array;
      }
      case toml::node_type::string:
        return node.as_string()->get();
      case toml::node_type::integer:
        return node.as_integer()->get();
      case toml::node_type::floating_point:
        return node.as_floating_point()->get();
      case toml::node_type::boolean:
        return node.as_boolean()->get();
      default:
        throw Error(kind_, place(source_, node.source().begin),
                    " is a date or a time, which no key takes; write it as a string");
    }
  }

  const std::string& source_;
  ErrorKind kind_;
};

// ---- writing ----

// The table at `path`: its plain members under a header, then its tables.
void write_table(std::string& out, const Value& table, const std::string& path, Origins origins) {
  std::string lines;
  for (const auto& [key, value] : table.as_table()) {
    if (value.is_table() || value.is_null()) continue;
    lines += concat(toml_key(key), " = ", to_string(value));
    if (origins == Origins::kShow && !value.origin().empty()) {
      lines += "  # " + printable(value.origin());  // of a file whose name may be anything
    }
    lines += '\n';
  }
  const bool needs_header = !path.empty() && (!lines.empty() || table.as_table().empty());
  if (needs_header) out += concat(out.empty() ? "[" : "\n[", path, "]\n");
  out += lines;
  for (const auto& [key, value] : table.as_table()) {
    if (!value.is_table()) continue;
    write_table(out, value, (path.empty() ? "" : path + ".") + toml_key(key), origins);
  }
}

}  // namespace

std::string toml_key(const std::string& key) {
  constexpr std::string_view kBare =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  const bool bare = !key.empty() && key.find_first_not_of(kBare) == std::string::npos;
  return bare ? key : to_string(Value(key));
}

Value parse_toml(std::string_view text, const std::string& source, ErrorKind kind) {
  Guard(text, source, kind).check();
  try {
    const toml::table table = toml::parse(text);
    return Converter(source, kind).convert(table);
  } catch (const toml::parse_error& error) {
    throw Error(kind, place(source, error.source().begin),
                " is not valid TOML: ", reason_of(error.description()), "; correct that line");
  } catch (const std::logic_error&) {
    throw Error(kind, source,
                " is not valid TOML: a [table] or [[array]] line is broken; correct it");
  }
}

Value load_toml(const std::filesystem::path& path) {
  constexpr std::uintmax_t kMostBytes = 16'000'000;
  return parse_toml(read_file(path, ErrorKind::kConfig, kMostBytes), path.string());
}

std::string to_toml(const Value& table, Origins origins) {
  std::string out;
  write_table(out, table, "", origins);
  return out;
}

}  // namespace pergola::host
