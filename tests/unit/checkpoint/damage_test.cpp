// SPDX-License-Identifier: BSD-3-Clause
// Every damage of one place in a small checkpoint, all of them: no bit may flip, no byte be missing
// and none too many in any of its files, white space included.
#include "host/checkpoint/checkpoint.h"
#include "host/checkpoint/manifest.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>

#include <functional>

namespace pergola::host::checkpoint_test {
namespace {

using testing::HasSubstr;

class DamageTest : public testing::Test {
 protected:
  void SetUp() override { save_checkpoint(folder_, content_at(1)); }

  // Lets `each` try damages of each file, and puts the sound one back.
  void for_each_file(
      const std::function<void(const fs::path& file, const std::string& sound)>& each) const {
    for (const char* name : kCheckpointFiles) {
      const std::string sound = read_bytes(folder_ / name);
      ASSERT_FALSE(sound.empty());
      each(folder_ / name, sound);
      write_bytes(folder_ / name, sound);
      ASSERT_TRUE(verify_checkpoint(folder_).ok());
    }
  }
  // The report names a file of the checkpoint, the damaged one where the sizes are the same.
  void expect_noticed(const fs::path& file, const std::string& bytes,
                      const std::string& damage) const {
    write_bytes(file, bytes);
    EXPECT_THAT(verify_checkpoint(folder_).first_problem(), HasSubstr(folder_.string()))
        << file.filename() << ": " << damage;
  }

  TempFolder temp_{memory_or_disk()};
  fs::path folder_ = temp_ / "last";
};

TEST_F(DamageTest, EveryFlippedBitIsNoticed) {
  for_each_file([&](const fs::path& file, const std::string& sound) {
    for (std::size_t at = 0; at < sound.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string changed = sound;
        changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
        expect_noticed(file, changed, concat("bit ", bit, " of byte ", at));
      }
      EXPECT_THROW(static_cast<void>(load_checkpoint(folder_)), Error) << file << " byte " << at;
    }
  });
}

TEST_F(DamageTest, EveryTruncationIsNoticed) {
  for_each_file([&](const fs::path& file, const std::string& sound) {
    for (std::size_t size = 0; size < sound.size(); ++size) {
      expect_noticed(file, sound.substr(0, size), concat("cut to ", size, " bytes"));
      EXPECT_THROW(static_cast<void>(load_checkpoint(folder_)), Error) << file << " " << size;
    }
  });
}

TEST_F(DamageTest, EveryByteThatIsAddedIsNoticed) {
  for_each_file([&](const fs::path& file, const std::string& sound) {
    for (std::size_t at = 0; at <= sound.size(); ++at) {
      for (const char added : {'\0', ' ', '\n'}) {
        expect_noticed(file, sound.substr(0, at) + added + sound.substr(at),
                       concat("byte ", int{added}, " added before ", at));
      }
    }
  });
}

TEST_F(DamageTest, AManifestThatSaysTheSameInOtherWordsIsNamedWithThePlace) {
  std::string text = read_bytes(folder_ / kManifestFile);
  ASSERT_EQ(text.substr(0, 4), "{\n  ");
  text[2] = '\t';
  write_bytes(folder_ / kManifestFile, text);
  EXPECT_EQ(error_of([&] { static_cast<void>(load_checkpoint(folder_)); }),
            (folder_ / kManifestFile).string() +
                " is damaged: from byte 2 on it is not the text that is written for what it says; "
                "use another checkpoint");
}

// Written by Pergola 0.1.0 before the manifest's text was compared: it must stay readable.
TEST_F(DamageTest, TheTextOfAManifestIsWhatItHasAlwaysBeen) {
  Manifest manifest;
  for (const char* name : {kModelFile, kTrainerFile, kStateFile}) {
    manifest[name] = {12, "0123456789abcdef0123456789abcdef"};
  }
  const auto entry = [](const std::string& name) {
    return "    \"" + name +
           "\": {\n"
           "      \"size\": 12,\n"
           "      \"xxh3_128\": \"0123456789abcdef0123456789abcdef\"\n"
           "    }";
  };
  EXPECT_EQ(encode_manifest(manifest), "{\n  \"files\": {\n" + entry(kModelFile) + ",\n" +
                                           entry(kStateFile) + ",\n" + entry(kTrainerFile) +
                                           "\n  },\n  \"format_version\": 1\n}\n");
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
