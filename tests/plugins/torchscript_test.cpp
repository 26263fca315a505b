// SPDX-License-Identifier: BSD-3-Clause
#include "plugins/torchscript/torchscript.h"

#include "fixtures/temp_folder.h"
#include "plugins/model_testing.h"
#include "plugins/torchscript/script.h"

#include <torch/csrc/jit/serialization/pickle.h>

#include <nlohmann/json.hpp>

#include <fstream>

namespace pergola::torchscript {
namespace {

using Json = nlohmann::json;
using fixtures::TempFolder;
using test::close;
using test::error_of;
using test::ramp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAreArray;

const std::string kGolden = PERGOLA_GOLDEN_DIR "/torchscript_vqa";

Json golden() { return Json::parse(std::ifstream(kGolden + ".json")); }

std::shared_ptr<TorchScript> build(const std::string& file, const std::string& config) {
  return test::build_model<TorchScript>("torchscript", {"file = \"" + file + "\"", config});
}

std::shared_ptr<TorchScript> build_golden(const std::string& more = "") {
  return build(kGolden + ".pt", "inputs = [\"image\", \"text\"]\n" + more);
}

SampleList golden_batch() {
  SampleList batch;
  batch.add_field("image", ramp({2, 3, 8, 8}, 0.7, 0.1));
  batch.add_field("text", torch::tensor({1, 2, 3, 4, 15, 0}, torch::kLong).view({2, 3}));
  return batch;
}

at::Tensor tensor_of(const Json& numbers) {
  return torch::tensor(numbers.get<std::vector<double>>(), torch::kFloat);
}

std::vector<std::string> keys_of(const BaseModel& model) {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : state_dict(model)) keys.push_back(key);
  return keys;
}

TEST(TorchScriptTest, HasTheKeysOfPython) {
  EXPECT_THAT(keys_of(*build_golden()),
              UnorderedElementsAreArray(golden().at("keys").get<std::vector<std::string>>()));
}

TEST(TorchScriptTest, GivesTheScoresOfPython) {
  const auto model = build_golden();
  model->eval();
  const ModelOutput output = model->forward(golden_batch());
  EXPECT_TRUE(close(output.scores, tensor_of(golden().at("scores")).view({2, 6}), 1e-6));
  EXPECT_THAT(output.fields.at("attention").sizes().vec(), ElementsAre(2, 9));
}

TEST(TorchScriptTest, GivesTheGradientsOfPython) {
  const auto model = build_golden();
  model->eval();
  const at::Tensor scores = model->forward(golden_batch()).scores;
  torch::cross_entropy_loss(scores, torch::tensor({1, 4}, torch::kLong)).backward();
  const Json expected = golden().at("gradients");
  const auto parameters = model->named_parameters();
  ASSERT_EQ(parameters.size(), expected.size());
  for (const auto& item : parameters) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_NEAR(item.value().grad().to(torch::kDouble).norm().item<double>(),
                expected.at(item.key()).get<double>(), 1e-5)
        << item.key();
  }
}

// Dropout acts in training alone, and so does the batch norm's memory.
TEST(TorchScriptTest, PassesTheModeOn) {
  const auto model = build_golden();
  const SampleList batch = golden_batch();
  ASSERT_TRUE(model->is_training());
  const at::Tensor first = model->forward(batch).scores;
  EXPECT_TRUE(close(model->named_buffers()["image.1.running_mean"],
                    tensor_of(golden().at("running_mean")), 1e-6));
  EXPECT_FALSE(close(model->forward(batch).scores, first, 1e-6));
  model->eval();
  EXPECT_TRUE(torch::equal(model->forward(batch).scores, model->forward(batch).scores));
  model->train();
  EXPECT_FALSE(torch::equal(model->forward(batch).scores, model->forward(batch).scores));
}

TEST(TorchScriptTest, AStepOfTheOptimizerReachesTheScript) {
  const auto model = build_golden();
  model->eval();
  const SampleList batch = golden_batch();
  const at::Tensor before = model->forward(batch).scores;
  {
    const torch::NoGradGuard no_grad;
    model->named_parameters()["answer.bias"].add_(1);
  }
  EXPECT_TRUE(close(model->forward(batch).scores, before + 1, 1e-5));
}

