// SPDX-License-Identifier: BSD-3-Clause
#include "integration/run_test.h"

#include "integration/easy_vqa_files.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// One thread: the tests run beside each other, and threads that wait for their share would spin.
const std::string kCommon = R"(dataset = "easy_vqa"
run_type = "train_val_test"
training.experiment_name = "tiny"
training.device = "cpu"
training.num_threads = 1
training.num_workers = 0
training.batch_size = 8
training.max_updates = 12
training.log_interval = 1
training.evaluation_interval = 4
training.checkpoint_interval = 3
optimizer = { type = "adamw", params = { lr = 0.01 } }
evaluation = { metrics = ["accuracy"], predict = true }
env.data_dir = "data"
)";

constexpr const char* kCnnLstm = R"(
model = "cnn_lstm"
[model_config.cnn_lstm]
text_embedding = { embedding_dim = 6 }
lstm = { input_size = 6, hidden_size = 5, num_layers = 2, dropout = 0.3 }
cnn.layers = { input_dims = [3, 4], output_dims = [4, 6], kernel_sizes = [3, 3] }
# 6 channels of 4 x 4, and 2 layers x 2 directions x 5
classifier = { type = "mlp", params = { in_dim = 116, hidden_dim = 12, num_layers = 1, dropout = 0.2 } }
)";

constexpr const char* kPythia = R"(
model = "pythia"
[model_config.pythia]
image_feature_dim = 6
image_feature_encodings = [{ type = "conv_grid", params = { channels = [4, 6] } }]
image_text_modal_combine = { type = "non_linear_element_multiply", params = { hidden_dim = 9, dropout = 0.2 } }
classifier = { type = "logit", params = { img_hidden_dim = 9, text_hidden_dim = 4 } }
[[model_config.pythia.text_embeddings]]
type = "attention"
params = { embedding_dim = 8, hidden_dim = 6, conv1_out = 5, conv2_out = 2, dropout = 0.2 }
[[model_config.pythia.image_feature_embeddings]]
modal_combine = { type = "non_linear_element_multiply", params = { hidden_dim = 9, dropout = 0.2 } }
normalization = "softmax"
transform = { type = "linear", params = { out_dim = 1 } }
)";

std::string table_of(const std::string& model) {
  return "model = \"" + model + "\"\n[model_config." + model + "]\n";
}

// All models with a BERT, which is configured alike in them; `more`: what else a model needs.
std::string small_bert(const std::string& model, const std::string& more) {
  return table_of(model) + more + R"(
losses = ["logit_bce"]
hidden_size = 8
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 12
max_position_embeddings = 24
initializer_range = 0.2
image_encoder = { type = "grid", params = { channels = [4, 6] } }
)";
}

constexpr const char* kClassifies = "training_head_type = \"classification\"\n";
constexpr const char* kSixteenRegions = "num_features = 16\n";  // 16 x 16 pixels, halved twice

constexpr const char* kConcatBow = R"(
losses = ["logit_bce"]
text_hidden_size = 5
num_features = 16
image_encoder = { type = "grid", params = { channels = [4, 6] } }
classifier.params = { num_layers = 1, hidden_dim = 12 }
)";

std::string fixture(const std::string& plugin, const std::string& model) {
  return "model = \"" + model + "\"\nplugins.path = [\"" + fixture_folder(plugin).string() +
         "\"]\n";
}

}  // namespace

RunTest::RunTest() {
  write_easy_vqa(path("data/easy_vqa"));
  // The common part goes first: its keys are dotted, and the models' parts open tables.
  write("boring.toml", kCommon + fixture("good", "boring"));
  write("stopped_in.toml", kCommon + fixture("stopped_in", "stopped_in"));
  write("cnn_lstm.toml", kCommon + kCnnLstm);
  write("pythia.toml", kCommon + kPythia);
  for (const char* model : {"visual_bert", "mmbt"}) {
    write(std::string(model) + ".toml", kCommon + small_bert(model, kClassifies));
  }
  for (const char* model : {"concat_bert", "late_fusion"}) {
    write(std::string(model) + ".toml", kCommon + small_bert(model, kSixteenRegions));
  }
  write("concat_bow.toml", kCommon + table_of("concat_bow") + kConcatBow);
}

