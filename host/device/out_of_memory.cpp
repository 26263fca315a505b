// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/out_of_memory.h"

#include "host/config/run_config.h"
#include "host/device/memory.h"
#include "pergola/error.h"

#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

MemorySettings& current_settings() {
  static MemorySettings settings;
  return settings;
}

// "1.95 GiB", "512 bytes", "512" at the begin of `text`; 0 for anything else.
std::int64_t read_bytes(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 5> kUnits = {{{"KiB", 1024.0},
                                                                          {"MiB", 1048576.0},
                                                                          {"GiB", 1073741824.0},
                                                                          {"TiB", 1099511627776.0},
                                                                          {"bytes", 1.0}}};
  const std::string copy(text.substr(0, 64));
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  if (end == copy.c_str() || number < 0 || number > 1e15) return 0;
  const std::string_view unit = std::string_view(end).substr(*end == ' ' ? 1 : 0);
  for (const auto& [name, factor] : kUnits) {
    if (unit.starts_with(name)) return static_cast<std::int64_t>(number * factor);
  }
  return static_cast<std::int64_t>(number);
}

// The number behind `before`.
std::int64_t bytes_behind(std::string_view text, std::string_view before) {
  const std::size_t at = text.find(before);
  return at == std::string_view::npos ? 0 : read_bytes(text.substr(at + before.size()));
}

// "GPU 0" of "... GPU 0 has a total capacity of 79.15 GiB ...".
std::string device_in(std::string_view text) {
  const std::size_t end = text.find(" has a total capacity of ");
  if (end == std::string_view::npos) return "";
  const std::size_t begin = text.rfind("GPU ", end);
  return begin == std::string_view::npos ? "" : std::string(text.substr(begin, end - begin));
}

// All of "Process 12 has 1.00 GiB memory in use.".
std::string others_in(std::string_view text) {
  constexpr std::string_view kProcess = "Process ";
  constexpr std::string_view kHas = " has ";
  std::string others;
  for (std::size_t at = text.find(kProcess); at != std::string_view::npos;
       at = text.find(kProcess, at + 1)) {
    const std::string_view rest = text.substr(at + kProcess.size());
    const std::size_t has = rest.find(kHas);
    if (has == std::string_view::npos || has > 20) continue;
    const std::int64_t bytes = read_bytes(rest.substr(has + kHas.size()));
    others += concat(others.empty() ? "" : ", ", "process ", rest.substr(0, has), " holds ",
                     bytes_text(bytes));
  }
  return others;
}

std::string batch_advice(const MemorySettings& settings, bool is_training) {
  if (settings.batch_size == 1) return "take a smaller model, or shorter inputs";
  const std::int64_t half = (settings.batch_size + 1) / 2;
  std::string advice = concat("set ", settings.batch_size_key, " = ", half);
  if (is_training) {
    advice += concat(" and training.update_frequency = ", 2 * settings.update_frequency,
                     ", which makes the same updates");
  }
  if (!settings.halves) {
    advice += ", or training.on_out_of_memory = \"halve\", which does so when it is needed";
  }
  return advice;
}

}  // namespace

MemoryShortage MemoryShortage::parse(const std::string& message) {
  MemoryShortage shortage;
  shortage.text = message.substr(0, message.find('\n'));
  const std::string& text = shortage.text;
  shortage.device = device_in(text);
  shortage.requested = bytes_behind(text, "ried to allocate ");
  shortage.total = bytes_behind(text, " has a total capacity of ");
  shortage.free = bytes_behind(text, " of which ");
  const std::size_t limit = text.find(" allowed; ");
  const std::size_t sentence = limit == std::string::npos ? limit : text.rfind(". ", limit);
  if (sentence != std::string::npos) shortage.allowed = read_bytes(text.substr(sentence + 2));
  shortage.held = bytes_behind(text, "this process has ");
  shortage.in_tensors = bytes_behind(text, "Of the allocated memory ");
  if (text.find("allocated in private pools") != std::string::npos) {
    shortage.in_graphs = bytes_behind(text, "by PyTorch, with ");
  }
  const std::size_t unused = text.find(" is reserved by PyTorch but unallocated");
  const std::size_t begin = unused == std::string::npos ? unused : text.rfind("and ", unused);
  if (begin != std::string::npos) shortage.unused = read_bytes(text.substr(begin + 4));
  shortage.others = others_in(text);
  return shortage;
}

std::string MemoryShortage::describe() const {
  if (requested == 0) return text;
  const std::string begin = concat(bytes_text(requested), " were asked for");
  if (device.empty()) return begin + ", and the machine has no more memory for this process";
  std::string sentence = concat(begin, ", and of the ", bytes_text(total), " of ", device, " ",
                                bytes_text(free), " were free");
  if (allowed > 0) {
    sentence +=
        concat(", but per_process_memory_fraction allows this process ", bytes_text(allowed));
  }
  if (held > 0 || in_tensors > 0) {
    sentence += concat("; this process holds ", held > 0 ? bytes_text(held) : "memory", ": ",
                       bytes_text(in_tensors), " in tensors");
    if (in_graphs > 0) sentence += concat(" (", bytes_text(in_graphs), " of CUDA graphs)");
    sentence += concat(", ", bytes_text(unused), " kept unused");
  }
  return others.empty() ? sentence : sentence + "; " + others;
}

MemorySettings MemorySettings::of(const RunConfig& config) {
  const TrainingConfig& training = config.training;
  const Value* const attention = config.model_config.value().find("attention");
  MemorySettings settings;
  settings.batch_size_key = training.batch_size_key;
  settings.batch_size = training.batch_size;
  settings.update_frequency = training.update_frequency;
  settings.model = config.model;
  settings.recomputes = training.recompute;
  settings.is_full_precision =
      training.precision == Precision::kFp32 || training.precision == Precision::kTf32;
  settings.sets_allocator = !training.cuda_allocator.empty();
  settings.has_plain_attention = attention != nullptr && *attention != Value("packed");
  settings.halves = training.on_out_of_memory == OnOutOfMemory::kHalve;
  return settings;
}

void set_memory_settings(MemorySettings settings) { current_settings() = std::move(settings); }

std::string memory_advice(const MemoryShortage& shortage, bool is_training) {
  const MemorySettings& settings = current_settings();
  if (settings.batch_size == 0) return "try a smaller training.batch_size or model";
  std::vector<std::string> more;
  if (is_training && !settings.recomputes) {
    more.emplace_back("training.recompute = true, where the model has it");
  }
  if (settings.is_full_precision) more.emplace_back("training.precision = \"bf16\"");
  if (settings.has_plain_attention) {
    more.push_back(concat("model_config.", settings.model, ".attention = \"packed\""));
  }
  std::string advice = batch_advice(settings, is_training);
  if (shortage.is_fragmented() && !settings.sets_allocator) {
    advice = concat("set training.cuda_allocator = \"expandable_segments:True\", since memory is ",
                    "there in pieces; or ", advice);
  }
  if (shortage.may_be_page_locked()) {
    advice = concat("set training.pin_memory = false or a smaller training.num_workers, since it ",
                    "may be the batches' page-locked memory that ran out; or ", advice);
  }
  if (more.empty()) return advice;
  advice += "; then try ";
  for (std::size_t i = 0; i < more.size(); ++i) advice += (i == 0 ? "" : ", ") + more[i];
  return advice;
}

}  // namespace pergola::host
