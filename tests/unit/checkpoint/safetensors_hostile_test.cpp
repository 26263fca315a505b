// SPDX-License-Identifier: BSD-3-Clause
// Files that are not as the format says: each is an Error, never a crash and never other weights
// than the header describes.
#include "host/checkpoint/safetensors.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  return bytes + rest;
}

class HostileSafetensorsTest : public testing::Test {
 protected:
  [[nodiscard]] std::string read_error(const std::string& bytes) const {
    write_bytes(file_, bytes);
    return error_of([&] { static_cast<void>(read_safetensors(file_)); });
  }
  [[nodiscard]] std::string header_error(const std::string& json,
                                         const std::string& data = "") const {
    return read_error(with_length(json.size(), json + data));
  }
  // The error of one tensor 'w' with this description and 8 bytes of data.
  [[nodiscard]] std::string entry_error(const std::string& entry) const {
    return header_error(R"({"w":)" + entry + "}", "12345678");
  }

  TempFolder folder_{memory_or_disk()};
  fs::path file_ = folder_ / "bad.safetensors";
};

TEST_F(HostileSafetensorsTest, TheErrorNamesTheFileTheDefectAndTheNextStep) {
  EXPECT_EQ(entry_error(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})"),
            file_.string() +
                " is not a sound safetensors file: tensor 'w' has dtype 'F33', and Pergola reads "
                "F64, F32, F16, BF16, F8_E5M2, F8_E4M3 (and FNUZ), C64, I64, I32, I16, I8, U64, "
                "U32, U16, U8 and BOOL; use another checkpoint, or make this file again");
}

TEST_F(HostileSafetensorsTest, AFileWithoutItsLengthIsRefused) {
  EXPECT_THAT(read_error(""), HasSubstr("it has 0 bytes"));
  EXPECT_THAT(read_error("1234567"), HasSubstr("it has 7 bytes"));
}

TEST_F(HostileSafetensorsTest, AHeaderBeyondTheFileIsRefused) {
  EXPECT_THAT(read_error(with_length(3, "{}")), HasSubstr("claims 3 bytes, and 2 are possible"));
  EXPECT_THAT(read_error(with_length(UINT64_MAX, "{}")), HasSubstr("and 2 are possible"));
}

TEST_F(HostileSafetensorsTest, AHeaderOverTheLimitIsRefusedBeforeItIsRead) {
  write_bytes(file_, with_length(100'000'001, "{}"));
  fs::resize_file(file_, 200'000'000);  // sparse: costs no disk
  EXPECT_THAT(error_of([&] { static_cast<void>(read_safetensors(file_)); }),
              HasSubstr("claims 100000001 bytes, and 100000000 are possible"));
}

TEST_F(HostileSafetensorsTest, AHeaderThatIsNotJsonIsRefused) {
  EXPECT_THAT(header_error(""), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(header_error(" {}"), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(header_error("[]"), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(header_error("{"), HasSubstr("its header is not JSON"));
  EXPECT_THAT(header_error("{}x"), HasSubstr("its header is not JSON"));
  EXPECT_THAT(header_error(std::string("{}\0x", 4)), HasSubstr("NUL"));
}

TEST_F(HostileSafetensorsTest, NamesThatAreNotUtf8AreRefused) {
  EXPECT_THAT(header_error("{\"\xff\":1}"), HasSubstr("its header is not JSON"));
}

TEST_F(HostileSafetensorsTest, TwoTensorsOfOneNameAreRefused) {
  const std::string entry = R"("w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  EXPECT_THAT(header_error("{" + entry + "," + entry + "}", "1234"), HasSubstr("has 'w' twice"));
}

TEST_F(HostileSafetensorsTest, AKeyTwiceInATensorIsRefused) {
  EXPECT_THAT(entry_error(R"({"dtype":"U8","dtype":"I8","shape":[8],"data_offsets":[0,8]})"),
              HasSubstr("has 'dtype' twice"));
}

TEST_F(HostileSafetensorsTest, DeepNestingIsRefusedWithoutRecursion) {
  const std::string deep(1'000'000, '[');
  EXPECT_THAT(entry_error(deep), HasSubstr("nested deeper"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[[8]],"data_offsets":[0,8]})"),
              HasSubstr("nested deeper"));
}

TEST_F(HostileSafetensorsTest, MissingAndForeignMembersAreRefused) {
  EXPECT_THAT(entry_error("1"), HasSubstr("is not described by dtype, shape and data_offsets"));
  EXPECT_THAT(entry_error("{}"), HasSubstr("is not described by"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[8],"data_offsets":[0,8],"x":1})"),
              HasSubstr("is not described by"));
  EXPECT_THAT(entry_error(R"({"x":"U8","shape":[8],"data_offsets":[0,8]})"),
              HasSubstr("has no dtype"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","x":[8],"data_offsets":[0,8]})"),
              HasSubstr("no list 'shape'"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[8],"data_offsets":{}})"),
              HasSubstr("no list 'data_offsets'"));
}

TEST_F(HostileSafetensorsTest, NumbersThatAreNoSizesAreRefused) {
  for (const std::string number : {"-8", "8.0", "true", "\"8\"", "null", "9223372036854775808",
                                   "99999999999999999999999", "1e400"}) {
    EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[)" + number + R"(],"data_offsets":[0,8]})"),
                HasSubstr("bad.safetensors"))
        << number;
    EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[8],"data_offsets":[0,)" + number + "]}"),
                HasSubstr("bad.safetensors"))
        << number;
  }
}