// What `to` moves, the script sees moved; where there is one device, types stand for it.
TEST(TorchScriptTest, MovesWithTheModel) {
  const auto model = build_golden();
  model->eval();
  model->to(torch::kDouble);
  SampleList batch = golden_batch();
  batch.set_field("image", batch.tensor("image").to(torch::kDouble));
  const at::Tensor scores = model->forward(batch).scores;
  EXPECT_EQ(scores.scalar_type(), torch::kDouble);
  EXPECT_TRUE(close(scores.to(torch::kFloat), tensor_of(golden().at("scores")).view({2, 6}), 1e-6));
}

TEST(TorchScriptTest, StateDictIsSavedAndLoaded) {
  const auto from = build_golden();
  const auto into = build_golden();
  {
    const torch::NoGradGuard no_grad;
    from->named_parameters()["words.weight"].mul_(2);
  }
  test::expect_state_dict_is_identity(*from, *into);
  from->eval();
  into->eval();
  EXPECT_TRUE(
      torch::equal(from->forward(golden_batch()).scores, into->forward(golden_batch()).scores));
}

// Scripts made here, of a few lines each.
class OwnScriptTest : public ::testing::Test {
 protected:
  // A module with the parameter `weight` [2, 3] and these methods.
  std::string save(const std::string& methods) {
    torch::jit::Module module("Net");
    module.register_attribute("training", c10::BoolType::get(), true);
    module.register_parameter("weight", torch::ones({2, 3}), /*is_buffer=*/false);
    module.define(methods);
    const std::string file = (folder_ / "net.pt").string();
    module.save(file);
    return file;
  }
  static SampleList batch() {
    SampleList batch;
    batch.add_field("x", torch::ones({4, 3}));
    batch.add_field("question", Strings{"a", "bb", "ccc", ""});
    auto info = std::make_shared<SampleList>();
    info->add_field("max_features", torch::tensor({1, 2, 3, 4}, torch::kLong));
    batch.add_field("image_info_0", std::shared_ptr<const SampleList>(std::move(info)));
    return batch;
  }
  std::string config_error(const std::string& methods, const std::string& config) {
    const std::string file = save(methods);
    return error_of(ErrorKind::kConfig, [&] { (void)build(file, config); });
  }
  std::string forward_error(ErrorKind kind, const std::string& methods, const std::string& config) {
    const auto model = build(save(methods), config);
    return error_of(kind, [&] { (void)model->forward(batch()); });
  }
  [[nodiscard]] std::string file() const { return (folder_ / "net.pt").string(); }
  TempFolder folder_;
};

constexpr const char* kLinear = R"(
def forward(self, x):
    return torch.linear(x, self.weight)
def twice(self, x, y: Optional[Tensor] = None):
    return 2.0 * torch.linear(x, self.weight)
)";

TEST_F(OwnScriptTest, CallsTheMethodOfTheConfig) {
  const std::string path = save(kLinear);
  EXPECT_EQ(build(path, "inputs = [\"x\"]")->forward(batch()).scores[0][0].item<float>(), 3.F);
  EXPECT_EQ(build(path, "inputs = [\"x\"]\nmethod = \"twice\"")
                ->forward(batch())
                .scores[0][0]
                .item<float>(),
            6.F);
}

TEST_F(OwnScriptTest, MapsArgumentsByName) {
  const std::string path = save(R"(
def forward(self, counts, texts: List[str], x):
    return torch.linear(x, self.weight) + counts.unsqueeze(1) + float(len(texts[2]))
)");
  const auto model = build(
      path, "inputs = {x = \"x\", texts = \"question\", counts = \"image_info_0.max_features\"}");
  // 3 of the linear layer, 3 letters, and the row's count
  EXPECT_TRUE(torch::equal(model->forward(batch()).scores.select(1, 0),
                           torch::tensor({7.F, 8.F, 9.F, 10.F})));
}

