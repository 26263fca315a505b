// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/function_names.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace pergola::host {

FunctionNames::FunctionNames(const char* path) noexcept {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return;
  struct stat status {};
  if (::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (mapped != MAP_FAILED) {
      bytes_ = static_cast<const char*>(mapped);
      size_ = size;
    }
  }
  ::close(file);
}

FunctionNames::~FunctionNames() {
  if (bytes_ != nullptr) ::munmap(const_cast<char*>(bytes_), size_);
}

template <class Thing>
const Thing* FunctionNames::things(std::uint64_t offset, std::uint64_t count) const noexcept {
  const bool inside = offset <= size_ && count <= (size_ - offset) / sizeof(Thing);
  if (!inside || offset % alignof(Thing) != 0) return nullptr;
  return reinterpret_cast<const Thing*>(bytes_ + offset);
}

const char* FunctionNames::at(std::uintptr_t address) const noexcept {
  const auto* const header = things<Elf64_Ehdr>(0, 1);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return nullptr;
  const auto* const sections = things<Elf64_Shdr>(header->e_shoff, header->e_shnum);
  if (sections == nullptr) return nullptr;
  for (std::size_t i = 0; i < header->e_shnum; ++i) {
    const Elf64_Shdr& table = sections[i];
    if (table.sh_type != SHT_SYMTAB || table.sh_link >= header->e_shnum) continue;
    const Elf64_Shdr& texts = sections[table.sh_link];
    const std::uint64_t count = table.sh_size / sizeof(Elf64_Sym);
    const auto* const symbols = things<Elf64_Sym>(table.sh_offset, count);
    const char* const names = things<char>(texts.sh_offset, texts.sh_size);
    if (symbols == nullptr || names == nullptr || texts.sh_size == 0) return nullptr;
    if (names[texts.sh_size - 1] != '\0') return nullptr;
    for (std::uint64_t k = 0; k < count; ++k) {
      const Elf64_Sym& symbol = symbols[k];
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
      if (address < symbol.st_value || address - symbol.st_value >= symbol.st_size) continue;
      return symbol.st_name < texts.sh_size ? names + symbol.st_name : nullptr;
    }
  }
  return nullptr;
}

}  // namespace pergola::host
