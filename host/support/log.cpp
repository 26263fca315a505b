// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/log.h"

#include "host/support/crash_report.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "host/support/printable.h"
#include "pergola/suggest.h"
#include "pergola/value.h"

#include <fcntl.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::string_view kClearLine = "\r\x1b[2K";

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kInfo:
      break;
  }
  return spdlog::level::info;
}

// "%*" of the patterns: nothing for an info line, the level's name for the others.
class LevelMark final : public spdlog::custom_flag_formatter {
 public:
  explicit LevelMark(bool coloured) : coloured_(coloured) {}

  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    switch (message.level) {
      case spdlog::level::debug:
        return append(out, "debug: ", "\x1b[2m");
      case spdlog::level::warn:
        return append(out, "warning: ", "\x1b[33m");
      case spdlog::level::err:
        return append(out, "error: ", "\x1b[31m");
      default:
        return;
    }
  }
  [[nodiscard]] std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<LevelMark>(coloured_);
  }

 private:
  void append(spdlog::memory_buf_t& out, std::string_view name, std::string_view colour) const {
    if (coloured_) out.append(colour.data(), colour.data() + colour.size());
    out.append(name.data(), name.data() + name.size());
    constexpr std::string_view kPlain = "\x1b[0m";
    if (coloured_) out.append(kPlain.data(), kPlain.data() + kPlain.size());
  }

  bool coloured_;
};

std::unique_ptr<spdlog::formatter> make_formatter(const char* pattern, bool coloured) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelMark>('*', coloured).set_pattern(pattern);
  return formatter;
}

const char* level_name(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::warn:
      return "warning";
    case spdlog::level::err:
      return "error";
    default:
      return "info";
  }
}

std::string json_line(const spdlog::details::log_msg& message) {
  std::string_view text(message.payload.data(), message.payload.size());
  std::string_view area;
  const std::size_t end = text.find("] ");
  if (text.starts_with('[') && end != std::string_view::npos) {
    area = text.substr(1, end - 1);
    text.remove_prefix(end + 2);
  }
  using Milliseconds = std::chrono::milliseconds;
  const auto time = std::chrono::floor<Milliseconds>(message.time.time_since_epoch());
  return to_json(Value::Table{{"area", std::string(area)},
                              {"level", level_name(message.level)},
                              {"message", std::string(text)},
                              {"time", static_cast<double>(time.count()) / 1000}}) +
         '\n';
}

// The convention of no-color.org.
bool colours_are_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

