// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/npy.h"

#include "fixtures/npy_bytes.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <cmath>

namespace pergola::host {
namespace {

using fixtures::npy_file;
using fixtures::npy_header;
using fixtures::npy_of;
using test::error_of;
using test::TempFolder;
using testing::HasSubstr;

constexpr const char* kSave = "; save a plain array: numpy.save(path, array.astype('float32'))";

class NpyTest : public testing::Test {
 protected:
  Regions read(const std::string& bytes, std::int64_t wanted = 3) {
    return read_regions(folder_.write("a.npy", bytes), wanted);
  }
  // The error's sentence after "features <file> ".
  std::string error(const std::string& bytes) {
    const std::string message = error_of(ErrorKind::kData, [&] { (void)read(bytes); });
    const std::string begin = "features " + (folder_ / "a.npy").string() + " ";
    EXPECT_EQ(message.substr(0, begin.size()), begin);
    return message.substr(std::min(begin.size(), message.size()));
  }
  TempFolder folder_;
};

TEST_F(NpyTest, FillsUpWithZerosAndSaysHowManyThereAre) {
  const Regions regions = read(npy_of({1, 2, 3, 4}, 2));
  EXPECT_EQ(regions.count, 2);
  EXPECT_TRUE(
      at::equal(regions.features_RD, at::tensor({1.F, 2.F, 3.F, 4.F, 0.F, 0.F}).view({3, 2})));
}

// MMF keeps the number of the file, which its mask then takes for more regions than there are.
TEST_F(NpyTest, CutsTheCountTogetherWithTheRegions) {
  const Regions regions = read(npy_of({1, 2, 3, 4, 5, 6, 7, 8}, 2));
  EXPECT_EQ(regions.count, 3);
  EXPECT_TRUE(at::equal(regions.features_RD, at::arange(1, 7, at::kFloat).view({3, 2})));
}

TEST_F(NpyTest, TakesAFileWithoutRegions) {
  const Regions regions = read(npy_file(npy_header("<f4", "(0, 2)"), ""));
  EXPECT_EQ(regions.count, 0);
  EXPECT_TRUE(at::equal(regions.features_RD, at::zeros({3, 2})));
}

TEST_F(NpyTest, ReadsVersionsOneToThree) {
  for (const int major : {1, 2, 3}) {
    const std::string bytes =
        npy_file(npy_header("<f4", "(1, 1)"), std::string("\0\0\xc0\x3f", 4), major);
    EXPECT_EQ(read(bytes).features_RD[0][0].item<float>(), 1.5F) << major;
  }
}

// 1.5 is 0x3e00 in half precision, -2 is 0xc000.
TEST_F(NpyTest, WidensHalfPrecision) {
  const Regions regions =
      read(npy_file(npy_header("<f2", "(1, 2)"), std::string("\x00\x3e\x00\xc0", 4)));
  EXPECT_EQ(regions.features_RD.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(regions.features_RD[0], at::tensor({1.5F, -2.F})));
}

TEST_F(NpyTest, GivesTheTypeThatIsWanted) {
  const auto file = folder_.write("b.npy", npy_of({1.5F, 1.001F, 70000.F, -3.F}, 2));
  const Regions regions = read_regions(file, 3, at::kBFloat16);
  const at::Tensor expected = at::tensor({1.5F, 1.001F, 70000.F, -3.F, 0.F, 0.F}).view({3, 2});
  EXPECT_TRUE(at::equal(regions.features_RD, expected.to(at::kBFloat16)));
  const auto halves = folder_.write(
      "c.npy", npy_file(npy_header("<f2", "(1, 2)"), std::string("\x00\x3e\x00\xc0", 4)));
  EXPECT_TRUE(at::equal(read_regions(halves, 1, at::kHalf).features_RD,
                        at::tensor({1.5F, -2.F}).view({1, 2}).to(at::kHalf)));
  EXPECT_TRUE(at::equal(read_regions(halves, 1, at::kBFloat16).features_RD,
                        at::tensor({1.5F, -2.F}).view({1, 2}).to(at::kBFloat16)));
}

// 3.4e38 is a float32 that bfloat16, of eight bits, rounds to infinity.
TEST_F(NpyTest, RefusesWhatTheTypeDoesNotHold) {
  const auto complaint = [&](const std::vector<float>& numbers, at::ScalarType type) {
    const auto file = folder_.write("d.npy", npy_of(numbers, 2));
    return error_of(ErrorKind::kData, [&] { (void)read_regions(file, 3, type); });
  };
  EXPECT_THAT(complaint({1, 70000}, at::kHalf),
              HasSubstr("d.npy has a number that float16 does not hold, whose largest is 65504; "
                        "set feature_dtype = \"bfloat16\" or \"float32\""));
  EXPECT_THAT(complaint({1, 3.4e38F}, at::kBFloat16),
              HasSubstr("d.npy has a number that bfloat16 does not hold, whose largest is "
                        "3.39e38; set feature_dtype = \"float32\""));
  EXPECT_THAT(complaint({1, std::nanf("")}, at::kBFloat16), HasSubstr("that is nan or infinite"));
}

TEST_F(NpyTest, ReadsAHeaderInAnyOrderAndWithEitherQuote) {
  const std::string bytes = npy_file("{\"shape\":(1,1),\"fortran_order\":False,\"descr\":\"<f4\"}",
                                     std::string("\0\0\x80\x3f", 4));
  EXPECT_EQ(read(bytes).features_RD[0][0].item<float>(), 1.F);
}

TEST_F(NpyTest, RefusesPicklesByName) {
  EXPECT_EQ(
      error(npy_file(npy_header("|O", "(1, 2)"), "\x80\x04")),
      concat("holds Python objects (dtype '|O'), that is a pickle, and no pickle is run", kSave));
  EXPECT_EQ(error(npy_file("{'descr': [('a', '<f4'), ('b', 'O')], 'fortran_order': False, 'shape': "
                           "(1,)}",
                           "")),
            concat("holds Python objects (dtype '[('a', '<f4'), ('b', 'O')]'), that is a pickle, "
                   "and no pickle is run",
                   kSave));
  EXPECT_EQ(
      error("\x80\x04N."),
      concat("is a Python pickle, expected an .npy file, which begins with \\x93NUMPY", kSave));
}

TEST_F(NpyTest, RefusesWhatIsNoNpyFile) {
  EXPECT_THAT(error(""), HasSubstr("is empty, expected an .npy file"));
  EXPECT_THAT(error("PK\x03\x04"), HasSubstr("is a zip archive (.npz?), expected an .npy file"));
  EXPECT_THAT(error("features"), HasSubstr("is of another kind, expected an .npy file"));
  EXPECT_THAT(error("\x93NUMPY\x04"), HasSubstr("is truncated: its 7 bytes end in the header"));
  EXPECT_EQ(error(npy_file("{}", "", 4)),
            concat("is of .npy version 4.0, expected 1.0 to 3.0", kSave));
}

TEST_F(NpyTest, RefusesOtherTypesOrdersAndShapes) {
  for (const char* descr : {"<f8", ">f4", ">f2", "<i4", "|u1", "=f4", ""}) {
    EXPECT_EQ(error(npy_file(npy_header(descr, "(1, 2)"), std::string(16, '\0'))),
              concat("has the dtype '", descr,
                     "', expected '<f4' or '<f2' (float32 or float16, little-endian)", kSave));
  }
  EXPECT_EQ(error(npy_file(npy_header("<f4", "(1, 2)", "True"), std::string(8, '\0'))),
            "is in Fortran order, expected C order; save it with numpy.save(path, "
            "numpy.ascontiguousarray(array))");
  for (const auto& [written, shown] : {std::pair("()", "[]"),
                                       {"(2,)", "[2]"},
                                       {"(1, 2, 1)", "[1, 2, 1]"},
                                       {"(2, 0)", "[2, 0]"},
                                       {"(0, 65537)", "[0, 65537]"}}) {
    EXPECT_EQ(error(npy_file(npy_header("<f4", written), std::string(8, '\0'))),
              concat("has the shape ", shown,
                     ", expected [regions, width] with a width of 1 to 65536", kSave));
  }
}

TEST_F(NpyTest, RefusesADamagedHeader) {
  for (const char* header :
       {"", "{", "{}", "[]", "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)} print()",
        "{'descr': [[[, 'fortran_order': False, 'shape': (1, 2)}",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (1, 2"}) {
    EXPECT_EQ(error(npy_file(header, std::string(8, '\0'))),
              concat("has a damaged header, expected {'descr': '<f4', 'fortran_order': False, "
                     "'shape': (regions, width)}",
                     kSave))
        << header;
  }
}

// The sum of the last ones is infinite, too, and they are not.
TEST_F(NpyTest, RefusesNumbersThatAreNotFinite) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    EXPECT_EQ(error(npy_of({1, bad, 2}, 3)),
              "has a number that is nan or infinite; restore the file, or remove the row");
  }
  EXPECT_NO_THROW((void)read(npy_of({3e38F, 3e38F, -3e38F}, 3)));
}

TEST_F(NpyTest, RefusesTruncatedFilesBeforeMemoryIsTaken) {
  EXPECT_EQ(error(npy_file(npy_header("<f4", "(2, 2)"), std::string(15, '\0'))),
            "is truncated: its header says [2, 2] numbers, but only 15 bytes follow; restore the "
            "file");
  EXPECT_THAT(error(npy_file(npy_header("<f4", "(4611686018427387904, 65536)"), "")),
              HasSubstr("but only 0 bytes follow"));
  const std::string whole = npy_of({1, 2}, 2);
  EXPECT_EQ(error(whole.substr(0, 20)), "is truncated: it ends in its header; restore the file");
  std::string long_header = npy_file("{}", "", 2);
  long_header[11] = '\x7f';
  EXPECT_THAT(error(long_header), HasSubstr("bytes, more than the 65536 allowed"));
}

// Whatever byte changes, the file is read or refused: an Error, and no crash.
TEST_F(NpyTest, TakesOrRefusesEveryMutation) {
  const std::string whole = npy_of({1, 2, 3, 4}, 2);
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '\xff', '9', '(', '\''}) {
      std::string bytes = whole;
      bytes[i] = byte;
      try {
        EXPECT_EQ(read(bytes).features_RD.size(0), 3);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kData);
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 200);
}

TEST_F(NpyTest, RefusesAFileThatIsNotThere) {
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)read_regions(folder_ / "b.npy", 1); }),
              HasSubstr("b.npy: No such file or directory"));
}

}  // namespace
}  // namespace pergola::host
