// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/event_file.h"

#include "fixtures/temp_folder.h"
#include "host/support/file_ops.h"
#include "host/train/event_message.h"
#include "host/train/event_record.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"
#include "unit/train/event_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using test::Event;
using test::Fields;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// RFC 3720, B.4, read as little-endian numbers.
TEST(Crc32cTest, IsThatOfTheExamplesInRfc3720) {
  std::string rising;
  for (char byte = 0; byte < 32; ++byte) rising.push_back(byte);
  const std::string falling(rising.rbegin(), rising.rend());
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c(rising), 0x46dd794eU);
  EXPECT_EQ(crc32c(falling), 0x113fdb5cU);
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);  // the check value of every list of CRCs
}

// 0xe3069283 turned right by 15 bits is 0x2507c60d; with 0xa282ead8 that is 0xc78ab0e5.
TEST(Crc32cTest, MaskTurnsAndAdds) { EXPECT_EQ(masked_crc32c("123456789"), 0xc78ab0e5U); }

// The length of 9 in 8 bytes, its checksum, the data, theirs: as above. The decoder checks both
// with an implementation of its own.
TEST(RecordTest, IsLengthAndDataEachWithItsChecksum) {
  const std::string record = frame_record("123456789");
  ASSERT_EQ(record.size(), 8U + 4 + 9 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\x09\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 9), "123456789");
  EXPECT_EQ(record.substr(21), "\xe5\xb0\x8a\xc7");
  EXPECT_THAT(test::records_of(record + frame_record("")), ElementsAre("123456789", ""));
}

TEST(EventMessageTest, FileVersionIsTheOneOfTensorBoard) {
  // Field 1, double 1.0; field 2, varint 0; field 3, 13 bytes.
  EXPECT_EQ(encode_file_version(1.0),
            std::string("\x09\0\0\0\0\0\0\xf0\x3f\x10\0\x1a\x0d", 13) + "brain.Event:2");
}

TEST(EventMessageTest, ScalarsAreOneEvent) {
  const Event event =
      test::event_of(encode_scalars(12.5, 300, {{"lr", 0.25}, {"train/total_loss", 0.0}}));
  EXPECT_EQ(event.time, 12.5);
  EXPECT_EQ(event.step, 300);
  EXPECT_THAT(event.scalars, ElementsAre(Pair("lr", 0.25F), Pair("train/total_loss", 0.0F)));
}

TEST(EventMessageTest, NumbersThatAreNotFiniteStayWhatTheyAre) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Event event =
      test::event_of(encode_scalars(0, 1, {{"a", kInf}, {"b", 1e300}, {"c", -kInf}}));
  EXPECT_THAT(event.scalars, ElementsAre(Pair("a", kInf), Pair("b", kInf), Pair("c", -kInf)));
}

TEST(EventMessageTest, TagThatIsNotUtf8DoesNotSpoilTheEvent) {
  const Event event = test::event_of(encode_scalars(0, 1, {{"Grün\xff", 1}}));
  EXPECT_THAT(event.scalars, ElementsAre(Pair("Grün\\xff", 1.0F)));
}

TEST(EventMessageTest, HistogramHasItsBucketsPacked) {
  Histogram histogram{-1, 3, 4, 2.5, 10, {1, 3}, {3, 1}};
  const Event event = test::event_of(encode_histogram(7, 5, "weights/a", histogram));
  EXPECT_EQ(event.step, 5);
  const Fields& fields = event.histograms.at("weights/a");
  const double expected[] = {-1, 3, 4, 2.5, 10};  // fields 1 to 5
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(test::number_in<double>(test::field(fields, i + 1)), expected[i]);
  }
  const std::string limits = test::field(fields, 6);
  const std::string counts = test::field(fields, 7);
  ASSERT_EQ(limits.size(), 16U);
  ASSERT_EQ(counts.size(), 16U);
  EXPECT_EQ(test::number_in<double>(limits, 8), 3);
  EXPECT_EQ(test::number_in<double>(counts, 0), 3);
}

// name → the field of google.protobuf.Value and its bytes.
std::map<std::string, std::pair<int, std::string>> hparams_of(const Event& event) {
  const std::string content = event.hparams.at("_hparams_/session_start_info");
  const Fields info = test::fields_of(test::field(test::fields_of(content), 3));
  std::map<std::string, std::pair<int, std::string>> result;
  for (const auto& [number, bytes] : info) {
    if (number != 1) continue;
    const Fields entry = test::fields_of(bytes);
    const Fields value = test::fields_of(test::field(entry, 2));
    result[test::field(entry, 1)] = *value.begin();
  }
  return result;
}

