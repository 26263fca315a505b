// SPDX-License-Identifier: BSD-3-Clause
// What the host says of each item of the bad-plugin kit, beside the texts that are written down in
// tests/golden/bad_plugins. Where they differ, the new text is left in <temporary
// folder>/pergola_bad_plugins, to be looked at and copied.
#include "integration/kit_text.h"
#include "integration/run_test.h"

#include <algorithm>
#include <csignal>
#include <sstream>
#include <thread>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Item {
  std::string name;
  bool is_plugin = true;  // one that was built, or a file that a script makes
};
void PrintTo(const Item& item, std::ostream* stream) { *stream << item.name; }

std::vector<Item> all_items() {
  std::vector<Item> items;
  std::istringstream plugins(PERGOLA_BAD_PLUGINS);
  std::istringstream files(PERGOLA_BAD_FILES);
  for (std::string name; plugins >> name;) items.push_back({name, true});
  for (std::string name; files >> name;) items.push_back({name, false});
  return items;
}

std::string file_of(const Item& item) {
  return item.name == "escape_in_name" ? "escape_in_name\x1b[2J.so" : item.name + ".so";
}

// What to train: the files stand for `good`.
std::string model_of(const Item& item) {
  if (!item.is_plugin || item.name == "good" || item.name == "duplicate_key") return "boring";
  return item.name == "liar" ? "promised" : item.name;
}

// Those that do nothing wrong unless they are told to.
Words options_of(const Item& item) {
  if (item.name == "crashes_in") {
    return {"model_config.crashes_in.hook=forward", "model_config.crashes_in.how=null",
            "model_config.crashes_in.after=0"};
  }
  if (item.name == "throws_in") return {"model_config.throws_in.hook=build"};
  if (item.name == "changes_state") {
    return {"model_config.changes_state.what=locale", "plugins.check_state=true"};
  }
  return {};
}

// A command that is given each item, alone in the folder `plugins`. To have another one in the
// texts is to add a line.
struct Command {
  const char* begin;
  Words (*words)(const Item& item);
  bool (*concerns)(const Item& item);
};

bool always(const Item& /*item*/) { return true; }
bool ends(const Item& item) { return item.name != "build_hangs"; }

// Of two that cannot be loaded together, the other one; "": there is none.
std::string partner_of(const Item& item) {
  if (item.name == "duplicate_key") return "good";
  for (const std::string one : {"exports_helper", "same_operators"}) {
    if (item.name == one) return one + "_too";
    if (item.name == one + "_too") return one;
  }
  return "";
}
bool has_partner(const Item& item) { return !partner_of(item).empty(); }

// Those that are refused for what is in the file, before any of their code runs.
bool is_never_run(const Item& item) {
  const Words builds = {"no_manifest",    "no_models",        "other_abi",
                        "other_libtorch", "undefined_symbol", "needs_missing"};
  if (item.name == "manifest_escapes") return false;  // nothing is wrong with its code
  if (item.is_plugin) {
    return item.name.starts_with("manifest_") ||
           std::ranges::find(builds, item.name) != builds.end();
  }
  return item.name != "without_entry" && item.name != "wrong_name";
}

Words inspect_words(const Item& item) { return {"plugins", "inspect", "plugins/" + file_of(item)}; }
Words check_words(const Item& item) {
  Words words = {"plugins", "check", "plugins/" + file_of(item)};
  if (item.name == "build_hangs" || item.name == "hangs_on_load") {
    words.insert(words.end(), {"--time-limit", "1"});
  }
  for (const std::string& option : options_of(item)) {
    if (option.starts_with("model_config.")) words.push_back(option);
  }
  return words;
}
// Conflicts are told beside any list.
Words conflict_words(const Item& /*item*/) {
  return {"list", "callbacks", "--plugin-path", "plugins"};
}
Words train_words(const Item& item) {
  Words words = {"train", "tiny.toml", "model=" + model_of(item)};
  for (const std::string& option : options_of(item)) words.push_back(option);
  return words;
}

constexpr const char* kList = "plugins list";
const std::vector<Command> kCommands = {{"plugins inspect", inspect_words, always},
                                        {"plugins check", check_words, always},
                                        {"list callbacks", conflict_words, has_partner},
                                        {"train", train_words, ends}};

