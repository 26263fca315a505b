// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/elf_sections.h"

#include "host/support/hash.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

#if defined(__x86_64__)
constexpr int kHostMachine = EM_X86_64;
constexpr char kHostMachineName[] = "x86_64";
#else
constexpr int kHostMachine = EM_AARCH64;
constexpr char kHostMachineName[] = "aarch64";
#endif

// A linked plugin has some forty sections; a table of their names of this size is a lie.
constexpr std::uint64_t kMaxNameTable = 16U << 20U;

// Whoever hashes a file reads all of it, and a hole of a terabyte costs its maker nothing.
constexpr std::int64_t kMaxFile = std::int64_t{4} << 30U;

template <class... Parts>
[[noreturn]] void refuse(const std::filesystem::path& path, const Parts&... parts) {
  throw Error(ErrorKind::kPlugin, "plugin ", printable(path.string()), " ", parts...);
}

[[noreturn]] void refuse_damaged(const std::filesystem::path& path, std::string_view what) {
  refuse(path, "is truncated or damaged: ", what, "; copy or build it again");
}

FileIdentity identity_of(const struct stat& status) {
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  return {status.st_dev, status.st_ino, status.st_size,
          status.st_mtim.tv_sec * kNsPerSecond + status.st_mtim.tv_nsec};
}

UniqueFd open_or_refuse(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (number < 0) {
    const int error = errno;
    refuse(path, "cannot be read: ", std::strerror(error),
           error == EACCES ? "; `ls -l` shows who may" : "");
  }
  return UniqueFd(number);
}

// Whether `size` bytes from `offset` on lie inside a file of `file_size` bytes, without overflow.
bool inside(std::uint64_t offset, std::uint64_t size, std::uint64_t file_size) {
  return offset <= file_size && size <= file_size - offset;
}

bool read_exactly(int file, void* to, std::size_t size, std::uint64_t offset) {
  auto* next = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t count = ::pread(file, next, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    next += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

// Nobody can write to it, not even through another descriptor.
UniqueFd sealed_copy(int from, const std::filesystem::path& path) {
  const std::string name = path.filename().string().substr(0, 200);  // the kernel takes 249 bytes
  UniqueFd copy(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) refuse(path, "cannot be copied into memory: ", std::strerror(errno));
  std::vector<char> buffer(std::size_t{1} << 20U);
  for (off_t offset = 0;;) {
    const ssize_t count = ::pread(from, buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse(path, "cannot be read: ", std::strerror(errno));
    if (count == 0) break;
    write_all(copy.get(), {buffer.data(), static_cast<std::size_t>(count)}, path,
              ErrorKind::kPlugin);
    offset += count;
  }
  constexpr int kAll = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(copy.get(), F_ADD_SEALS, kAll) != 0) {
    refuse(path, "cannot be kept from changing in memory: ", std::strerror(errno));
  }
  return copy;
}

struct EndElf {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, EndElf>;

ElfHandle begin_elf(int file) {
  elf_version(EV_CURRENT);
  // Not ELF_C_READ_MMAP: a file that shrinks while it is mapped is a SIGBUS.
  return ElfHandle(elf_begin(file, ELF_C_READ, nullptr));
}

}  // namespace

std::optional<FileIdentity> identify(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return identity_of(status);
}

ElfFile::ElfFile(const std::filesystem::path& path, Content content)
    : path_(path), file_(open_or_refuse(path)) {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) refuse(path_, "cannot be read: ", std::strerror(errno));
  if (S_ISDIR(status.st_mode)) refuse(path_, "is a folder; expected a plugin's .so file");
  if (!S_ISREG(status.st_mode))
    refuse(path_, "is not a regular file; expected a plugin's .so file");
  if (status.st_size > kMaxFile) {
    refuse(path_, "is ", status.st_size, " bytes; at most ", kMaxFile, " are allowed");
  }
  identity_ = identity_of(status);
  if (content == Content::kSealedCopy) {
    original_ = std::move(file_);
    file_ = sealed_copy(original_.get(), path_);
  }
  if (::fstat(file_.get(), &status) != 0) refuse(path_, "cannot be read: ", std::strerror(errno));
  size_ = status.st_size;
  check_header();
  read_tables();
}

std::filesystem::path ElfFile::real_path() const {
  std::error_code error;
  const auto path = std::filesystem::read_symlink(concat("/proc/self/fd/", file_.get()), error);
  struct stat status {};
  if (error || ::fstat(file_.get(), &status) != 0 || status.st_nlink == 0) return {};
  return path;
}

std::string ElfFile::load_path() const { return concat("/proc/", ::getpid(), "/fd/", file_.get()); }

std::string ElfFile::sha256() const {
  return sha256_open_file(file_.get(), path_, ErrorKind::kPlugin);
}

// Before libelf sees the file, since it believes the header's counts when it allocates.
void ElfFile::check_header() const {
  if (size_ == 0) refuse(path_, "is empty; copy or build it again");
  Elf64_Ehdr header{};
  const auto available = std::min<std::uint64_t>(sizeof(header), size_);
  if (!read_exactly(file_.get(), &header, available, 0)) refuse_damaged(path_, "it cannot be read");
  if (available < SELFMAG || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    refuse(path_,
           "is not a shared library: it does not begin as an ELF file does; "
           "expected a .so that pergola_add_plugin built");
  }
  if (available < sizeof(header)) refuse_damaged(path_, "its ELF header is cut off");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    refuse(path_, "is not a 64-bit little-endian ELF file; build it for ", kHostMachineName);
  }
  if (header.e_machine != kHostMachine) {
    refuse(path_, "is for another processor (ELF machine ", header.e_machine, "); expected ",
           kHostMachineName, " (", kHostMachine, "), so build it on this kind of machine");
  }
  if (header.e_type != ET_DYN) {
    refuse(path_, "is not a shared library (ELF type ", header.e_type,
           "); expected a .so that "
           "pergola_add_plugin built");
  }
  if (header.e_shnum == 0 || header.e_shentsize != sizeof(Elf64_Shdr)) {
    refuse(path_,
           "has no table of sections, which is where a plugin's manifest is found; "
           "do not strip it with --strip-section-headers");
  }
  const auto size = static_cast<std::uint64_t>(size_);
  if (!inside(header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr), size)) {
    refuse_damaged(path_, "its table of sections lies beyond its end");
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr) ||
      !inside(header.e_phoff, std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr), size)) {
    refuse_damaged(path_, "its table of segments lies beyond its end");
  }
}

