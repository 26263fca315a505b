// SPDX-License-Identifier: BSD-3-Clause
// A file that torch.save of PyTorch 1.0 to 2.11 wrote: the ZIP container (since 1.6), or the older
// one of pickles in a row. Opening it reads and checks what it says of its tensors; their data is
// read when it is asked for, once for each storage, into memory of its own. Not thread-safe.
#pragma once

#include "host/checkpoint/input_file.h"
#include "host/checkpoint/pickle_reader.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Storage.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace pergola::host {

class TorchFile {
 public:
  // Whether the content begins as one of the two containers does; the name says nothing.
  [[nodiscard]] static bool is_one(const InputFile& file);

  // Throws Error{kCheckpoint} for a file that is damaged, of a big-endian machine, TorchScript, or
  // that holds anything but tensors and plain data.
  explicit TorchFile(const std::filesystem::path& path);

  [[nodiscard]] const PickleValue& root() const noexcept { return *root_; }
  [[nodiscard]] const char* container() const noexcept { return container_; }

  // A tensor of this file, on the CPU, with its strides; those that share a storage share it still.
  // Throws Error{kCheckpoint} when its data is damaged or gone.
  [[nodiscard]] at::Tensor load(const PickledTensor& tensor);

 private:
  // Where the bytes of a storage are.
  struct Place {
    std::uint64_t begin = 0;
    std::uint64_t size = 0;
    std::optional<std::uint32_t> crc;
  };

  void open_zip();
  void open_legacy();
  void place_storages(const PickleValue& keys, std::uint64_t cursor);
  [[nodiscard]] const c10::Storage& storage(const std::string& key);

  InputFile file_;
  const char* container_ = "";
  PickleValues values_;
  PickledStorages storages_;
  const PickleValue* root_ = nullptr;
  std::map<std::string, Place> places_;
  std::map<std::string, c10::Storage> loaded_;
  std::set<std::string> checked_bools_;  // storages that hold 0 and 1 alone
};

}  // namespace pergola::host
