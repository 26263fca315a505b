// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/torch_export.h"

#include "host/checkpoint/pickle_globals.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <exception>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

static_assert(std::endian::native == std::endian::little, "the file says that it is little-endian");

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

template <class... Parts>
[[noreturn]] void cannot_export(const fs::path& path, const Parts&... parts) {
  throw Error(ErrorKind::kCheckpoint, "cannot write ", path.string(), ": ", parts...);
}

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

// The dtype of a tensor that can be written.
const TorchDtype& checked_dtype(const std::string& name, const at::Tensor& tensor,
                                const fs::path& path) {
  if (!is_utf8(name)) cannot_export(path, "the name of tensor '", name, "' is not UTF-8");
  if (!tensor.defined()) cannot_export(path, "tensor '", name, "' is undefined");
  if (tensor.layout() != at::kStrided || tensor.is_meta()) {
    cannot_export(path, "tensor '", name, "' is ",
                  tensor.is_meta() ? "on the meta device" : "sparse",
                  "; only dense tensors with data can be saved");
  }
  const TorchDtype* dtype = find_torch_dtype(tensor.scalar_type());
  if (dtype == nullptr) {
    cannot_export(path, "tensor '", name, "' has dtype ", c10::toString(tensor.scalar_type()),
                  "; only plain numbers can be saved, so dequantize it before");
  }
  return *dtype;
}

// A pickle of protocol 2, which is torch.save's. Each piece goes to the end.
class TensorPickle {
 public:
  TensorPickle() {
    opcodes("\x80\x02");  // the protocol
    ordered_dict();
    opcodes("(");
  }

  void add(const std::string& name, const at::Tensor& tensor, const TorchDtype& dtype,
           const std::string& storage) {
    const bool is_typed = dtype.storage != nullptr;
    text(name);
    global("torch._utils", is_typed ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
    opcodes("((");
    text("storage");
    global(is_typed ? "torch" : "torch.storage", is_typed ? dtype.storage : "UntypedStorage");
    text(storage);
    text("cpu");
    integer(is_typed ? tensor.numel() : static_cast<std::int64_t>(tensor.nbytes()));
    opcodes("tQ");  // a tuple, by which torch.load finds the storage
    integer(0);     // the offset in it
    integers(tensor.sizes());
    integers(row_major_strides(tensor.sizes()));
    opcodes("\x89");  // requires no gradient
    ordered_dict();   // of hooks
    if (!is_typed) global("torch", dtype.name);
    opcodes("tR");  // a tuple, with which the function is called
  }

  [[nodiscard]] std::string finish() && {
    opcodes("u.");  // all of them go into the dict, and the pickle ends
    return std::move(bytes_);
  }

 private:
  static std::vector<std::int64_t> row_major_strides(at::IntArrayRef sizes) {
    std::vector<std::int64_t> strides(sizes.size(), 1);
    for (std::size_t i = sizes.size(); i-- > 1;) {
      strides[i - 1] = strides[i] * std::max<std::int64_t>(sizes[i], 1);
    }
    return strides;
  }

  void opcodes(std::string_view letters) { bytes_ += letters; }
  void ordered_dict() {
    global("collections", "OrderedDict");
    opcodes(")R");  // called with nothing
  }
  void number(std::uint64_t value, int width) {
    for (int i = 0; i < width; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xff);
  }
  void text(std::string_view value) {
    opcodes("X");
    number(value.size(), 4);
    bytes_ += value;
  }
  void global(const char* module, const char* name) {
    bytes_ += concat("c", module, "\n", name, "\n");
  }
  void integer(std::int64_t value) {
    if (value <= std::numeric_limits<std::uint8_t>::max()) {
      opcodes("K");
      number(static_cast<std::uint64_t>(value), 1);
    } else if (value <= std::numeric_limits<std::int32_t>::max()) {
      opcodes("J");
      number(static_cast<std::uint64_t>(value), 4);
    } else {
      opcodes("\x8a\x08");
      number(static_cast<std::uint64_t>(value), 8);
    }
  }
  void integers(at::IntArrayRef values) {
    opcodes("(");
    for (const std::int64_t value : values) integer(value);
    opcodes("t");
  }

  std::string bytes_;
};

// What goes into the file.
struct TorchRecords {
  std::string pickle;
  std::vector<at::Tensor> storages;  // the i-th has the key i
  std::uint64_t bytes = 0;           // of all storages
};

TorchRecords plan_records(const StateDict& state, const fs::path& path) {
  using Memory = std::tuple<const void*, std::size_t, at::ScalarType>;
  TorchRecords records;
  TensorPickle pickle;
  std::set<std::string_view> names;
  std::map<Memory, std::size_t> written;
  for (const auto& [name, tensor] : state) {
    const TorchDtype& dtype = checked_dtype(name, tensor, path);
    if (!names.insert(name).second) cannot_export(path, "tensor '", name, "' is there twice");
    std::size_t key = records.storages.size();
    const bool is_plain = tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg();
    if (is_plain && tensor.numel() > 0) {
      key = written.emplace(Memory{tensor.const_data_ptr(), tensor.nbytes(), dtype.type}, key)
                .first->second;
    }
    if (key == records.storages.size()) {
      records.storages.push_back(tensor);
      records.bytes += tensor.nbytes();
    }
    pickle.add(name, tensor, dtype, std::to_string(key));
  }
  records.pickle = std::move(pickle).finish();
  return records;
}

// LibTorch's ZIP writer hands its bytes to this. It is C inside, which no exception may cross, and
// its destructor finishes the archive, and ends the process when that fails. So it never hears of
// a failure: the first one is kept, and the bytes after it go nowhere.
class ArchiveSink {
 public:
  explicit ArchiveSink(DigestWriter& out) : out_(out) {}

  std::size_t take(const void* bytes, std::size_t size) noexcept {
    if (failure_) return size;
    try {
      out_.write({static_cast<const char*>(bytes), size});
    } catch (...) {
      failure_ = std::current_exception();
    }
    return size;
  }
  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  DigestWriter& out_;
  std::exception_ptr failure_;
};

FileDigest stream_records(int fd, const TorchRecords& records, const fs::path& path) {
  constexpr std::string_view kByteOrder = "little";
  DigestWriter out(fd, path, records.bytes);
  ArchiveSink sink(out);
  caffe2::serialize::PyTorchStreamWriter archive(
      [&sink](const void* bytes, std::size_t size) { return sink.take(bytes, size); });
  const auto write = [&](const std::string& name, const void* bytes, std::size_t size) {
    archive.writeRecord(name, bytes, size);
    sink.rethrow_failure();
  };
  write("data.pkl", records.pickle.data(), records.pickle.size());
  write("byteorder", kByteOrder.data(), kByteOrder.size());
  for (std::size_t i = 0; i < records.storages.size(); ++i) {
    const at::Tensor tensor =
        records.storages[i].detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous();
    write(concat("data/", i), tensor.const_data_ptr(), tensor.nbytes());
  }
  archive.writeEndOfFile();
  sink.rethrow_failure();
  return out.digest();
}

}  // namespace

FileDigest write_torch_file(const fs::path& path, const StateDict& state) {
  const TorchRecords records = plan_records(state, path);
  return write_whole(path, [&](int fd) { return stream_records(fd, records, path); });
}

}  // namespace pergola::host
