// SPDX-License-Identifier: BSD-3-Clause
// Files that PyTorch and safetensors for Python wrote (tools/reference/torch_files.py): what is
// recognised, and every number in them.
#include "host/checkpoint/weights.h"

#include "host/checkpoint/safetensors.h"
#include "unit/checkpoint/torch_file_kit.h"

#include <gmock/gmock.h>

#include <map>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const Value& golden_values() {
  static const Value kValues = [] {
    const fs::path file = golden_file("values.json");
    return from_json(read_bytes(file), file.string());
  }();
  return kValues;
}

at::Tensor find(const StateDict& state, const std::string& name) {
  for (const auto& [key, tensor] : state) {
    if (key == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return at::empty({0});
}

std::string dtype_of(const std::string& name) {
  static const std::map<std::string, at::ScalarType> kDtypes = {
      {"float64", at::kDouble},
      {"float32", at::kFloat},
      {"float16", at::kHalf},
      {"bfloat16", at::kBFloat16},
      {"int64", at::kLong},
      {"int32", at::kInt},
      {"int16", at::kShort},
      {"int8", at::kChar},
      {"uint8", at::kByte},
      {"bool", at::kBool},
      {"complex128", at::kComplexDouble},
      {"complex64", at::kComplexFloat},
      {"complex32", at::kComplexHalf},
      {"uint64", at::kUInt64},
      {"uint32", at::kUInt32},
      {"uint16", at::kUInt16},
      {"float8_e4m3fn", at::kFloat8_e4m3fn},
      {"float8_e5m2", at::kFloat8_e5m2},
      {"float8_e4m3fnuz", at::kFloat8_e4m3fnuz},
      {"float8_e5m2fnuz", at::kFloat8_e5m2fnuz},
      {"float8_e8m0fnu", at::kFloat8_e8m0fnu},
      {"float4_e2m1fn_x2", at::kFloat4_e2m1fn_x2},
      {"bits16", at::kBits16},
      {"bits8", at::kBits8},
      {"bits4x2", at::kBits4x2},
      {"bits2x4", at::kBits2x4},
      {"bits1x8", at::kBits1x8},
  };
  return c10::toString(kDtypes.at(name));
}

std::vector<double> numbers_of(const at::Tensor& tensor) {
  at::Tensor wide = computable(tensor);
  if (tensor.is_complex()) wide = at::view_as_real(tensor.to(at::kComplexDouble).contiguous());
  wide = wide.to(at::kDouble).contiguous().flatten();
  const auto* first = wide.const_data_ptr<double>();
  return {first, first + wide.numel()};
}

std::vector<std::int64_t> integers_of(const Value& array) {
  std::vector<std::int64_t> numbers;
  for (const Value& number : array.as_array()) numbers.push_back(number.as_integer());
  return numbers;
}

class GoldenWeightsTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenWeightsTest, EveryTensorIsAsInPython) {
  const Value::Table& expected = golden_values().as_table().find(GetParam())->second.as_table();
  const WeightsFile file = open_weights(golden_file(GetParam()));
  const StateDict state = file.load();
  ASSERT_EQ(state.size(), expected.size());
  ASSERT_EQ(file.tensors.size(), expected.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state[i];
    SCOPED_TRACE(name);
    const auto found = expected.find(name);
    ASSERT_NE(found, expected.end());
    const Value::Table& rows = found->second.as_table();
    EXPECT_EQ(c10::toString(tensor.scalar_type()), dtype_of(rows.at("dtype").as_string()));
    EXPECT_EQ(tensor.sizes().vec(), integers_of(rows.at("shape")));
    EXPECT_EQ(tensor.strides().vec(), integers_of(rows.at("strides")));
    std::vector<double> numbers;
    for (const Value& number : rows.at("values").as_array()) numbers.push_back(number.as_float());
    EXPECT_EQ(numbers_of(tensor), numbers);
    EXPECT_EQ(file.tensors[i].name, name);
    EXPECT_EQ(file.tensors[i].dtype, tensor.scalar_type());
    EXPECT_EQ(file.tensors[i].shape, tensor.sizes().vec());
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenWeightsTest,
                         testing::Values("dtypes.pt", "dtypes_legacy.pt", "views.pt",
                                         "views_legacy.pt", "protocol_4.pt", "protocol_5_legacy.pt",
                                         "plain_data_2.pt", "plain_data_3.pt", "plain_data_4.pt",
                                         "plain_data_5.pt", "mmf.pt", "mmf_legacy.pt",
                                         "storage_views_legacy.pt", "torch_1_6.pt",
                                         "without_crc.pt"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(WeightsTest, SharedMemoryStaysShared) {
  for (const char* name : {"views.pt", "views_legacy.pt"}) {
    const StateDict state = read_weights(golden_file(name)).state;
    const at::Tensor whole = find(state, "whole");
    whole.fill_(42);
    EXPECT_EQ(find(state, "transposed").min().item<float>(), 42) << name;
    EXPECT_EQ(find(state, "every_other").min().item<float>(), 42) << name;
    EXPECT_EQ(find(state, "decoder.weight").const_data_ptr(),
              find(state, "embedding.weight").const_data_ptr());
  }
}

TEST(WeightsTest, WhatWasRecognisedIsSaid) {
  const auto format = [](const char* name) { return open_weights(golden_file(name)).format; };
  EXPECT_EQ(format("views.pt"), "state dict, PyTorch file (ZIP)");
  EXPECT_EQ(format("views_legacy.pt"), "state dict, PyTorch file (of before 1.6)");
  EXPECT_EQ(format("mmf.pt"), "MMF checkpoint (its 'model'), PyTorch file (ZIP)");
  EXPECT_EQ(format("one_key.pt"), "checkpoint (its 'net'), PyTorch file (ZIP)");
  EXPECT_EQ(format("lightning.ckpt"),
            "Lightning checkpoint (its 'state_dict'), PyTorch file (ZIP), its names without "
            "'module.'");
  EXPECT_EQ(format("sharded_safetensors"),
            "Hugging Face folder, model.safetensors.index.json: 2 files, safetensors");
  EXPECT_EQ(format("sharded_bin"),
            "Hugging Face folder, pytorch_model.bin.index.json: 2 files, state dict, PyTorch file "
            "(ZIP)");
}

TEST(WeightsTest, WhatIsPlainBesideTheWeightsIsMetadata) {
  const WeightsFile file = open_weights(golden_file("mmf.pt"));
  EXPECT_EQ(file.metadata.find("num_updates")->as_integer(), 3);
  EXPECT_EQ(file.metadata.as_table().at("git/branch").as_string(), "main");
  EXPECT_EQ(file.metadata.find("config"), nullptr);
  EXPECT_EQ(open_weights(golden_file("lightning.ckpt")).metadata.find("epoch")->as_integer(), 4);
}

TEST(WeightsTest, TheWrapperOfAllNamesIsTakenOff) {
  const Weights weights = read_weights(golden_file("lightning.ckpt"));
  ASSERT_EQ(weights.state.size(), 2U);
  EXPECT_EQ(weights.state[0].first, "model.bert.weight");
  EXPECT_EQ(numbers_of(weights.state[0].second), (std::vector<double>{1, 2, 3, 4}));
}

TEST(WeightsTest, ShardsAreReadTogether) {
  for (const char* folder : {"sharded_safetensors", "sharded_bin"}) {
    const StateDict state = read_weights(golden_file(folder)).state;
    ASSERT_EQ(state.size(), 3U) << folder;
    EXPECT_EQ(numbers_of(find(state, "bert.weight")), (std::vector<double>{1, 2}));
    EXPECT_EQ(numbers_of(find(state, "bert.bias")), std::vector<double>{3});
    EXPECT_EQ(numbers_of(find(state, "head.bias")), std::vector<double>{4});
  }
}

TEST(WeightsTest, EveryDtypeThatSafetensorsHasIsWrittenAsPythonDoes) {
  const TempFolder folder(memory_or_disk());
  StateDict state;
  for (auto& [name, tensor] : read_weights(golden_file("dtypes.pt")).state) {
    if (name == "complex128" || name == "complex32" || name == "float8_e8m0fnu") continue;
    if (computable(tensor).scalar_type() != tensor.scalar_type()) continue;
    state.emplace_back(name, tensor);
  }
  write_safetensors(folder / "all.safetensors", state);
  std::vector<std::string> order;
  for (const auto& entry : read_safetensors_header(folder / "all.safetensors").tensors) {
    order.push_back(entry.name);
  }
  // The order of safetensors 0.8.0 for Python.
  EXPECT_THAT(order, ElementsAre("uint64", "int64", "float64", "complex64", "float32", "uint32",
                                 "int32", "bfloat16", "float16", "uint16", "int16",
                                 "float8_e5m2fnuz", "float8_e4m3fnuz", "float8_e4m3fn",
                                 "float8_e5m2", "int8", "uint8", "bool"));
  EXPECT_TRUE(same_state(read_safetensors(folder / "all.safetensors"), state));
}

class RefusedWeightsTest : public testing::Test {
 protected:
  [[nodiscard]] static std::string refusal(const std::string& name) {
    return error_of([&] { static_cast<void>(open_weights(golden_file("refused/" + name))); });
  }
};

TEST_F(RefusedWeightsTest, FilesOfBigEndianMachinesAreRefused) {
  EXPECT_THAT(refusal("big_endian.pt"), HasSubstr("is of a big-endian machine"));
  EXPECT_THAT(refusal("big_endian_legacy.pt"), HasSubstr("is of a big-endian machine"));
}

TEST_F(RefusedWeightsTest, TensorsThatAreNotPlainAreRefusedByName) {
  EXPECT_THAT(refusal("quantized.pt"), HasSubstr("holds torch._utils._rebuild_qtensor, which"));
  EXPECT_THAT(refusal("sparse.pt"), HasSubstr("holds torch._utils._rebuild_sparse_tensor, which"));
  EXPECT_THAT(refusal("conjugated.pt"), HasSubstr("a conjugated or negated view"));
}

TEST_F(RefusedWeightsTest, ObjectsAreRefusedByNameWithTheNextStep) {
  EXPECT_EQ(refusal("module.pt"),
            golden_file("refused/module.pt").string() +
                " holds torch.nn.modules.linear.Linear, which is no tensor or plain data, and "
                "Pergola runs no code of a file; in Python, save the weights alone: "
                "torch.save(model.state_dict(), FILE)");
}

TEST_F(RefusedWeightsTest, TorchScriptIsNoFileOfWeights) {
  EXPECT_THAT(refusal("scripted.pt"), HasSubstr("is a TorchScript program"));
}

TEST_F(RefusedWeightsTest, AnUnknownLayoutIsRefusedWithItsKeys) {
  EXPECT_EQ(refusal("unknown_layout.pt"),
            golden_file("refused/unknown_layout.pt").string() +
                " is a PyTorch file (ZIP) without weights in a place that is known; its top level "
                "is a dict of 3: 'net' (a dict of 2), 'ema' (a dict of 2), an integer (a list); "
                "expected names and tensors alone, or these behind 'model' (MMF), 'state_dict' "
                "(Lightning) or one key: in Python, save the state dict alone");
}

class WeightsFolderTest : public testing::Test {
 protected:
  [[nodiscard]] std::string refusal() const {
    return error_of([&] { static_cast<void>(read_weights(folder_.path())); });
  }
  void index(const std::string& map) const {
    folder_.write("model.safetensors.index.json", R"({"weight_map": )" + map + "}");
  }

  TempFolder folder_{memory_or_disk()};
};

TEST_F(WeightsFolderTest, APergolaCheckpointIsRecognised) {
  const CheckpointContent content = content_at(3);
  save_checkpoint(folder_ / "last", content);
  const Weights weights = read_weights(folder_ / "last");
  EXPECT_EQ(weights.format, "Pergola checkpoint");
  EXPECT_TRUE(same_state(weights.state, content.model));
  EXPECT_EQ(weights.metadata.find("progress.update")->as_integer(), 3);
}

TEST_F(WeightsFolderTest, ADamagedPergolaCheckpointIsNotTakenForAFolderOfHuggingFace) {
  save_checkpoint(folder_ / "last", content_at(3));
  const auto error = [&] {
    return error_of([&] { static_cast<void>(read_weights(folder_ / "last")); });
  };
  write_bytes(folder_ / "last/trainer.safetensors", "");
  EXPECT_THAT(error(), HasSubstr("trainer.safetensors is damaged"));
  fs::remove(folder_ / "last/MANIFEST.json");
  EXPECT_THAT(error(), HasSubstr("has no MANIFEST.json"));
}

TEST_F(WeightsFolderTest, OneFileOfHuggingFaceIsRead) {
  fs::copy(golden_file("mmf.pt"), folder_ / "pytorch_model.bin");
  EXPECT_THAT(read_weights(folder_.path()).format,
              HasSubstr("Hugging Face folder, pytorch_model.bin: MMF checkpoint"));
  write_safetensors(folder_ / "model.safetensors", {{"w", at::ones({2})}}, {{"format", "pt"}});
  const Weights weights = read_weights(folder_.path());
  EXPECT_EQ(weights.format, "Hugging Face folder, model.safetensors: safetensors");
  EXPECT_EQ(weights.metadata.find("format")->as_string(), "pt");
}

TEST_F(WeightsFolderTest, PathsThatLeaveTheFolderAreRefused) {
  for (const std::string name : {"../a.safetensors", "/etc/passwd", "a/b.safetensors", "..", ""}) {
    index(R"({"w": ")" + name + "\"}");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("model.safetensors.index.json names the file '" + name),
                                 HasSubstr("not one of its own folder")));
  }
}

TEST_F(WeightsFolderTest, AnIndexThatDoesNotFitItsFilesIsRefused) {
  write_safetensors(folder_ / "a.safetensors", {{"v", at::ones({2})}, {"w", at::ones({2})}});
  index(R"({"w": "a.safetensors"})");
  EXPECT_THAT(refusal(), HasSubstr("does not say that 'v' is in a.safetensors, where it is"));
  index(R"({"v": "a.safetensors", "w": "a.safetensors", "x": "a.safetensors"})");
  EXPECT_THAT(refusal(), HasSubstr("says that 'x' is in a.safetensors, where it is not"));
  index(R"({"w": "b.safetensors"})");
  EXPECT_THAT(refusal(), HasSubstr("b.safetensors: No such file"));
  index("{}");
  EXPECT_THAT(refusal(), HasSubstr("has no table weight_map"));
  index("{\"w\": 1}");
  EXPECT_THAT(refusal(), HasSubstr("has an integer as the file of 'w'"));
}

TEST_F(WeightsFolderTest, AFolderWithoutWeightsSaysWhatIsExpected) {
  EXPECT_THAT(refusal(), HasSubstr("expected a MANIFEST.json of Pergola's, or Hugging Face's"));
  save_checkpoint(folder_ / "best", content_at(1));
  EXPECT_THAT(refusal(), HasSubstr("is no checkpoint, but has some in it; name one of them"));
}

TEST_F(WeightsFolderTest, AFileOfSomethingElseIsRefused) {
  for (const std::string content : {"", "PK", "hello, world", "\x89PNG\r\n\x1a\n...."}) {
    folder_.write("x.pt", content);
    EXPECT_THAT(error_of([&] { static_cast<void>(open_weights(folder_ / "x.pt")); }),
                HasSubstr("x.pt is no file of weights that is known"));
  }
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
