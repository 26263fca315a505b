// SPDX-License-Identifier: BSD-3-Clause
// Sound files with a few bytes changed, cut off or moved: each is an Error or gives tensors that
// can be used, and no sanitizer sees anything. PERGOLA_MUTATIONS says how many (default 10,000);
// the same number gives the same files.
#include "host/checkpoint/weights.h"
#include "unit/checkpoint/torch_file_kit.h"

#include <cstdlib>
#include <iostream>
#include <random>

namespace pergola::host::checkpoint_test {
namespace {

constexpr const char* kFiles[] = {
    "dtypes.pt",       "dtypes_legacy.pt",        "views.pt",
    "views_legacy.pt", "protocol_4.pt",           "protocol_5_legacy.pt",
    "plain_data_2.pt", "plain_data_5.pt",         "mmf.pt",
    "mmf_legacy.pt",   "storage_views_legacy.pt", "without_crc.pt"};

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::string mutate(std::string bytes) {
    const std::uint64_t changes = 1 + below(4);
    for (std::uint64_t i = 0; i < changes && !bytes.empty(); ++i) change(bytes);
    return bytes;
  }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

 private:
  void change(std::string& bytes) {
    const std::size_t at = below(bytes.size());
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 2:  // numbers at the edges
        bytes.replace(at, 4, std::string(4, below(2) == 0 ? '\xff' : '\0'));
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4:
        bytes.erase(at, 1 + below(8));
        break;
      case 5:
        bytes.insert(at, bytes.substr(below(bytes.size()), below(16)));
        break;
      default:
        std::swap(bytes[at], bytes[below(bytes.size())]);
    }
  }

  std::mt19937_64 random_;
};

// A ZIP file without CRCs, so that a change in a record is not found by them.
std::string without_crcs(std::string bytes) {
  for (std::size_t at = bytes.find("PK\x01\x02"); at != std::string::npos;
       at = bytes.find("PK\x01\x02", at + 1)) {
    bytes.replace(at + 16, 4, std::string(4, '\0'));
  }
  return bytes;
}

// True when `file` is refused.
bool is_refused(const fs::path& file) {
  try {
    for (const auto& [name, tensor] : read_weights(file).state) {
      // Reads every element, which a sanitizer would see go wrong.
      const at::Tensor whole = computable(tensor).contiguous();
      const auto* bytes = static_cast<const char*>(whole.const_data_ptr());
      volatile char last = 0;
      for (std::size_t i = 0; i < whole.nbytes(); ++i) last = bytes[i];
      static_cast<void>(last);
    }
    return false;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint) << error.what();
    return true;
  }
}

TEST(MutatedTorchFileTest, EachIsRefusedOrGivesTensorsThatCanBeUsed) {
  const char* wanted = std::getenv("PERGOLA_MUTATIONS");
  const int count = wanted == nullptr ? 10'000 : std::atoi(wanted);
  const TempFolder folder(memory_or_disk());
  const fs::path file = folder / "mutated.pt";
  Mutator mutator(/*seed=*/5);
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    const std::string sound =
        read_bytes(golden_file(kFiles[static_cast<std::size_t>(i) % std::size(kFiles)]));
    // Every other one with its CRCs.
    write_bytes(file, mutator.mutate(mutator.below(2) == 0 ? sound : without_crcs(sound)));
    refused += is_refused(file) ? 1 : 0;
    if (HasFailure()) {
      ADD_FAILURE() << "file " << i << " of seed 5";
      return;
    }
  }
  std::cout << refused << " of " << count << " mutated files were refused\n";
  EXPECT_GT(refused, count / 3);
  EXPECT_LT(refused, count);  // a name or a number may change unseen
}

TEST(MutatedTorchFileTest, EveryTruncationIsRefused) {
  const TempFolder folder(memory_or_disk());
  for (const char* name : {"mmf.pt", "mmf_legacy.pt"}) {
    const std::string sound = read_bytes(golden_file(name));
    for (std::size_t size = 0; size < sound.size(); ++size) {
      write_bytes(folder / "cut.pt", sound.substr(0, size));
      EXPECT_TRUE(is_refused(folder / "cut.pt")) << name << ", " << size << " bytes";
    }
  }
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
