// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/config/interpolate.h"
#include "host/config/schema.h"
#include "host/data/defaults.h"
#include "host/device/cuda.h"
#include "host/device/gpu_report.h"
#include "host/plugin/fingerprint.h"
#include "host/plugin/probe.h"
#include "host/plugin/search_path.h"
#include "host/run/plugins.h"
#include "host/support/files.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/version.h"

#include <filesystem>
#include <iostream>

namespace pergola::host {
namespace {

// Collects what would stop every run, and what could stop some, while it prints what it finds.
class Doctor {
 public:
  void fact(const std::string& area, const std::string& text) {
    std::cout << "[" << area << "] " << printable_lines(text) << '\n';
  }
  // Of no matter to runs that do not need it.
  void warning(const std::string& area, const std::string& text) {
    ++warnings_;
    fact(area, "warning: " + text);
  }
  // `kind` is what the run would end with.
  void problem(const std::string& area, ErrorKind kind, const std::string& text) {
    if (problems_++ == 0) exit_code_ = static_cast<int>(kind);
    fact(area, "PROBLEM: " + text);
  }
  [[nodiscard]] std::string verdict() const {
    const std::string found = warnings_ == 0 ? "" : concat(warnings_, " warning(s); ");
    if (problems_ == 0) return found + "nothing would stop a run";
    return concat(found, problems_, " problem(s) would stop a run");
  }
  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }  // the first problem's, or 0

 private:
  int warnings_ = 0;
  int problems_ = 0;
  int exit_code_ = 0;
};

void check_build(Doctor& doctor) {
  doctor.fact("pergola", concat(PERGOLA_VERSION, " in ", install_prefix().string()));
  std::string build;
  for (const auto& [field, value] : host_fingerprint()) {
    build += concat(build.empty() ? "" : ", ", field, " ", value);
  }
  doctor.fact("build", build);
}

void check_cuda(Doctor& doctor) {
  const CudaState state = probe_cuda();
  if (!state.problem.empty()) {
    doctor.fact("cuda", state.problem + "; runs use the CPU");
    return;
  }
  for (const std::string& device : state.devices) doctor.fact("cuda", device);
  doctor.fact("cuda", "the driver runs CUDA " + state.driver);
  const std::string problem = load_cuda();
  if (problem.empty()) {
    doctor.fact("cuda", "libtorch_cuda.so is loaded");
    for (std::size_t i = 0; i < state.devices.size(); ++i) {
      doctor.fact("cuda", concat("cuda:", i, ": ", describe_gpu(static_cast<int>(i))));
    }
    doctor.fact("cuda", kernels_problem().empty()
                            ? "libpergola_cuda.so is loaded: the host's own kernels"
                            : "without the host's own kernels, so slower: " + kernels_problem());
  } else {
    doctor.warning("cuda", problem +
                               "; runs use the CPU until you run tools/setup --cuda, or name "
                               "LibTorch's folder in LD_LIBRARY_PATH");
  }
}

// Before CUDA is loaded: plugins are tried in forked children.
void check_plugins(const Arguments& arguments, Doctor& doctor) {
  const PluginCatalog catalog = scan_plugins(arguments.plugin_path);
  PluginProber prober(catalog.policy(), Failures::kBelieve);
  bool usable = false;
  for (const PluginFile& file : catalog.files()) {
    const std::string problem = file.usable() ? prober.problem_of(file) : file.problem;
    if (problem.empty()) {
      usable = true;
      doctor.fact("plugin", concat(file.manifest->name, " ", file.manifest->version, " in ",
                                   file.path.string()));
    } else {
      doctor.warning("plugin", problem);
    }
  }
  for (const std::string& conflict : catalog.conflicts()) doctor.warning("plugin", conflict);
  if (!usable) {
    doctor.problem("plugin", ErrorKind::kPlugin,
                   "none that can be used in " + default_plugin_folder().string() +
                       "; build the plugins, or name a folder with --plugin-path");
  }
}

// Where a config looks that does not set env.data_dir.
void check_data(Doctor& doctor) {
  const Value folder = resolve_references_at(default_config(), "env.data_dir");
  const std::filesystem::path data_dir = std::filesystem::path(folder.as_string()) / "easy_vqa";
  for (const char* part : kEasyVqaParts) {
    const std::string missing = missing_easy_vqa("easy_vqa", data_dir, part);
    if (!missing.empty()) return doctor.warning("data", missing + ", or set PERGOLA_DATA_DIR");
  }
  doctor.fact("data", "easy_vqa in " + data_dir.string());
}

void check_disk(Doctor& doctor) {
  constexpr double kGib = 1 << 30;
  const double gib = static_cast<double>(free_space(std::filesystem::current_path())) / kGib;
  if (gib < 1) {
    doctor.problem("disk", ErrorKind::kCheckpoint,
                   concat("only ", gib, " GiB are free here, and checkpoints need room"));
  } else {
    doctor.fact("disk", concat(static_cast<long>(gib), " GiB are free here"));
  }
}

}  // namespace

int doctor_command(const Words& words) {
  const std::string usage = "pergola doctor [--plugin-path DIR]";
  const Arguments arguments = parse_arguments(words, usage, Options::kPlugins);
  if (arguments.help) return 0;
  expect_no_more(arguments, usage);
  Doctor doctor;
  check_build(doctor);
  check_plugins(arguments, doctor);
  check_cuda(doctor);
  try {
    check_data(doctor);
  } catch (const Error& error) {  // a variable of the default folder is broken
    doctor.warning("data", error.what());
  }
  check_disk(doctor);
  std::cout << doctor.verdict() << '\n';
  return doctor.exit_code();
}

}  // namespace pergola::host
