// SPDX-License-Identifier: BSD-3-Clause
// How long it takes to try a plugin in a child process, and to look through a folder with 100
// copies of it of which it is known how that ends:
//
//   probe_bench PLUGIN.so [REPEATS]
#include "host/plugin/catalog.h"
#include "host/plugin/probe.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
constexpr int kCopies = 100;

template <class Work>
double milliseconds_of(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
  return spent.count();
}

void print(const char* what, std::vector<double> times) {
  std::ranges::sort(times);
  std::printf("%-44s median %7.2f ms, least %7.2f, most %7.2f\n", what, times[times.size() / 2],
              times.front(), times.back());
}

// Looks at all in `folder`, and asks about each; how many had to be tried.
int ask_of_all(const fs::path& folder, const fs::path& cache) {
  const PluginCatalog catalog({folder});
  PluginProber prober(catalog.policy(), Failures::kBelieve, cache);
  for (const PluginFile& file : catalog.files()) {
    const std::string problem = file.usable() ? prober.problem_of(file) : file.problem;
    if (!problem.empty()) std::printf("%s\n", problem.c_str());
  }
  return prober.tried();
}

void measure(const fs::path& plugin, const fs::path& folder, int repeats) {
  const fs::path cache = folder / "cache" / "probes.json";
  std::vector<double> cold;
  std::vector<double> scan;
  std::vector<double> warm;
  const PluginFile file = inspect_plugin(plugin);
  for (int i = 0; i < repeats; ++i) {
    cold.push_back(milliseconds_of([&] { static_cast<void>(probe_plugin(file, {})); }));
  }
  for (int i = 0; i < kCopies; ++i) {
    fs::copy_file(plugin, folder / (std::to_string(i) + ".so"));
  }
  // The copies have one content, so the first of them is the only one to be tried.
  std::printf("tried of %d copies, cold: %d\n", kCopies, ask_of_all(folder, cache));
  for (int i = 0; i < repeats; ++i) {
    scan.push_back(milliseconds_of([&] { static_cast<void>(PluginCatalog({folder})); }));
    warm.push_back(milliseconds_of([&] { static_cast<void>(ask_of_all(folder, cache)); }));
  }
  print("a try in a child process", cold);
  print("scan of 100 plugins", scan);
  print("scan of 100 plugins, and what is known of them", warm);
}

}  // namespace
}  // namespace pergola::host

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: probe_bench PLUGIN.so [REPEATS]\n", stderr);
    return 2;
  }
  const std::string problem = pergola::host::inspect_plugin(argv[1]).problem;
  if (!problem.empty()) {
    std::fprintf(stderr, "%s\n", problem.c_str());
    return 3;
  }
  constexpr int kRepeats = 21;
  std::string folder = (std::filesystem::temp_directory_path() / "probe_bench_XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 1;
  pergola::host::measure(argv[1], folder, argc > 2 ? std::atoi(argv[2]) : kRepeats);
  std::filesystem::remove_all(folder);
  return 0;
}