TEST(EventMessageTest, HparamsKeepTheirTypes) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Event event = test::event_of(encode_session_start(
      5, {{"b", true}, {"i", 7}, {"f", 0.5}, {"s", "x"}, {"inf", kInf}, {"none", Value()}}));
  auto hparams = hparams_of(event);
  EXPECT_EQ(hparams["b"].first, 4);
  EXPECT_EQ(test::number_in<std::int64_t>(hparams["b"].second), 1);
  EXPECT_EQ(hparams["i"].first, 2);
  EXPECT_EQ(test::number_in<double>(hparams["i"].second), 7.0);
  EXPECT_EQ(test::number_in<double>(hparams["f"].second), 0.5);
  EXPECT_EQ(hparams["s"], std::pair(3, std::string("x")));
  EXPECT_EQ(hparams["inf"], std::pair(3, std::string("inf")));
  EXPECT_EQ(hparams["none"].first, 3);
}

// While it is full, it takes half of what it is given, and then no more. Does not wait for the real
// disk.
class Disk final : public FileOps {
 public:
  ssize_t write(int fd, const void* bytes, std::size_t size) override {
    if (!full) return FileOps::write(fd, bytes, size);
    half_taken_ = !half_taken_;
    if (half_taken_) return FileOps::write(fd, bytes, size / 2);
    errno = ENOSPC;
    return -1;
  }
  int ftruncate(int fd, off_t size) override {
    if (!keeps_all) return FileOps::ftruncate(fd, size);
    errno = EIO;
    return -1;
  }
  int fsync(int /*fd*/) override { return 0; }

  bool full = false;
  bool keeps_all = false;  // ftruncate fails

 private:
  bool half_taken_ = false;
};

class EventFileTest : public ::testing::Test {
 protected:
  // A file with a point of each update, and what a run ends with.
  void write_run(double time, const std::vector<std::int64_t>& updates) const {
    EventFile file(folder_, time);
    file.write(encode_start(time, updates.front()));
    for (const std::int64_t update : updates) {
      file.write(encode_scalars(time, update, {{"loss", static_cast<double>(update)}}));
    }
    file.write(encode_scalars(time, updates.front(), {{"final/loss", 0.5}}));
  }
  KeptEvents trim(std::int64_t last_update) const {
    return trim_event_files(folder_, last_update,
                            [](std::string_view tag) { return tag.starts_with("final/"); });
  }
  [[nodiscard]] std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> result;
    for (const Event& event : test::events_in(folder_)) {
      if (!event.scalars.empty()) result.push_back(event.step);
    }
    return result;
  }
  [[nodiscard]] fs::path only_file() const {
    const std::vector<fs::path> files = test::event_files(folder_);
    return files.size() == 1 ? files.front() : fs::path();
  }
  void append(const std::string& bytes) const {
    std::ofstream(only_file(), std::ios::app | std::ios::binary) << bytes;
  }

  Disk disk_;
  ScopedFileOps scope_{disk_};
  fixtures::TempFolder temp_;
  fs::path folder_ = temp_.path() / "run/tensorboard";
};

TEST_F(EventFileTest, BeginsWithTheFileVersionUnderTheNameThatTensorBoardLooksFor) {
  const EventFile file(folder_, 1760000000.75);
  EXPECT_EQ(file.path(), only_file());
  EXPECT_THAT(file.path().filename().string(), StartsWith("events.out.tfevents.1760000000."));
  const std::vector<Event> events = test::events_of(file.path());
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");
  EXPECT_EQ(events[0].time, 1760000000.75);
}

// The clock was set back, or two runs began in the same second.
TEST_F(EventFileTest, NewFileComesAfterAllOthersByName) {
  const EventFile first(folder_, 2000);
  const EventFile second(folder_, 1000);
  const EventFile third(folder_, 2000);
  EXPECT_LT(first.path(), second.path());
  EXPECT_LT(second.path(), third.path());
}

TEST_F(EventFileTest, ResumedRunHasNoPointTwiceAndMissesNone) {
  write_run(1000, {1, 2, 3, 4});
  trim(2);
  write_run(1001, {3, 4, 5});
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4, 5, 3));  // the last is the second one's final/loss
  trim(4);
  write_run(1002, {5, 6});
  trim(100);
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(EventFileTest, FilesWhosePointsAreAllDoneAgainGo) {
  write_run(1000, {1, 2, 3, 4});
  trim(4);
  write_run(1001, {5, 6});
  trim(3);
  EXPECT_EQ(only_file().filename().string().substr(0, 30), "events.out.tfevents.0000001000");
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3));
}

