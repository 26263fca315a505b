// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/safetensors.h"

#include "host/checkpoint/input_file.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <string>
#include <unordered_map>

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

struct LoadedHeader {
  SafetensorsHeader header;
  std::uint64_t data_begin = 0;
};

LoadedHeader load_header(const InputFile& file) {
  const auto too_short = [&](const std::string& what) {
    return Error(ErrorKind::kCheckpoint, file.path().string(),
                 " is not a sound safetensors file: ", what,
                 "; use another checkpoint, or make this file again");
  };
  if (file.size() < kHeaderLengthBytes) {
    throw too_short(concat("it has ", file.size(), " bytes, and the length of its header alone is ",
                           kHeaderLengthBytes));
  }
  char prefix[kHeaderLengthBytes];
  file.read(prefix, kHeaderLengthBytes, 0);
  std::uint64_t length = 0;
  for (std::uint64_t i = 0; i < kHeaderLengthBytes; ++i) {
    length |= std::uint64_t{static_cast<unsigned char>(prefix[i])} << (8 * i);
  }
  const std::uint64_t room = file.size() - kHeaderLengthBytes;
  if (length > std::min(room, kMaxHeaderBytes)) {
    throw too_short(concat("its header claims ", length, " bytes, and ",
                           std::min(room, kMaxHeaderBytes), " are possible"));
  }
  std::string text(length, '\0');
  file.read(text.data(), length, kHeaderLengthBytes);
  return {decode_header(text, room - length, file.path().string()), kHeaderLengthBytes + length};
}

at::Tensor load_tensor(const InputFile& file, const TensorEntry& entry, std::uint64_t data_begin) {
  const std::uint64_t size = entry.end - entry.begin;
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions(entry.dtype).device(at::kCPU));
  auto* const bytes = static_cast<char*>(tensor.data_ptr());
  file.read(bytes, size, data_begin + entry.begin);
  // Any other value in a C++ bool is undefined behaviour wherever the tensor is used.
  if (entry.dtype == at::kBool &&
      std::any_of(bytes, bytes + size, [](char byte) { return (byte & ~1) != 0; })) {
    throw Error(ErrorKind::kCheckpoint, file.path().string(), ": tensor '", entry.name,
                "' is BOOL and holds a byte that is neither 0 nor 1; use another checkpoint, or "
                "make this file again");
  }
  return tensor;
}

std::string_view bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace

FileDigest stream_safetensors(int fd, const StateDict& state, const SafetensorsMetadata& metadata,
                              const fs::path& path) {
  const SafetensorsHeader header = layout_tensors(state, metadata, path.string());
  std::unordered_map<std::string_view, const at::Tensor*> tensors;
  for (const auto& [name, tensor] : state) tensors[name] = &tensor;

  const std::string text = encode_header(header, path.string());
  const std::uint64_t data = header.tensors.empty() ? 0 : header.tensors.back().end;
  DigestWriter writer(fd, path, text.size() + data);
  writer.write(text);
  for (const auto& entry : header.tensors) {
    writer.write(bytes_of(
        tensors.at(entry.name)->detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous()));
  }
  return writer.digest();
}

FileDigest write_safetensors(const fs::path& path, const StateDict& state,
                             const SafetensorsMetadata& metadata) {
  return write_whole(path, [&](int fd) { return stream_safetensors(fd, state, metadata, path); });
}

std::uint64_t safetensors_size(const StateDict& state, const SafetensorsMetadata& metadata,
                               const fs::path& path) {
  const SafetensorsHeader header = layout_tensors(state, metadata, path.string());
  const std::uint64_t data = header.tensors.empty() ? 0 : header.tensors.back().end;
  return encode_header(header, path.string()).size() + data;
}

SafetensorsHeader read_safetensors_header(const fs::path& path) {
  return load_header(InputFile(path)).header;
}

StateDict read_safetensors(const fs::path& path) {
  const InputFile file(path);
  const auto [header, data_begin] = load_header(file);
  StateDict state;
  state.reserve(header.tensors.size());
  for (const auto& entry : header.tensors) {
    state.emplace_back(entry.name, load_tensor(file, entry, data_begin));
  }
  return state;
}

}  // namespace pergola::host
