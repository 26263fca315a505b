// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/safetensors_header.h"

#include "pergola/error.h"

#include <c10/core/Layout.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <tuple>

namespace pergola::host {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kMaxRank = 64;  // LibTorch's iterators take no more
constexpr int kMaxDepth = 2;          // {tensor: {shape: [..]}}

struct DtypeName {
  at::ScalarType dtype;
  std::string_view name;
};

// In the order in which the reference implementation writes them: by width, then by its own list.
constexpr std::array kDtypes = {
    DtypeName{at::kUInt64, "U64"},
    DtypeName{at::kLong, "I64"},
    DtypeName{at::kDouble, "F64"},
    DtypeName{at::kComplexFloat, "C64"},
    DtypeName{at::kFloat, "F32"},
    DtypeName{at::kUInt32, "U32"},
    DtypeName{at::kInt, "I32"},
    DtypeName{at::kBFloat16, "BF16"},
    DtypeName{at::kHalf, "F16"},
    DtypeName{at::kUInt16, "U16"},
    DtypeName{at::kShort, "I16"},
    DtypeName{at::kFloat8_e5m2fnuz, "F8_E5M2FNUZ"},
    DtypeName{at::kFloat8_e4m3fnuz, "F8_E4M3FNUZ"},
    DtypeName{at::kFloat8_e4m3fn, "F8_E4M3"},
    DtypeName{at::kFloat8_e5m2, "F8_E5M2"},
    DtypeName{at::kChar, "I8"},
    DtypeName{at::kByte, "U8"},
    DtypeName{at::kBool, "BOOL"},
};

constexpr std::string_view kDtypeList =
    "F64, F32, F16, BF16, F8_E5M2, F8_E4M3 (and FNUZ), C64, I64, I32, I16, I8, U64, U32, U16, U8 "
    "and BOOL";

// The place of a dtype in kDtypes, if the format has it.
std::optional<std::size_t> rank_of(at::ScalarType dtype) {
  const auto it = std::ranges::find(kDtypes, dtype, &DtypeName::dtype);
  if (it == kDtypes.end()) return std::nullopt;
  return static_cast<std::size_t>(it - kDtypes.begin());
}

template <class... Parts>
[[noreturn]] void refuse(const std::string& where, const Parts&... parts) {
  throw Error(ErrorKind::kCheckpoint, where, " is not a sound safetensors file: ", parts...,
              "; use another checkpoint, or make this file again");
}

template <class... Parts>
[[noreturn]] void cannot_write(const std::string& where, const Parts&... parts) {
  throw Error(ErrorKind::kCheckpoint, "cannot write ", where, ": ", parts...);
}

// The bytes of a tensor, or nothing when they, or its strides, do not fit 63 bits.
std::optional<std::uint64_t> byte_size(const std::vector<std::int64_t>& shape,
                                       at::ScalarType dtype) {
  std::int64_t strides = static_cast<std::int64_t>(c10::elementSize(dtype));
  bool empty = false;
  for (const auto size : shape) {
    // An empty dimension does not excuse the others: LibTorch multiplies them for the strides.
    if (__builtin_mul_overflow(strides, std::max<std::int64_t>(size, 1), &strides)) {
      return std::nullopt;
    }
    empty |= size == 0;
  }
  return empty ? 0 : static_cast<std::uint64_t>(strides);
}

void check_storable(const std::string& name, const at::Tensor& tensor, const std::string& where) {
  if (name == kMetadataKey) cannot_write(where, "a tensor is named ", name, ", a reserved word");
  if (!tensor.defined()) cannot_write(where, "tensor '", name, "' is undefined");
  if (tensor.layout() != at::kStrided || tensor.is_meta()) {
    cannot_write(where, "tensor '", name, "' is ",
                 tensor.is_meta() ? "on the meta device" : "sparse",
                 "; only dense tensors with data can be saved");
  }
  if (!rank_of(tensor.scalar_type())) {
    cannot_write(where, "tensor '", name, "' has dtype ", c10::toString(tensor.scalar_type()),
                 "; safetensors has ", kDtypeList);
  }
}

// The DOM keeps the last of two equal keys, and any depth: both are refused while parsing.
class StrictKeys {
 public:
  explicit StrictKeys(const std::string& where) : where_(where) {}

  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth > kMaxDepth) refuse(where_, "its header is nested deeper than the format is");
      if (event == Event::object_start) seen_[static_cast<std::size_t>(depth)].clear();
    }
    if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      // A key at depth d belongs to the object that started at depth d - 1.
      if (!seen_[static_cast<std::size_t>(depth - 1)].insert(key).second) {
        refuse(where_, "its header has '", key, "' twice");
      }
    }
    return true;
  }

 private:
  const std::string& where_;
  std::array<std::set<std::string>, kMaxDepth + 1> seen_;
};