// The next run after this one may begin anew with another model.
TEST_F(EventFileTest, BeforeTheFirstUpdateNothingIsKept) {
  EventFile(folder_, 1000).write(encode_session_start(1000, {{"a", 1}}));
  trim(-1);
  EXPECT_THAT(test::event_files(folder_), IsEmpty());
}

// A validation that a signal cut short is made up for before the update that the start names.
TEST_F(EventFileTest, PointBehindAStartThatNamesALaterUpdateIsKept) {
  {
    EventFile file(folder_, 1000);
    file.write(encode_start(1000, 5));
    file.write(encode_scalars(1000, 4, {{"val/loss", 1}}));
  }
  const KeptEvents kept = trim(4);
  EXPECT_THAT(kept.newest, UnorderedElementsAre("val/loss"));
  EXPECT_THAT(steps(), ElementsAre(4));
}

TEST_F(EventFileTest, SaysWhichPointsAreKept) {
  {
    EventFile file(folder_, 1000);
    file.write(encode_session_start(1000, {}));
    file.write(encode_scalars(1000, 1, {{"a", 1}, {"b", 1}}));
    file.write(encode_scalars(1000, 2, {{"b", 1}, {"c", 1}}));
  }
  const KeptEvents kept = trim(2);
  EXPECT_THAT(kept.tags, UnorderedElementsAre("_hparams_/session_start_info", "a", "b", "c"));
  EXPECT_THAT(kept.newest, UnorderedElementsAre("b", "c"));
}

TEST_F(EventFileTest, RecordThatAKillCutOffGoesAtEveryLength) {
  const std::string record = frame_record(encode_scalars(1000, 2, {{"loss", 2}}));
  for (std::size_t length = 0; length < record.size(); ++length) {
    trim(-1);
    EventFile(folder_, 1000).write(encode_scalars(1000, 1, {{"loss", 1}}));
    const std::uintmax_t whole = fs::file_size(only_file());
    append(record.substr(0, length));
    ::testing::internal::CaptureStderr();
    trim(5);
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
    ASSERT_EQ(fs::file_size(only_file()), whole) << length;
  }
}

TEST_F(EventFileTest, RecordThatAPowerCutLeftAsZerosGoesWithAWarning) {
  EventFile(folder_, 1000).write(encode_scalars(1000, 1, {{"loss", 1}}));
  const std::uintmax_t whole = fs::file_size(only_file());
  append(std::string(100, '\0'));
  ::testing::internal::CaptureStderr();
  trim(5);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr(" is damaged at byte " + std::to_string(whole) +
                        "; points after that are lost, metrics.jsonl may have them\n"));
  EXPECT_EQ(fs::file_size(only_file()), whole);
}

TEST_F(EventFileTest, EveryByteThatIsFlippedIsNoticed) {
  EventFile(folder_, 1000).write(encode_scalars(1000, 1, {{"loss", 1}}));
  const std::uintmax_t whole = fs::file_size(only_file());
  const std::string record = frame_record(encode_scalars(1000, 2, {{"loss", 2}}));
  ::testing::internal::CaptureStderr();  // its warnings
  for (std::size_t i = 0; i < record.size(); ++i) {
    std::string flipped = record;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    append(flipped);
    trim(5);
    ASSERT_EQ(fs::file_size(only_file()), whole) << i;
  }
  ::testing::internal::GetCapturedStderr();
}

TEST_F(EventFileTest, NoFolderIsNoMistake) { EXPECT_THAT(trim(3).tags, IsEmpty()); }

TEST_F(EventFileTest, FullDiskLeavesWholeRecordsAndTheNextPointMayFit) {
  for (const bool keeps_all : {false, true}) {
    trim(-1);
    EventFile file(folder_, 1000);
    disk_.full = true;
    disk_.keeps_all = keeps_all;
    EXPECT_THAT(pergola::test::error_of(
                    [&] {
                      file.write(encode_scalars(1000, 1, {{"loss", 1}}));
                    },
                    ErrorKind::kCheckpoint),
                HasSubstr("No space left on device"));
    disk_.full = false;
    disk_.keeps_all = false;
    file.write(encode_scalars(1000, 2, {{"loss", 2}}));
    EXPECT_THAT(steps(), ElementsAre(2));
  }
}

}  // namespace
}  // namespace pergola::host
