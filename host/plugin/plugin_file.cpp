// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/plugin_file.h"

#include "host/support/printable.h"
#include "pergola/abi.h"
#include "pergola/error.h"

namespace pergola::host {
namespace {

std::string read_section(const ElfFile& file, const char* name, std::size_t limit) {
  std::optional<std::string> text = file.section(name, limit);
  if (!text) {
    throw Error(ErrorKind::kPlugin, "plugin ", printable(file.path().string()),
                " is a shared library but no Pergola plugin: it has no section ", name,
                "; build it with pergola_add_plugin");
  }
  return *std::move(text);
}

void read_fingerprint(const ElfFile& file, PluginFile& plugin) {
  const std::string path = file.path().string();
  plugin.fingerprint =
      parse_fingerprint(read_section(file, PERGOLA_FINGERPRINT_SECTION, kMaxFingerprintSize), path);
  const std::string difference = fingerprint_difference(host_fingerprint(), *plugin.fingerprint);
  if (difference.empty()) return;
  throw Error(ErrorKind::kPlugin, "plugin ", printable(path),
              " was built for another Pergola, LibTorch or compiler, and is not loaded:\n",
              difference);
}

void read_manifest(const ElfFile& file, PluginFile& plugin) {
  plugin.manifest = parse_manifest(read_section(file, PERGOLA_MANIFEST_SECTION, kMaxManifestSize),
                                   file.path().string() + ":plugin.toml");
}

// Keeps the first problem.
template <class Step>
void attempt(PluginFile& plugin, Step step) {
  try {
    step();
  } catch (const Error& error) {
    if (plugin.problem.empty()) plugin.problem = error.what();
  }
}

}  // namespace

PluginFile inspect_plugin(const ElfFile& file, const TrustPolicy& policy) {
  PluginFile plugin;
  plugin.path = file.path();
  plugin.identity = file.identity();
  // The fingerprint first: the manifest of another build may have another form.
  attempt(plugin, [&] { read_fingerprint(file, plugin); });
  attempt(plugin, [&] { read_manifest(file, plugin); });
  if (plugin.usable()) attempt(plugin, [&] { plugin.symbols = read_symbols(file); });
  if (plugin.usable()) plugin.problem = distrust(file, plugin.manifest->name, policy);
  return plugin;
}

PluginFile inspect_plugin(const std::filesystem::path& path, const TrustPolicy& policy) {
  PluginFile plugin;
  plugin.path = path;
  plugin.identity = identify(path);
  attempt(plugin, [&] { plugin = inspect_plugin(ElfFile(path), policy); });
  return plugin;
}

}  // namespace pergola::host
