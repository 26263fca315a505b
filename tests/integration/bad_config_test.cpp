// SPDX-License-Identifier: BSD-3-Clause
// Configs and command lines that are wrong: exit code 2, one sentence, no folder made.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

// A value that is not what the model's plugin.toml says of its key.
struct BadValue {
  const char* name;
  const char* model;
  const char* key;
  const char* value;
  Words parts;
};
void PrintTo(const BadValue& bad, std::ostream* stream) { *stream << bad.name; }

struct BadWords {
  const char* name;
  Words words;  // after `train boring.toml --run-dir run`
  Words parts;  // of the sentence
};
void PrintTo(const BadWords& bad, std::ostream* stream) { *stream << bad.name; }

class BadConfig : public RunTest {
 protected:
  void expect_refused(const Result& result, const Words& parts) const {
    expect_error(result, kConfig, parts);
    expect_nothing_half_written();
  }
};

TEST_F(BadConfig, FileThatIsMissing) {
  expect_refused(pergola({"train", "nowhere.toml", "--run-dir", "run"}),
                 {"cannot read nowhere.toml", "No such file or directory"});
}

TEST_F(BadConfig, FolderInItsPlace) {
  expect_refused(pergola({"train", "data", "--run-dir", "run"}), {"data", "is a folder"});
}

TEST_F(BadConfig, BrokenToml) {
  write("broken.toml", "model = \"boring\"\ntraining.seed = = 3\n");
  expect_refused(pergola({"train", "broken.toml", "--run-dir", "run"}), {"broken.toml:2:"});
}

TEST_F(BadConfig, UnknownKeyOfTheFile) {
  write("boring.toml", text("boring.toml") + "training.batch_sise = 4\n");
  expect_refused(train(), {"training.batch_sise (boring.toml:", "is not a known key",
                           "did you mean 'training.batch_size'"});
}

TEST_F(BadConfig, WrongTypeInTheFile) {
  write("boring.toml", text("boring.toml") + "checkpoint.max_to_keep = \"all\"\n");
  expect_refused(train(), {"checkpoint.max_to_keep = \"all\" (boring.toml:", "is a string",
                           "expected an integer"});
}

TEST_F(BadConfig, IncludesThatLoop) {
  write("a.toml", "include = [\"b.toml\"]\n");
  write("b.toml", "include = [\"a.toml\"]\n");
  expect_refused(pergola({"train", "a.toml", "--run-dir", "run"}),
                 {"a.toml", "b.toml", "in a circle: a.toml -> b.toml -> a.toml"});
}

TEST_F(BadConfig, IncludeThatIsMissing) {
  write("a.toml", "include = [\"nowhere.toml\"]\n");
  expect_refused(pergola({"train", "a.toml", "--run-dir", "run"}), {"nowhere.toml", "a.toml:1:"});
}

TEST_F(BadConfig, TypoOfTheDatasetBesideABrokenPlugin) {
  write("plugins/broken.so", "not a library\n");
  std::string config = text("boring.toml");
  config.replace(config.find("\"easy_vqa\""), 10, "\"easy_vqq\"");  // the first line, column 11
  write("boring.toml", config);
  expect_refused(train({"--plugin-path", "plugins"}),
                 {"dataset = \"easy_vqq\" (boring.toml:1:11) is unknown",
                  "did you mean 'easy_vqa'?\n", "not usable: ", "plugins/broken.so"});
}

TEST_F(BadConfig, TypoOfTheModelBesideABrokenPlugin) {
  write("plugins/broken.so", "not a library\n");
  expect_refused(train({"--plugin-path", "plugins", "model=borng"}),
                 {"model = \"borng\" (command line) is unknown", "did you mean 'boring'?\n",
                  "plugins/broken.so"});
}

TEST_F(BadConfig, NameOfNobodySaysWherePluginsWereLookedFor) {
  const std::string next_step = "; name the folder that has it with --plugin-path\n";
  for (const char* word : {"model=resnet152", "dataset=coco_captions"}) {
    expect_refused(train({word, "--plugin-path", "data"}),
                   {"is unknown: ", "; plugins were looked for in data, ",
                    "/lib/pergola/plugins" + next_step});
  }
}

TEST_F(BadConfig, CloseNameIsSaidAlone) {
  const Result result = train({"model=borng"});
  expect_refused(result, {"did you mean 'boring'?\n"});
  EXPECT_THAT(result.err, ::testing::Not(::testing::HasSubstr("--plugin-path")));
}

