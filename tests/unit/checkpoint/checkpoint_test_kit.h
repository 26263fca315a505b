// SPDX-License-Identifier: BSD-3-Clause
// What the tests of host/checkpoint share: where their folders are, small states, and comparisons.
#pragma once

#include "fixtures/temp_folder.h"
#include "host/checkpoint/checkpoint.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host::checkpoint_test {

namespace fs = std::filesystem;
using fixtures::TempFolder;

// Where syncing costs nothing, if there is such a place.
inline fs::path memory_or_disk() {
  return ::access("/dev/shm", W_OK) == 0 ? fs::path("/dev/shm") : fs::temp_directory_path();
}

inline std::string read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const fs::path& file, std::string_view bytes) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << bytes;
}

// The message of the Error{kCheckpoint} that `action` throws; "" and a failure when it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected an Error";
  return "";
}

inline std::vector<std::string> names_of(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  return names;
}

inline bool same_tensor(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const at::Tensor left = a.contiguous();
  const at::Tensor right = b.contiguous();
  const std::string_view x(static_cast<const char*>(left.const_data_ptr()), left.nbytes());
  return x == std::string_view(static_cast<const char*>(right.const_data_ptr()), right.nbytes());
}

// The same names with the same bits, in any order.
inline bool same_state(const StateDict& a, const StateDict& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto it = std::ranges::find(b, name, [](const auto& p) { return p.first; });
    if (it == b.end() || !same_tensor(tensor, it->second)) return false;
  }
  return true;
}

inline bool same_content(const CheckpointContent& a, const CheckpointContent& b) {
  return same_state(a.model, b.model) && same_state(a.trainer, b.trainer) && a.state == b.state;
}

// A run after `update` updates: every part of it depends on the number.
inline CheckpointContent content_at(std::int64_t update, std::int64_t width = 4) {
  CheckpointContent content;
  content.model = {{"layer.weight", at::full({2, width}, static_cast<double>(update))},
                   {"layer.steps", at::scalar_tensor(update, at::kLong)}};
  content.trainer = {{"rng/cpu", at::full({5}, update % 256, at::kByte)}};
  content.state["progress"]["update"] = update;
  content.state["plugin"]["name"] = "tiny";
  return content;
}

inline std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

}  // namespace pergola::host::checkpoint_test