void ElfFile::read_tables() {
  const auto file_size = static_cast<std::uint64_t>(size_);
  const ElfHandle elf = begin_elf(file_.get());
  std::size_t segments = 0;
  std::size_t sections = 0;
  std::size_t names = 0;
  if (elf == nullptr || elf_kind(elf.get()) != ELF_K_ELF ||
      elf_getphdrnum(elf.get(), &segments) != 0 || elf_getshdrnum(elf.get(), &sections) != 0 ||
      elf_getshdrstrndx(elf.get(), &names) != 0) {
    refuse_damaged(path_, elf_errmsg(-1));
  }

  // dlopen maps segments without asking how long the file is, and dies at the first missing page.
  for (std::size_t i = 0; i < segments; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf.get(), static_cast<int>(i), &segment) == nullptr ||
        !inside(segment.p_offset, segment.p_filesz, file_size)) {
      refuse_damaged(path_, "one of its segments lies beyond its end");
    }
  }

  GElf_Shdr header;
  if (gelf_getshdr(elf_getscn(elf.get(), names), &header) == nullptr ||
      header.sh_size > kMaxNameTable || !inside(header.sh_offset, header.sh_size, file_size)) {
    refuse_damaged(path_, "the names of its sections lie beyond its end");
  }
  for (std::size_t i = 1; i < sections; ++i) {
    if (gelf_getshdr(elf_getscn(elf.get(), i), &header) == nullptr) {
      refuse_damaged(path_, "its table of sections cannot be read");
    }
    const char* name = elf_strptr(elf.get(), names, header.sh_name);
    if (name == nullptr) refuse_damaged(path_, "a section has no name");
    if (header.sh_type == SHT_NOBITS) continue;
    if (!inside(header.sh_offset, header.sh_size, file_size)) {
      refuse_damaged(path_, concat("its section ", printable(name), " lies beyond its end"));
    }
    sections_.try_emplace(name, Range{header.sh_offset, header.sh_size});
  }
}

std::optional<std::string> ElfFile::section(std::string_view name, std::size_t limit) const {
  const auto found = sections_.find(name);
  if (found == sections_.end()) return std::nullopt;
  const Range& range = found->second;
  if (range.size > limit) {
    refuse(path_, "has a section ", name, " of ", range.size, " bytes; at most ", limit,
           " are allowed");
  }
  std::string bytes(range.size, '\0');
  if (!read_exactly(file_.get(), bytes.data(), bytes.size(), range.offset)) {
    refuse_damaged(path_, concat("its section ", name, " cannot be read"));
  }
  return bytes;
}

}  // namespace pergola::host