TEST_F(HostileSafetensorsTest, AShapeWhoseProductOverflowsIsRefused) {
  // 2^62 * 2 * 2 is 2^64, which is 0 in 64 bits; with a zero dimension the strides overflow.
  EXPECT_THAT(
      entry_error(R"({"dtype":"U8","shape":[4611686018427387904,2,2],"data_offsets":[0,0]})"),
      HasSubstr("need more than 2^63-1"));
  EXPECT_THAT(
      entry_error(R"({"dtype":"U8","shape":[0,4611686018427387904,2],"data_offsets":[0,0]})"),
      HasSubstr("need more than 2^63-1"));
}

TEST_F(HostileSafetensorsTest, MoreDimensionsThanLibTorchHasAreRefused) {
  std::string shape = "1";
  for (int i = 1; i < 65; ++i) shape += ",1";
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[)" + shape + R"(],"data_offsets":[0,1]})"),
              HasSubstr("has 65 dimensions, more than 64"));
}

TEST_F(HostileSafetensorsTest, ARangeThatDoesNotFitTheShapeIsRefused) {
  EXPECT_THAT(entry_error(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
              HasSubstr("has 8 bytes of data, and its shape and dtype need 12"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[8],"data_offsets":[8,0]})"),
              HasSubstr("are not [begin, end]"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[8],"data_offsets":[0]})"),
              HasSubstr("are not [begin, end]"));
}

TEST_F(HostileSafetensorsTest, GapsOverlapsAndRangesBeyondTheFileAreRefused) {
  const auto two = [&](const std::string& a, const std::string& b) {
    return header_error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
                            R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                        "12345678");
  };
  EXPECT_THAT(two("[0,4]", "[3,7]"),
              HasSubstr("'b' begins at byte 3, and that of the tensor before it ends at 4"));
  EXPECT_THAT(two("[0,4]", "[0,4]"), HasSubstr("'b' begins at byte 0"));
  EXPECT_THAT(two("[0,4]", "[5,9]"), HasSubstr("'b' begins at byte 5"));
  EXPECT_THAT(two("[1,5]", "[5,9]"), HasSubstr("'a' begins at byte 1"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[9],"data_offsets":[0,9]})"),
              HasSubstr("describes 9 bytes of data, and the file has 8"));
  EXPECT_THAT(entry_error(R"({"dtype":"U8","shape":[7],"data_offsets":[0,7]})"),
              HasSubstr("describes 7 bytes of data, and the file has 8"));
}

TEST_F(HostileSafetensorsTest, MetadataThatIsNotStringsIsRefused) {
  EXPECT_THAT(header_error(R"({"__metadata__":1})"), HasSubstr("__metadata__ is not a table"));
  EXPECT_THAT(header_error(R"({"__metadata__":{"a":1}})"),
              HasSubstr("__metadata__.a is not a string"));
}

TEST_F(HostileSafetensorsTest, ABoolThatIsNeitherTrueNorFalseIsRefused) {
  const std::string json = R"({"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  EXPECT_THAT(header_error(json, "\x01\x02"), HasSubstr("neither 0 nor 1"));
}

TEST_F(HostileSafetensorsTest, AFolderAPipeAndNothingAreRefused) {
  EXPECT_THAT(error_of([&] { static_cast<void>(read_safetensors(folder_.path())); }),
              HasSubstr("it is a folder"));
  EXPECT_THAT(error_of([&] { static_cast<void>(read_safetensors(folder_ / "nothing")); }),
              AllOf(HasSubstr("nothing"), HasSubstr("No such file")));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { static_cast<void>(read_safetensors(folder_ / "pipe")); }),
              HasSubstr("it is a pipe or a device"));
}

// Every change of a small file either is refused or gives tensors that can be used.
class SafetensorsFuzzTest : public HostileSafetensorsTest {
 protected:
  void SetUp() override {
    write_safetensors(file_,
                      {{"w", at::ones({2, 2})},
                       {"flag", at::ones({3}, at::kBool)},
                       {"n", at::ones({}, at::kLong)},
                       {"none", at::ones({0}, at::kHalf)}},
                      {{"format", "pt"}});
    sound_ = read_bytes(file_);
  }

  // True when `bytes` is refused.
  [[nodiscard]] bool is_refused(const std::string& bytes) const {
    write_bytes(file_, bytes);
    try {
      for (const auto& [name, tensor] : read_safetensors(file_)) {
        // Reads every element, which a sanitizer would see go wrong.
        static_cast<void>(tensor.to(at::kDouble).sum().item<double>());
      }
      return false;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return true;
    }
  }

  std::string sound_;
};

TEST_F(SafetensorsFuzzTest, EveryTruncationIsRefused) {
  for (std::size_t size = 0; size < sound_.size(); ++size) {
    EXPECT_TRUE(is_refused(sound_.substr(0, size))) << size << " bytes";
  }
}

TEST_F(SafetensorsFuzzTest, EveryFlippedBitIsRefusedOrGivesTensors) {
  std::size_t refused = 0;
  for (std::size_t at = 0; at < sound_.size(); ++at) {
    for (const int mask : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      std::string changed = sound_;
      changed[at] = static_cast<char>(changed[at] ^ mask);
      refused += is_refused(changed);
    }
  }
  // The 8 bytes of the length cannot change unnoticed, and neither can most of the header.
  EXPECT_GT(refused, 8U * 9U);
  EXPECT_FALSE(is_refused(sound_));
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