TEST_F(BadConfig, NoConfigAtAll) {
  expect_refused(pergola({"train"}), {"CONFIG is missing", "usage: pergola train CONFIG"});
}

TEST_F(BadConfig, KeyAndValueInItsPlace) {
  for (const Words& command : {Words{"train"}, Words{"test"}, Words{"config", "show"}}) {
    Words words = command;
    words.insert(words.end(), {"training.seed=3", "boring.toml", "--run-dir", "run"});
    expect_refused(pergola(words), {"'training.seed=3' stands where CONFIG is expected; put the "
                                    "config file first, then key=value words; usage: pergola " +
                                    command[0]});
  }
  write("seed=3.toml", text("boring.toml"));  // a file all the same
  expect_success(pergola({"config", "show", "seed=3.toml"}));
}

TEST_F(BadConfig, EmptyWords) {
  const std::string next_step =
      " is empty (''); leave it out, or set the variable that it is made of; usage: pergola ";
  expect_refused(pergola({"train", ""}), {"a word" + next_step + "train CONFIG"});
  expect_refused(train({""}), {"a word" + next_step + "train CONFIG"});
  expect_refused(pergola({"test", "boring.toml", "--checkpoint", ""}),
                 {"--checkpoint" + next_step + "test CONFIG"});
  expect_refused(pergola({"checkpoint", "verify", ""}), {"a word" + next_step + "checkpoint"});
}

// They do not go through the words' TOML, and what they name is written to a config.toml.
TEST_F(BadConfig, OptionsAreTakenAsTheyStand) {
  for (const char* name : {"[run", "\"run", "{run", "${HOME}"}) {
    expect_success(pergola({"train", "boring.toml", "--run-dir", name, "training.max_updates=1"}));
    EXPECT_FALSE(text(std::string(name) + "/config.toml").empty());
  }
  for (const char* name : {"r\xffn", "r\x1bn", "r\x7fn"}) {
    expect_refused(pergola({"train", "boring.toml", "--run-dir", name}),
                   {"--run-dir 'r\\x", "has control characters or bytes that are not UTF-8"});
    EXPECT_FALSE(std::filesystem::exists(path(name)));
  }
}

TEST_F(BadConfig, NamesWithControlCharacters) {
  for (const char* key : {"training.experiment_name", "env.save_dir"}) {
    const std::string word = std::string(key) + "=\"a\\u0000b\"";
    expect_refused(pergola({"train", "boring.toml", word}),
                   {std::string(key) + " = \"a\\u0000b\" (command line) has control characters"});
  }
  EXPECT_FALSE(std::filesystem::exists(path("runs")) || std::filesystem::exists(path("a")));
}

class BadModelValue : public BadConfig, public ::testing::WithParamInterface<BadValue> {
 protected:
  // What a command says of the file `from`, and of `more` words.
  void expect_each_command_refuses(const std::string& from, const Words& more,
                                   const std::string& place) const {
    // The data are not there, and would be missed next.
    Words words = {"config", "show", from, "env.data_dir=nowhere"};
    words.insert(words.end(), more.begin(), more.end());
    Words parts = GetParam().parts;
    parts.push_back(place);
    parts.push_back("`pergola plugins inspect ");
    expect_error(pergola(words), kConfig, parts);
    words.erase(words.begin(), words.begin() + 2);
    words.insert(words.begin(), {"train"});
    words.insert(words.end(), {"--run-dir", "run"});
    expect_refused(pergola(words), parts);
    EXPECT_FALSE(std::filesystem::exists(path("run")));
  }
};

TEST_P(BadModelValue, IsRefusedInTheFileAndOnTheCommandLine) {
  const BadValue& bad = GetParam();
  const std::string file = std::string(bad.model) + ".toml";
  const std::string word =
      std::string("model_config.") + bad.model + "." + bad.key + "=" + bad.value;
  expect_each_command_refuses(file, {word}, "(command line)");
  write("bad.toml", "include = [\"" + file + "\"]\n" + word + "\n");
  expect_each_command_refuses("bad.toml", {}, "(bad.toml:2:");
}

