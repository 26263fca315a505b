// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/input_file.h"

#include "host/checkpoint/crc32.h"
#include "pergola/error.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

namespace pergola::host {
namespace {

// Small enough to stay in the cache of the core while its pages are taken, it is read and hashed.
constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 19;

// Asks for the pages of fresh memory all at once: as many page faults, one after the other, take
// twice as long as copying the bytes does. It is a hint, and a failure changes nothing.
void take_pages(char* to, std::uint64_t size) {
#ifdef MADV_POPULATE_WRITE
  static const auto kPageBytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(to);
  const std::uintptr_t first = begin / kPageBytes * kPageBytes;
  static_cast<void>(
      ::madvise(reinterpret_cast<void*>(first), begin + size - first, MADV_POPULATE_WRITE));
#endif
}

}  // namespace

InputFile::InputFile(std::filesystem::path path)
    : path_(std::move(path)), fd_(open_file(path_, ErrorKind::kCheckpoint)) {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) {
    throw file_error(ErrorKind::kCheckpoint, "read", path_, errno);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

void InputFile::read_piece(char* to, std::uint64_t size, std::uint64_t offset) const {
  if (size == kPieceBytes) take_pages(to, size);
  while (size > 0) {
    const auto count = ::pread(fd_.get(), to, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw file_error(ErrorKind::kCheckpoint, "read", path_, errno);
    if (count == 0) {
      throw Error(ErrorKind::kCheckpoint, path_.string(),
                  " became shorter while it was read: ", "byte ", offset, " of ", size_,
                  " is gone; nothing may write to it meanwhile");
    }
    to += count;
    size -= static_cast<std::uint64_t>(count);
    offset += static_cast<std::uint64_t>(count);
  }
}

void InputFile::read(char* to, std::uint64_t size, std::uint64_t offset) const {
  for (std::uint64_t done = 0; done < size; done += kPieceBytes) {
    read_piece(to + done, std::min(kPieceBytes, size - done), offset + done);
  }
}

std::uint32_t InputFile::read_with_crc(char* to, std::uint64_t size, std::uint64_t offset) const {
  std::uint32_t crc = 0;
  for (std::uint64_t done = 0; done < size; done += kPieceBytes) {
    const std::uint64_t count = std::min(kPieceBytes, size - done);
    read_piece(to + done, count, offset + done);
    crc = crc32_of(crc, to + done, count);
  }
  return crc;
}

}  // namespace pergola::host
