// SPDX-License-Identifier: BSD-3-Clause
// The examination of a plugin's models as a GoogleTest program: a test for each model and each
// thing that `pergola plugins check` examines. It runs that command and reads what it prints;
// nothing of the plugin is loaded here, so a model that crashes is a test that fails.
//
// What it runs is in a file beside the program, which pergola_add_model_contract_test writes:
// <program>.txt, lines of `program`, `plugin`, `model` or `config`, a tab, and the value.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using Words = std::vector<std::string>;

struct Settings {
  std::string program;  // pergola
  std::string plugin;   // the file
  Words models;         // empty: all of them
  Words config;         // model_config.<model>.<key>=<value>

  static Settings read(const std::filesystem::path& file) {
    std::map<std::string, Words> lines;
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) {
      const std::size_t tab = line.find('\t');
      if (tab != std::string::npos) lines[line.substr(0, tab)].push_back(line.substr(tab + 1));
    }
    const auto one = [&](const char* key) { return lines[key].empty() ? "" : lines[key].front(); };
    return {one("program"), one("plugin"), lines["model"], lines["config"]};
  }
};

struct Answer {
  int exit_code = -1;  // -1: a signal ended it
  std::string text;    // stdout and stderr
};

// One word of a command line for sh.
std::string quoted(const std::string& word) {
  std::string text = "'";
  text += std::regex_replace(word, std::regex("'"), "'\\''");
  return text += '\'';
}

Answer run(const Words& command) {
  std::string line = "exec";
  for (const std::string& word : command) line.append(" ").append(quoted(word));
  FILE* const pipe = popen((line + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "no process could be started"};
  Answer answer;
  std::array<char, 4096> buffer;
  while (const std::size_t size = fread(buffer.data(), 1, buffer.size(), pipe)) {
    answer.text.append(buffer.data(), size);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) answer.exit_code = WEXITSTATUS(status);
  return answer;
}

// What was found of one examination: `passed`, `failed` or `skipped`, and the rest of its lines.
struct Finding {
  std::string result;
  std::string detail;
};

// Reads "  <result>  <examination>  <detail>"; lines that are indented further go on with a detail.
std::map<std::string, Finding> parse_findings(const std::string& text) {
  static const std::regex kHead("  (passed|failed|skipped) +([^ ]+) *(.*)");
  std::map<std::string, Finding> findings;
  Finding* last = nullptr;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kHead)) {
      last = &(findings[match[2]] = {match[1], match[3]});
    } else if (last != nullptr && line.compare(0, 4, "    ") == 0) {
      last->detail.append("\n").append(line, 4);
    } else {
      last = nullptr;
    }
  }
  return findings;
}

// One model: the command runs once, at the first test, for those of its tests that are to run.
class Model {
 public:
  Model(const Settings& settings, std::string key)
      : command_{settings.program, "plugins", "check", settings.plugin, "--model", key},
        key_(std::move(key)) {
    for (const std::string& word : settings.config) {
      if (word.rfind("model_config." + key_ + ".", 0) == 0) command_.push_back(word);
    }
  }

  // `test`: the name that GoogleTest knows it by.
  void add(std::string test, std::string examination) {
    tests_[std::move(test)] = std::move(examination);
  }

  // Fails where the command says nothing of it, with all that it says.
  Finding find(const std::string& examination) {
    if (!asked_) examine();
    asked_ = true;
    // Where it cannot be loaded, all else is skipped, and none of it has passed.
    const auto load = findings_.find("load");
    if (load != findings_.end() && load->second.result == "failed") return load->second;
    const auto found = findings_.find(examination);
    if (found != findings_.end()) return found->second;
    return {"failed", "`pergola plugins check` ended with " + std::to_string(answer_.exit_code) +
                          " and said nothing of it:\n" + answer_.text};
  }

 private:
  void examine() {
    Words command = command_;
    const testing::TestSuite* const suite = testing::UnitTest::GetInstance()->current_test_suite();
    for (int i = 0; i < suite->total_test_count(); ++i) {
      const testing::TestInfo& test = *suite->GetTestInfo(i);
      if (!test.should_run()) continue;
      command.emplace_back("--only");
      command.push_back(tests_.at(test.name()));
    }
    answer_ = run(command);
    findings_ = parse_findings(answer_.text);
  }

