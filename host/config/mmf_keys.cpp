// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/mmf_keys.h"

#include <algorithm>

namespace pergola::host {
namespace {

constexpr std::string_view kOneDevice = "a run uses one device, so leave it out";
constexpr std::string_view kOneTrainer = "there is one trainer, so leave it out";
constexpr std::string_view kLeaveOut = "leave it out";
constexpr std::string_view kNotYet = "Pergola cannot do this yet, so leave it out";
constexpr std::string_view kRunDir = "everything is in the run's folder: set env.save_dir";

constexpr MmfKey kMmfKeys[] = {
    {"config_version", kLeaveOut},
    {"config", "the config is the first word of the command line"},
    {"datasets", "name them with dataset = [\"one\", \"two\"]"},
    {"learning_rate", "set optimizer.params.lr"},
    {"trainer", kOneTrainer},
    {"distributed", kOneDevice},

    {"training.trainer", kOneTrainer},
    {"training.wandb", "metrics.jsonl has the numbers; leave it out"},
    {"training.fast_read", "files that were read stay in the system's page cache; leave it out"},
    {"training.dataset_size_proportional_sampling",
     "set multitasking.type to size_proportional, or to random for the same chance for all"},
    {"training.persistent_workers", "workers always stay, so leave it out"},
    {"training.local_rank", kOneDevice},
    {"training.find_unused_parameters", kOneDevice},
    {"training.verbose_dump", "use --log-level debug"},

    {"evaluation.reporter", "set evaluation.predict_file_format"},
    {"evaluation.torchmetrics", "name them in evaluation.metrics"},

    {"optimizer.enable_state_sharding", kOneDevice},

    {"checkpoint.resume_zoo", "download the file, and set checkpoint.resume_file to it"},
    {"checkpoint.zoo_config_override",
     "set model = {type = \"name\", pretrained = \"path\"}; the config of a checkpoint comes with "
     "it"},

    {"env.cache_dir", "set the variable XDG_CACHE_HOME"},
    {"env.dataset_zoo", "`tools/setup --data` fetches data sets; leave it out"},
    {"env.model_zoo", kNotYet},
    {"env.log_dir", kRunDir},
    {"env.report_dir", kRunDir},
    {"env.tensorboard_logdir", kRunDir},
    {"env.wandb_logdir", kRunDir},
    {"env.user_dir", "own models are plugins: set plugins.path"},
};

}  // namespace

std::span<const MmfKey> mmf_keys() noexcept { return kMmfKeys; }

std::string_view instead_of_mmf_key(std::string_view path) noexcept {
  const auto* found = std::ranges::find(kMmfKeys, path, &MmfKey::path);
  return found == std::end(kMmfKeys) ? std::string_view() : found->instead;
}

}  // namespace pergola::host
