// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/elf_symbols.h"

#include "host/support/printable.h"
#include "pergola/error.h"

#include <cxxabi.h>
#include <elf.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>

namespace pergola::host {
namespace {

// A plugin with LibTorch's templates in it has some ten thousand symbols.
constexpr std::size_t kMostBytes = std::size_t{256} << 20U;

// A section as an array of `Entry`, copied, since nothing in a file is aligned for sure.
template <class Entry>
std::vector<Entry> entries_of(const ElfFile& file, std::string_view name) {
  const std::optional<std::string> bytes = file.section(name, kMostBytes);
  if (!bytes) return {};
  std::vector<Entry> entries(bytes->size() / sizeof(Entry));
  if (!entries.empty()) {
    std::memcpy(entries.data(), bytes->data(), entries.size() * sizeof(Entry));
  }
  return entries;
}

// A table of strings, each ended by a NUL.
class StringTable {
 public:
  StringTable(const ElfFile& file, std::string_view section)
      : file_(file), section_(section), bytes_(file.section(section, kMostBytes).value_or("")) {}

  [[nodiscard]] std::string_view at(std::uint64_t offset) const {
    const std::size_t end = offset < bytes_.size() ? bytes_.find('\0', offset) : std::string::npos;
    if (end != std::string::npos) return std::string_view(bytes_).substr(offset, end - offset);
    throw Error(ErrorKind::kPlugin, "plugin ", printable(file_.path().string()),
                " is truncated or damaged: a name lies beyond its section ", section_,
                "; copy or build it again");
  }

 private:
  const ElfFile& file_;
  std::string_view section_;
  std::string bytes_;
};

std::vector<std::string> split_at_colons(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(':'), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

void read_dynamic(const ElfFile& file, ElfSymbols& symbols) {
  const StringTable strings(file, ".dynstr");
  std::vector<std::string> old_path;  // DT_RPATH, which DT_RUNPATH turns off
  for (const auto& entry : entries_of<Elf64_Dyn>(file, ".dynamic")) {
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_NEEDED) symbols.needed.emplace_back(strings.at(entry.d_un.d_val));
    if (entry.d_tag == DT_RUNPATH) symbols.run_path = split_at_colons(strings.at(entry.d_un.d_val));
    if (entry.d_tag == DT_RPATH) old_path = split_at_colons(strings.at(entry.d_un.d_val));
  }
  if (symbols.run_path.empty()) symbols.run_path = std::move(old_path);
}

bool is_exported(const Elf64_Sym& symbol) {
  const auto binding = ELF64_ST_BIND(symbol.st_info);
  const auto visibility = ELF64_ST_VISIBILITY(symbol.st_other);
  return symbol.st_shndx != SHN_UNDEF && binding == STB_GLOBAL && visibility != STV_HIDDEN &&
         visibility != STV_INTERNAL;
}

std::vector<std::string> common(const std::set<std::string>& one,
                                const std::set<std::string>& other) {
  std::vector<std::string> both;
  std::ranges::set_intersection(one, other, std::back_inserter(both));
  return both;
}

// "ops" of "_ZL29TORCH_LIBRARY_static_init_ops": the object that TORCH_LIBRARY(ops, m) makes, whose
// mangled name has its length in front.
std::optional<std::string> torch_library_of(std::string_view symbol) {
  constexpr std::string_view kBegin = "_ZL";
  constexpr std::string_view kInit = "TORCH_LIBRARY_static_init_";
  if (!symbol.starts_with(kBegin)) return std::nullopt;
  symbol.remove_prefix(kBegin.size());
  std::size_t length = 0;
  const auto [end, error] = std::from_chars(symbol.data(), symbol.data() + symbol.size(), length);
  if (error != std::errc()) return std::nullopt;
  symbol.remove_prefix(static_cast<std::size_t>(end - symbol.data()));
  const std::string_view name = symbol.substr(0, length);
  if (!name.starts_with(kInit)) return std::nullopt;
  return std::string(name.substr(kInit.size()));
}

}  // namespace

bool is_cuda_library(std::string_view file) noexcept {
  constexpr std::array<std::string_view, 12> kBegins = {
      "libtorch_cuda", "libc10_cuda", "libcudart.",  "libcublas", "libcudnn", "libcufft",
      "libcurand",     "libcusolver", "libcusparse", "libnvrtc",  "libnccl",  "libcuda."};
  return std::ranges::any_of(kBegins,
                             [&](std::string_view begin) { return file.starts_with(begin); });
}

std::vector<std::string> needed_of_cuda(const ElfSymbols& symbols) {
  std::vector<std::string> names;
  std::ranges::copy_if(symbols.needed, std::back_inserter(names), is_cuda_library);
  return names;
}

std::string demangled(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? concat(name.get(), " (", symbol, ")") : symbol;
}

ElfSymbols read_symbols(const ElfFile& file) {
  ElfSymbols symbols;
  read_dynamic(file, symbols);
  const StringTable names(file, ".dynstr");
  for (const auto& symbol : entries_of<Elf64_Sym>(file, ".dynsym")) {
    if (is_exported(symbol)) symbols.exported.emplace(names.at(symbol.st_name));
  }
  const StringTable all_names(file, ".strtab");
  for (const auto& symbol : entries_of<Elf64_Sym>(file, ".symtab")) {
    if (ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT) continue;
    if (auto library = torch_library_of(all_names.at(symbol.st_name))) {
      symbols.torch_libraries.insert(*std::move(library));
    }
  }
  return symbols;
}

std::string clash_of(const ElfSymbols& one, const ElfSymbols& other) {
  const std::vector<std::string> libraries = common(one.torch_libraries, other.torch_libraries);
  if (!libraries.empty()) {
    return concat("both define the operators of TORCH_LIBRARY(", printable(libraries.front()),
                  ", ...), which one library in a process may do; let one of them use a namespace "
                  "of its own, or TORCH_LIBRARY_FRAGMENT");
  }
  std::vector<std::string> symbols = common(one.exported, other.exported);
  std::erase(symbols, "pergola_plugin");
  if (symbols.empty()) return "";
  return concat("both export ", printable(demangled(symbols.front())),
                symbols.size() > 1 ? concat(" and ", symbols.size() - 1, " more") : std::string(),
                ", so one could run the other's code; build them with pergola_add_plugin, which "
                "exports the plugin's entry alone");
}

}  // namespace pergola::host