  Words command_;
  std::string key_;
  std::map<std::string, std::string> tests_;  // to their examinations
  bool asked_ = false;
  Answer answer_;
  std::map<std::string, Finding> findings_;
};

class Examination : public testing::Test {
 public:
  Examination(std::shared_ptr<Model> model, std::string name)
      : model_(std::move(model)), name_(std::move(name)) {}

  void TestBody() override {
    const Finding finding = model_->find(name_);
    if (finding.result == "skipped") GTEST_SKIP() << finding.detail;
    if (finding.result != "passed") FAIL() << finding.detail;
  }

 private:
  std::shared_ptr<Model> model_;  // shared: by all tests of a model, which GoogleTest owns
  std::string name_;
};

// A test that says why there are no others.
class Refused : public testing::Test {
 public:
  explicit Refused(std::string reason) : reason_(std::move(reason)) {}
  void TestBody() override { FAIL() << reason_; }

 private:
  std::string reason_;
};

// As --gtest_filter can take it: '-', ':' and others mean something there.
std::string test_name(std::string examination) {
  std::replace_if(
      examination.begin(), examination.end(), [](unsigned char c) { return !std::isalnum(c); },
      '_');
  return examination;
}

void register_examination(const std::shared_ptr<Model>& model, const std::string& key,
                          const std::string& examination) {
  model->add(test_name(examination), examination);
  testing::RegisterTest(
      key.c_str(), test_name(examination).c_str(), nullptr, nullptr, __FILE__, __LINE__,
      [model, examination]() -> testing::Test* { return new Examination(model, examination); });
}

using Models = std::map<std::string, std::shared_ptr<Model>>;

// Of the lines of `--list`: a model, an examination, and what it asks, with tabs between them.
Models register_examinations(const Settings& settings, const std::string& list) {
  Models models;
  std::istringstream stream(list);
  for (std::string line; std::getline(stream, line);) {
    const std::size_t tab = line.find('\t');
    const std::string key = line.substr(0, tab);
    if (tab == std::string::npos || key.find(' ') != std::string::npos) continue;  // a log line
    const Words& chosen = settings.models;
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), key) == chosen.end()) continue;
    auto& model = models[key];
    if (!model) model = std::make_shared<Model>(settings, key);
    const std::string rest = line.substr(tab + 1);
    register_examination(model, key, rest.substr(0, rest.find('\t')));
  }
  return models;
}

// What MODELS and CONFIG say of models that are not there; empty when all is well.
std::string problems_of(const Settings& settings, const Models& models) {
  std::string problems = models.empty() ? "there is no model to examine\n" : "";
  for (const std::string& key : settings.models) {
    if (models.count(key) == 0) problems += "MODELS: the plugin has no model '" + key + "'\n";
  }
  for (const std::string& word : settings.config) {
    const bool known = std::any_of(models.begin(), models.end(), [&](const auto& model) {
      return word.rfind("model_config." + model.first + ".", 0) == 0;
    });
    if (!known) {
      problems += "CONFIG: '" + word +
                  "' is for no model that is examined; expected model_config.<model>.key=value\n";
    }
  }
  return problems;
}

// Whatever is wrong is a test that fails: a build that lists the tests goes on.
void register_tests(const Settings& settings) {
  const Answer answer = run({settings.program, "plugins", "check", settings.plugin, "--list"});
  std::string problems = answer.text;
  if (answer.exit_code == 0) {
    problems = problems_of(settings, register_examinations(settings, answer.text));
    if (problems.empty()) return;
  }
  testing::RegisterTest("plugin", "can_be_examined", nullptr, nullptr, __FILE__, __LINE__,
                        [problems]() -> testing::Test* { return new Refused(problems); });
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const auto self = std::filesystem::canonical("/proc/self/exe");
  register_tests(Settings::read(self.string() + ".txt"));
  return RUN_ALL_TESTS();
}