TEST_F(OwnScriptTest, NamesTheItemsOfATuple) {
  const std::string path = save(R"(
def forward(self, x):
    y = torch.linear(x, self.weight)
    return x, y
)");
  const ModelOutput output =
      build(path, "inputs = [\"x\"]\noutputs = [\"seen\", \"scores\"]")->forward(batch());
  EXPECT_THAT(output.scores.sizes().vec(), ElementsAre(4, 2));
  EXPECT_THAT(output.fields.at("seen").sizes().vec(), ElementsAre(4, 3));
  EXPECT_EQ(error_of(ErrorKind::kConfig,
                     [&] { (void)build(path, "inputs = [\"x\"]")->forward(batch()); }),
            "model_config.torchscript.outputs = [] must name each item of the script's result, "
            "which has 2, such as [\"scores\", \"attentions\"]");
}

TEST_F(OwnScriptTest, TakesTheScoresOfADictByTheirName) {
  const std::string path = save(R"(
def forward(self, x):
    return {"logits": torch.linear(x, self.weight), "seen": x}
)");
  const ModelOutput output = build(path, "inputs = [\"x\"]\nscores = \"logits\"")->forward(batch());
  EXPECT_THAT(output.scores.sizes().vec(), ElementsAre(4, 2));
  EXPECT_EQ(output.fields.count("seen"), 1U);
  EXPECT_EQ(error_of(ErrorKind::kConfig,
                     [&] { (void)build(path, "inputs = [\"x\"]")->forward(batch()); }),
            "model_config.torchscript.scores = \"scores\" is not in the script's result; known are "
            "logits, seen");
}

// Saving forgets that two names are of one tensor; an optimizer would step it twice.
TEST_F(OwnScriptTest, TiedWeightsStayTied) {
  torch::jit::Module module("Net");
  const at::Tensor weight = torch::ones({3, 3}).requires_grad_();
  module.register_parameter("first", weight, /*is_buffer=*/false);
  module.register_parameter("second", weight, /*is_buffer=*/false);
  module.define("def forward(self, x):\n    return torch.linear(x, self.first) @ self.second\n");
  module.save(file());
  const auto model = build(file(), "inputs = [\"x\"]");
  EXPECT_EQ(model->num_parameters(), 9);
  const auto parameters = model->named_parameters();
  EXPECT_TRUE(parameters["first"].is_same(parameters["second"]));
  model->forward(batch()).scores.sum().backward();
  // d/dw of sum((x w^T) w), all of ones: 4 rows, and 3 from each of the two places
  EXPECT_TRUE(close(parameters["first"].grad(), torch::full({3, 3}, 4.F * (3 + 3)), 1e-5))
      << parameters["first"].grad();
}

TEST_F(OwnScriptTest, RefusesAFileThatIsNoArchive) {
  const auto error = [&](const std::string& content) {
    const std::string path = folder_.write("other.pt", content).string();
    return error_of(ErrorKind::kConfig, [&] { (void)build(path, "inputs = [\"x\"]"); });
  };
  EXPECT_THAT(error("\x80\x02}q"),
              HasSubstr("other.pt\" is no TorchScript archive, expected what "
                        "torch.jit.script(model).save(path) writes in Python"));
  EXPECT_THAT(error(""), HasSubstr("other.pt\" cannot be read; name a file"));
  EXPECT_EQ(error_of(ErrorKind::kConfig, [] { (void)build("/no/net.pt", "inputs = [\"x\"]"); }),
            "model_config.torchscript.file = \"/no/net.pt\" cannot be read; name a file, from the "
            "folder in which the program is started");
  save(kLinear);
  const std::string whole = folder_.read("net.pt");
  EXPECT_THAT(error(whole.substr(0, whole.size() / 2)),
              HasSubstr("other.pt\" cannot be loaded: PytorchStreamReader failed"));
  EXPECT_EQ(error_of(ErrorKind::kConfig, [] { (void)build("", "inputs = [\"x\"]"); }),
            "model_config.torchscript.file = \"\" must name a TorchScript archive, as "
            "torch.jit.save writes it in Python");
}

TEST_F(OwnScriptTest, RefusesTensorsWithoutCode) {
  const std::vector<char> bytes = torch::jit::pickle_save(torch::ones({2}));  // as torch.save does
  const std::string path = folder_.write("w.pt", std::string(bytes.begin(), bytes.end())).string();
  EXPECT_THAT(error_of(ErrorKind::kConfig, [&] { (void)build(path, "inputs = [\"x\"]"); }),
              HasSubstr("w.pt\" holds tensors or a pickle (torch.save) and no code, expected what "
                        "torch.jit.script(model).save(path) writes in Python"));
}