class BadPluginKit : public RunTest {
 protected:
  BadPluginKit() {
    write("tiny.toml", common_config() + "plugins.path = [\"plugins\"]\n");
    fs::create_directory(path("plugins"));
  }

  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "sanitizers say it in other words";
#endif
  }

  void place(const Item& item) const {
    const fs::path plugins = path("plugins");
    if (item.is_plugin) {
      fs::copy_file(fixture_plugin(item.name), plugins / file_of(item));
      return;
    }
    Launch script;
    script.command = {"/bin/bash", PERGOLA_MAKE_BAD_FILES, fixture_plugin("good"), plugins,
                      item.name};
    const Result made = test::run(script);
    if (made.exit_code != 0) throw std::runtime_error("no " + item.name + ": " + made.err);
  }

  // As a user who is not root: permissions count. With a memory of its own of tried plugins.
  [[nodiscard]] Result say(Words words) const {
    if (words.front() == "train") {
      words.insert(words.end(), {"--run-dir", path("run"), "--log-level", "warning",
                                 "run_type=train", "training.max_updates=2"});
    }
    Launch what = launch(words);
    what.prepare = &drop_root_override;
    what.environment["XDG_CACHE_HOME"] = path("cache").string();
    what.environment["PERGOLA_TEST_WITNESS"] = path("witness").string();
    return test::run(what);
  }

  [[nodiscard]] std::string shown(const Result& result) const {
    return kit_text(result, path("").string());
  }
};

// One call for the whole folder, whose texts are those of the items.
TEST_F(BadPluginKit, ListSaysOfEachItemWhatIsWrittenDown) {
  for (const Item& item : all_items()) place(item);
  const Result result = say({"plugins", "list", "--plugin-path", "plugins"});
  expect_success(result);
  std::map<std::string, std::string> texts = texts_of_list(shown(result));
  for (const Item& item : all_items()) {
    const std::string file = printed("plugins/" + file_of(item));
    ASSERT_TRUE(texts.contains(file)) << item.name << " is not in the list:\n" << result;
    expect_golden(item.name, kList, "$ pergola plugins list\n" + texts.at(file));
  }
}

TEST_F(BadPluginKit, ARunThatNeedsNoneOfThemIsNotDisturbed) {
  for (const Item& item : all_items()) {
    if (item.name != "good") place(item);  // `boring` would be offered twice
  }
  write("plugins/other.so", read_file(fixture_plugin("stopped_in")));
  expect_success(say({"train", "tiny.toml", "model=stopped_in"}));
}

// The first Ctrl-C is noted, for what comes back.
TEST_F(BadPluginKit, ABuildThatNeverReturnsIsEndedByTheSecondCtrlC) {
  place({"build_hangs"});
  Process process(launch({"train", "tiny.toml", "model=build_hangs", "--run-dir", "run"}));
  ASSERT_TRUE(wait_until(process, [&] {
    return text("run/log.txt").find("[plugin] build_hangs") != std::string::npos;
  }));
  process.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  process.send(SIGINT);
  const Result result = process.wait(std::chrono::seconds(10));
  EXPECT_EQ(result.exit_code, 128 + SIGINT) << result;
  expect_nothing_half_written();
}

class BadPluginKitItem : public BadPluginKit, public ::testing::WithParamInterface<Item> {};
INSTANTIATE_TEST_SUITE_P(Items, BadPluginKitItem, ::testing::ValuesIn(all_items()),
                         [](const auto& param) { return param.param.name; });

TEST_P(BadPluginKitItem, IsToldWhatIsWrittenDown) {
  place(GetParam());
  if (has_partner(GetParam())) place({partner_of(GetParam())});
  for (const Command& command : kCommands) {
    if (!command.concerns(GetParam())) continue;
    const Words words = command.words(GetParam());
    std::string line = "$ pergola";
    for (const std::string& word : words) line += " " + printed(word);
    const Result result = say(words);
    expect_golden(GetParam().name, command.begin, line + "\n" + shown(result));
    // One of them is found out in the second update.
    const bool is_refused = result.exit_code == kPlugin && GetParam().name != "changes_state";
    if (is_refused) expect_nothing_half_written();
  }
  if (is_never_run(GetParam())) EXPECT_FALSE(fs::exists(path("witness"))) << "its code ran";
  if (GetParam().name == "good") EXPECT_TRUE(fs::exists(path("witness")));
}

}  // namespace
}  // namespace pergola::test
