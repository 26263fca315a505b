// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/resolve.h"

#include "unit/config/config_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ResolveTest : public ConfigFixture {};

TEST_F(ResolveTest, EachLayerGoesOverTheOneBefore) {
  folder_.write("base.toml",
                "[training]\nlog_interval = 2\nbatch_size = 2\nseed = 2\n"
                "[model_config.pythia]\nhidden_dim = 2\n");
  write_run("include = [\"base.toml\"]\n[training]\nbatch_size = 3\nseed = 3\n");
  const Config root = resolve({"training.seed=4"});
  const auto origin = [&](const char* key) { return root.value().find(key)->origin(); };
  EXPECT_EQ(origin("training.update_frequency"), "defaults");
  EXPECT_EQ(origin("model_config.pythia.encoder.params.size"), "pythia.so:2:44");
  EXPECT_EQ(origin("dataset_config.easy_vqa.max_words"), "easy_vqa defaults:1:13");
  EXPECT_EQ(origin("training.log_interval"), path("base.toml") + ":2:16");
  EXPECT_EQ(origin("model_config.pythia.hidden_dim"), path("base.toml") + ":6:14");
  EXPECT_EQ(origin("training.batch_size"), path("run.toml") + ":5:14");
  EXPECT_EQ(origin("training.seed"), "command line");
  EXPECT_EQ(root.get<std::int64_t>("training.batch_size"), 3);
  EXPECT_EQ(root.get<std::int64_t>("training.seed"), 4);
}

TEST_F(ResolveTest, SaysThatTheFileIsMissing) {
  EXPECT_EQ(complaint(),
            "cannot read " + path("run.toml") + ": No such file or directory; check the path");
}

TEST_F(ResolveTest, SaysThatTheFileIsAFolder) {
  fs::create_directory(folder_ / "run.toml");
  EXPECT_EQ(complaint(), "cannot read " + path("run.toml") + ": it is a folder; name a file in it");
}

TEST_F(ResolveTest, SaysThatTheFileIsBroken) {
  write_run("[training\n");
  EXPECT_THAT(complaint(), StartsWith(path("run.toml") + ":3:"));
}

TEST_F(ResolveTest, SaysThatTheModelIsMissing) {
  folder_.write("run.toml", "");
  EXPECT_EQ(complaint(), path("run.toml") +
                             " does not say which model to use; add model = \"name\", and see "
                             "`pergola list models` for the names");
}

TEST_F(ResolveTest, SaysThatTheDatasetIsMissing) {
  folder_.write("run.toml", "model = \"pythia\"");
  EXPECT_EQ(complaint(), path("run.toml") +
                             " does not say which dataset to use; add dataset = \"name\", and see "
                             "`pergola list datasets` for the names");
}

TEST_F(ResolveTest, SaysThatTheModelIsNoName) {
  folder_.write("run.toml", "model = 5");
  EXPECT_EQ(complaint(),
            "model = 5 (" + path("run.toml") + ":1:9) is an integer; expected a string");
}

TEST_F(ResolveTest, AMistypedKeyIsFoundBeforeAMissingOne) {
  folder_.write("run.toml", "modle = \"pythia\"");
  EXPECT_EQ(complaint(), "modle (" + path("run.toml") +
                             ":1:9) is not a known key; did you mean "
                             "'model'?");
}

TEST_F(ResolveTest, OffersTheClosestModel) {
  folder_.write("run.toml", "model = \"pythai\"\ndataset = \"easy_vqa\"");
  EXPECT_EQ(complaint(), "model = \"pythai\" (" + path("run.toml") +
                             ":1:9) is unknown: no plugin found has a model of that name; did you "
                             "mean 'pythia'?");
}

TEST_F(ResolveTest, OffersTheDatasetsThereAre) {
  write_run("");
  EXPECT_EQ(complaint({"dataset=clevr"}),
            "dataset = \"clevr\" (command line) is unknown: neither the host nor a plugin has that "
            "data set; known is easy_vqa");
}

TEST_F(ResolveTest, RefusesSettingsOfAModelThatIsNot) {
  write_run("[model_config.pythai]\nhidden_dim = 1");
  EXPECT_EQ(complaint(), "model_config.pythai (" + path("run.toml") +
                             ":3:1) is unknown: no plugin found has a model of that name; did you "
                             "mean 'pythia'?");
  write_run("");
  EXPECT_THAT(complaint({"model_config.pythai.hidden_dim=1"}),
              StartsWith("model_config.pythai.hidden_dim (command line) is unknown: "));
}

TEST_F(ResolveTest, OffersTheClosestKeyOfTheModel) {
  write_run("[model_config.pythia]\nhiden_dim = 1");
  EXPECT_EQ(complaint(), "model_config.pythia.hiden_dim (" + path("run.toml") +
                             ":4:13) is not a known key; did you mean 'hidden_dim'?");
}

