// SPDX-License-Identifier: BSD-3-Clause
// Reads TensorBoard's event files with nothing of the host's: what a test compares with must not
// share the mistakes of what it tests. Throws std::runtime_error for what TensorBoard would not
// read either.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace pergola::test {

// Bit by bit, with the polynomial as RFC 3720 has it, not reflected.
inline std::uint32_t slow_crc32c(const std::string& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const std::uint32_t in = (static_cast<unsigned char>(c) >> bit) & 1;
      const std::uint32_t out = crc >> 31;
      crc = (crc << 1) ^ ((in ^ out) != 0 ? 0x1edc6f41U : 0U);
    }
  }
  std::uint32_t reflected = 0;
  for (int bit = 0; bit < 32; ++bit) reflected |= ((crc >> bit) & 1) << (31 - bit);
  return ~reflected;
}

template <class T>
T number_in(const std::string& bytes, std::size_t offset = 0) {
  if (offset + sizeof(T) > bytes.size()) throw std::runtime_error("a number is cut off");
  T number;
  std::memcpy(&number, bytes.data() + offset, sizeof(T));
  return number;
}

// The data of all records of a file.
inline std::vector<std::string> records_of(const std::string& file) {
  const auto check = [](const std::string& bytes, std::uint32_t masked) {
    const std::uint32_t turned = masked - 0xa282ead8;
    const std::uint32_t crc = (turned >> 17) | (turned << 15);
    if (crc != slow_crc32c(bytes)) throw std::runtime_error("a checksum is wrong");
  };
  std::vector<std::string> records;
  for (std::size_t at = 0; at < file.size();) {
    const auto length = number_in<std::uint64_t>(file, at);
    check(file.substr(at, 8), number_in<std::uint32_t>(file, at + 8));
    const auto crc = number_in<std::uint32_t>(file, at + 12 + length);
    records.push_back(file.substr(at + 12, length));
    check(records.back(), crc);
    at += 16 + length;
  }
  return records;
}

// A message as its fields by number: the bytes of each, varints as 8 bytes.
using Fields = std::multimap<int, std::string>;

inline Fields fields_of(const std::string& message) {
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const auto take = [&](std::size_t size) {
    if (at + size > message.size()) throw std::runtime_error("a field is cut off");
    at += size;
    return message.substr(at - size, size);
  };
  Fields fields;
  while (at < message.size()) {
    const std::uint64_t key = varint();
    const int number = static_cast<int>(key / 8);
    switch (key % 8) {
      case 0: {
        const std::uint64_t value = varint();
        fields.emplace(number, std::string(reinterpret_cast<const char*>(&value), 8));
        break;
      }
      case 1:
        fields.emplace(number, take(8));
        break;
      case 2:
        fields.emplace(number, take(varint()));
        break;
      case 5:
        fields.emplace(number, take(4));
        break;
      default:
        throw std::runtime_error("a field is of a type that there is not");
    }
  }
  return fields;
}

// One field; throws when it is not there.
inline std::string field(const Fields& fields, int number) {
  const auto found = fields.find(number);
  if (found == fields.end()) throw std::runtime_error("no field " + std::to_string(number));
  return found->second;
}

struct Event {
  double time = 0;
  std::int64_t step = 0;
  std::string file_version;
  int session_status = 0;                      // 1: START
  std::map<std::string, float> scalars;        // tag → simple_value
  std::map<std::string, Fields> histograms;    // tag → HistogramProto
  std::map<std::string, std::string> hparams;  // tag → HParamsPluginData
};

inline void read_summary_value(const Fields& value, Event& event) {
  const std::string tag = field(value, 1);
  if (value.contains(2)) event.scalars.emplace(tag, number_in<float>(field(value, 2)));
  if (value.contains(5)) event.histograms.emplace(tag, fields_of(field(value, 5)));
  if (!value.contains(9)) return;
  const Fields plugin = fields_of(field(fields_of(field(value, 9)), 1));
  if (field(plugin, 1) == "hparams") event.hparams.emplace(tag, field(plugin, 2));
}

inline Event event_of(const std::string& record) {
  const Fields fields = fields_of(record);
  Event event;
  event.time = number_in<double>(field(fields, 1));
  event.step = number_in<std::int64_t>(field(fields, 2));
  if (fields.contains(3)) event.file_version = field(fields, 3);
  if (fields.contains(7)) {
    event.session_status = number_in<std::int32_t>(field(fields_of(field(fields, 7)), 1));
  }
  if (fields.contains(5)) {
    for (const auto& [number, value] : fields_of(field(fields, 5))) {
      if (number == 1) read_summary_value(fields_of(value), event);
    }
  }
  return event;
}

inline std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline std::vector<Event> events_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::vector<Event> events;
  for (const std::string& record : records_of(bytes)) events.push_back(event_of(record));
  return events;
}

// Of all files, in the order in which TensorBoard reads them.
inline std::vector<Event> events_in(const std::filesystem::path& folder) {
  std::vector<Event> events;
  for (const auto& file : event_files(folder)) {
    for (Event& event : events_of(file)) events.push_back(std::move(event));
  }
  return events;
}

using Points = std::vector<std::pair<std::int64_t, float>>;

// tag → (step, value), in the order in which they were written; a point that is there twice too.
inline std::map<std::string, Points> scalars_in(const std::filesystem::path& folder) {
  std::map<std::string, Points> scalars;
  for (const Event& event : events_in(folder)) {
    for (const auto& [tag, value] : event.scalars) scalars[tag].emplace_back(event.step, value);
  }
  return scalars;
}

}  // namespace pergola::test
