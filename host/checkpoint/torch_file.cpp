// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/torch_file.h"

#include "host/checkpoint/pickle_bytes.h"
#include "host/checkpoint/zip_directory.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <new>
#include <string_view>

static_assert(std::endian::native == std::endian::little, "storages are read as little-endian");

namespace pergola::host {
namespace {

using enum PickleKind;

constexpr std::string_view kZipStart = "PK\x03\x04";
constexpr char kPickleStart = '\x80';
constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::int64_t kLegacyVersion = 1001;
// The pickle alone; ten thousand tensors take two megabytes.
constexpr std::uint64_t kMostPickleBytes = std::uint64_t{64} << 20;

std::string first_bytes(const InputFile& file, std::uint64_t count) {
  std::string bytes(std::min(count, file.size()), '\0');
  file.read(bytes.data(), bytes.size(), 0);
  return bytes;
}

// A record that is read whole. Throws when it is damaged or larger than `most`.
std::string read_record(const InputFile& file, const std::string& name, const ZipRecord& record,
                        std::uint64_t most) {
  if (record.size > most) {
    refuse_torch_file(file,
                      concat("record '", name, "' has ", record.size, " bytes, more than ", most));
  }
  std::string bytes(record.size, '\0');
  const std::uint32_t crc = file.read_with_crc(bytes.data(), bytes.size(), record.begin);
  if (record.crc != 0 && crc != record.crc) {
    refuse_torch_file(file, concat("record '", name, "' is damaged: its CRC-32 is ", crc,
                                   ", and the file says ", record.crc));
  }
  return bytes;
}

// The folder in the archive, whose name is the file's at the time it was saved.
std::string find_folder(const InputFile& file, const ZipDirectory& directory) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::string folder;
  for (const auto& [name, record] : directory) {
    if (!name.ends_with(kPickle) || name.find('/') != name.size() - kPickle.size()) continue;
    if (!folder.empty()) refuse_torch_file(file, "it has two records data.pkl");
    folder = name.substr(0, name.size() - kPickle.size() + 1);
  }
  if (folder.empty()) {
    refuse_torch_file(file, "it is a ZIP file without a record data.pkl, as torch.save writes it");
  }
  return folder;
}

void refuse_big_endian(const InputFile& file) {
  throw Error(ErrorKind::kCheckpoint, file.path().string(),
              " is of a big-endian machine, and Pergola reads little-endian files; load and save "
              "it again in Python on a little-endian one");
}

}  // namespace

bool TorchFile::is_one(const InputFile& file) {
  const std::string start = first_bytes(file, kZipStart.size());
  return start == kZipStart || (!start.empty() && start[0] == kPickleStart);
}

TorchFile::TorchFile(const std::filesystem::path& path) : file_(path) {
  if (first_bytes(file_, kZipStart.size()) == kZipStart) {
    open_zip();
  } else {
    open_legacy();
  }
}

void TorchFile::open_zip() {
  container_ = "PyTorch file (ZIP)";
  const ZipDirectory directory = read_zip_directory(file_);
  const std::string folder = find_folder(file_, directory);
  const auto order = directory.find(folder + "byteorder");  // since PyTorch 2.1
  if (order != directory.end() &&
      read_record(file_, order->first, order->second, 16).starts_with("big")) {
    refuse_big_endian(file_);
  }
  const ZipRecord& pickle = directory.at(folder + "data.pkl");
  // Read twice, since a damaged pickle is better told by its CRC than by where it goes astray.
  static_cast<void>(read_record(file_, folder + "data.pkl", pickle, kMostPickleBytes));
  ByteRange range{pickle.begin, pickle.begin + pickle.size};
  root_ = read_pickle(file_, range, values_, storages_);
  for (const auto& [key, storage] : storages_) {
    const auto record = directory.find(folder + "data/" + key);
    const auto size = static_cast<std::uint64_t>(storage.bytes);
    if (record == directory.end()) {
      refuse_torch_file(file_, concat("it has no record for storage '", key, "'"));
    }
    if (record->second.size != size) {
      refuse_torch_file(file_, concat("storage '", key, "' has ", size, " bytes in the pickle and ",
                                      record->second.size, " in the file"));
    }
    Place place{record->second.begin, size, {}};
    if (record->second.crc != 0) place.crc = record->second.crc;
    places_.emplace(key, place);
  }
}