// write(2) of everything; false when the system refuses.
bool write_quietly(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

// Where all lines end: stderr, with the status line kept below them, and the log files.
class Sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  Sink() { restart(); }

  void restart() {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_terminal_ = stderr_is_terminal();
    errors_only_ = false;
    use_colours(LogColours::kYes);
    status_.clear();
    set_crash_log(-1);
    files_.clear();
  }

  void set_colours(LogColours colours) {
    const std::lock_guard<std::mutex> lock(mutex_);
    use_colours(colours);
  }

  void show_errors_only() {
    const std::lock_guard<std::mutex> lock(mutex_);
    errors_only_ = true;
  }

  void add_file(const std::filesystem::path& path, UniqueFd fd, LogFileFormat format) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (format == LogFileFormat::kText) set_crash_log(fd.get());
    files_.push_back(File{path, std::move(fd), format});
  }

  void show_status(std::string_view text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    // One that is wrapped could not be cleared any more, and each redrawing would leave a line.
    text = text.substr(0, terminal_width() - 1);
    if (!is_terminal_ || errors_only_ || text == status_) return;
    status_ = text;
    write_quietly(STDERR_FILENO, std::string(kClearLine) + status_);
  }

 private:
  struct File {
    std::filesystem::path path;
    UniqueFd fd;
    LogFileFormat format;
  };

  // REQUIRES: the lock.
  void use_colours(LogColours colours) {
    const bool coloured = colours == LogColours::kYes && is_terminal_ && colours_are_wanted();
    set_formatter_(make_formatter("[%H:%M:%S] %*%v", coloured));
  }

  // One write for each line, so that lines of other programs do not come between.
  void sink_it_(const spdlog::details::log_msg& raw) override {
    // Here, and not at each message: texts of data files, checkpoints and plugins get into many.
    const std::string text = printable_lines({raw.payload.data(), raw.payload.size()});
    spdlog::details::log_msg message = raw;
    message.payload = text;
    if (!errors_only_ || message.level >= spdlog::level::err) write_stderr(message);
    if (!files_.empty()) write_files(message);
  }

  void write_stderr(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string out;
    if (!status_.empty()) out += kClearLine;
    out.append(line.data(), line.size());
    out += status_;
    write_quietly(STDERR_FILENO, out);
  }

  void write_files(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t text;
    file_formatter_->format(message, text);
    for (File& file : files_) {
      const std::string line = file.format == LogFileFormat::kJson
                                   ? json_line(message)
                                   : std::string(text.data(), text.size());
      if (!file.fd || write_quietly(file.fd.get(), line)) continue;
      const std::string reason = describe_errno(errno);
      set_crash_log(-1);
      file.fd.reset();
      write_quietly(STDERR_FILENO, concat("warning: [log] cannot write ", file.path.string(), ": ",
                                          reason, "; the log goes on here only\n"));
    }
  }

  void flush_() override {}  // nothing is buffered

  bool is_terminal_ = false;
  bool errors_only_ = false;  // on stderr
  std::string status_;
  std::vector<File> files_;
  std::unique_ptr<spdlog::formatter> file_formatter_ =
      make_formatter("[%Y-%m-%d %H:%M:%S.%e] %*%v", /*coloured=*/false);
};

struct Log {
  Log() : sink(std::make_shared<Sink>()), logger("pergola", sink) {
    logger.set_error_handler([](const std::string& problem) {
      write_quietly(STDERR_FILENO, "warning: [log] " + problem + "\n");
    });
  }
  std::shared_ptr<Sink> sink;
  spdlog::logger logger;
};

// Never destroyed: threads and destructors of other statics may log until the very end.
Log& the_log() {
  static Log& log = *new Log;
  return log;
}

void take_sdk_line(LogLevel level, const std::string& line) { log::write(level, line); }

}  // namespace

void init_log(LogLevel level) {
  the_log().logger.set_level(to_spdlog(level));
  the_log().sink->restart();
  set_log_sink(&take_sdk_line);
}

void set_log_level(LogLevel level) { the_log().logger.set_level(to_spdlog(level)); }

void show_errors_only() {
  clear_status_line();
  the_log().sink->show_errors_only();
}

void set_log_colours(LogColours colours) { the_log().sink->set_colours(colours); }

LogLevel parse_log_level(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  const std::vector<std::string> names = {"debug", "info", "warning", "error"};
  throw Error(ErrorKind::kConfig, "log level '", name, "' is not one of ", join(names),
              closest(name, names).empty() ? "" : did_you_mean(name, names));
}

void add_log_file(const std::filesystem::path& path, LogFileFormat format) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!fd) throw file_error(ErrorKind::kCheckpoint, "write", path, errno);
  the_log().sink->add_file(path, std::move(fd), format);
}

void set_status_line(std::string_view text) { the_log().sink->show_status(text); }

void clear_status_line() { the_log().sink->show_status(""); }

bool stderr_is_terminal() noexcept { return ::isatty(STDERR_FILENO) == 1; }

std::size_t terminal_width() noexcept {
  constexpr std::size_t kUsual = 80;
  struct winsize size {};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kUsual;
}

namespace log {

bool enabled(LogLevel level) noexcept { return the_log().logger.should_log(to_spdlog(level)); }

void write(LogLevel level, const std::string& line) noexcept {
  the_log().logger.log(to_spdlog(level), spdlog::string_view_t(line));
}

}  // namespace log
}  // namespace pergola::host