TEST_F(OwnScriptTest, RefusesInputsThatDoNotFitTheMethod) {
  EXPECT_EQ(config_error(kLinear, "inputs = [\"x\", \"y\"]"),
            "model_config.torchscript.inputs = [\"x\", \"y\"] names 2 fields for 1 arguments; the "
            "script's method is forward(Tensor x)");
  EXPECT_EQ(config_error(kLinear, "inputs = {z = \"x\"}"),
            "model_config.torchscript.inputs = {z = \"x\"} names the argument 'z', which there is "
            "not; the script's method is forward(Tensor x)");
  EXPECT_EQ(config_error(kLinear, "method = \"twice\"\ninputs = {y = \"x\"}"),
            "model_config.torchscript.inputs = {y = \"x\"} has no field for the argument 'x'; the "
            "script's method is twice(Tensor x, Optional[Tensor] y)");
  EXPECT_EQ(
      config_error("def forward(self, n: int):\n    return self.weight * n\n", "inputs = [\"x\"]"),
      "model_config.torchscript.inputs = [\"x\"] gives a field to the argument 'n', a int, "
      "but fields are Tensor or List[str]; the script's method is forward(int n)");
  EXPECT_THAT(config_error(kLinear, ""),
              StartsWith("model_config.torchscript.inputs = [] must name the fields that the "
                         "script is given"));
  EXPECT_EQ(config_error(kLinear, "inputs = [\"x\"]\nmethod = \"twise\""),
            "model_config.torchscript.method = \"twise\" is no method of " + file() +
                "; did you mean 'twice'?");
  EXPECT_EQ(config_error(kLinear, "inputs = [\"x\"]\noutputs = [\"a\", \"b\"]"),
            "model_config.torchscript.scores = \"scores\" must be one of outputs, which names all "
            "items of the result");
}

TEST_F(OwnScriptTest, TellsWhatTheScriptThrows) {
  EXPECT_THAT(forward_error(ErrorKind::kPlugin,
                            "def forward(self, x):\n    return torch.mm(x, self.weight)\n",
                            "inputs = [\"x\"]"),
              AllOf(StartsWith("the script " + file() + " failed in forward(): "),
                    HasSubstr("mat1 and mat2 shapes cannot be multiplied (4x3 and 2x3)"),
                    HasSubstr("; look at the Python code, or at model_config.inputs")));
  EXPECT_THAT(forward_error(ErrorKind::kData, kLinear, "inputs = [\"image\"]"),
              HasSubstr("field 'image' is not in the batch"));
  EXPECT_EQ(forward_error(ErrorKind::kPlugin, "def forward(self, x):\n    return 3\n",
                          "inputs = [\"x\"]"),
            "the script " + file() +
                " returns a Int from forward(), expected a tensor, or a tuple, list or dict of "
                "tensors; return the scores");
}

TEST_F(OwnScriptTest, RefusesScoresForAnotherNumberOfAnswers) {
  EXPECT_EQ(forward_error(ErrorKind::kConfig, kLinear, "inputs = [\"x\"]\nnum_final_outputs = 13"),
            "model_config.torchscript.num_final_outputs = 13 is what the data set has, but the "
            "script's scores are [4, 2]; script a model for that number of answers");
}

TEST(ReasonTest, IsTheLastErrorAndTheUsersPlace) {
  EXPECT_EQ(reason_of("The following operation failed in the TorchScript interpreter.\n"
                      "Traceback of TorchScript (most recent call last):\n"
                      "  File \"net.py\", line 3, in run\n"
                      "    return self.forward(x)\n"
                      "  File \"net.py\", line 12, in forward\n"
                      "    return self.words(x)\n"
                      "           ~~~~~~~~ <--- HERE\n"
                      "  File \"/lib/site-packages/torch/nn/functional.py\", line 2, in embedding\n"
                      "RuntimeError: no such shape\n"),
            "no such shape (File \"net.py\", line 12, in forward)");
  EXPECT_EQ(reason_of("plain\nmore"), "plain");
}

}  // namespace
}  // namespace pergola::torchscript
