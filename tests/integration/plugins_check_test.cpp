// SPDX-License-Identifier: BSD-3-Clause
// `pergola plugins check`: what each examination finds, in the plugins of the kit that have the
// mistake that it is there for, and what the command does with them.
#include "integration/run_test.h"

#include <sys/stat.h>

#include <set>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class PluginsCheck : public RunTest {
 protected:
  [[nodiscard]] Result check(const std::string& plugin, const Words& more = {}) const {
    Words words = {"plugins", "check", fixture_plugin(plugin).string()};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }
  // All that was examined, as JSON objects, by examination.
  [[nodiscard]] std::map<std::string, Json> findings(const std::string& plugin,
                                                     const Words& more = {}) const {
    Words words = {"--format", "json"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = check(plugin, words);
    std::map<std::string, Json> all;
    const Json report = Json::parse(result.out);
    for (const Json& each : report.at("examined")) {
      all[each.at("examination").get<std::string>()] = each;
    }
    EXPECT_EQ(result.exit_code, report.at("failed") == 0 ? kDone : kPlugin) << result;
    return all;
  }
};

std::set<std::string> with_verdict(const std::map<std::string, Json>& findings,
                                   const std::string& verdict) {
  std::set<std::string> names;
  for (const auto& [name, finding] : findings) {
    if (finding.at("verdict") == verdict) names.insert(name);
  }
  return names;
}

TEST_F(PluginsCheck, AGoodModelPassesAllThatTheMachineCanExamine) {
  const auto all = findings("good");
  EXPECT_THAT(with_verdict(all, "failed"), IsEmpty());
  EXPECT_THAT(all.at("contract").at("text"), "scores [5, 4], losses train/example/cross_entropy");
  EXPECT_EQ(all.at("gradients").at("figures").at("parameters"), 3);
  EXPECT_EQ(all.at("memory").at("figures").at("tensor_growth_bytes"), 0);
  for (const std::string& name : with_verdict(all, "skipped")) {
    EXPECT_THAT(name, ::testing::AnyOf("cuda", "cuda_graph", "ragged"));
    EXPECT_NE(all.at(name).at("text"), "");
  }
}

// A model with one mistake: the examination that is there for it, what that says, and which others
// see it as well.
struct Mistake {
  const char* plugin;
  const char* examination;
  const char* text;
  std::set<std::string> others = {};
};
void PrintTo(const Mistake& mistake, std::ostream* stream) { *stream << mistake.plugin; }

class WrongModel : public PluginsCheck, public ::testing::WithParamInterface<Mistake> {};
INSTANTIATE_TEST_SUITE_P(
    Kit, WrongModel,
    ::testing::Values(
        Mistake{"wrong_shape", "contract",
                "scores are [5] for a batch of 5; expected [5, answers]"},
        Mistake{"no_gradient", "gradients", "unused of 5 parameters got no gradient"},
        Mistake{"nan_gradient", "gradients", "is not finite in update 0", {"bf16", "overfits"}},
        Mistake{"ignores_eval",
                "train_and_eval",
                "is dropout on, or something drawn",
                {"batch_sizes", "bf16", "ragged"}},
        Mistake{
            "counts_calls", "train_and_eval", "scores", {"batch_sizes", "ragged", "save_and_load"}},
        Mistake{"needs_two_rows", "batch_sizes", "with a batch of 1", {"ragged"}},
        Mistake{"reads_neighbours", "batch_sizes", "than in a batch of 5, by nan of", {"ragged"}},
        Mistake{"reads_padding", "ragged", "leave out what is behind its length"},
        Mistake{"draws_at_random", "same_seed", "words differ after build()"},
        Mistake{"forgets_state", "save_and_load", "differ in the step after saving and loading"},
        Mistake{"renames_keys", "state_keys", "today's names must stay", {"save_and_load"}},
        Mistake{"changes_state", "process_state", "the locale from "},
        Mistake{"swallows_nan", "nan", "a NaN in image leaves the losses finite"},
        Mistake{"learns_nothing", "overfits", "the best of three rates"},
        Mistake{"leaks_each_step", "memory", "tensors grew by 188743680 bytes in 180 steps"},
        Mistake{"breaks_in_bf16", "bf16", "bf16 and fp32 do not agree: scores "}),
    [](const auto& param) { return std::string(param.param.plugin); });

