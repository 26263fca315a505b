// SPDX-License-Identifier: BSD-3-Clause
// The names of functions that a library does not export, which are almost all of a plugin's: from
// the symbol table of its file. For a signal handler: no memory from the heap, no locks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pergola::host {

// The file stays mapped as long as the object lives. Any thread.
class FunctionNames {
 public:
  // A file that cannot be read, is no ELF file, or was stripped has no names.
  explicit FunctionNames(const char* path) noexcept;
  FunctionNames(const FunctionNames&) = delete;
  FunctionNames& operator=(const FunctionNames&) = delete;
  ~FunctionNames();

  // The mangled name of the function with the byte at `address` (as the file has it, from 0 on in a
  // shared library); null: there is none. Lives as long as the object.
  [[nodiscard]] const char* at(std::uintptr_t address) const noexcept;

 private:
  // `count` things at `offset`, or null where they are not all in the file.
  template <class Thing>
  [[nodiscard]] const Thing* things(std::uint64_t offset, std::uint64_t count) const noexcept;

  const char* bytes_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace pergola::host
