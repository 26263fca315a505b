// SPDX-License-Identifier: BSD-3-Clause
// What a host reads of a plugin that it has not loaded: 10,000 damaged files for each reader, which
// must read them or refuse them with an Error. The readers are compiled into this program with
// AddressSanitizer and UBSan, so that a byte outside of the file ends it. Seeded: what fails, fails
// again.
#include "fixtures/plugins/plugin_files.h"
#include "host/plugin/elf_symbols.h"
#include "host/plugin/plugin_file.h"
#include "host/plugin/plugin_lock.h"
#include "pergola/abi.h"
#include "pergola/error.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

namespace pergola::host {
namespace {

constexpr int kCases = 10'000;

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  [[nodiscard]] std::size_t below(std::size_t end) { return random_() % end; }

  // Changes 1 to 8 places: a byte, a number that is at the edge of something, a piece that is cut
  // out, doubled, or overwritten by another.
  [[nodiscard]] std::string mutate(std::string bytes, std::size_t from = 0) {
    for (std::size_t changes = below(8) + 1; changes > 0; --changes) {
      if (bytes.size() <= from) return bytes;
      const std::size_t at = from + below(bytes.size() - from);
      const std::size_t size = std::min(below(16) + 1, bytes.size() - at);
      switch (below(5)) {
        case 0:
          bytes[at] = static_cast<char>(random_());
          break;
        case 1: {
          const std::uint64_t edge = kEdges[below(std::size(kEdges))];
          std::memcpy(bytes.data() + at, &edge, std::min(size, sizeof(edge)));
          break;
        }
        case 2:
          bytes.erase(at, size);
          break;
        case 3:
          bytes.insert(at, bytes.substr(below(bytes.size()), size));
          break;
        default: {
          const std::string piece = bytes.substr(below(bytes.size()), size);
          bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
        }
      }
    }
    return bytes;
  }

 private:
  static constexpr std::uint64_t kEdges[] = {0,          1,          0x7f,       0xff,
                                             0x7fff,     0xffff,     0x7fffffff, 0xffffffff,
                                             1ULL << 40, 1ULL << 63, ~0ULL,      ~0ULL - 15};
  std::mt19937 random_;
};

// Reads, or refuses with an Error of a plugin; returns whether it read.
bool reads(const std::function<void()>& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin) << error.what();
    return false;
  }
}

void read_elf(const std::filesystem::path& path) {
  const ElfFile file(path);
  static_cast<void>(file.section(PERGOLA_MANIFEST_SECTION, kMaxManifestSize));
  static_cast<void>(file.section(PERGOLA_FINGERPRINT_SECTION, kMaxFingerprintSize));
  static_cast<void>(read_symbols(file));
}

// The header, the table of sections and .dynamic are a small part of a file, and all that is of
// interest: half of the cases change there.
TEST(PluginFuzzTest, DamagedElfFilesAreReadOrRefused) {
  const test::PluginFolder folder;
  const std::string whole = test::read_file(test::fixture_plugin("exports_helper"));
  Elf64_Ehdr header;
  std::memcpy(&header, whole.data(), sizeof(header));
  const std::size_t tables = header.e_shoff;
  Mutator mutator(1);
  int read = 0;
  for (int i = 0; i < kCases; ++i) {
    std::string bytes = whole;
    if (i % 4 == 0) {
      bytes = mutator.mutate(bytes.substr(0, sizeof(header))) + bytes.substr(sizeof(header));
    } else if (i % 4 == 1) {
      bytes = mutator.mutate(bytes, tables);
    } else {
      bytes = mutator.mutate(bytes);
    }
    const auto path = folder.write("damaged.so", bytes);
    read += reads([&] { read_elf(path); }) ? 1 : 0;
    const PluginFile file = inspect_plugin(path);  // which never throws
    EXPECT_TRUE(file.usable() || !file.problem.empty());
  }
  EXPECT_GT(read, kCases / 100);
  EXPECT_LT(read, kCases);
}

TEST(PluginFuzzTest, DamagedManifestsAreReadOrRefused) {
  const std::string whole = test::read_file(PERGOLA_FUZZED_MANIFEST);
  Mutator mutator(2);
  int read = 0;
  for (int i = 0; i < kCases; ++i) {
    const std::string text = mutator.mutate(whole);
    read += reads([&] { static_cast<void>(parse_manifest(text, "plugin.toml")); }) ? 1 : 0;
  }
  EXPECT_GT(read, kCases / 100);
  EXPECT_LT(read, kCases);
}

TEST(PluginFuzzTest, DamagedFingerprintsAreReadOrRefused) {
  Mutator mutator(3);
  for (int i = 0; i < kCases; ++i) {
    const std::string text = mutator.mutate(PERGOLA_FINGERPRINT);
    reads([&] { static_cast<void>(parse_fingerprint(text, "a.so")); });
  }
}

TEST(PluginFuzzTest, DamagedLockFilesAreReadOrRefused) {
  PluginLock lock;
  lock.set({"pythia", "1.0.0", std::string(64, 'a')});
  lock.set({"mmbt", "2.0.0-rc.1", std::string(64, 'b')});
  const std::string whole = lock.text();
  Mutator mutator(4);
  int read = 0;
  for (int i = 0; i < kCases; ++i) {
    const std::string text = mutator.mutate(whole);
    read += reads([&] {
      const PluginLock found = PluginLock::parse(text, "pergola.lock");
      for (const LockedPlugin& plugin : found.plugins()) {
        EXPECT_EQ(plugin.sha256.size(), 64U);
      }
    })
                ? 1
                : 0;
  }
  EXPECT_GT(read, kCases / 100);
  EXPECT_LT(read, kCases);
}

}  // namespace
}  // namespace pergola::host
