// SPDX-License-Identifier: BSD-3-Clause
// Both containers of torch.save, the ZIP file and the older one, where they do not hold.
#include "unit/checkpoint/hostile_torch_file.h"

#include <gmock/gmock.h>

namespace pergola::host::checkpoint_test {
namespace {

using testing::HasSubstr;

class HostileZipTest : public HostileTorchFileTest {
 protected:
  // A sound file of two records, for a test to change.
  std::vector<Record> records_ = {{.name = "archive/data.pkl", .bytes = pickle(kSound)},
                                  {.name = "archive/data/0", .bytes = kFourFloats}};
};

TEST_F(HostileZipTest, DamageIsToldByItsCrc) {
  records_[1].crc = 1;
  EXPECT_THAT(error_of_file(zip(records_)),
              HasSubstr("storage '0' is damaged: its CRC-32 is 3971697493, and the file says 1"));
  records_[1].crc = 0;  // set_crc32_options(False)
  EXPECT_EQ(read(zip(records_)).size(), 1U);
  records_[0].crc = 1;
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("record 'archive/data.pkl' is damaged"));
}

TEST_F(HostileZipTest, CompressedAndEncryptedRecordsAreRefused) {
  records_[1].method = 8;
  EXPECT_THAT(error_of_file(zip(records_)),
              HasSubstr("record 'archive/data/0' is compressed, which torch.save never does"));
  records_[1].method = 0;
  records_[1].flags = 1;
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("record 'archive/data/0' is encrypted"));
}

TEST_F(HostileZipTest, RecordsThatOverlapOrAreThereTwiceAreRefused) {
  records_.push_back(records_[1]);
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("record 'archive/data/0' is there twice"));
  // The third one's header is that of the second, whose bytes it has as well.
  records_[2].header = static_cast<std::int64_t>(zip({records_[0]}).find("PK\x01\x02"));
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("overlaps the one before it"));
  records_.pop_back();
  records_[0].size = static_cast<std::int64_t>(records_[0].bytes.size()) + 40;
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("overlaps the one before it"));
}

TEST_F(HostileZipTest, RecordsOutsideTheFileAreRefused) {
  records_[1].size = 1'000'000;
  EXPECT_THAT(error_of_file(zip(records_)),
              HasSubstr("record 'archive/data/0' (1000000 bytes) is not in the file"));
  records_[1].size = 0xffffffff;
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("has no 64-bit size"));
  records_[1].size = -1;
  records_[1].header = 1'000'000;
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("is not in the file"));
  records_[1].header = 3;
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("is that of something else"));
}

TEST_F(HostileZipTest, ADirectoryThatDoesNotHoldIsRefused) {
  const std::string sound = zip(records_);
  const std::size_t end = sound.size() - 22;
  const auto changed = [&](std::size_t at, const std::string& bytes) {
    std::string file = sound;
    file.replace(end + at, bytes.size(), bytes);
    return error_of_file(file);
  };
  EXPECT_THAT(changed(16, number(0, 4)), HasSubstr("does not end at byte"));
  EXPECT_THAT(changed(16, number(0xfffffff0, 4)), HasSubstr("does not end at byte"));
  EXPECT_THAT(changed(8, number(60000, 2) + number(60000, 2)), HasSubstr("claims 60000 records"));
  EXPECT_THAT(changed(8, number(1, 2) + number(1, 2)), HasSubstr("is longer than it says"));
  EXPECT_THAT(changed(8, number(1, 2)), HasSubstr("one of several parts"));
  EXPECT_THAT(changed(20, number(1, 2)), HasSubstr("so it was cut off"));
  EXPECT_THAT(error_of_file("X" + sound), HasSubstr("is no file of weights that is known"));
}

