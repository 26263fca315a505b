// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/event_record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

namespace pergola::host {
namespace {

constexpr std::uint64_t kHeader = 12;
constexpr std::uint64_t kFooter = 4;

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

constexpr std::array<std::uint32_t, 256> make_table() {
  constexpr std::uint32_t kReflected = 0x82f63b78;  // the polynomial 0x1edc6f41
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReflected : 0);
    table[byte] = crc;
  }
  return table;
}

template <class T>
void append(std::string& bytes, T number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

template <class T>
T number_at(std::string_view bytes, std::size_t offset) {
  T number;
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) noexcept {
  static constexpr std::array<std::uint32_t, 256> kTable = make_table();
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~crc;
}

std::uint32_t masked_crc32c(std::string_view bytes) noexcept {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

std::string frame_record(std::string_view data) {
  std::string record;
  record.reserve(data.size() + kHeader + kFooter);
  append(record, std::uint64_t{data.size()});
  append(record, masked_crc32c(record));
  record += data;
  append(record, masked_crc32c(data));
  return record;
}

RecordReader::RecordReader(std::filesystem::path path)
    : path_(std::move(path)), file_(open_file(path_, ErrorKind::kCheckpoint)) {
  struct stat info {};
  if (::fstat(file_.get(), &info) != 0) {
    throw file_error(ErrorKind::kCheckpoint, "read", path_, errno);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

// REQUIRES: the file has these bytes.
std::string RecordReader::read(std::uint64_t offset, std::uint64_t size) const {
  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count =
        ::pread(file_.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      throw file_error(ErrorKind::kCheckpoint, "read", path_, count < 0 ? errno : EIO);
    }
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

std::optional<std::string> RecordReader::next() {
  const std::uint64_t left = size_ - offset_;
  if (left < kHeader || damaged_) return std::nullopt;
  const std::string header = read(offset_, kHeader);
  const auto length = number_at<std::uint64_t>(header, 0);
  if (masked_crc32c(header.substr(0, 8)) != number_at<std::uint32_t>(header, 8)) {
    damaged_ = true;
    return std::nullopt;
  }
  if (left - kHeader < kFooter || length > left - kHeader - kFooter) return std::nullopt;
  std::string data = read(offset_ + kHeader, length + kFooter);
  const auto crc = number_at<std::uint32_t>(data, length);
  data.resize(length);
  if (masked_crc32c(data) != crc) {
    damaged_ = true;
    return std::nullopt;
  }
  offset_ += kHeader + length + kFooter;
  return data;
}

}  // namespace pergola::host
