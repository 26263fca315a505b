// SPDX-License-Identifier: BSD-3-Clause
#include "integration/kit_text.h"

#include "fixtures/plugins/plugin_files.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <regex>
#include <sstream>
#include <utility>
#include <vector>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;

// The commands in the order of their parts.
constexpr std::array kOrder = {"plugins list", "plugins inspect", "plugins check", "list callbacks",
                               "train"};

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// One line without what is another one elsewhere.
std::string general(std::string line) {
  static const std::vector<std::pair<std::regex, const char*>> kSubstitutions = [] {
    const std::pair<const char*, const char*> all[] = {
        {R"(^\[\d\d:\d\d:\d\d\] )", ""},
        {R"(\b[0-9a-f]{64}\b)", "<sha256>"},
        {R"(^  (\S+) +\S.* (same|DIFFERS)$)", "  $1 <host> <plugin> $2"},
        {R"(^  field +this host +the plugin +verdict)", "  field <host> <plugin> verdict"},
        {R"((x86_64|aarch64)( \(\d+\))?)", "<processor>"},
        {R"([^ ,;'"]*/lib/pergola/plugins)", "<own plugins>"},
        {R"(known are cnn_lstm[^;]*)", "known are <models>"},
        {R"(at 0x[0-9a-f]+ to)", "at <address> to"},
        {R"(addr2line .*)", "addr2line <file and address>"},
        {R"(\d+ bytes;)", "<size> bytes;"},
        {R"(^\d+ passed, (\d+) failed, \d+ skipped in .*)", "$1 failed"},
        {R"(\\x0aException raised.*)", ""},  // LibTorch's stack
        {R"(\s+$)", ""},
    };
    std::vector<std::pair<std::regex, const char*>> compiled;
    for (const auto& [from, to] : all) compiled.emplace_back(std::regex(from), to);
    return compiled;
  }();
  for (const auto& [from, to] : kSubstitutions) line = std::regex_replace(line, from, to);
  return line;
}

// The stack of a crash, what inspect says of the build, and what check found out with a GPU.
bool is_particular(const std::string& line) {
  static const std::regex kFrame(R"(^    \d+ .*)");
  static const std::regex kOfGpu(
      R"(^  (passed|failed|skipped) +(cuda|cuda_graph|synchronisations) .*)");
  return line.starts_with("# built with ") || std::regex_match(line, kFrame) ||
         std::regex_match(line, kOfGpu);
}

// A line of check without what it measured; of what is not wrong the name is enough.
std::string without_figures(const std::string& line) {
  static const std::regex kNotWrong(R"(^(  (passed|skipped) +\S+) .*)");
  static const std::regex kWrong(R"(^  failed .*)");
  static const std::regex kFigure(R"(\b\d+(\.\d+)?(e[-+]?\d+)?\b)");
  if (!std::regex_match(line, kWrong)) return std::regex_replace(line, kNotWrong, "$1");
  std::string text = std::regex_replace(line, kFigure, "<n>");
  replace_all(text, "-nan", "nan");  // the sign is the processor's
  return text;
}

// Lines, each with `mark` before it; the same line again and again is one.
std::string general_lines(const std::string& text, const std::string& mark) {
  std::istringstream lines(text);
  std::string all;
  std::string last;
  std::size_t times = 0;
  const auto add = [&] {
    if (times == 0) return;
    all += mark + last + (times > 1 ? " (" + std::to_string(times) + " times)" : "") + "\n";
  };
  for (std::string line; std::getline(lines, line);) {
    if (times > 0 && line == last) {  // as it is: there may be many
      ++times;
      continue;
    }
    if (is_particular(line)) continue;
    line = without_figures(general(std::move(line)));
    if (times > 0 && line == last) {
      ++times;
      continue;
    }
    add();
    last = std::move(line);
    times = 1;
  }
  add();
  return all;
}

std::string command_of(const std::string& line) {
  for (const char* command : kOrder) {
    if (line.starts_with("$ pergola " + std::string(command))) return command;
  }
  return "";
}

using Parts = std::map<std::string, std::string>;

Parts parse_golden(const std::string& text) {
  Parts parts;
  std::istringstream lines(text);
  std::string command;
  for (std::string line; std::getline(lines, line);) {
    if (const std::string next = command_of(line); !next.empty()) command = next;
    parts[command] += line + "\n";
  }
  for (auto& [name, part] : parts) part.erase(part.find_last_not_of('\n') + 2);
  return parts;
}

std::string golden_text(const Parts& parts) {
  std::string text;
  for (const char* command : kOrder) {
    if (!parts.contains(command)) continue;
    if (!text.empty()) text += "\n";
    text += parts.at(command);
  }
  return text;
}

std::string read_if_there(const fs::path& file) { return fs::exists(file) ? read_file(file) : ""; }

}  // namespace

std::string kit_text(const Result& result, const std::string& folder) {
  std::string text = general_lines(result.out, "") + general_lines(result.err, "! ");
  text += result.killed_by != 0 ? "killed by signal " + std::to_string(result.killed_by)
                                : "exit code " + std::to_string(result.exit_code);
  replace_all(text, folder, "<folder>/");
  return text + "\n";
}

std::map<std::string, std::string> texts_of_list(const std::string& text) {
  std::vector<std::string> refused;
  std::map<std::string, std::string> texts;
  std::istringstream lines(text);
  std::size_t warnings = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto tab = line.rfind('\t');
    if (!line.starts_with("! ") && tab != std::string::npos) {
      const std::string path = line.substr(tab + 1);
      texts[path] = line + "\n";
      if (line.find("\trefused\t") != std::string::npos) refused.push_back(path);
    } else if (line.starts_with("! ")) {
      if (line.starts_with("! warning: [plugin] ")) ++warnings;
      if (warnings > 0 && warnings <= refused.size()) texts[refused[warnings - 1]] += line + "\n";
    }
  }
  EXPECT_EQ(warnings, refused.size()) << "not one warning for each that is refused";
  return texts;
}

std::string printed(std::string text) {
  replace_all(text, "\x1b", "\\x1b");
  return text;
}

void expect_golden(const std::string& item, const std::string& command, const std::string& text) {
  const std::string file = item + ".txt";
  const std::string golden = read_if_there(fs::path(PERGOLA_GOLDEN_DIR) / "bad_plugins" / file);
  Parts parts = parse_golden(golden);
  if (parts[command] == text) return;
  const fs::path folder = fs::temp_directory_path() / "pergola_bad_plugins";
  fs::create_directories(folder);
  Parts found = fs::exists(folder / file) ? parse_golden(read_file(folder / file)) : parts;
  found[command] = text;
  write_file(folder / file, golden_text(found));
  ADD_FAILURE() << "what is said of " << item << " by `" << command
                << "` is not what tests/golden/bad_plugins/" << file << " has; the new text is in "
                << folder / file << "\nexpected:\n"
                << parts[command] << "\nfound:\n"
                << text;
}

}  // namespace pergola::test
