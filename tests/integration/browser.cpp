// SPDX-License-Identifier: BSD-3-Clause
#include "integration/browser.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// The numbers that --remote-debugging-pipe reads from and writes to.
constexpr int kCommands = 3;
constexpr int kAnswers = 4;

struct Pipe {
  int read_end;
  int write_end;
};

// Above the two numbers, which a child gives to the ends that it keeps.
Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category());
  Pipe result{};
  constexpr int kLeast = 10;
  result.read_end = ::fcntl(ends[0], F_DUPFD_CLOEXEC, kLeast);
  result.write_end = ::fcntl(ends[1], F_DUPFD_CLOEXEC, kLeast);
  ::close(ends[0]);
  ::close(ends[1]);
  return result;
}

std::string decode_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text.substr(0, text.find('='))) {
    bits = bits << 6U | static_cast<unsigned>(kDigits.find(c));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> static_cast<unsigned>(count) & 0xffU);
  }
  return bytes;
}

}  // namespace

fs::path Browser::find() {
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    for (const char* name : {"chromium", "google-chrome-stable", "google-chrome"}) {
      std::error_code error;
      const fs::path file = fs::canonical(fs::path(folder) / name, error);
      const bool snap = file.string().find("/snap") != std::string::npos;
      if (!error && !snap && ::access(file.c_str(), X_OK) == 0) return file;
    }
  }
  return {};
}

Browser::Browser(const fs::path& program) {
  const Pipe commands = make_pipe();
  const Pipe answers = make_pipe();
  Launch launch;
  launch.command = {program.string(),
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--hide-scrollbars",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--remote-debugging-pipe",
                    "--user-data-dir=" + profile_.path().string(),
                    "about:blank"};
  launch.folder = profile_.path();
  launch.prepare = [=] {
    ::dup2(commands.read_end, kCommands);
    ::dup2(answers.write_end, kAnswers);
  };
  process_ = std::make_unique<Process>(launch);
  ::close(commands.read_end);
  ::close(answers.write_end);
  to_browser_ = commands.write_end;
  from_browser_ = answers.read_end;
  const Json target = call("Target.createTarget", {{"url", "about:blank"}}).at("targetId");
  session_ =
      call("Target.attachToTarget", {{"targetId", target}, {"flatten", true}}).at("sessionId");
  for (const char* domain : {"Page", "Runtime", "Network", "Log"}) {
    call(std::string(domain) + ".enable", Json::object());
  }
}

Browser::~Browser() {
  process_->send(SIGTERM);  // so that it ends its own children
  static_cast<void>(process_->wait(std::chrono::seconds(5)));
  ::close(to_browser_);
  ::close(from_browser_);
}

void Browser::open(const fs::path& file, int width, Scheme scheme) {
  complaints_.clear();
  requests_.clear();
  const char* const value = scheme == Scheme::kDark ? "dark" : "light";
  call("Emulation.setDeviceMetricsOverride",
       {{"width", width}, {"height", 800}, {"deviceScaleFactor", 1}, {"mobile", width < 600}});
  call("Emulation.setEmulatedMedia",
       {{"features", {{{"name", "prefers-color-scheme"}, {"value", value}}}}});
  loaded_ = false;
  call("Page.navigate", {{"url", "file://" + file.string()}});
  while (!loaded_) note(read());
}

Json Browser::evaluate(const std::string& script) {
  const Json answer = call("Runtime.evaluate", {{"expression", script}, {"returnByValue", true}});
  if (answer.contains("exceptionDetails")) throw std::runtime_error(answer.dump());
  return answer.at("result").value("value", Json());
}

void Browser::move_pointer(double x, double y) {
  call("Input.dispatchMouseEvent", {{"type", "mouseMoved"}, {"x", x}, {"y", y}});
}

void Browser::press(const std::string& key) {
  call("Input.dispatchKeyEvent", {{"type", "keyDown"}, {"key", key}});
}

std::string Browser::screenshot() {
  return decode_base64(
      call("Page.captureScreenshot", {{"format", "png"}}).at("data").get<std::string>());
}

void Browser::run_scripts(bool wanted) {
  call("Emulation.setScriptExecutionDisabled", {{"value", !wanted}});
}

Json Browser::call(const std::string& method, const Json& parameters) {
  Json message = {{"id", ++last_id_}, {"method", method}, {"params", parameters}};
  if (!session_.empty()) message["sessionId"] = session_;
  const std::string text = message.dump() + '\0';
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t count = ::write(to_browser_, text.data() + sent, text.size() - sent);
    if (count <= 0) throw std::runtime_error("the browser takes no command: " + method);
    sent += static_cast<std::size_t>(count);
  }
  while (true) {
    const Json answer = read();
    if (answer.value("id", 0) != last_id_) {
      note(answer);
      continue;
    }
    if (answer.contains("error")) throw std::runtime_error(method + ": " + answer.dump());
    return answer.at("result");
  }
}

void Browser::note(const Json& event) {
  const std::string method = event.value("method", "");
  if (method == "Page.loadEventFired") loaded_ = true;
  if (method == "Network.requestWillBeSent") {
    requests_.push_back(event.at("params").at("request").at("url"));
  }
  if (method == "Runtime.exceptionThrown" || method == "Runtime.consoleAPICalled" ||
      method == "Log.entryAdded" || method == "Page.javascriptDialogOpening") {
    complaints_.push_back(event.dump());
  }
}

Json Browser::read() {
  while (true) {
    const std::size_t end = unread_.find('\0');
    if (end != std::string::npos) {
      Json message = Json::parse(unread_.substr(0, end));
      unread_.erase(0, end + 1);
      return message;
    }
    pollfd event{from_browser_, POLLIN, 0};
    constexpr int kMostMilliseconds = 30'000;
    char buffer[65536];
    const ssize_t count = ::poll(&event, 1, kMostMilliseconds) > 0
                              ? ::read(from_browser_, buffer, sizeof(buffer))
                              : -1;
    if (count <= 0) throw std::runtime_error("the browser does not answer");
    unread_.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace pergola::test
