// SPDX-License-Identifier: BSD-3-Clause
// Messages of Protocol Buffers, written and read field by field, for the few that event files have
// (ADR 25). No state; what is written is a std::string, what is read is borrowed. No LibTorch here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// One message that grows by a field at a time. Numbers of fields are those of the .proto file.
class ProtoWriter {
 public:
  void add_varint(int field, std::uint64_t value);  // int32, int64, bool, enum
  void add_float(int field, float value);
  void add_double(int field, double value);
  void add_doubles(int field, const std::vector<double>& values);  // packed
  void add_message(int field, const ProtoWriter& message);
  void add_bytes(int field, std::string_view bytes);
  // What is not UTF-8 in it is written as "\xff": readers refuse a message with such a string.
  void add_string(int field, std::string_view text);

  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  enum class Wire : std::uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  void add_key(int field, Wire wire);
  void append_varint(std::uint64_t value);

  std::string bytes_;
};

// A field as it was found; which of the two has its value follows from the type that it should be.
struct ProtoField {
  int number = 0;
  std::uint64_t value = 0;      // a varint
  std::string_view bytes = {};  // a string or message; or the 4 or 8 bytes of a number
};

class ProtoReader {
 public:
  // `message` must outlive it.
  explicit ProtoReader(std::string_view message) : rest_(message) {}

  // The next field; nothing at the end, and where the message is malformed.
  [[nodiscard]] std::optional<ProtoField> next();
  // Was the end no end of a message?
  [[nodiscard]] bool malformed() const noexcept { return malformed_; }

 private:
  [[nodiscard]] std::optional<std::uint64_t> read_varint();
  [[nodiscard]] std::optional<std::string_view> read_bytes(std::uint64_t size);

  std::string_view rest_;
  bool malformed_ = false;
};

}  // namespace pergola::host
