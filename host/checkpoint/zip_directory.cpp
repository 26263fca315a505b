// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/zip_directory.h"

#include "host/checkpoint/pickle_bytes.h"
#include "pergola/error.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace pergola::host {
namespace {

// Signatures, sizes and fields as in PKWARE's APPNOTE.TXT, section 4.3.
constexpr std::uint64_t kEndSignature = 0x06054b50;
constexpr std::uint64_t kEnd64Signature = 0x06064b50;
constexpr std::uint64_t kLocatorSignature = 0x07064b50;
constexpr std::uint64_t kEntrySignature = 0x02014b50;
constexpr std::uint64_t kLocalSignature = 0x04034b50;
constexpr std::uint64_t kEndBytes = 22;
constexpr std::uint64_t kEnd64Bytes = 56;
constexpr std::uint64_t kLocatorBytes = 20;
constexpr std::uint64_t kEntryBytes = 46;
constexpr std::uint64_t kLocalBytes = 30;
constexpr std::uint64_t kMostCommentBytes = 0xffff;
constexpr std::uint64_t kIn64Bits = 0xffffffff;  // the field's value is in the extra field 0x0001
// A million records with names of a usual length.
constexpr std::uint64_t kMostDirectoryBytes = 128'000'000;

template <class... Parts>
[[noreturn]] void refuse(const InputFile& file, const Parts&... parts) {
  refuse_torch_file(file, concat(parts...));
}

// A little-endian number.  REQUIRES: the bytes are there.
std::uint64_t number(std::string_view bytes, std::uint64_t at, std::uint64_t width) {
  std::uint64_t value = 0;
  for (std::uint64_t i = 0; i < width; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return value;
}

// REQUIRES: the bytes are in the file.
std::string read_bytes(const InputFile& file, std::uint64_t begin, std::uint64_t size) {
  std::string bytes(size, '\0');
  file.read(bytes.data(), size, begin);
  return bytes;
}

// Where the directory is.
struct Place {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  std::uint64_t entries = 0;
};

// The end record is the last thing in the file but for a comment, whose length it says.
std::uint64_t find_end(const InputFile& file) {
  const std::uint64_t size = std::min(file.size(), kEndBytes + kMostCommentBytes);
  const std::string tail = read_bytes(file, file.size() - size, size);
  for (std::uint64_t back = kEndBytes; back <= size; ++back) {
    const std::uint64_t at = size - back;
    if (number(tail, at, 4) == kEndSignature && number(tail, at + 20, 2) == back - kEndBytes) {
      return file.size() - back;
    }
  }
  refuse(file, "it begins as a ZIP file and has no list of records at its end, so it was cut off");
}

Place find_directory(const InputFile& file) {
  std::uint64_t end = find_end(file);
  const std::string record = read_bytes(file, end, kEndBytes);
  Place place{number(record, 16, 4), number(record, 12, 4), number(record, 10, 2)};
  std::uint64_t on_this_disk = number(record, 8, 2);
  if (end >= kLocatorBytes + kEnd64Bytes) {
    const std::string locator = read_bytes(file, end - kLocatorBytes, kLocatorBytes);
    if (number(locator, 0, 4) == kLocatorSignature) {
      const std::uint64_t at = number(locator, 8, 8);
      if (at > end - kLocatorBytes - kEnd64Bytes)
        refuse(file, "its 64-bit end record is not in it");
      const std::string record64 = read_bytes(file, at, kEnd64Bytes);
      if (number(record64, 0, 4) != kEnd64Signature) {
        refuse(file, "its 64-bit end record is damaged");
      }
      place = {number(record64, 48, 8), number(record64, 40, 8), number(record64, 32, 8)};
      on_this_disk = number(record64, 24, 8);
      end = at;
    }
  }
  if (on_this_disk != place.entries) refuse(file, "it is one of several parts of a ZIP file");
  if (place.begin > end || place.size != end - place.begin) {
    refuse(file, "its list of records (", place.size, " bytes from byte ", place.begin,
           " on) does not end at byte ", end, ", where its end record begins");
  }
  if (place.size > kMostDirectoryBytes || place.entries > place.size / kEntryBytes) {
    refuse(file, "its list of records claims ", place.entries, " records in ", place.size,
           " bytes; at most ", kMostDirectoryBytes, " bytes are read");
  }
  return place;
}

// A record as the directory has it.
struct Entry {
  std::string name;
  ZipRecord record;
  std::uint64_t header = 0;  // where its local header begins
};

// Takes the 64-bit values of the fields that say so, in the order that the format gives them.
void widen(const InputFile& file, const std::string& name, std::string_view extra,
           std::initializer_list<std::uint64_t*> fields) {
  std::string_view wide;
  while (extra.size() >= 4) {
    const std::uint64_t size = number(extra, 2, 2);
    if (size > extra.size() - 4) break;
    if (number(extra, 0, 2) == 1) wide = extra.substr(4, size);
    extra.remove_prefix(4 + size);
  }
  for (std::uint64_t* field : fields) {
    if (*field != kIn64Bits) continue;
    if (wide.size() < 8) refuse(file, "record '", name, "' has no 64-bit size");
    *field = number(wide, 0, 8);
    wide.remove_prefix(8);
  }
}

// The records of a TorchScript program's code are, those of weights never.
[[noreturn]] void refuse_compressed(const InputFile& file, const std::string& name) {
  if (name.find("/code/") == std::string::npos) {
    refuse(file, "record '", name, "' is compressed, which torch.save never does");
  }
  throw Error(ErrorKind::kCheckpoint, file.path().string(),
              " is a TorchScript program, and no file of weights; in Python, save its weights: "
              "torch.save(torch.jit.load(FILE).state_dict(), OTHER)");
}

// Takes the first entry off `rest`.
Entry take_entry(const InputFile& file, std::string_view& rest) {
  if (rest.size() < kEntryBytes || number(rest, 0, 4) != kEntrySignature) {
    refuse(file, "its list of records is damaged");
  }
  const std::uint64_t name_size = number(rest, 28, 2);
  const std::uint64_t extra_size = number(rest, 30, 2);
  const std::uint64_t all = kEntryBytes + name_size + extra_size + number(rest, 32, 2);
  if (all > rest.size()) refuse(file, "its list of records is cut off");
  Entry entry;
  entry.name = rest.substr(kEntryBytes, name_size);
  std::uint64_t packed = number(rest, 20, 4);
  entry.record.size = number(rest, 24, 4);
  entry.record.crc = static_cast<std::uint32_t>(number(rest, 16, 4));
  entry.header = number(rest, 42, 4);
  widen(file, entry.name, rest.substr(kEntryBytes + name_size, extra_size),
        {&entry.record.size, &packed, &entry.header});
  if ((number(rest, 8, 2) & 1) != 0) refuse(file, "record '", entry.name, "' is encrypted");
  if (number(rest, 10, 2) != 0 || packed != entry.record.size) refuse_compressed(file, entry.name);
  rest.remove_prefix(all);
  return entry;
}

// The bytes of a record begin after its local header, which has a name and an extra field of its
// own.
void locate(const InputFile& file, std::uint64_t directory, Entry& entry) {
  const auto gone = [&] {
    refuse(file, "record '", entry.name, "' (", entry.record.size, " bytes) is not in the file");
  };
  if (entry.header > directory || directory - entry.header < kLocalBytes) gone();
  const std::string header = read_bytes(file, entry.header, kLocalBytes);
  const std::uint64_t name_size = number(header, 26, 2);
  const std::uint64_t all = kLocalBytes + name_size + number(header, 28, 2);
  const auto other = [&] {
    refuse(file, "the header of record '", entry.name, "' is that of something else");
  };
  if (number(header, 0, 4) != kLocalSignature) other();
  if (all > directory - entry.header) gone();
  if (read_bytes(file, entry.header + kLocalBytes, name_size) != entry.name) other();
  entry.record.begin = entry.header + all;
  if (entry.record.size > directory - entry.record.begin) gone();
}

}  // namespace

ZipDirectory read_zip_directory(const InputFile& file) {
  const Place place = find_directory(file);
  const std::string bytes = read_bytes(file, place.begin, place.size);
  std::string_view rest = bytes;
  std::vector<Entry> entries;
  for (std::uint64_t i = 0; i < place.entries; ++i) {
    entries.push_back(take_entry(file, rest));
    locate(file, place.begin, entries.back());
  }
  if (!rest.empty()) refuse(file, "its list of records is longer than it says");
  std::ranges::sort(entries, {}, &Entry::header);
  ZipDirectory directory;
  std::uint64_t cursor = 0;
  for (Entry& entry : entries) {
    // Two names for the same bytes would make much memory of a small file.
    if (entry.header < cursor) refuse(file, "record '", entry.name, "' overlaps the one before it");
    cursor = entry.record.begin + entry.record.size;
    if (entry.name.ends_with('/')) continue;
    if (!directory.emplace(entry.name, entry.record).second) {
      refuse(file, "record '", entry.name, "' is there twice");
    }
  }
  return directory;
}

}  // namespace pergola::host