TEST_F(ResolveTest, AModelMayAlwaysBeGivenLosses) {
  write_run("[model_config.cnn_lstm]\nlosses = [\"cross_entropy\"]");
  EXPECT_NO_THROW((void)resolve({"model=cnn_lstm"}));
}

TEST_F(ResolveTest, SettingsOfOtherModelsStay) {
  write_run("[model_config.cnn_lstm]\nhidden_dim = 64");
  EXPECT_EQ(resolve().get<std::int64_t>("model_config.cnn_lstm.hidden_dim"), 64);
}

TEST_F(ResolveTest, AnotherTypeInTheFileDropsTheParamsOfThePlugin) {
  write_run("[model_config.pythia.encoder]\ntype = \"features\"");
  EXPECT_EQ(to_string(*resolve().value().find("model_config.pythia.encoder")),
            "{type = \"features\"}");
}

TEST_F(ResolveTest, OneElementOfADefaultArrayMayBeSet) {
  write_run("");
  EXPECT_EQ(to_string(*resolve({"model_config.pythia.losses[0]=cross_entropy"})
                           .value()
                           .find("model_config.pythia.losses")),
            "[\"cross_entropy\"]");
}

TEST_F(ResolveTest, RefusesSettingsThatAreNoTable) {
  write_run("[model_config]\npythia = 5");
  EXPECT_EQ(complaint(), "model_config.pythia = 5 (" + path("run.toml") +
                             ":4:10) is an integer; expected a table, or the name of another one "
                             "there");
}

TEST_F(ResolveTest, ReferencesReachIntoThePluginsDefaults) {
  write_run("training.batch_size = \"${model_config.pythia.hidden_dim}\"");
  EXPECT_EQ(resolve().get<std::int64_t>("training.batch_size"), 256);
}

TEST_F(ResolveTest, TheRunFolderIsNamedAfterTheExperiment) {
  write_run("training.experiment_name = \"night\"");
  EXPECT_EQ(resolve().get<std::string>("env.save_dir"), "runs/night");
}

TEST_F(ResolveTest, ReferencesAreResolvedBeforeTypesAreChecked) {
  write_run("training.batch_size = \"${training.experiment_name}\"");
  EXPECT_EQ(complaint(), "training.batch_size = \"run\" (" + path("run.toml") +
                             ":3:23) is a string; expected an integer");
}

TEST_F(ResolveTest, TheFirstStageKnowsWhereThePluginsAre) {
  write_run("plugins.path = [\"build/${training.experiment_name}\", \"/opt/p\"]");
  const ConfigDraft draft(
      folder_ / "run.toml",
      parse_overrides({"model=cnn_lstm", "model_config.cnn_lstm.hidden_dim=3"}));
  EXPECT_EQ(draft.model(), "cnn_lstm");
  EXPECT_EQ(draft.datasets(), std::vector<std::string>{"easy_vqa"});
  EXPECT_THAT(draft.plugin_path(), ElementsAre("build/run", "/opt/p"));
}

TEST_F(ResolveTest, ThePluginPathMustBeAnArray) {
  write_run("plugins.path = \"/opt/p\"");
  EXPECT_EQ(complaint(), "plugins.path = \"/opt/p\" (" + path("run.toml") +
                             ":3:16) is a string; expected an array");
}

TEST_F(ResolveTest, AConfigWithoutAFileIsResolvedTheSameWay) {
  const ConfigDraft draft(parse_toml("model = 'pythia'\ndataset = 'easy_vqa'", "state.json"),
                          "state.json", parse_overrides({"training.seed=5"}));
  EXPECT_EQ(draft.resolve(provider()).root.get<std::int64_t>("training.seed"), 5);
}

TEST_F(ResolveTest, ShowsEachValueWithItsOrigin) {
  write_run("");
  const auto overrides = parse_overrides({"training.seed=5"});
  const std::string text = resolve_config(folder_ / "run.toml", overrides, provider()).show();
  EXPECT_THAT(text, HasSubstr("\nseed = 5  # command line\n"));
  EXPECT_THAT(text, HasSubstr("\nlog_interval = 100  # defaults\n"));
  EXPECT_THAT(text, StartsWith("dataset = \"easy_vqa\"  # " + path("run.toml") + ":2:11\n"));
}

TEST_F(ResolveTest, TheSavedConfigResolvesToItselfAgain) {
  write_run(
      "[training]\nexperiment_name = \"a$${b}\"\nmax_epochs = 2\nlr_steps = [1]\n"
      "[optimizer]\ntype = \"sgd\"\nparams.lr = 1e-3");
  const ResolvedConfig first = resolve_config(folder_ / "run.toml", {}, provider());
  folder_.write("config.toml", first.to_file());
  const ResolvedConfig second = resolve_config(folder_ / "config.toml", {}, provider());
  EXPECT_EQ(second.root.value(), first.root.value());
  EXPECT_EQ(first.root.get<std::string>("env.save_dir"), "runs/a${b}");
}

