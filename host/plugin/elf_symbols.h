// SPDX-License-Identifier: BSD-3-Clause
// What the dynamic linker will do with a shared library, read from the file: the libraries that it
// needs and where it looks for them, the names that it exports, and the namespaces in which it
// defines LibTorch operators. Plain data and functions; thread-safe as far as ElfFile is.
#pragma once

#include "host/plugin/elf_sections.h"

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

struct ElfSymbols {
  std::vector<std::string> needed;    // DT_NEEDED, in the file's order
  std::vector<std::string> run_path;  // DT_RUNPATH, or DT_RPATH, as written: may begin with $ORIGIN
  // Defined, visible to other libraries, and not weak, as what many libraries share is; mangled.
  std::set<std::string> exported;
  // The arguments of TORCH_LIBRARY(name, m), which one library in a process may define. Known from
  // the symbol table, which `strip` takes away.
  std::set<std::string> torch_libraries;
};

// Throws Error{kPlugin} for tables that point outside of the file or into nothing.
[[nodiscard]] ElfSymbols read_symbols(const ElfFile& file);

// Those of `needed` that are CUDA's, or LibTorch's half for it: without them it is not loaded.
[[nodiscard]] std::vector<std::string> needed_of_cuda(const ElfSymbols& symbols);
[[nodiscard]] bool is_cuda_library(std::string_view file) noexcept;

// "f(int) (_Z1fi)" for what is mangled; other names as they are.
[[nodiscard]] std::string demangled(const std::string& symbol);

// Why two libraries cannot be in one process, as the end of a sentence that names both; "" when
// they can. Their entry, pergola_plugin, is found by the library and not by name.
[[nodiscard]] std::string clash_of(const ElfSymbols& one, const ElfSymbols& other);

}  // namespace pergola::host
