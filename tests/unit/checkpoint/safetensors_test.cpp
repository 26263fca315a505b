// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/safetensors.h"

#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

namespace pergola::host::checkpoint_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  [[nodiscard]] StateDict round_trip(const StateDict& state) const {
    write_safetensors(file_, state);
    return read_safetensors(file_);
  }
  [[nodiscard]] std::string write_error(const StateDict& state) const {
    return error_of([&] { write_safetensors(file_, state); });
  }

  TempFolder folder_{memory_or_disk()};
  fs::path file_ = folder_ / "a.safetensors";
};

// One tensor of each dtype, named so that neither the given order nor the names give the file's.
StateDict all_dtypes() {
  return {{"b", at::tensor({1.F, 2.F})},       {"a", at::ones({}, at::kBool)},
          {"c", at::empty({0, 3}, at::kLong)}, {"d", at::ones({1}, at::kBFloat16)},
          {"e", at::ones({1}, at::kHalf)},     {"f", at::full({1}, -2, at::kShort)},
          {"g", at::full({1}, -1, at::kChar)}, {"h", at::full({1}, 200, at::kByte)},
          {"i", at::full({1}, 7, at::kInt)},   {"j", at::full({1}, 1.0, at::kDouble)}};
}

// The header that Python's safetensors 0.8 writes for these tensors, byte for byte.
constexpr std::string_view kHeader =
    R"({"__metadata__":{"format":"pt"},"c":{"dtype":"I64","shape":[0,3],"data_offsets":[0,0]},)"
    R"("j":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
    R"("i":{"dtype":"I32","shape":[1],"data_offsets":[16,20]},)"
    R"("d":{"dtype":"BF16","shape":[1],"data_offsets":[20,22]},)"
    R"("e":{"dtype":"F16","shape":[1],"data_offsets":[22,24]},)"
    R"("f":{"dtype":"I16","shape":[1],"data_offsets":[24,26]},)"
    R"("g":{"dtype":"I8","shape":[1],"data_offsets":[26,27]},)"
    R"("h":{"dtype":"U8","shape":[1],"data_offsets":[27,28]},)"
    R"("a":{"dtype":"BOOL","shape":[],"data_offsets":[28,29]}})";

// IEEE and two's complement, little-endian, in the order of the header: 1.0; 1.0 and 2.0; 7; 1.0 as
// bfloat16 (3f80) and as half (3c00); -2; -1; 200; true.
constexpr std::string_view kDataHex =
    "000000000000f03f"
    "0000803f00000040"
    "07000000"
    "803f"
    "003c"
    "feff"
    "ff"
    "c8"
    "01";

std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(byte));
    hex += digits;
  }
  return hex;
}

TEST_F(SafetensorsTest, WritesTheBytesOfTheReferenceImplementation) {
  write_safetensors(file_, all_dtypes(), {{"format", "pt"}});
  const std::string bytes = read_bytes(file_);
  // The header has 578 characters; 6 spaces make it a multiple of 8: 584 is 0x0248.
  ASSERT_EQ(kHeader.size(), 578U);
  EXPECT_EQ(to_hex(bytes.substr(0, 8)), "4802000000000000");
  EXPECT_EQ(bytes.substr(8, 584), std::string(kHeader) + std::string(6, ' '));
  EXPECT_EQ(to_hex(bytes.substr(8 + 584)), kDataHex);
}

TEST_F(SafetensorsTest, EveryDtypeComesBackBitForBit) {
  EXPECT_TRUE(same_state(round_trip(all_dtypes()), all_dtypes()));
}

TEST_F(SafetensorsTest, NanAndInfinityComeBackBitForBit) {
  const StateDict state = {{"odd", at::tensor({NAN, INFINITY, -INFINITY, -0.0})}};
  EXPECT_TRUE(same_state(round_trip(state), state));
}

TEST_F(SafetensorsTest, TransposedAndExpandedTensorsAreWrittenInRowMajorOrder) {
  const at::Tensor grid = at::arange(6).view({2, 3});
  const StateDict read = round_trip({{"columns", grid.t()}, {"rows", at::ones({1}).expand({4})}});
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].first, "columns");
  // [[0,1,2],[3,4,5]] transposed is [[0,3],[1,4],[2,5]].
  EXPECT_TRUE(same_tensor(read[0].second, at::tensor({0, 3, 1, 4, 2, 5}, at::kLong).view({3, 2})));
  EXPECT_TRUE(same_tensor(read[1].second, at::ones({4})));
}

TEST_F(SafetensorsTest, ParametersAreWrittenWithoutTheirGraph) {
  const at::Tensor weight = at::ones({3}).set_requires_grad(true);
  const StateDict read = round_trip({{"w", weight * 2}});
  EXPECT_FALSE(read.at(0).second.requires_grad());
  EXPECT_TRUE(same_tensor(read.at(0).second, at::full({3}, 2.0)));
}

TEST_F(SafetensorsTest, NoTensorsIsAFileToo) { EXPECT_TRUE(round_trip({}).empty()); }

TEST_F(SafetensorsTest, NamesWithQuotesAndOtherAlphabetsComeBack) {
  const StateDict state = {
      {"a\"b\\c\n", at::ones({1})}, {"größe.重み", at::ones({2})}, {"", at::ones({3})}};
  EXPECT_TRUE(same_state(round_trip(state), state));
}