void TorchFile::open_legacy() {
  container_ = "PyTorch file (of before 1.6)";
  ByteRange range{0, std::min(file_.size(), kMostPickleBytes)};
  const PickleValue* magic = read_pickle(file_, range, values_, storages_);
  if (!magic->is(kBigInteger) || magic->text() != kMagic) {
    refuse_torch_file(file_, "it is a pickle without PyTorch's magic number before it");
  }
  const PickleValue* version = read_pickle(file_, range, values_, storages_);
  if (!version->is(kInteger) || version->integer() != kLegacyVersion) {
    refuse_torch_file(file_, "it is not of the container's version 1001");
  }
  const PickleValue* little = read_pickle(file_, range, values_, storages_)->find("little_endian");
  if (little == nullptr || !little->is(kBoolean)) {
    refuse_torch_file(file_, "it does not say whether it is little-endian");
  }
  if (!little->boolean()) refuse_big_endian(file_);
  root_ = read_pickle(file_, range, values_, storages_);
  PickledStorages none;
  const PickleValue* keys = read_pickle(file_, range, values_, none);
  if (!keys->is(kList)) refuse_torch_file(file_, "it has no list of its storages");
  place_storages(*keys, range.begin);
}

// Behind the pickles: for each key the number of its elements, then they.
void TorchFile::place_storages(const PickleValue& keys, std::uint64_t cursor) {
  for (const PickleValue* key : keys.items()) {
    const auto known = key->is(kText) ? storages_.find(key->text()) : storages_.end();
    if (known == storages_.end()) {
      refuse_torch_file(file_, "its list of storages names one that no tensor is in");
    }
    std::uint64_t count = 0;
    if (file_.size() - cursor < sizeof(count)) refuse_torch_file(file_, "its storages are cut off");
    file_.read(reinterpret_cast<char*>(&count), sizeof(count), cursor);
    cursor += sizeof(count);
    const auto size = static_cast<std::uint64_t>(known->second.bytes);
    if (count != size / static_cast<std::uint64_t>(known->second.width) ||
        size > file_.size() - cursor) {
      refuse_torch_file(
          file_, concat("storage '", key->text(), "' of ", size, " bytes has ", count,
                        " elements and ", file_.size() - cursor, " bytes behind it in the file"));
    }
    if (!places_.emplace(key->text(), Place{cursor, size, {}}).second) {
      refuse_torch_file(file_, concat("storage '", key->text(), "' is there twice"));
    }
    cursor += size;
  }
  if (places_.size() != storages_.size()) {
    refuse_torch_file(file_, "its list of storages lacks one that a tensor is in");
  }
}

const c10::Storage& TorchFile::storage(const std::string& key) {
  const auto known = loaded_.find(key);
  if (known != loaded_.end()) return known->second;
  const Place& place = places_.at(key);
  const at::Tensor bytes = at::empty({static_cast<std::int64_t>(place.size)}, at::kByte);
  auto* const to = static_cast<char*>(bytes.data_ptr());
  if (place.crc) {
    const std::uint32_t crc = file_.read_with_crc(to, place.size, place.begin);
    if (crc != *place.crc) {
      refuse_torch_file(file_, concat("storage '", key, "' is damaged: its CRC-32 is ", crc,
                                      ", and the file says ", *place.crc));
    }
  } else {
    file_.read(to, place.size, place.begin);
  }
  return loaded_.emplace(key, bytes.storage()).first->second;
}

at::Tensor TorchFile::load(const PickledTensor& tensor) {
  const c10::Storage& memory = storage(tensor.storage);
  if (tensor.dtype == at::kBool && checked_bools_.insert(tensor.storage).second) {
    // Any other value in a C++ bool is undefined behaviour wherever the tensor is used.
    const auto* bytes = static_cast<const char*>(memory.data());
    if (std::any_of(bytes, bytes + memory.nbytes(), [](char byte) { return (byte & ~1) != 0; })) {
      checked_bools_.erase(tensor.storage);
      refuse_torch_file(file_, concat("storage '", tensor.storage,
                                      "' is of bools and holds a byte that is neither 0 nor 1"));
    }
  }
  return at::empty({0}, at::TensorOptions(tensor.dtype))
      .set_(memory, tensor.offset, tensor.sizes, tensor.strides);
}

}  // namespace pergola::host