TEST_F(ResolveTest, MaxUpdatesOfTheCommandLineReplacesMaxEpochsOfTheFile) {
  write_run("[training]\nmax_epochs = 2\n");
  const Config root = resolve({"training.max_updates=5"});
  EXPECT_FALSE(root.has("training.max_epochs"));
  EXPECT_EQ(root.get<std::int64_t>("training.max_updates"), 5);
  EXPECT_FALSE(resolve({"training={max_updates=5}"}).has("training.max_epochs"));
  EXPECT_EQ(resolve({"training.max_updates=5", "training.max_epochs=3"})
                .get<double>("training.max_epochs"),
            3);  // whoever asks for both gets MMF's rule
}

TEST_F(ResolveTest, TakesLessThanTenMilliseconds) {
  folder_.write("base.toml",
                "[training]\nlog_interval = 2\n[model_config.pythia]\nhidden_dim = 2\n");
  write_run("include = [\"base.toml\"]\n[training]\nbatch_size = 3\n");
  const auto begin = std::chrono::steady_clock::now();
  constexpr int kTimes = 20;
  for (int i = 0; i < kTimes; ++i) (void)resolve({"training.seed=4", "training.num_workers=0"});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  // Slack for sanitizers and for machines that do other things; without, it is well below 1 ms.
  EXPECT_LT(seconds.count() / kTimes, 0.010);
}

TEST_F(ResolveTest, AnInlineTableOfTheCommandLineNamesModelsAndDataSetsToo) {
  write_run("");
  EXPECT_EQ(complaint({"model_config={pythai={hidden_dim=3}}"}),
            "model_config.pythai (command line) is unknown: no plugin found has a model of that "
            "name; did you mean 'pythia'?");
  EXPECT_THAT(complaint({"dataset_config={easy_vqq={}}"}),
              HasSubstr("dataset_config.easy_vqq (command line) is unknown"));
  EXPECT_EQ(resolve({"model_config={cnn_lstm={hidden_dim=3}}"})
                .get<std::int64_t>("model_config.cnn_lstm.hidden_dim"),
            3);
}

TEST_F(ResolveTest, TheProvidersHintEndsTheMessageAboutAnUnknownName) {
  DefaultsProvider other = provider();
  other.model_hint = [](const std::string& name) { return "; ask for " + name + " elsewhere"; };
  write_run("");
  const auto overrides = parse_overrides({"model=pythai"});
  EXPECT_THAT(test::error_of([&] { (void)resolve_config(folder_ / "run.toml", overrides, other); }),
              EndsWith("no plugin found has a model of that name; ask for pythai elsewhere"));
}

// pythia, of which more than the defaults is known.
class KnownParamsTest : public ConfigFixture {
 protected:
  [[nodiscard]] std::string complaint_of(const std::vector<std::string>& overrides = {}) const {
    DefaultsProvider known = provider();
    known.model_defaults = [base = known.model_defaults](const std::string& name) {
      std::optional<KnownTable> table = base(name);
      if (name != "pythia") return table;
      ConfigParams params(2);
      params[0].spec.name = "hidden_dim";
      params[0].spec.type = Value::Type::kInteger;
      params[0].spec.meaning = "width";
      params[0].spec.low = 1;
      params[1].spec.name = "weights";  // without a default
      params[1].spec.type = Value::Type::kString;
      table->params = params;
      table->shown_by = "`inspect`";
      return table;
    };
    return test::error_of(
        [&] { (void)resolve_config(folder_ / "run.toml", parse_overrides(overrides), known); });
  }
};

TEST_F(KnownParamsTest, AValueOutOfBoundsIsRefusedWithItsPlace) {
  write_run("model_config.pythia.hidden_dim = 0\n");
  EXPECT_EQ(complaint_of(), "model_config.pythia.hidden_dim = 0 (" + path("run.toml") +
                                ":3:34) is out of range; expected at least 1; hidden_dim: width; "
                                "`inspect` shows all keys");
  write_run("");
  EXPECT_THAT(complaint_of({"model_config.pythia.hidden_dim=-3"}),
              StartsWith("model_config.pythia.hidden_dim = -3 (command line) is out of range"));
}

TEST_F(KnownParamsTest, AReferenceIsCheckedAsWhatItStandsFor) {
  write_run("training.seed = 0\nmodel_config.pythia.hidden_dim = \"${training.seed}\"\n");
  EXPECT_THAT(complaint_of(), HasSubstr("hidden_dim = 0 (" + path("run.toml") + ":4:34) is out"));
}

TEST_F(KnownParamsTest, KeysWithoutADefaultAreKnownToo) {
  write_run("model_config.pythia.weihgts = \"a\"\n");
  EXPECT_THAT(complaint_of(), HasSubstr("did you mean 'weights'?"));
  // Those of the defaults are known, whatever is said of the others, and so are the losses.
  write_run("model_config.pythia = { encoder = \"x\", losses = [], weights = 3 }\n");
  EXPECT_THAT(complaint_of(), HasSubstr("weights = 3 (" + path("run.toml") +
                                        ":3:63) is an integer; expected a string"));
}

}  // namespace
}  // namespace pergola::host
