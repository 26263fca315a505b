// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/device/cuda.h"
#include "host/plugin/fingerprint.h"
#include "host/plugin/search_path.h"
#include "host/run/plugins.h"
#include "host/support/files.h"
#include "pergola/error.h"
#include "pergola/version.h"

#include <filesystem>
#include <iostream>

namespace pergola::host {
namespace {

// Collects what would stop a run, while it prints what it finds.
class Doctor {
 public:
  void fact(const std::string& area, const std::string& text) {
    std::cout << "[" << area << "] " << text << '\n';
  }
  // `kind` is what the run would end with.
  void problem(const std::string& area, ErrorKind kind, const std::string& text) {
    if (problems_++ == 0) exit_code_ = static_cast<int>(kind);
    std::cout << "[" << area << "] PROBLEM: " << text << '\n';
  }
  [[nodiscard]] int problems() const noexcept { return problems_; }
  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }  // the first problem's, or 0

 private:
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
  } else {
    doctor.problem(
        "cuda", ErrorKind::kConfig,
        problem + "; run tools/setup --cuda, or name LibTorch's folder in LD_LIBRARY_PATH");
  }
}

void check_plugins(const Arguments& arguments, Doctor& doctor) {
  const PluginCatalog catalog = scan_plugins(arguments.plugin_path);
  for (const PluginFile& file : catalog.files()) {
    if (file.usable()) {
      doctor.fact("plugin", concat(file.manifest->name, " ", file.manifest->version, " in ",
                                   file.path.string()));
    } else {
      doctor.problem("plugin", ErrorKind::kPlugin, file.problem);
    }
  }
  if (catalog.files().empty()) {
    doctor.problem("plugin", ErrorKind::kPlugin,
                   "none in " + default_plugin_folder().string() +
                       "; build the plugins, or name a folder with --plugin-path");
  }
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
  check_cuda(doctor);
  check_plugins(arguments, doctor);
  check_disk(doctor);
  std::cout << (doctor.problems() == 0
                    ? "nothing would stop a run\n"
                    : concat(doctor.problems(), " problem(s) would stop a run\n"));
  return doctor.exit_code();
}

}  // namespace pergola::host
