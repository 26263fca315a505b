// SPDX-License-Identifier: BSD-3-Clause
// Files of torch.save made by hand, sound and not: the pieces that the tests put together.
#pragma once

#include "host/support/json.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <zlib.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host::checkpoint_test {

inline fs::path golden_file(const std::string& name) {
  return fs::path(PERGOLA_GOLDEN_DIR) / "torch_files" / name;
}

// The tensor itself, or, of a dtype that LibTorch keeps and computes nothing with, integers with
// its bits.
inline at::Tensor computable(const at::Tensor& tensor) {
  const at::ScalarType dtype = tensor.scalar_type();
  if (dtype == at::kBits16) return tensor.view(at::kShort);
  const bool packed = at::isBitsType(dtype) || dtype == at::kFloat4_e2m1fn_x2;
  return packed ? tensor.view(at::kByte) : tensor;
}

// Little-endian.
inline std::string number(std::uint64_t value, int width) {
  std::string bytes;
  for (int i = 0; i < width; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// Pieces of a pickle of protocol 2.
inline std::string text(const std::string& value) {
  return concat("X", number(value.size(), 4), value);
}
inline std::string global(const std::string& module, const std::string& name) {
  return concat("c", module, "\n", name, "\n");
}
inline std::string integer(std::int64_t value) {
  return concat("\x8a\x08", number(static_cast<std::uint64_t>(value), 8));
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string all = "(";
  for (const auto& item : items) all += item;
  return all + "t";
}
inline std::string integers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const auto value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string pickle(const std::string& value) { return concat("\x80\x02", value, "."); }
inline std::string storage(const std::string& type, const std::string& key, std::int64_t count) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(count)}) +
         "Q";
}
inline std::string tensor(const std::string& in, std::int64_t offset,
                          const std::vector<std::int64_t>& sizes,
                          const std::vector<std::int64_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({in, integer(offset), integers(sizes), integers(strides), "\x89", "}"}) + "R";
}
// A dict of text keys.
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string all = "}(";
  for (const auto& [key, value] : items) all += text(key) + value;
  return all + "u";
}

// A record of a ZIP file; what is not said is as it should be.
struct Record {
  std::string name;
  std::string bytes;
  int method = 0;
  int flags = 0;
  std::int64_t crc = -1;
  std::int64_t size = -1;    // in the directory
  std::int64_t header = -1;  // where the directory says that it begins
};

inline std::string zip(const std::vector<Record>& records) {
  std::string file;
  std::string directory;
  for (const Record& record : records) {
    const std::uint64_t crc = record.crc >= 0
                                  ? static_cast<std::uint64_t>(record.crc)
                                  : ::crc32(0, reinterpret_cast<const Bytef*>(record.bytes.data()),
                                            static_cast<uInt>(record.bytes.size()));
    const std::uint64_t size =
        record.size >= 0 ? static_cast<std::uint64_t>(record.size) : record.bytes.size();
    const std::uint64_t header =
        record.header >= 0 ? static_cast<std::uint64_t>(record.header) : file.size();
    const std::string common = number(static_cast<std::uint64_t>(record.flags), 2) +
                               number(static_cast<std::uint64_t>(record.method), 2) + number(0, 4) +
                               number(crc, 4) + number(size, 4) + number(size, 4) +
                               number(record.name.size(), 2) + number(0, 2);
    file += "PK\x03\x04" + number(10, 2) + common + record.name + record.bytes;
    directory += "PK\x01\x02" + number(10, 2) + number(10, 2) + common + std::string(10, '\0') +
                 number(header, 4) + record.name;
  }
  const std::string counts = number(records.size(), 2) + number(records.size(), 2);
  return file + directory + "PK\x05\x06" + number(0, 4) + counts + number(directory.size(), 4) +
         number(file.size(), 4) + number(0, 2);
}

// A file of one pickle and these storages, "0" first.
inline std::string torch_zip(const std::string& value, const std::vector<std::string>& storages) {
  std::vector<Record> records = {{.name = "archive/data.pkl", .bytes = pickle(value)}};
  for (std::size_t i = 0; i < storages.size(); ++i) {
    records.push_back({.name = "archive/data/" + std::to_string(i), .bytes = storages[i]});
  }
  return zip(records);
}

}  // namespace pergola::host::checkpoint_test
