// SPDX-License-Identifier: BSD-3-Clause
// The names that a pickle may call, and what comes of each call. Nothing is looked up beyond this
// list and nothing is run. No state; thread-safe.
#pragma once

#include "host/checkpoint/pickle_value.h"

#include <optional>
#include <string>
#include <string_view>

namespace pergola::host {

enum class GlobalKind {
  kOrderedDict,
  kSet,
  kBytes,
  kEncode,  // _codecs.encode(text, "latin1"): bytes, in protocol 2
  kSize,
  kDevice,
  kStorageType,
  kDtype,
  kTensor,      // (storage, offset, sizes, strides, ...)
  kWideTensor,  // the same with (..., dtype, metadata), for dtypes without a storage type
  kParameter,   // (tensor, ...)
};

struct PickleGlobal {
  std::string name;  // "torch._utils._rebuild_tensor_v2"
  GlobalKind kind;
  at::ScalarType dtype = at::kByte;
};

// A dtype as torch.save names it, behind "torch.".
struct TorchDtype {
  const char* name;     // "float32"
  const char* storage;  // "FloatStorage"; nullptr: kept in an untyped one
  at::ScalarType type;
};
// Nothing for a dtype that is not read, such as quantized ones.
[[nodiscard]] const TorchDtype* find_torch_dtype(at::ScalarType type);

// Nothing for a name that is not in the list.
[[nodiscard]] const PickleGlobal* find_global(std::string_view name);

// What `global` makes of `arguments`, or the reason why it makes nothing of them.
struct CallResult {
  std::optional<PickleValue> value;
  PickleValue* same = nullptr;  // instead of a value: one of the arguments
  std::string problem;
};
[[nodiscard]] CallResult call_global(const PickleGlobal& global, const PickleItems& arguments);

// The storage that a persistent id names: ("storage", type, key, location, count[, view]), where a
// view is (key, offset, count).
[[nodiscard]] CallResult make_storage(const PickleValue& id);

}  // namespace pergola::host
