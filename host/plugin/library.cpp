// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/library.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <system_error>

#define BOOST_DLL_USE_STD_FS
#include "host/plugin/elf_symbols.h"
#include "host/plugin/needed_libraries.h"
#include "host/plugin/plugin_file.h"
#include "host/plugin/publish.h"
#include "host/support/hook.h"
#include "host/support/printable.h"
#include "pergola/abi.h"
#include "pergola/error.h"

#include <boost/dll/shared_library.hpp>
#include <dlfcn.h>

namespace pergola::host {
namespace {

constexpr char kEntry[] = "pergola_plugin";

// A library that was opened, also when it turned out to be wrong: its constructors do not run a
// second time, so what they announced, or what was wrong, is kept.
struct OpenLibrary {
  LoadedPlugin plugin;
  std::unique_ptr<const ElfFile> file;  // its descriptor is a part of the library's name
  ElfSymbols symbols;
  boost::dll::shared_library handle;
  Announcements announcements;
  std::string problem;
  KnownPlugin* known = nullptr;  // to messages and the report of a crash
};

// Never destroyed, not even at exit: Boost.DLL's destructor would unmap code that static objects
// and LibTorch's own teardown may still need.
std::vector<std::unique_ptr<OpenLibrary>>& open_libraries() {
  static auto* const libraries = new std::vector<std::unique_ptr<OpenLibrary>>;
  return *libraries;
}

template <class... Parts>
std::string sentence(const std::filesystem::path& path, const Parts&... parts) {
  return concat("plugin ", printable(path.string()), " ", parts...);
}

constexpr const char* kNoCuda =
    ", of CUDA, which is not there; a plugin names no device, and loads without CUDA, where it "
    "takes ATen and pergola/ops.h; for a kernel of its own that the host's stream and CUDA's "
    "static runtime are enough says sdk/docs/guide/5_kernel.md";

// "c10::cuda::f()", "cudaMalloc"; not a plugin's own "cuda_gate(int)".
bool is_of_cuda(std::string_view symbol) {
  for (const std::string_view prefix : {"cuda", "cublas", "cudnn"}) {
    if (symbol.size() > prefix.size() && symbol.starts_with(prefix) &&
        symbol[prefix.size()] >= 'A' && symbol[prefix.size()] <= 'Z') {
      return true;
    }
  }
  return symbol.starts_with("c10::cuda::") || symbol.starts_with("at::cuda::");
}

// Makes a sentence of what dlerror() said.
std::string explain_dlerror(const std::filesystem::path& path, const std::string& name,
                            std::string message) {
  if (const std::string prefix = name + ": "; message.rfind(prefix, 0) == 0) {
    message.erase(0, prefix.size());
  }
  constexpr std::string_view kUndefined = "undefined symbol: ";
  const auto found = message.find(kUndefined);
  if (found == std::string::npos) {
    const std::string library = message.substr(0, message.find(':'));
    if (is_cuda_library(library)) return sentence(path, "needs ", printable(library), kNoCuda);
    return sentence(path, "cannot be loaded: ", printable(message),
                    "; `ldd` shows which of the libraries that it needs are missing");
  }
  const auto begin = found + kUndefined.size();
  const std::string symbol = message.substr(begin, message.find_first_of(", \t\n", begin) - begin);
  const std::string shown = printable(demangled(symbol));
  if (is_of_cuda(shown)) return sentence(path, "uses ", shown, kNoCuda);
  return sentence(path, "uses ", shown,
                  ", which neither it, the SDK nor LibTorch defines; add the file that defines it "
                  "to SOURCES, or the library to LINK, of pergola_add_plugin");
}

// While it lives, an exception that nothing can catch ends the process with a sentence about the
// plugin. Static constructors run below dlopen, and the dynamic loader cannot be unwound.
class StaticConstructorGuard {
 public:
  explicit StaticConstructorGuard(const std::filesystem::path& path)
      : previous_(std::set_terminate(&end_process)) {
    path_ = path.c_str();
  }
  ~StaticConstructorGuard() { std::set_terminate(previous_); }
  StaticConstructorGuard(const StaticConstructorGuard&) = delete;
  StaticConstructorGuard& operator=(const StaticConstructorGuard&) = delete;

 private:
  [[noreturn]] static void end_process() noexcept {
    std::string what = "an unknown exception";
    try {
      if (std::current_exception()) throw;
    } catch (const std::exception& error) {
      what = error.what();
    } catch (...) {  // of a type that only the plugin knows
    }
    const std::string text = sentence(
        path_, "threw in a static constructor: ", printable(what),
        "; that cannot be caught, so move what can fail from static objects into build()\n");
    std::fputs(text.c_str(), stderr);
    std::_Exit(static_cast<int>(ErrorKind::kPlugin));
  }