json parse_json(std::string_view text, const std::string& where) {
  if (text.empty() || text.front() != '{') refuse(where, "its header does not begin with '{'");
  // The parser takes a NUL for the end of the text and would not look at the rest.
  if (text.find('\0') != std::string_view::npos) refuse(where, "its header has a NUL byte");
  try {
    StrictKeys guard(where);
    return json::parse(text.begin(), text.end(), std::ref(guard));
  } catch (const json::exception& error) {
    refuse(where, "its header is not JSON (byte ", kHeaderLengthBytes, " on: ", error.what(), ")");
  }
}

SafetensorsMetadata decode_metadata(const json& value, const std::string& where) {
  if (!value.is_object()) refuse(where, kMetadataKey, " is not a table of strings");
  SafetensorsMetadata metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) refuse(where, kMetadataKey, ".", key, " is not a string");
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

// A member that is a list of whole numbers from 0 to 2^63 - 1.
std::vector<std::int64_t> decode_numbers(const json& entry, const std::string& name,
                                         const char* key, const std::string& where) {
  const auto it = entry.find(key);
  if (it == entry.end() || !it->is_array()) {
    refuse(where, "tensor '", name, "' has no list '", key, "'");
  }
  std::vector<std::int64_t> numbers;
  for (const auto& number : *it) {
    if (!number.is_number_unsigned() || number.get<std::uint64_t>() > INT64_MAX) {
      refuse(where, "'", key, "' of tensor '", name, "' holds ", number.dump(-1, ' ', true),
             " where a whole number from 0 to 2^63-1 must be");
    }
    numbers.push_back(number.get<std::int64_t>());
  }
  return numbers;
}

at::ScalarType decode_dtype(const json& entry, const std::string& name, const std::string& where) {
  const auto it = entry.find("dtype");
  if (it == entry.end() || !it->is_string()) refuse(where, "tensor '", name, "' has no dtype");
  const auto& dtype = it->get_ref<const std::string&>();
  const auto known = std::ranges::find(kDtypes, dtype, &DtypeName::name);
  if (known == kDtypes.end()) {
    refuse(where, "tensor '", name, "' has dtype '", dtype, "', and Pergola reads ", kDtypeList);
  }
  return known->dtype;
}

TensorEntry decode_entry(const std::string& name, const json& value, const std::string& where) {
  if (!value.is_object() || value.size() != 3) {
    refuse(where, "tensor '", name, "' is not described by dtype, shape and data_offsets");
  }
  TensorEntry entry;
  entry.name = name;
  entry.dtype = decode_dtype(value, name, where);
  entry.shape = decode_numbers(value, name, "shape", where);
  if (entry.shape.size() > kMaxRank) {
    refuse(where, "tensor '", name, "' has ", entry.shape.size(), " dimensions, more than ",
           kMaxRank);
  }
  const auto offsets = decode_numbers(value, name, "data_offsets", where);
  const auto bytes = byte_size(entry.shape, entry.dtype);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    refuse(where, "data_offsets of tensor '", name, "' are not [begin, end]");
  }
  entry.begin = static_cast<std::uint64_t>(offsets[0]);
  entry.end = static_cast<std::uint64_t>(offsets[1]);
  if (bytes != entry.end - entry.begin) {
    refuse(where, "tensor '", name, "' has ", entry.end - entry.begin,
           " bytes of data, and its shape and dtype need ",
           bytes ? std::to_string(*bytes) : "more than 2^63-1");
  }
  return entry;
}