TEST_P(WrongModel, FailsTheExaminationThatIsThereForItsMistake) {
  const auto all = findings(GetParam().plugin);
  std::set<std::string> expected = GetParam().others;
  expected.insert(GetParam().examination);
  EXPECT_EQ(with_verdict(all, "failed"), expected);
  EXPECT_THAT(all.at(GetParam().examination).at("text").get<std::string>(),
              HasSubstr(GetParam().text));
}

TEST_F(PluginsCheck, AWaitForTheDeviceIsCountedAndNamed) {
  const auto all = findings("waits_for_device", {"--only", "synchronisations"});
  EXPECT_EQ(all.at("synchronisations").at("figures").at("synchronisations"), 1);
  EXPECT_THAT(all.at("synchronisations").at("text").get<std::string>(),
              StartsWith("1 a step: 1 × aten::_local_scalar_dense"));
}

// What changes in the process, one after the other.
TEST_F(PluginsCheck, EveryChangeOfWhatTheProcessSharesIsNamed) {
  const std::pair<const char*, const char*> changes[] = {
      {"dtype", "the default dtype from Float to Double"},
      {"threads", "the number of threads from 1 to 2"},
      {"grad_mode", "the grad mode from on to off"},
      {"autocast", "autocast on the CPU from off to BFloat16"},
      {"seed", "the seed of the CPU's generator"},
      {"rounding", "the floating-point mode"},
      {"signal", "what SIGUSR1 does"},
      {"folder", "the working directory"}};
  for (const auto& [what, text] : changes) {
    const auto all = findings(
        "changes_state",
        {"--only", "process_state", std::string("model_config.changes_state.what=") + what});
    const Json& finding = all.at("process_state");
    EXPECT_EQ(finding.at("verdict"), "failed") << what;
    EXPECT_THAT(finding.at("text").get<std::string>(),
                AllOf(HasSubstr(text),
                      HasSubstr("training_step() of model 'changes_state', plugin changes_state")));
  }
}

TEST_F(PluginsCheck, ACrashIsAFailureWithTheHookAndTheOthersGoOn) {
  const Result result = check(
      "crashes_in", {"--only", "contract", "--only", "state_keys",
                     "model_config.crashes_in.hook=forward", "model_config.crashes_in.after=0"});
  EXPECT_EQ(result.exit_code, kPlugin) << result;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("  failed   contract          crashed with signal 11 "
                              "(SIGSEGV"),
                    HasSubstr("_step() of model 'crashes_in' (plugin crashes_in 0.1.0)"),
                    HasSubstr("  passed   state_keys")));
}

TEST_F(PluginsCheck, AModelThatEndsTheProcessHasNotPassed) {
  const auto all = findings(
      "crashes_in", {"--only", "contract", "model_config.crashes_in.hook=forward",
                     "model_config.crashes_in.after=0", "model_config.crashes_in.how=exit"});
  EXPECT_EQ(all.at("contract").at("verdict"), "failed");
  EXPECT_THAT(all.at("contract").at("text").get<std::string>(),
              StartsWith("the model ended the process with exit code 0"));
}

TEST_F(PluginsCheck, WhatFailsWithoutANanSaysNothingAboutOne) {
  const auto all = findings("reads_missing_field", {"--only", "nan"});
  EXPECT_EQ(all.at("nan").at("verdict"), "failed");
}

