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

constexpr MmfKey kKeys[] = {
    {"config_version", kLeaveOut},
    {"config", "the config is the first word of the command line"},
    {"datasets", "name them with dataset = [\"one\", \"two\"]"},
    {"learning_rate", "set optimizer.params.lr"},
    {"trainer", kOneTrainer},
    {"distributed", kOneDevice},

    {"training.trainer", kOneTrainer},
    {"training.wandb", "metrics.jsonl has the numbers; leave it out"},
    {"training.fast_read", kLeaveOut},
    {"training.dataset_size_proportional_sampling",
     "set multitasking.type to size_proportional, or to random for the same chance for all"},
    {"training.persistent_workers", "workers always stay, so leave it out"},
    {"training.local_rank", kOneDevice},
    {"training.find_unused_parameters", kOneDevice},
    {"training.verbose_dump", "use --log-level debug"},

    {"evaluation.predict_file_format", "prediction files are JSON, so leave it out"},
    {"evaluation.reporter", "prediction files are JSON, so leave it out"},
    {"evaluation.torchmetrics", "name them in evaluation.metrics"},

    {"optimizer.enable_state_sharding", kOneDevice},

    {"checkpoint.resume_zoo", "download the file, and set checkpoint.resume_file to it"},
    {"checkpoint.zoo_config_override",
     "set model = {type = \"name\", pretrained = \"path\"}; the config of a checkpoint comes with "
     "it"},
    {"checkpoint.bypass_shape_mismatch",
     "weights of other shapes are an error; take those that fit with "
     "checkpoint.pretrained_state_mapping"},

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

std::span<const MmfKey> mmf_keys() noexcept { return kKeys; }

std::string_view instead_of_mmf_key(std::string_view path) noexcept {
  const auto* found = std::ranges::find(kKeys, path, &MmfKey::path);
  return found == std::end(kKeys) ? std::string_view() : found->instead;
}

}  // namespace pergola::host
