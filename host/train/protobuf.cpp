// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/protobuf.h"

#include "host/support/printable.h"

#include <bit>

namespace pergola::host {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

template <class T>
std::string_view bytes_of(const T& number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

}  // namespace

void ProtoWriter::append_varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
  bytes_.push_back(static_cast<char>(value));
}

void ProtoWriter::add_key(int field, Wire wire) {
  append_varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire));
}

void ProtoWriter::add_varint(int field, std::uint64_t value) {
  add_key(field, Wire::kVarint);
  append_varint(value);
}

void ProtoWriter::add_float(int field, float value) {
  add_key(field, Wire::kFixed32);
  bytes_ += bytes_of(value);
}

void ProtoWriter::add_double(int field, double value) {
  add_key(field, Wire::kFixed64);
  bytes_ += bytes_of(value);
}

void ProtoWriter::add_doubles(int field, const std::vector<double>& values) {
  add_bytes(field, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)});
}

void ProtoWriter::add_message(int field, const ProtoWriter& message) {
  add_bytes(field, message.bytes());
}

void ProtoWriter::add_bytes(int field, std::string_view bytes) {
  add_key(field, Wire::kBytes);
  append_varint(bytes.size());
  bytes_ += bytes;
}

void ProtoWriter::add_string(int field, std::string_view text) {
  add_bytes(field, printable(text));
}

std::optional<std::uint64_t> ProtoReader::read_varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<std::string_view> ProtoReader::read_bytes(std::uint64_t size) {
  if (size > rest_.size()) return std::nullopt;
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return bytes;
}

std::optional<ProtoField> ProtoReader::next() {
  if (rest_.empty() || malformed_) return std::nullopt;
  malformed_ = true;  // until a whole field was read
  const auto key = read_varint();
  if (!key) return std::nullopt;
  ProtoField field;
  field.number = static_cast<int>(*key >> 3);
  std::optional<std::uint64_t> size;
  switch (*key & 7) {
    case 0: {
      const auto value = read_varint();
      if (!value) return std::nullopt;
      field.value = *value;
      size = 0;
      break;
    }
    case 1:
      size = 8;
      break;
    case 2:
      size = read_varint();
      break;
    case 5:
      size = 4;
      break;
    default:  // groups, which nobody writes any more
      break;
  }
  const auto bytes = size ? read_bytes(*size) : std::nullopt;
  if (!bytes) return std::nullopt;
  field.bytes = *bytes;
  malformed_ = false;
  return field;
}

}  // namespace pergola::host