// The tensors must cover the data section once: no gap to hide things in, no byte used twice.
void check_ranges(const std::vector<TensorEntry>& sorted, std::uint64_t data_bytes,
                  const std::string& where) {
  std::uint64_t cursor = 0;
  for (const auto& entry : sorted) {
    if (entry.begin != cursor) {
      refuse(where, "the data of tensor '", entry.name, "' begins at byte ", entry.begin,
             ", and that of the tensor before it ends at ", cursor);
    }
    cursor = entry.end;
  }
  if (cursor != data_bytes) {
    refuse(where, "its header describes ", cursor, " bytes of data, and the file has ", data_bytes);
  }
}

}  // namespace

SafetensorsHeader layout_tensors(const StateDict& state, const SafetensorsMetadata& metadata,
                                 const std::string& where) {
  SafetensorsHeader header{{}, metadata};
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : state) {
    check_storable(name, tensor, where);
    if (!names.insert(name).second) cannot_write(where, "tensor '", name, "' is there twice");
    header.tensors.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
  }
  std::ranges::sort(header.tensors, {}, [](const TensorEntry& entry) {
    return std::tuple(*rank_of(entry.dtype), std::string_view(entry.name));
  });
  std::uint64_t cursor = 0;
  for (auto& entry : header.tensors) {
    const auto bytes = byte_size(entry.shape, entry.dtype);
    entry.begin = cursor;
    if (!bytes || __builtin_add_overflow(cursor, *bytes, &cursor) || cursor > INT64_MAX) {
      cannot_write(where, "tensor '", entry.name, "' does not fit a file");
    }
    entry.end = cursor;
  }
  return header;
}

std::string encode_header(const SafetensorsHeader& header, const std::string& where) {
  ordered_json root = ordered_json::object();
  // Members are added unseen: a look-up by name in an ordered table is linear, names are unique
  // here.
  auto& members = root.get_ref<ordered_json::object_t&>();
  if (!header.metadata.empty()) members.emplace_back(kMetadataKey, header.metadata);
  for (const auto& entry : header.tensors) {
    members.emplace_back(entry.name, ordered_json{{"dtype", kDtypes[*rank_of(entry.dtype)].name},
                                                  {"shape", entry.shape},
                                                  {"data_offsets", {entry.begin, entry.end}}});
  }
  std::string text;
  try {
    text = root.dump();
  } catch (const ordered_json::exception& error) {
    cannot_write(where, "a tensor's name or the metadata is not UTF-8 (", error.what(), ")");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kMaxHeaderBytes) {
    cannot_write(where, "its header would have ", text.size(), " bytes, and the format allows ",
                 kMaxHeaderBytes);
  }
  std::string length(kHeaderLengthBytes, '\0');
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  }
  return length + text;
}

SafetensorsHeader decode_header(std::string_view text, std::uint64_t data_bytes,
                                const std::string& where) {
  const json root = parse_json(text, where);
  SafetensorsHeader header;
  for (const auto& [name, value] : root.items()) {
    if (name == kMetadataKey) {
      header.metadata = decode_metadata(value, where);
    } else {
      header.tensors.push_back(decode_entry(name, value, where));
    }
  }
  std::ranges::sort(header.tensors, {}, [](const TensorEntry& entry) {
    return std::tuple(entry.begin, entry.end, std::string_view(entry.name));
  });
  check_ranges(header.tensors, data_bytes, where);
  return header;
}

}  // namespace pergola::host
