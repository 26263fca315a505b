// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using Json = nlohmann::json;

Json to_nlohmann(const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull:
      return nullptr;
    case Value::Type::kBoolean:
      return value.as_boolean();
    case Value::Type::kInteger:
      return value.as_integer();
    case Value::Type::kFloat:
      return value.as_float();
    case Value::Type::kString:
      return value.as_string();
    case Value::Type::kArray: {
      Json array = Json::array();
      for (const Value& item : value.as_array()) array.push_back(to_nlohmann(item));
      return array;
    }
    case Value::Type::kTable: {
      Json object = Json::object();
      for (const auto& [key, item] : value.as_table()) object[key] = to_nlohmann(item);
      return object;
    }
  }
  return nullptr;
}

// "parse error at line 1, column 5: syntax error ...: why; last read: '...'" without its head: the
// place is computed here, for all errors alike.
std::string reason_of(const std::string& message) {
  const std::size_t syntax = message.find("syntax error");
  std::string reason = syntax == std::string::npos ? message : message.substr(syntax);
  const std::size_t bracket = reason.find("] ");
  if (syntax == std::string::npos && bracket != std::string::npos) reason.erase(0, bracket + 2);
  for (char& c : reason) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return reason;
}

// Reads the text and keeps, for the Builder's messages, how far the parser has come: events do not
// say it. All copies share that place.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char** at;

  reference operator*() const { return **at; }
  Cursor& operator++() {
    ++*at;
    return *this;
  }
  bool operator==(const Cursor& other) const { return *at == *other.at; }
};

// Builds the Value from the parser's events; the parser itself does not recurse.
class Builder {
 public:
  Builder(std::string_view text, const std::string& where, ErrorKind kind)
      : text_(text), at_(text.data()), where_(where), kind_(kind) {}

  [[nodiscard]] Cursor begin() { return {&at_}; }

  [[nodiscard]] Value take() { return std::move(root_); }

  bool null() { return put(Value()); }
  bool boolean(bool value) { return put(Value(value)); }
  bool number_integer(std::int64_t value) { return put(Value(value)); }
  bool number_unsigned(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) {
      throw Error(kind_, here(), " is not usable JSON: the integer ", value,
                  " does not fit 64 bits with a sign; write it as a string or a float");
    }
    return put(Value(static_cast<std::int64_t>(value)));
  }
  bool number_float(double value, const std::string& /*text*/) { return put(Value(value)); }
  bool string(std::string& value) { return put(Value(std::move(value))); }
  bool binary(Json::binary_t& /*value*/) { return false; }
  bool start_object(std::size_t /*size*/) { return open(Value(Value::Table{})); }
  bool start_array(std::size_t /*size*/) { return open(Value(Value::Array{})); }
  bool key(std::string& key) {
    key_ = std::move(key);
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& error) {
    throw Error(kind_, place_of(position), " is not valid JSON: ", reason_of(error.what()),
                "; correct the file, or make it anew");
  }

 private:
  // "file:line:column" of the `position`-th character, from 1.
  [[nodiscard]] std::string place_of(std::size_t position) const {
    const std::string_view before = text_.substr(0, position > 0 ? position - 1 : 0);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
    return concat(where_, ":", line, ":", before.size() - start + 1);
  }
  [[nodiscard]] std::string here() const {
    return place_of(static_cast<std::size_t>(at_ - text_.data()));
  }
  // The place that the next element goes to.
  Value& slot() {
    if (open_.empty()) return root_;
    if (open_.back()->is_table()) return (*open_.back())[key_] = Value();
    return open_.back()->as_array().emplace_back();
  }
  bool put(Value value) {
    slot() = std::move(value);
    return true;
  }
  bool open(Value container) {
    constexpr std::size_t kDeepest = 200;
    if (open_.size() == kDeepest) {
      throw Error(kind_, here(), " is not usable JSON: it is nested deeper than ", kDeepest,
                  " levels; flatten it");
    }
    container.set_origin(where_);
    Value& place = slot();
    place = std::move(container);
    open_.push_back(&place);  // stays valid: the parent does not grow while its child is open
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const char* at_;
  const std::string& where_;
  ErrorKind kind_;
  Value root_;
  std::vector<Value*> open_;
  std::string key_;
};

}  // namespace

std::string to_json(const Value& value, int indent) {
  return to_nlohmann(value).dump(indent, ' ', /*ensure_ascii=*/false,
                                 Json::error_handler_t::replace);
}

Value from_json(std::string_view text, const std::string& where, ErrorKind kind) {
  Builder builder(text, where, kind);
  const char* end = text.data() + text.size();
  Json::sax_parse(builder.begin(), Cursor{&end}, &builder);
  return builder.take();
}

}  // namespace pergola::host