// A rename would put a file in the place of a device, for everybody on the machine.
TEST_F(PluginsCheck, TheReportTakesNothingAwayThatIsNoFile) {
  write("plugin.so", read_file(fixture_plugin("good")));
  fs::create_directory(path("folder"));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_symlink("behind.txt", path("link"));
  const auto check_into = [&](const std::string& output) {
    return pergola({"plugins", "check", "plugin.so", "--only", "build", "--output", output});
  };
  const std::pair<const char*, const char*> bad[] = {
      {"pipe", "it is a pipe or a device"},
      {"folder", "it is a folder"},
      {"-", "not to the standard output"},
      {"nowhere/report.txt", "there is no folder nowhere"},
      {"plugin.so", "it is what the report is about"}};
  for (const auto& [output, why] : bad) {
    expect_error(check_into(output), kConfig, {why, "name a file with --output"});
  }
  EXPECT_TRUE(fs::is_fifo(path("pipe")));
  expect_success(check_into("link"));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_THAT(text("behind.txt"), HasSubstr("  passed   build"));
}

TEST_F(PluginsCheck, WhereForwardFailsNothingThatUsesItIsTried) {
  const auto all = findings("reads_missing_field");
  EXPECT_THAT(with_verdict(all, "failed"), ElementsAre("contract"));
  EXPECT_THAT(all.at("contract").at("text").get<std::string>(),
              AllOf(HasSubstr("the batch has image [5, 3, 8, 8], targets [5], text [5, "),
                    HasSubstr("made of [models.reads_missing_field.fields] in plugin.toml")));
  EXPECT_EQ(all.at("state_keys").at("verdict"), "passed");
  EXPECT_EQ(all.at("nan").at("text"), "forward() and losses are not as expected: see contract");
}

TEST_F(PluginsCheck, ALossThatIsZeroFromTheStartProvesNothing) {
  const auto all = findings("good", {"model_config.boring.num_final_outputs=1"});
  EXPECT_THAT(with_verdict(all, "failed"), ElementsAre("gradients", "overfits"));
}

TEST_F(PluginsCheck, LoadAloneIsAnExaminationToo) {
  const auto all = findings("good", {"--only", "load"});
  EXPECT_THAT(with_verdict(all, "passed"), ElementsAre("load"));
  EXPECT_EQ(all.size(), 1U);
}

TEST_F(PluginsCheck, AModelWhoseBuildHangsIsEndedAtItsTimeLimitAndNotExaminedFurther) {
  const Result result = check("build_hangs", {"--time-limit", "1"});
  EXPECT_EQ(result.exit_code, kPlugin) << result;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("  failed   build             the model did not come to an end "
                              "within 1 s; it was in build() of model 'build_hangs' "
                              "(plugin build_hangs 0.1.0); give it more by --time-limit"),
                    HasSubstr("  skipped  contract          the model cannot be built"),
                    HasSubstr("1 passed, 1 failed, 16 skipped in ")));
}

TEST_F(PluginsCheck, AModelThatAsksForTooMuchMemoryIsToldHowMuchThereIs) {
  const auto all =
      findings("good", {"--only", "build", "model_config.boring.hidden_dim=1000000000"});
  EXPECT_THAT(all.at("build").at("text").get<std::string>(),
              AllOf(HasSubstr("build() of model 'boring' (plugin good 0.1.0) asked for more than "),
                    HasSubstr("; make the model smaller in `check` of its manifest")));
}

// As in a run: in build() of its fixture.
TEST_F(PluginsCheck, AModelCanReadWeightsOfAnotherTraining) {
  const auto all = findings("elsewhere", {"--only", "build", "model_config.elsewhere.start=nope"});
  EXPECT_THAT(all.at("build").at("text").get<std::string>(), HasSubstr("nope"));
  EXPECT_THAT(all.at("build").at("text").get<std::string>(), Not(HasSubstr("set_weight_reader")));
}

TEST_F(PluginsCheck, WhatIsThrownThatIsNoExceptionIsAFailureToo) {
  const auto all = findings("build_throws_int");
  EXPECT_THAT(all.at("build").at("text").get<std::string>(),
              HasSubstr("build() of model 'build_throws_int'"));
}

