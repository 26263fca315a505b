// SPDX-License-Identifier: BSD-3-Clause
// A headless Chromium, driven by its DevTools protocol over two pipes. What it is asked and does
// not do within half a minute throws. Not thread-safe.
#pragma once

#include "fixtures/temp_folder.h"
#include "integration/process.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace pergola::test {

enum class Scheme { kLight, kDark };

class Browser {
 public:
  // The program; empty where there is none. One that comes as a snap sees no temporary files, and
  // is no use here.
  [[nodiscard]] static std::filesystem::path find();

  explicit Browser(const std::filesystem::path& program);
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;
  ~Browser();

  // One that is as wide as asked for, phones' widths included. Forgets what it has noted.
  void open(const std::filesystem::path& file, int width, Scheme scheme);
  // What a script gives, as JSON.
  nlohmann::json evaluate(const std::string& script);
  // The pointer, in pixels of the page.
  void move_pointer(double x, double y);
  void press(const std::string& key);
  // The part of the page that is in sight, as PNG.
  [[nodiscard]] std::string screenshot();
  void run_scripts(bool wanted);  // of pages that are opened from now on

  // Since open(): what pages complained about, and the addresses that they asked for.
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  [[nodiscard]] const std::vector<std::string>& requests() const { return requests_; }

 private:
  nlohmann::json call(const std::string& method, const nlohmann::json& parameters);
  void note(const nlohmann::json& event);
  [[nodiscard]] nlohmann::json read();

  fixtures::TempFolder profile_;
  int to_browser_ = -1;
  int from_browser_ = -1;
  std::unique_ptr<Process> process_;
  std::string session_;
  std::string unread_;
  int last_id_ = 0;
  bool loaded_ = false;
  std::vector<std::string> complaints_;
  std::vector<std::string> requests_;
};

}  // namespace pergola::test