TEST_F(HostileZipTest, ArchivesOfOtherProgramsAreRefused) {
  EXPECT_THAT(error_of_file(zip({{.name = "hello.txt", .bytes = "hello"}})),
              HasSubstr("a ZIP file without a record data.pkl"));
  EXPECT_THAT(error_of_file(zip({{.name = "a/data.pkl", .bytes = pickle("}")},
                                 {.name = "b/data.pkl", .bytes = pickle("}")}})),
              HasSubstr("two records data.pkl"));
}

TEST_F(HostileZipTest, APickleThatIsTooLargeIsRefusedUnread) {
  records_[0].bytes.assign(65 << 20, 'N');
  EXPECT_THAT(error_of_file(zip(records_)), HasSubstr("more than 67108864"));
}

class HostileLegacyTest : public HostileTorchFileTest {
 protected:
  [[nodiscard]] static std::string legacy(const std::string& value, const std::string& keys,
                                          const std::string& data) {
    return pickle("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + pickle(integer(1001)) +
           pickle(dict({{"little_endian", "\x88"}})) + pickle(value) + pickle(keys) + data;
  }
  const std::string one_key_ = concat("]", text("0"), "a");
};

TEST_F(HostileLegacyTest, ThePiecesMakeASoundFile) {
  EXPECT_EQ(read(legacy(kSound, one_key_, number(4, 8) + kFourFloats)).size(), 1U);
}

TEST_F(HostileLegacyTest, APickleOfSomethingElseIsRefused) {
  EXPECT_THAT(error_of_file(pickle(kSound)), HasSubstr("a pickle without PyTorch's magic number"));
  EXPECT_THAT(error_of_file(pickle(global("posix", "system") + tuple({text("true")}) + "R")),
              HasSubstr("holds posix.system, which"));
  EXPECT_THAT(error_of_file(legacy(global("posix", "system") + ")R", one_key_, "")),
              HasSubstr("holds posix.system, which"));
}

TEST_F(HostileLegacyTest, StoragesThatAreNotInTheFileAreRefused) {
  EXPECT_THAT(error_of_file(legacy(kSound, one_key_, "")), HasSubstr("its storages are cut off"));
  EXPECT_THAT(error_of_file(legacy(kSound, one_key_, number(4, 8) + kFourFloats.substr(1))),
              HasSubstr("storage '0' of 16 bytes has 4 elements and 15 bytes behind it"));
  EXPECT_THAT(error_of_file(legacy(kSound, one_key_, number(5, 8) + kFourFloats)),
              HasSubstr("has 5 elements"));
  EXPECT_THAT(error_of_file(legacy(kSound, "]", number(4, 8) + kFourFloats)),
              HasSubstr("lacks one that a tensor is in"));
  EXPECT_THAT(
      error_of_file(legacy(kSound, concat("]", text("1"), "a"), number(4, 8) + kFourFloats)),
      HasSubstr("names one that no tensor is in"));
  const std::string data = number(4, 8) + kFourFloats;
  EXPECT_THAT(error_of_file(legacy(kSound, one_key_ + text("0") + "a", data + data)),
              HasSubstr("storage '0' is there twice"));
}

TEST_F(HostileLegacyTest, AViewBeyondItsStorageIsRefused) {
  const auto view = [&](std::int64_t offset, std::int64_t count, std::int64_t size) {
    const std::string in =
        tuple({text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(4),
               tuple({text("1"), integer(offset), integer(count)})}) +
        "Q";
    return legacy(dict({{"w", tensor(in, 0, {size}, {1})}}), one_key_, number(4, 8) + kFourFloats);
  };
  EXPECT_EQ(read(view(1, 2, 2)).size(), 1U);
  EXPECT_THAT(error_of_file(view(3, 2, 1)), HasSubstr("a view beyond storage '0'"));
  EXPECT_THAT(error_of_file(view(INT64_MAX, 1, 1)), HasSubstr("a view beyond storage '0'"));
  EXPECT_THAT(error_of_file(view(1, 2, 3)), HasSubstr("reaches to byte 16 of storage '0', which "
                                                      "ends at 12"));
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