TEST_F(PluginsCheck, APluginThatCannotBeLoadedIsNotExaminedFurther) {
  const auto all = findings("aborts_on_load");
  EXPECT_THAT(with_verdict(all, "failed"), ElementsAre("load"));
  EXPECT_THAT(all.at("load").at("text").get<std::string>(), HasSubstr("called abort()"));
  EXPECT_EQ(all.at("contract").at("text"), "the plugin cannot be loaded");
}

TEST_F(PluginsCheck, AFileThatNoHostWouldLoadIsRefusedAsInARun) {
  expect_error(check("other_abi"), kPlugin, {"was built for another Pergola", "sdk_abi"});
  write("text.so", "not a library\n");
  expect_error(pergola({"plugins", "check", "text.so"}), kPlugin, {"text.so", "ELF"});
  expect_error(pergola({"plugins", "check", "nope.so"}), kPlugin, {"there is no file nope.so"});
}

TEST_F(PluginsCheck, WithoutFieldsItIsToldWhichLinesAreMissing) {
  const auto all = findings("migrates");
  EXPECT_THAT(with_verdict(all, "failed"), ElementsAre("contract"));
  EXPECT_THAT(all.at("contract").at("text").get<std::string>(),
              HasSubstr("plugin.toml does not say what forward() reads of a batch; add [models."));
}

TEST_F(PluginsCheck, ListPrintsWhatWouldBeExaminedAndDoesNothing) {
  const Result result = check("crashes_in", {"--list", "--only", "nan", "--only", "contract"});
  expect_success(result);
  EXPECT_EQ(result.out,
            "crashes_in\tnan\tIs a NaN in a field seen in the losses?\n"
            "crashes_in\tcontract\tAre scores and losses what the host expects?\n");
}

TEST_F(PluginsCheck, AReportGoesToAFileWhileStdoutHasTheText) {
  const Result result =
      check("good", {"--only", "contract", "--format", "junit", "--output", "report.xml"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("  passed   contract"));
  EXPECT_THAT(
      text("report.xml"),
      AllOf(StartsWith("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"good "),
            HasSubstr("<testcase classname=\"good 0.1.0.boring\" name=\"contract\""),
            Not(HasSubstr("failure message"))));
}

TEST_F(PluginsCheck, ConfigsOfTheCommandLineAreExaminedAndHeldToTheSpec) {
  const auto all =
      findings("good", {"--only", "contract", "model_config.boring.num_final_outputs=9"});
  EXPECT_THAT(all.at("contract").at("text").get<std::string>(), StartsWith("scores [5, 9]"));
  expect_error(check("good", {"model_config.boring.num_outputs=9"}), kConfig,
               {"model_config.boring.num_outputs", "not a known key"});
  expect_error(check("good", {"model_config.bored.x=9"}), kConfig,
               {"there is no model 'bored'; known is boring"});
  expect_error(check("good", {"training.batch_size=9"}), kConfig,
               {"expected model_config.<model>.<key>=value"});
}

TEST_F(PluginsCheck, WordsThatAreNotKnownAreToldWithTheClosest) {
  expect_error(check("good", {"--only", "contrac"}), kConfig,
               {"no examination 'contrac'; did you mean 'contract'?"});
  expect_error(check("good", {"--model", "borin"}), kConfig, {"did you mean 'boring'?"});
  expect_error(check("good", {"--format", "xml"}), kConfig,
               {"--format 'xml' is not known", "expected text, json, junit"});
  expect_error(pergola({"plugins", "check", fixture_plugin("good").string(), "other.so"}), kConfig,
               {"'other.so' is one word too many"});
  expect_error(check("good", {"--time-limit", "0"}), kConfig,
               {"--time-limit 0", "expected a whole number from 1"});
  expect_error(pergola({"plugins", "list", "--only", "contract"}), kConfig,
               {"'--only' is not an option here"});
}

}  // namespace
}  // namespace pergola::test
