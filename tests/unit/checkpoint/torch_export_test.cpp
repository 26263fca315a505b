// SPDX-License-Identifier: BSD-3-Clause
// Files as torch.save writes them. They are read by the reader of such files, which refuses every
// name in a pickle but those of tensors and plain data, as weights_only=True does.
#include "host/checkpoint/torch_export.h"

#include "fault/faulty_ops.h"
#include "host/checkpoint/input_file.h"
#include "host/checkpoint/safetensors.h"
#include "host/checkpoint/weights.h"
#include "host/checkpoint/zip_directory.h"
#include "unit/checkpoint/torch_file_kit.h"

#include <gmock/gmock.h>

#include <map>
#include <string>

namespace pergola::host::checkpoint_test {
namespace {

using fault_test::Fault;
using fault_test::FaultyOps;
using fault_test::Lasting;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::string_literals;

class TorchExportTest : public testing::Test {
 protected:
  [[nodiscard]] StateDict round_trip(const StateDict& state) const {
    write_torch_file(file_, state);
    return read_weights(file_).state;
  }
  [[nodiscard]] std::string write_error(const StateDict& state) const {
    return error_of([&] { write_torch_file(file_, state); });
  }
  // The records of the archive, by name.
  [[nodiscard]] std::map<std::string, std::string> records() const {
    std::map<std::string, std::string> found;
    const std::string bytes = read_bytes(file_);
    for (const auto& [name, record] : read_zip_directory(InputFile(file_))) {
      found[name] = bytes.substr(record.begin, record.size);
    }
    return found;
  }