TEST_F(SafetensorsTest, ReadTensorsDoNotDependOnTheFile) {
  const StateDict read = round_trip({{"w", at::ones({1000})}});
  fs::resize_file(file_, 0);
  EXPECT_TRUE(same_tensor(read.at(0).second, at::ones({1000})));
}

TEST_F(SafetensorsTest, TheReturnedDigestIsThatOfTheFile) {
  const FileDigest digest = write_safetensors(file_, all_dtypes());
  EXPECT_EQ(digest.size, fs::file_size(file_));
  EXPECT_EQ(digest.xxh3, xxh3_file(file_, ErrorKind::kCheckpoint));
}

TEST_F(SafetensorsTest, TheSizeIsKnownBeforehand) {
  const FileDigest digest = write_safetensors(file_, all_dtypes(), {{"format", "pt"}});
  EXPECT_EQ(safetensors_size(all_dtypes(), {{"format", "pt"}}, file_), digest.size);
}

TEST_F(SafetensorsTest, TheHeaderCanBeReadAlone) {
  write_safetensors(file_, {{"w", at::ones({2, 3})}}, {{"format", "pt"}, {"who", "me"}});
  const SafetensorsHeader header = read_safetensors_header(file_);
  EXPECT_EQ(header.metadata, (SafetensorsMetadata{{"format", "pt"}, {"who", "me"}}));
  ASSERT_EQ(header.tensors.size(), 1U);
  EXPECT_THAT(header.tensors[0].shape, ElementsAre(2, 3));
  EXPECT_EQ(header.tensors[0].end, 24U);  // 6 floats of 4 bytes
}

TEST_F(SafetensorsTest, TwoTensorsOfOneNameAreRefused) {
  EXPECT_THAT(write_error({{"w", at::ones({1})}, {"w", at::ones({1})}}),
              HasSubstr("tensor 'w' is there twice"));
}

TEST_F(SafetensorsTest, ATensorThatTheFormatCannotHoldIsRefusedByName) {
  EXPECT_THAT(write_error({{"w", at::ones({1}, at::kComplexDouble)}}),
              HasSubstr("tensor 'w' has dtype ComplexDouble; safetensors has F64"));
  EXPECT_THAT(write_error({{"w", at::Tensor()}}), HasSubstr("tensor 'w' is undefined"));
  EXPECT_THAT(write_error({{"w", at::ones({2, 2}).to_sparse()}}),
              HasSubstr("tensor 'w' is sparse"));
  EXPECT_THAT(write_error({{"w", at::empty({1}, at::device(at::kMeta))}}),
              HasSubstr("tensor 'w' is on the meta device"));
  EXPECT_THAT(write_error({{"__metadata__", at::ones({1})}}), HasSubstr("a reserved word"));
  EXPECT_THAT(write_error({{"\xff", at::ones({1})}}), HasSubstr("is not UTF-8"));
}

// These are marks on a view, which its bytes do not have.
TEST_F(SafetensorsTest, ConjugatedAndNegatedViewsAreWrittenAsTheirValues) {
  const at::Tensor numbers = at::complex(at::ones({2}), at::full({2}, 3.0F));
  write_safetensors(file_, {{"conjugated", numbers.conj()}, {"negated", at::imag(numbers.conj())}});
  const StateDict read = read_safetensors(file_);
  EXPECT_TRUE(same_state(
      read, {{"conjugated", numbers.conj().resolve_conj()}, {"negated", at::full({2}, -3.0F)}}));
}

TEST_F(SafetensorsTest, AFailedWriteLeavesTheOldFileAndNothingElse) {
  write_safetensors(file_, {{"w", at::ones({1})}});
  static_cast<void>(write_error({{"w", at::Tensor()}}));
  EXPECT_THAT(names_in(folder_.path()), ElementsAre("a.safetensors"));
  EXPECT_TRUE(same_state(read_safetensors(file_), {{"w", at::ones({1})}}));
}

// The exit status and standard output of a shell command.
std::pair<int, std::string> run(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {-1, ""};
  char buffer[4096];
  for (std::size_t count; (count = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    output.append(buffer, count);
  }
  const int status = ::pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

TEST_F(SafetensorsTest, PythonReadsTheSameTensors) {
  const auto [missing, packages] = run(PERGOLA_FIND_PYTHON_PACKAGES " 2>&1");
  if (missing != 0) GTEST_SKIP() << packages;
  write_safetensors(file_, all_dtypes(), {{"format", "pt"}});
  const fs::path script = folder_ / "read.py";
  write_bytes(script,
              "import sys, safetensors\n"
              "tensors = dict(safetensors.deserialize(open(sys.argv[1], 'rb').read()))\n"
              "for name in sorted(tensors):\n"
              "    t = tensors[name]\n"
              "    print(name, t['dtype'], list(t['shape']), bytes(t['data']).hex())\n");
  const auto [status, output] = run("PYTHONPATH='" + packages.substr(0, packages.find('\n')) +
                                    "' python3 " + script.string() + " " + file_.string());
  EXPECT_EQ(status, 0);
  EXPECT_EQ(output,
            "a BOOL [] 01\n"
            "b F32 [2] 0000803f00000040\n"
            "c I64 [0, 3] \n"
            "d BF16 [1] 803f\n"
            "e F16 [1] 003c\n"
            "f I16 [1] feff\n"
            "g I8 [1] ff\n"
            "h U8 [1] c8\n"
            "i I32 [1] 07000000\n"
            "j F64 [1] 000000000000f03f\n");
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