const std::string& RunTest::common_config() { return kCommon; }

Launch RunTest::launch(const Words& words) const {
  const char* installed = std::getenv("PERGOLA_TEST_PROGRAM");
  Launch launch;
  launch.command = {installed != nullptr ? installed : PERGOLA_PROGRAM};
  launch.command.insert(launch.command.end(), words.begin(), words.end());
  launch.folder = folder_.path();
  // What was tried is remembered beside the fixtures, and not among what the user has tried.
  launch.environment["XDG_CACHE_HOME"] = (fs::path(PERGOLA_FIXTURES_DIR) / "cache").string();
  return launch;
}

Result RunTest::pergola(const Words& words) const { return test::run(launch(words)); }

Launch RunTest::train_launch(const Words& more, const std::string& model) const {
  Words words = {"train", model + ".toml", "--run-dir", "run"};
  words.insert(words.end(), more.begin(), more.end());
  return launch(words);
}

Result RunTest::train(const Words& more, const std::string& model) const {
  return test::run(train_launch(more, model));
}

fs::path RunTest::path(const std::string& name) const { return folder_.path() / name; }

std::string RunTest::text(const std::string& name) const {
  return fs::exists(path(name)) ? read_file(path(name)) : "";
}

Json RunTest::json(const std::string& name) const { return Json::parse(text(name)); }

void RunTest::write(const std::string& name, const std::string& content) const {
  fs::create_directories(path(name).parent_path());
  write_file(path(name), content);
}

void RunTest::replace(const std::string& name, const std::string& content) const {
  fs::remove(path(name));
  write(name, content);
}

std::vector<Json> RunTest::metrics(const std::string& run) const {
  std::istringstream lines(text(run + "/metrics.jsonl"));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) {
    rows.push_back(Json::parse(line));
    rows.back().erase("time");
    rows.back().erase("system");
  }
  return rows;
}

std::string RunTest::weights(const std::string& run) {
  return run + "/checkpoints/last/model.safetensors";
}

bool RunTest::wait_until(Process& process, const std::function<bool()>& ready) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!ready()) {
    if (process.ended() || std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::vector<std::string> RunTest::listing(const std::string& folder) const {
  std::vector<std::string> names;
  if (!fs::exists(path(folder))) return names;
  for (const auto& entry : fs::recursive_directory_iterator(path(folder))) {
    const std::string name = fs::relative(entry.path(), path(folder)).string();
    names.push_back(entry.is_directory() ? name + "/" : name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void RunTest::expect_nothing_half_written(const std::string& run) const {
  static const std::set<std::string> kOfAFailedStart = {".lock", "config.toml", "log.txt",
                                                        "metrics.jsonl", "summary.json"};
  std::vector<std::string> names = listing(run);
  std::erase_if(names, [](const std::string& name) { return kOfAFailedStart.contains(name); });
  EXPECT_THAT(names, ::testing::IsEmpty());
  EXPECT_EQ(text(run + "/metrics.jsonl"), "") << "of a run without an update";
}

::testing::AssertionResult RunTest::same_bytes(const std::string& one,
                                               const std::string& other) const {
  if (text(one).empty()) return ::testing::AssertionFailure() << one << " is missing or empty";
  if (text(one) == text(other)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << one << " and " << other << " differ";
}

void expect_error(const Result& result, ExitCode code, const Words& parts) {
  EXPECT_EQ(result.exit_code, code) << result;
  EXPECT_EQ(result.out, "") << result;
  const std::size_t begin = result.err.find("error: ");
  ASSERT_NE(begin, std::string::npos) << result;
  const std::string sentence = result.err.substr(begin);
  EXPECT_EQ(sentence.find("error: ", 1), std::string::npos) << "two errors: " << result;
  for (const std::string& part : parts) EXPECT_THAT(sentence, HasSubstr(part));
}

void expect_success(const Result& result) {
  if (result.exit_code == kDone) return;
  std::ostringstream text;
  text << "expected success, found " << result;
  throw std::runtime_error(text.str());
}

}  // namespace pergola::test