INSTANTIATE_TEST_SUITE_P(
    Values, BadModelValue,
    ::testing::Values(
        BadValue{"Bound",
                 "cnn_lstm",
                 "classifier.params.dropout",
                 "1.5",
                 {"model_config.cnn_lstm.classifier.params.dropout = 1.5",
                  "is out of range; expected 0 to 1; dropout: share of a hidden layer"}},
        BadValue{"Choice",
                 "visual_bert",
                 "attention",
                 "\"sdpb\"",
                 {"model_config.visual_bert.attention = \"sdpb\"",
                  "is not one of sdpa, plain, packed; did you mean 'sdpa'?"}},
        BadValue{"Type",
                 "mmbt",
                 "use_modal_start_token",
                 "\"yes\"",
                 {"model_config.mmbt.use_modal_start_token = \"yes\"",
                  "is a string; expected true or false"}},
        BadValue{"NumberOfAnArray",
                 "cnn_lstm",
                 "cnn.layers.output_dims",
                 "[4,0]",
                 {"model_config.cnn_lstm.cnn.layers.output_dims[1] = 0",
                  "is out of range; expected 1 to 65536"}},
        BadValue{"TableOfAnArray",
                 "pythia",
                 "text_embeddings",
                 "[{type=\"attention\",params={hidden_dim=0}}]",
                 {"model_config.pythia.text_embeddings[0].params.hidden_dim = 0", "1 to 65536"}},
        BadValue{"NameInPlaceOfATable",
                 "late_fusion",
                 "image_encoder",
                 "\"gird\"",
                 {"model_config.late_fusion.image_encoder = \"gird\"", "did you mean 'grid'?"}}),
    [](const auto& param) { return std::string(param.param.name); });

TEST_F(BadConfig, KeyWithinATableOfTheModel) {
  expect_refused(train({"model_config.cnn_lstm.lstm.hiden_size=3"}, "cnn_lstm"),
                 {"model_config.cnn_lstm.lstm.hiden_size (command line) is not a known key; did "
                  "you mean 'hidden_size'?"});
}

TEST_F(BadConfig, ValueOfTheDataSet) {
  expect_refused(train({"dataset_config.easy_vqa.split_train.val=2"}),
                 {"dataset_config.easy_vqa.split_train.val = 2 (command line) is out of range; "
                  "expected 0 to 1; val: the part that is set aside for val; `pergola list "
                  "datasets` shows all keys"});
}

TEST_F(BadConfig, FactsOfTheDataSetMayBeZero) {
  expect_success(
      pergola({"config", "show", "cnn_lstm.toml", "model_config.cnn_lstm.text_vocab_size=0",
               "model_config.cnn_lstm.num_final_outputs=0"}));
}

class BadSetting : public BadConfig, public ::testing::WithParamInterface<BadWords> {};

TEST_P(BadSetting, IsRefusedWithTheClosestName) {
  expect_refused(train(GetParam().words), GetParam().parts);
}

