// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/guard.h"

#include "host/device/device.h"
#include "host/device/device_failure.h"
#include "host/device/out_of_memory.h"
#include "host/support/crash_report.h"
#include "host/support/printable.h"
#include "host/support/signals.h"
#include "pergola/base_model.h"
#include "pergola/suggest.h"

#include <string>

namespace pergola::host {
namespace {

// The hook and the plugin, with these texts around the plugin's name and version.
std::string name_of_hook(const Hook& hook, const char* before_plugin, const char* after_plugin) {
  std::string name;
  spell_hook(hook, [&name](std::string_view text) { name += text; });
  if (const KnownPlugin* const plugin = plugin_of(hook)) {
    name += before_plugin + plugin->name + ' ' + plugin->version + after_plugin;
  }
  return name;
}

// "`before`update 3, batch 0"; "" where there is neither.
std::string moment_of(const Hook& hook, const char* before) {
  std::string moment;
  spell_moment(hook, [&moment](std::string_view text) { moment += text; });
  return moment.empty() ? "" : before + moment;
}

[[noreturn]] void throw_out_of_memory(const Hook& hook, const std::exception& error) {
  const MemoryShortage shortage = MemoryShortage::parse(error.what());
  const bool is_training = UpdateScope::update() != UpdateScope::kNone && hook.batch < 0;
  throw OutOfMemory(ErrorKind::kUnexpected, name_of_hook(hook, " (plugin ", ")"),
                    " ran out of memory", moment_of(hook, " at "), ": ", shortage.describe(), "; ",
                    memory_advice(shortage, is_training));
}

[[noreturn]] void throw_device_failure(const Hook& hook, const std::string& failure) {
  const std::string way = way_to_go_on();
  const Error error(ErrorKind::kPlugin, name_of_hook(hook, " (plugin ", ")"), " failed",
                    moment_of(hook, " at "), ": ", explain_device_failure(failure),
                    way.empty() ? "" : "; ", way);
  note_device_failure(error.what(), static_cast<int>(error.kind()));
  throw error;
}

[[noreturn]] void throw_error_of(const Hook& hook, const std::exception& error) {
  const std::string text = error.what();  // LibTorch's messages go on with a stack trace
  const std::string name = name_of_hook(hook, " (plugin ", ")");
  if (is_out_of_memory(error)) throw_out_of_memory(hook, error);
  const std::string failure = device_failure(error);
  if (!failure.empty()) throw_device_failure(hook, failure);
  if (const std::string operation = without_deterministic_form(text); !operation.empty()) {
    throw Error(ErrorKind::kConfig, name, " uses ", operation,
                ", which has no deterministic form on this device; set training.deterministic = "
                "false");
  }
  throw Error(ErrorKind::kPlugin, name, " failed", moment_of(hook, " at "), ": ",
              text.substr(0, text.find('\n')), "; this is a matter for the plugin's author");
}

}  // namespace

void StateWatch::begin(const Hook& hook) {
  if (std::this_thread::get_id() != thread_ || plugin_of(hook) == nullptr) return;
  before_ = ProcessState::now();
}

void StateWatch::compare() const {
  const std::vector<std::string> changes = before_->changes(ProcessState::now());
  if (changes.empty()) return;
  throw Error(ErrorKind::kPlugin, "the plugin changed ", printable(join(changes)),
              ", which the whole process shares; put it back before the hook returns");
}

std::string_view key_of(const BaseModel& model) {
  const std::string_view path = model.config().path();
  return path.substr(path.rfind('.') + 1);
}

void throw_error_of(const Hook& hook) {
  try {
    throw;
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    if (plugin_of(hook) == nullptr) throw;
    throw Error(error.kind(), error.what(), " (in ", name_of_hook(hook, ", plugin ", ""),
                moment_of(hook, ", at "), ")");
  } catch (const Stopped&) {
    throw;
  } catch (const std::exception& error) {
    throw_error_of(hook, error);
  } catch (...) {
    throw Error(ErrorKind::kPlugin, name_of_hook(hook, " (plugin ", ")"), " failed",
                moment_of(hook, " at "), " with an exception that is no std::exception; this is a ",
                "matter for the plugin's author");
  }
}

void throw_device_error(const Hook& hook) {
  try {
    throw;
  } catch (const Error&) {
    return;
  } catch (const std::exception& error) {
    if (is_out_of_memory(error) || !device_failure(error).empty()) throw_error_of(hook, error);
  } catch (...) {
    return;
  }
}

}  // namespace pergola::host
