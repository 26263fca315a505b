// SPDX-License-Identifier: BSD-3-Clause
// What a pickle of PyTorch's may hold: plain data, and tensors as descriptions of where their
// numbers are. Values live in a PickleValues and refer to each other by pointer, also in circles,
// so nothing here recurses. Not thread-safe.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pergola::host {

enum class PickleKind : std::uint8_t {
  kNone,
  kBoolean,     // bool
  kInteger,     // std::int64_t
  kBigInteger,  // std::string: two's complement, little-endian
  kFloat,       // double
  kText,        // std::string
  kBytes,       // std::string
  kTuple,       // PickleItems, as all the following; torch.Size too
  kList,
  kDict,  // key, value, key, value ...; OrderedDict too
  kSet,
  kDevice,   // std::string: "cuda"
  kGlobal,   // const PickleGlobal*: a name that the pickle calls, or a dtype
  kStorage,  // StorageView
  kTensor,   // PickledTensor
};

struct PickleValue;
struct PickleGlobal;
using PickleItems = std::vector<PickleValue*>;

// A range of a storage, which is a piece of memory that tensors may share.
struct StorageView {
  std::string key;
  at::ScalarType dtype = at::kByte;  // kByte for an untyped one
  std::int64_t storage_bytes = 0;    // of the whole storage
  std::int64_t begin = 0;            // bytes
  std::int64_t end = 0;
};

// Every element lies in the view of the storage.
struct PickledTensor {
  std::string storage;
  at::ScalarType dtype = at::kFloat;
  std::int64_t offset = 0;  // in the storage, in elements
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
};

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, PickleItems,
               const PickleGlobal*, std::unique_ptr<StorageView>, std::unique_ptr<PickledTensor>>
      data;

  [[nodiscard]] bool is(PickleKind other) const noexcept { return kind == other; }
  [[nodiscard]] bool boolean() const { return std::get<bool>(data); }
  [[nodiscard]] std::int64_t integer() const { return std::get<std::int64_t>(data); }
  [[nodiscard]] const std::string& text() const { return std::get<std::string>(data); }
  [[nodiscard]] const PickleItems& items() const { return std::get<PickleItems>(data); }
  [[nodiscard]] PickleItems& items() { return std::get<PickleItems>(data); }
  [[nodiscard]] const PickleGlobal& global() const { return *std::get<const PickleGlobal*>(data); }
  [[nodiscard]] const StorageView& storage() const {
    return *std::get<std::unique_ptr<StorageView>>(data);
  }
  // The value behind a text key; null when there is none, or this is no dict.
  [[nodiscard]] const PickleValue* find(std::string_view key) const;
  [[nodiscard]] const PickledTensor& tensor() const {
    return *std::get<std::unique_ptr<PickledTensor>>(data);
  }
};

// "a dict", "an integer": for sentences.
[[nodiscard]] std::string_view kind_text(PickleKind kind) noexcept;

// Owns values; they stay where they are.
class PickleValues {
 public:
  PickleValue* add(PickleValue value) { return &values_.emplace_back(std::move(value)); }
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

 private:
  std::deque<PickleValue> values_;
};

}  // namespace pergola::host