INSTANTIATE_TEST_SUITE_P(
    Settings, BadSetting,
    ::testing::Values(
        BadWords{"UnknownModel",
                 {"model=borng"},
                 {"model = \"borng\"", "is unknown", "did you mean 'boring'?"}},
        BadWords{"UnknownDataset",
                 {"dataset=easy_vqq"},
                 {"dataset = \"easy_vqq\"", "is unknown", "did you mean 'easy_vqa'?"}},
        BadWords{"UnknownModelInATable",
                 {"model_config={borng={hidden_dim=3}}"},
                 {"model_config.borng (command line) is unknown", "did you mean 'boring'?"}},
        BadWords{"EpochsWithoutEnd",
                 {"training.max_epochs=inf"},
                 {"training.max_epochs = inf (command line)", "at most 1000000"}},
        BadWords{"UnknownLoss",
                 {"model_config.boring.losses=[\"cross_entropi\"]"},
                 {"loss 'cross_entropi' is not registered", "did you mean 'cross_entropy'?"}},
        BadWords{"UnknownMetric",
                 {"evaluation.metrics=[\"acuracy\"]"},
                 {"metric 'acuracy' is not registered", "did you mean 'accuracy'?"}},
        BadWords{"UnknownOptimizer",
                 {"optimizer.type=adamm"},
                 {"optimizer 'adamm' is not registered", "did you mean 'adam'?"}},
        BadWords{"UnknownScheduler",
                 {"training.lr_scheduler=true", "scheduler.type=warmup_cosin"},
                 {"scheduler 'warmup_cosin' is not registered", "did you mean 'warmup_cosine'?"}},
        BadWords{"MetricOfAPluginThatIsNotLoaded",
                 {"evaluation.metrics=[\"throws_im\"]", "--plugin-path",
                  fixture_folder("throws_in").string()},
                 {"evaluation.metrics[0] (command line): metric 'throws_im' is not registered; did "
                  "you mean 'throws_in'?; `pergola list metrics` shows all"}},
        BadWords{"UnknownOptionOfAMetric",
                 {"evaluation.metrics=[{type=\"accuracy\", parms={topk=5}}]"},
                 {"evaluation.metrics[0].parms (command line) is not a known key",
                  "did you mean 'params'?"}},
        BadWords{"UnknownOptionOfACallback",
                 {"training.callbacks=[{type=\"throws_in\", parms={}}]"},
                 {"training.callbacks[0].parms (command line) is not a known key"}},
        BadWords{"FewerAnswersThanTheDataSet",
                 {"model_config.boring.num_final_outputs=1"},
                 {"model_config.boring.num_final_outputs = 1 (command line) is less than the"}},
        BadWords{"WarmupOfNoUpdates",
                 {"training.lr_scheduler=true", "training.use_warmup=true",
                  "training.warmup_iterations=0"},
                 {"training.warmup_iterations = 0 (command line)", "expected at least 1"}},
        BadWords{
            "RatioOutOfRange",
            {"training.lr_scheduler=true", "scheduler.params.lr_ratio=2", "training.lr_steps=[3]"},
            {"scheduler.params.lr_ratio = 2 (command line)", "expected 0 to 1"}},
        BadWords{"WrongTypeOfTheOptimizer",
                 {"optimizer.params.weight_decay=much"},
                 {"optimizer.params.weight_decay = \"much\" (command line)", "expected a number"}},
        BadWords{"UnknownCallback",
                 {"training.callbacks=[\"nobody\"]"},
                 {"callback 'nobody' is not registered"}},
        BadWords{"UnknownKeyOfTheModel",
                 {"model_config.boring.hiden_dim=3"},
                 {"model_config.boring.hiden_dim (command line) is not a known key", "hidden_dim"}},
        BadWords{"UnknownKeyOfTheDataset",
                 {"dataset_config.easy_vqa.splt_train.val=0.2"},
                 {"dataset_config.easy_vqa.splt_train", "is not a known key", "split_train"}},
        BadWords{"UnknownKeyOfTheOptimizer",
                 {"optimizer.params.lrr=1"},
                 {"optimizer.params.lrr (command line) is not a known key", "did you mean 'lr'?"}},
        BadWords{"WrongTypeOfTheModel",
                 {"model_config.boring.hidden_dim=many"},
                 {"model_config.boring.hidden_dim = \"many\" (command line)", "expected a number"}},
        BadWords{
            "OutOfRange", {"training.batch_size=0"}, {"training.batch_size = 0 (command line)"}},
        BadWords{
            "UnknownRunType", {"run_type=tran"}, {"run_type", "'tran'", "did you mean 'train'?"}},
        BadWords{"UnknownDevice",
                 {"--device", "gpu"},
                 {"training.device", "expected auto, cpu, cuda or cuda:N"}},
        BadWords{"ClippingWithoutNorm",
                 {"training.clip_gradients=true"},
                 {"training.clip_gradients", "needs training.max_grad_l2_norm"}},
        BadWords{"ClippingByNormAndByValue",
                 {"training.clip_gradients=true", "training.max_grad_l2_norm=1",
                  "training.clip_grad_value=1"},
                 {"training.clip_grad_value = 1 (command line) limits gradients by value"}},
        BadWords{"FreezingNothing",
                 {"training.freeze=[\"wrods.*\"]"},
                 {"training.freeze[0] = \"wrods.*\" (command line) matches no parameter",
                  "did you mean 'words.*'?"}},
        BadWords{"FreezingEverything",
                 {"training.freeze=[\"*\"]"},
                 {"training.freeze = [\"*\"] (command line) leaves no parameter to train"}},
        BadWords{"UnknownKeyOfTheScheduler",
                 {"training.lr_scheduler=true", "scheduler.type=one_cycle",
                  "scheduler.params.div_facter=3"},
                 {"scheduler.params.div_facter (command line) is not a known key",
                  "did you mean 'div_factor'?"}},
        BadWords{"NegativeRate",
                 {"optimizer.params.lr=-1"},
                 {"optimizer.params.lr = -1 (command line) is out of range; expected 0 to 1e+15"}},
        BadWords{"ClippingBeyondFloat",
                 {"training.clip_grad_value=1e300"},
                 {"training.clip_grad_value = 1e+300 (command line) is out of range"}},
        BadWords{"NormBeyondFloat",
                 {"training.clip_gradients=true", "training.max_grad_l2_norm=1e300"},
                 {"training.max_grad_l2_norm = 1e+300 (command line) is out of range"}},
        BadWords{"DecayBeyondFloat",
                 {"optimizer={type=\"adamax\", params={lr=0.01, weight_decay=1e39}}"},
                 {"optimizer.params.weight_decay = 1e+39 (command line) is out of range"}},
        BadWords{"AccumulatorBeyondFloat",
                 {"optimizer={type=\"adagrad\", params={initial_accumulator_value=1e39}}"},
                 {"initial_accumulator_value = 1e+39 (command line) is out of range"}},
        BadWords{"UnknownMonitor",
                 {"training.early_stop.criteria=easy_vqa/acuracy"},
                 {"training.early_stop.criteria", "did you mean 'val/easy_vqa/accuracy'?"}},
        BadWords{"MonitorThatNobodyHas",
                 {"training.early_stop.criteria=foo"},
                 {"training.early_stop.criteria asks for val/foo, which the validation does not "
                  "have; known are val/easy_vqa/accuracy, "}},
        BadWords{"NoLosses",
                 {"model_config.boring.losses=[]"},
                 {"there is nothing to train on: model_config.boring.losses names no loss",
                  "pergola list losses"}},
        BadWords{"MisspeltOptionOfALoss",
                 {"model_config.boring.losses=[{type=\"cross_entropy\", wieght=2}]"},
                 {"model_config.boring.losses[0].wieght", "did you mean 'weight'?"}},
        BadWords{"LossesOfOtherDataSetsAlone",
                 {"model_config.boring.losses=[{type=\"cross_entropy\", datasets=[\"vqa2\"]}]"},
                 {"names no loss for data set 'easy_vqa'"}},
        BadWords{"MetricNamedAsALoss",
                 {"evaluation.metrics=[{type=\"accuracy\", key=\"cross_entropy\"}]"},
                 {"the metric's key 'cross_entropy' is the name of a loss"}},
        BadWords{"LossOfAMultiThatIsUnknown",
                 {"model_config.boring.losses=[{type=\"multi\", params=[\"logit_bec\"]}]"},
                 {"loss 'logit_bec' is not registered", "did you mean 'logit_bce'?"}},
        BadWords{"OptimizerInTorchsSpelling", {"optimizer.type=AdamW"}, {"did you mean 'adamw'?"}},
        BadWords{"UnknownParamOfALoss",
                 {"model_config.boring.losses=[{type=\"cross_entropy\", params={smoothing=2}}]"},
                 {"model_config.boring.losses[0].params.smoothing", "is not a known key"}},
        BadWords{"KeyOfMmf",
                 {"training.fast_read=true"},
                 {"training.fast_read (command line) is a key of MMF's that Pergola does not take: "
                  "files that were read stay in the system's page cache; leave it out"}},
        BadWords{"TwoMetricsOfOneKey",
                 {"evaluation.metrics=[\"accuracy\", \"accuracy\"]"},
                 {"evaluation.metrics[1]", "is a second metric with the key 'accuracy'"}},
        BadWords{"IntegerBeyond64Bits",
                 {"training.seed=99999999999999999999"},
                 {"'training.seed=99999999999999999999' on the command line has an integer out of "
                  "range"}},
        BadWords{"WordWithoutValue", {"training.seed"}, {"training.seed"}},
        BadWords{"UnknownOption",
                 {"--resum"},
                 {"'--resum' is not an option here", "did you mean '--resume'?"}},
        BadWords{"OptionWithoutValue", {"--device"}, {"--device", "usage: pergola train"}},
        BadWords{"UnknownLogLevel",
                 {"--log-level", "loud"},
                 {"log level 'loud' is not one of debug, info"}},
        BadWords{"PluginPathThatIsMissing",
                 {"--plugin-path", "nowhere"},
                 {"'nowhere' of --plugin-path cannot be used", "it does not exist"}}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace pergola::test