  TempFolder folder_{memory_or_disk()};
  fs::path file_ = folder_ / "a.pth";
};

TEST_F(TorchExportTest, EveryDtypeOfPyTorchComesBackBitForBit) {
  const StateDict state = read_weights(golden_file("dtypes.pt")).state;
  ASSERT_EQ(state.size(), 27U);
  const StateDict read = round_trip(state);
  EXPECT_TRUE(same_state(read, state));
  EXPECT_EQ(names_of(read), names_of(state));
  EXPECT_EQ(open_weights(file_).format, "state dict, PyTorch file (ZIP)");
}

TEST_F(TorchExportTest, ViewsOfEveryDtypeAreWrittenInRowMajorOrder) {
  StateDict views;
  StateDict expected;
  for (const auto& [name, tensor] : read_weights(golden_file("dtypes.pt")).state) {
    views.emplace_back(name, tensor.flatten().slice(0, 0, std::nullopt, 2));
    const at::Tensor numbers = computable(tensor).flatten();
    const at::Tensor picked = numbers.slice(0, 0, std::nullopt, 2).contiguous();
    expected.emplace_back(name, picked.view(tensor.scalar_type()));
  }
  EXPECT_TRUE(same_state(round_trip(views), expected));
}

TEST_F(TorchExportTest, ShapesComeBackWithRowMajorStrides) {
  const at::Tensor grid = at::arange(6).view({2, 3});
  const StateDict state = {{"scalar", at::scalar_tensor(7)},
                           {"empty", at::empty({2, 0, 3})},
                           {"columns", grid.t()},
                           {"same", at::ones({1}).expand({4})},
                           {"graph", at::ones({3}).set_requires_grad(true) * 2}};
  const StateDict read = round_trip(state);
  EXPECT_TRUE(same_state(read, state));
  EXPECT_THAT(read[1].second.strides(), ElementsAre(3, 3, 1));
  EXPECT_THAT(read[2].second.strides(), ElementsAre(2, 1));
  EXPECT_THAT(read[3].second.strides(), ElementsAre(1));
}

// One byte has 255, four have 2^31-1.
TEST_F(TorchExportTest, SizesOfAnyWidthComeBack) {
  const StateDict state = {{"a", at::empty({0, 255})},
                           {"b", at::empty({0, 256})},
                           {"c", at::empty({0, 2'147'483'647})},
                           {"d", at::empty({0, 2'147'483'648})}};
  EXPECT_TRUE(same_state(round_trip(state), state));
}

// Their storage has the values before they are conjugated or negated.
TEST_F(TorchExportTest, LazyViewsAreWrittenAsTheirValues) {
  const at::Tensor pair = at::complex(at::tensor({1.F}), at::tensor({2.F}));
  const at::Tensor imaginary = at::imag(at::conj(pair));
  ASSERT_TRUE(imaginary.is_neg());
  const StateDict read = round_trip({{"conj", at::conj(pair)}, {"neg", imaginary}});
  EXPECT_TRUE(same_tensor(at::view_as_real(read[0].second), at::tensor({1.F, -2.F}).view({1, 2})));
  EXPECT_TRUE(same_tensor(read[1].second, at::tensor({-2.F})));
}

TEST_F(TorchExportTest, TiedWeightsStayTiedAndOtherViewsAreAlone) {
  const at::Tensor table = at::ones({4, 2});
  const StateDict read = round_trip(
      {{"embedding", table}, {"decoder", table.detach()}, {"row", table[0]}, {"all", table.t()}});
  read[0].second.fill_(5);
  EXPECT_TRUE(same_tensor(read[1].second, at::full({4, 2}, 5.0)));
  EXPECT_TRUE(same_tensor(read[2].second, at::ones({2})));
  EXPECT_TRUE(same_tensor(read[3].second, at::ones({2, 4})));
  // 8 floats, 2, and 8 again.
  EXPECT_EQ(records().at("archive/data/0").size(), 32U);
  EXPECT_EQ(records().at("archive/data/1").size(), 8U);
  EXPECT_EQ(records().at("archive/data/2").size(), 32U);
  EXPECT_EQ(records().count("archive/data/3"), 0U);
}

// As pickletools shows torch.save's own of PyTorch 2.11, but without its memo (q and h).
TEST_F(TorchExportTest, ThePickleHasTheOperationsOfTorchSave) {
  write_torch_file(file_, {{"w", at::ones({2, 3})}, {"u", at::ones({}, at::kUInt16)}});
  const std::string dict = global("collections", "OrderedDict") + ")R";
  const auto in = [](const std::string& type, const std::string& key, const std::string& count) {
    return "((" + text("storage") + type + text(key) + text("cpu") + "K" + count + "tQK\0"s;
  };
  EXPECT_EQ(records().at("archive/data.pkl"),
            pickle(dict + "(" + text("w") + global("torch._utils", "_rebuild_tensor_v2") +
                   in(global("torch", "FloatStorage"), "0", "\6") + "(K\2K\3t" + "(K\3K\1t" +
                   "\x89" + dict + "tR" +  //
                   text("u") + global("torch._utils", "_rebuild_tensor_v3") +
                   in(global("torch.storage", "UntypedStorage"), "1", "\2") + "(t" + "(t" + "\x89" +
                   dict + global("torch", "uint16") + "tR" + "u"));
}

TEST_F(TorchExportTest, TheContainerIsThatOfTorchSave) {
  const at::Tensor numbers = at::arange(4, at::kInt);
  write_torch_file(file_, {{"w", numbers}});
  std::map<std::string, std::string> found = records();
  EXPECT_EQ(found.at("archive/byteorder"), "little");
  EXPECT_EQ(found.at("archive/version"), "3\n");
  EXPECT_EQ(found.at("archive/data/0"), "\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"s);
  EXPECT_EQ(found.size(), 5U);  // and the pickle, and the id of this content
  // torch.load(mmap=True) needs storages that are aligned.
  EXPECT_EQ(read_zip_directory(InputFile(file_)).at("archive/data/0").begin % 64, 0U);
}

TEST_F(TorchExportTest, ThroughItAndBackSafetensorsHasTheSameBytes) {
  const SafetensorsMetadata metadata = {{"format", "pt"}};
  write_safetensors(folder_ / "a", {{"b", at::ones({2, 2})}, {"a", at::ones({3}, at::kBFloat16)}},
                    metadata);
  write_torch_file(file_, read_weights(folder_ / "a").state);
  write_safetensors(folder_ / "b", read_weights(file_).state, metadata);
  EXPECT_EQ(read_bytes(folder_ / "a"), read_bytes(folder_ / "b"));
}

TEST_F(TorchExportTest, TheSameTensorsMakeTheSameFile) {
  const StateDict state = {{"w", at::ones({3})}};
  const FileDigest digest = write_torch_file(file_, state);
  EXPECT_EQ(digest.size, fs::file_size(file_));
  EXPECT_EQ(write_torch_file(folder_ / "b.bin", state), digest);
}

TEST_F(TorchExportTest, NoTensorsIsAFileToo) {
  write_torch_file(file_, {});
  EXPECT_THAT(error_of([&] { static_cast<void>(open_weights(file_)); }),
              HasSubstr("its top level is a dict of 0"));
}

TEST_F(TorchExportTest, ATensorThatCannotBeWrittenIsRefusedByName) {
  EXPECT_EQ(write_error({{"w", at::Tensor()}}),
            "cannot write " + file_.string() + ": tensor 'w' is undefined");
  EXPECT_THAT(write_error({{"w", at::ones({2, 2}).to_sparse()}}),
              HasSubstr("tensor 'w' is sparse"));
  EXPECT_THAT(write_error({{"w", at::empty({1}, at::device(at::kMeta))}}),
              HasSubstr("tensor 'w' is on the meta device"));
  EXPECT_THAT(write_error({{"w", at::quantize_per_tensor(at::ones({1}), 1, 0, at::kQInt8)}}),
              HasSubstr("tensor 'w' has dtype QInt8; only plain numbers can be saved, so dequ"));
  EXPECT_THAT(write_error({{"w", at::ones({1})}, {"w", at::ones({1})}}),
              HasSubstr("tensor 'w' is there twice"));
  EXPECT_THAT(write_error({{"\xff", at::ones({1})}}), HasSubstr("is not UTF-8"));
  EXPECT_THAT(names_in(folder_.path()), IsEmpty());
}

class FaultyExportTest : public TorchExportTest {
 protected:
  // Tries the 1st, 2nd, 3rd, ... operation, until there is no nth one, and says how many there are.
  int sweep(Fault fault) const {
    for (int nth = 1;; ++nth) {
      SCOPED_TRACE(nth);
      FileOps system;
      FaultyOps faulty(system, fault, Lasting::kOnce, nth);
      std::string message;
      {
        const ScopedFileOps scope(faulty);
        message = outcome();
      }
      check(message, fault);
      if (HasFailure() || !faulty.reached()) return nth - 1;
      fs::remove(file_);
    }
  }

 private:
  [[nodiscard]] std::string outcome() const {
    try {
      write_torch_file(file_, state_);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
  }
  // Whole where it is there: when the name cannot be synced, it is.
  void check(const std::string& message, Fault fault) const {
    const bool is_survivable = fault == Fault::kInterrupted || fault == Fault::kShortWrite;
    const bool is_there = fs::exists(file_);
    if (message.empty()) {
      EXPECT_TRUE(is_there);
    } else {
      EXPECT_FALSE(is_survivable) << message;
      EXPECT_THAT(message, HasSubstr(folder_.path().string()));
    }
    EXPECT_EQ(names_in(folder_.path()).size(), is_there ? 1U : 0U);
    EXPECT_TRUE(!is_there || same_state(read_weights(file_).state, state_));
  }

  StateDict state_ = {{"w", at::ones({300})}, {"v", at::arange(7)}};
};

TEST_F(FaultyExportTest, AnyOperationThatFailsLeavesAWholeFileOrNothing) {
  for (const Fault fault : {Fault::kNoSpace, Fault::kBadDisk}) EXPECT_GT(sweep(fault), 20);
}

TEST_F(FaultyExportTest, SignalsAndShortWritesEndNoExport) {
  for (const Fault fault : {Fault::kInterrupted, Fault::kShortWrite}) EXPECT_GT(sweep(fault), 20);
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