  static inline const char* path_ = "";
  std::terminate_handler previous_;
};

// noexcept, so that an exception of a static constructor ends here and not in a caller that cannot
// know that the dynamic loader's lock is still held. Returns dlerror()'s text; "" when it is open.
std::string open_library(const std::filesystem::path& path, const std::string& name,
                         boost::dll::shared_library& handle) noexcept {
  const StaticConstructorGuard guard(path);
  const std::string shown = path.filename().string();
  const Hook hook{"a static constructor", "plugin", shown};
  const HookScope running(hook);
  std::error_code failed;
  try {
    handle.load(name, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local, failed);
  } catch (...) {
    std::terminate();  // which noexcept, once g++ has inlined it, calls without the exception
  }
  if (!failed) return "";
  const char* text = ::dlerror();
  return text == nullptr ? failed.message() : text;
}

// Before its static constructors run, which may crash.
KnownPlugin& make_known(const LoadedPlugin& plugin, const std::string& load_path) {
  auto known = std::make_unique<KnownPlugin>();
  known->name = plugin.manifest.name;
  known->version = plugin.manifest.version;
  known->file = printable(plugin.path.string());
  known->load_path = load_path;
  for (const std::string& kind : registered_kinds()) {
    for (const std::string& key : plugin.manifest.keys(kind))
      known->classes.emplace_back(kind, key);
  }
  return remember_plugin(std::move(known));
}

// The entry tells that what was loaded is what was checked.
std::string entry_problem(const OpenLibrary& library, const PluginFile& checked) {
  const auto& path = library.plugin.path;
  if (!library.handle.has(kEntry)) {
    return sentence(path, "does not export ", kEntry, "; build it with pergola_add_plugin");
  }
  const auto& entry = library.handle.get<const PluginInfo>(kEntry);
  // The section agreed with the host's fingerprint, so the entry must too.
  if (entry.abi_version != PERGOLA_ABI_VERSION ||
      entry.fingerprint != std::string_view(PERGOLA_FINGERPRINT)) {
    return sentence(path, "is not the file that was checked: its ", kEntry,
                    " has another fingerprint than its section says; build it again");
  }
  if (entry.name != checked.manifest->name) {
    return sentence(path, "has the name '", checked.manifest->name,
                    "' in its plugin.toml, but was made by pergola_add_plugin(",
                    printable(entry.name), "); use one name");
  }
  return "";
}

// Why the opened library cannot be used; "" when it can.
std::string problem_of(const OpenLibrary& library, const PluginFile& checked) {
  std::string problem = entry_problem(library, checked);
  if (!problem.empty()) return problem;
  problem = promise_broken(library.announcements, *checked.manifest);
  return problem.empty() ? "" : sentence(library.plugin.path, problem);
}

// The library of `file` when it is open already. Throws when the path or the file's inode belonged
// to something else then: dlopen would silently give back the old code.
OpenLibrary* find_open(const ElfFile& file, const std::filesystem::path& path) {
  for (const auto& library : open_libraries()) {
    if (library->file->identity() == file.identity()) return library.get();
    if (library->file->identity().same_file(file.identity()) || library->plugin.path == path) {
      throw Error(ErrorKind::kPlugin,
                  sentence(path, "has changed since this process loaded it; start again"));
    }
  }
  return nullptr;
}

void expect_no_clash(const ElfSymbols& symbols, const std::filesystem::path& path) {
  for (const auto& library : open_libraries()) {
    const std::string clash = clash_of(library->symbols, symbols);
    if (clash.empty()) continue;
    throw Error(ErrorKind::kPlugin, sentence(path, "and ", printable(library->plugin.path.string()),
                                             " cannot be loaded together: ", clash));
  }
}

// Not by its path, where another file could be by now.
OpenLibrary& open_checked(std::unique_ptr<const ElfFile> file, const PluginFile& checked,
                          const TrustPolicy& policy) {
  std::error_code error;
  auto path = std::filesystem::canonical(file->path(), error);
  if (error) path = file->path();  // it is gone by now, and open all the same
  if (OpenLibrary* library = find_open(*file, path); library != nullptr) return *library;
  PERGOLA_ASSERT(collect_announcements().empty());  // or they would be taken for this plugin's

  auto library = std::make_unique<OpenLibrary>();
  library->symbols = checked.symbols;
  expect_no_clash(library->symbols, path);
  library->plugin = {path, *checked.manifest, file->sha256()};
  open_needed_libraries(library->symbols, path, policy);
  const std::string name = file->load_path();
  library->file = std::move(file);
  library->known = &make_known(library->plugin, name);
  const std::string failure = open_library(path, name, library->handle);
  library->announcements = collect_announcements();
  if (!failure.empty()) throw Error(ErrorKind::kPlugin, explain_dlerror(path, name, failure));
  open_libraries().push_back(std::move(library));  // before anything can throw
  OpenLibrary& opened = *open_libraries().back();
  opened.problem = problem_of(opened, checked);
  return opened;
}

}  // namespace

const LoadedPlugin& PluginLoader::load(const std::filesystem::path& path) {
  // What is pinned by its hash may belong to somebody who changes it between the check and dlopen.
  const bool is_pinned = policy_.trust == Trust::kLocked;
  auto file = std::make_unique<const ElfFile>(
      path, is_pinned ? ElfFile::Content::kSealedCopy : ElfFile::Content::kFile);
  const PluginFile checked = inspect_plugin(*file, policy_);
  if (!checked.usable()) throw Error(ErrorKind::kPlugin, checked.problem);

  const OpenLibrary& library = open_checked(std::move(file), checked, policy_);
  if (!library.problem.empty()) throw Error(ErrorKind::kPlugin, library.problem);
  if (std::find(loaded_.begin(), loaded_.end(), &library.plugin) != loaded_.end()) {
    return library.plugin;
  }
  publish(library.announcements, library.plugin.manifest, library.plugin.path.string(), registry_);
  library.known->is_registered = true;
  loaded_.push_back(&library.plugin);
  return library.plugin;
}

}  // namespace pergola::host
