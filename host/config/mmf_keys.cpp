// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/mmf_keys.h"

#include <algorithm>

namespace pergola::host {
namespace {

constexpr std::string_view kOneDevice = "a run uses one device, so leave it out";
constexpr std::string_view kOneDataSet = "a run has one data set, so leave it out";
constexpr std::string_view kOneTrainer = "there is one trainer, so leave it out";
constexpr std::string_view kLeaveOut = "leave it out";
constexpr std::string_view kNotYet = "Pergola cannot do this yet, so leave it out";
constexpr std::string_view kResume =
    "training goes on from the run's own folder with --resume; set checkpoint.pretrained to start "
    "from the weights of another run or file";
constexpr std::string_view kPretrained =
    "set checkpoint.pretrained to the file or folder; its weights alone are taken";
constexpr std::string_view kRunDir = "everything is in the run's folder: set env.save_dir";

constexpr MmfKey kKeys[] = {
    {"config_version", kLeaveOut},
    {"config", "the config is the first word of the command line"},
    {"datasets", "name the one data set with dataset = \"name\""},
    {"learning_rate", "set optimizer.params.lr"},
    {"trainer", kOneTrainer},
    {"multitasking", kOneDataSet},
    {"distributed", kOneDevice},

    {"training.trainer", kOneTrainer},
    {"training.logger_level", "use --log-level"},
    {"training.log_format", "log.txt is text, metrics.jsonl is JSON; leave it out"},
    {"training.log_detailed_config", "config.toml of the run's folder has it all; leave it out"},
    {"training.should_not_log", "use --log-level error"},
    {"training.colored_logs", "logs have no colours, so leave it out"},
    {"training.tensorboard", "metrics.jsonl has the numbers; leave it out"},
    {"training.wandb", "metrics.jsonl has the numbers; leave it out"},
    {"training.cudnn_benchmark", kNotYet},
    {"training.batch_size_per_device", "a run uses one device: set training.batch_size"},
    {"training.fast_read", kLeaveOut},
    {"training.dataset_size_proportional_sampling", kOneDataSet},
    {"training.persistent_workers", "workers always stay, so leave it out"},
    {"training.early_stop.enabled",
     "nothing stops early yet; the best checkpoint is kept all the same, so leave it out"},
    {"training.early_stop.patience",
     "nothing stops early yet; the best checkpoint is kept all the same, so leave it out"},
    {"training.local_rank", kOneDevice},
    {"training.find_unused_parameters", kOneDevice},
    {"training.verbose_dump", "use --log-level debug"},
    {"training.detect_anomaly", kNotYet},
    {"training.fp16", "training is in 32-bit floating point as yet, so leave it out"},

    {"evaluation.use_cpu", "metrics take in batch after batch, so leave it out"},
    {"evaluation.predict_file_format", "prediction files are JSON, so leave it out"},
    {"evaluation.reporter", "prediction files are JSON, so leave it out"},
    {"evaluation.torchmetrics", "name them in evaluation.metrics"},

    {"optimizer.enable_state_sharding", kOneDevice},

    {"checkpoint.resume_file", kPretrained},
    {"checkpoint.resume_best", kResume},
    {"checkpoint.resume_pretrained", kPretrained},
    {"checkpoint.resume_zoo", "download the file, and set checkpoint.pretrained to it"},
    {"checkpoint.zoo_config_override", kResume},
    {"checkpoint.reset", kResume},
    {"checkpoint.bypass_shape_mismatch",
     "weights of other shapes are an error; take those that fit with "
     "checkpoint.pretrained_state_mapping"},
    {"checkpoint.save_git_details", "summary.json names version and plugin; leave it out"},

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
