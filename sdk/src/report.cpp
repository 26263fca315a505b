// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/report.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace pergola {
namespace {

// The tensor of the model's output by that name; null when it has none.
const at::Tensor* output_of(const ModelOutput& output, std::string_view name) {
  if (name == "scores") return output.scores.defined() ? &output.scores : nullptr;
  const auto found = output.fields.find(std::string(name));
  return found == output.fields.end() ? nullptr : &found->second;
}

std::vector<std::string> names_of(const Report& report) {
  std::vector<std::string> names;
  if (report.output.scores.defined()) names.emplace_back("scores");
  for (const auto& [name, tensor] : report.output.fields) names.push_back(name);
  for (const std::string& name : report.batch.fields()) names.push_back(name);
  return names;
}

void add_losses(const LossMap& losses, std::optional<LossMap>& sums) {
  if (!sums) sums.emplace();
  for (const auto& [key, loss] : losses) {
    at::Tensor& sum = (*sums)[key];
    const at::Tensor mean = loss.mean();  // a loss may be one value a sample
    sum = sum.defined() ? sum + mean : mean;
  }
}

at::Tensor concat_outputs(const std::vector<Report>& reports, const std::string& name) {
  std::vector<at::Tensor> parts;
  for (const Report& report : reports) {
    const at::Tensor* part = output_of(report.output, name);
    const at::Tensor& first = *output_of(reports[0].output, name);
    if (part == nullptr || !part->defined() || part->dim() == 0 || !first.defined() ||
        first.dim() == 0 || part->sizes().slice(1) != first.sizes().slice(1) ||
        part->dtype() != first.dtype() || part->device() != first.device()) {
      const auto shown = [](const at::Tensor* tensor) {
        return tensor == nullptr || !tensor->defined()
                   ? std::string("missing")
                   : pergola::concat(tensor->dtype(), " ", tensor->sizes());
      };
      throw Error(ErrorKind::kData, "reports cannot be joined: '", name, "' of report ",
                  parts.size(), " is ", shown(part), ", and that of the first one ", shown(&first));
    }
    parts.push_back(*part);
  }
  return at::cat(parts);
}

}  // namespace

const at::Tensor& Report::tensor(std::string_view name) const {
  if (const at::Tensor* own = output_of(output, name); own != nullptr) return *own;
  if (batch.has(name)) return batch.tensor(name);
  throw Error(ErrorKind::kData, "'", name, "' is in neither the batch nor the model's output",
              did_you_mean(name, names_of(*this)));
}

Report Report::to(at::Device device) const {
  const auto moved = [&](const at::Tensor& tensor) { return tensor.detach().to(device); };
  Report report{batch.to(device), {}};
  if (output.scores.defined()) report.output.scores = moved(output.scores);
  for (const auto& [name, tensor] : output.fields) report.output.fields[name] = moved(tensor);
  if (output.losses) {
    report.output.losses.emplace();
    for (const auto& [key, loss] : *output.losses) (*report.output.losses)[key] = moved(loss);
  }
  return report;
}

Report Report::concat(const std::vector<Report>& reports, const std::vector<std::string>& fields) {
  PERGOLA_ASSERT(!reports.empty());
  Report all;
  std::vector<std::string> of_batch;
  for (const std::string& name : fields) {
    if (output_of(reports.front().output, name) == nullptr) {
      of_batch.push_back(name);
    } else if (name == "scores") {
      all.output.scores = concat_outputs(reports, name);
    } else {
      all.output.fields[name] = concat_outputs(reports, name);
    }
  }
  std::vector<SampleList> parts;
  std::vector<const SampleList*> pointers;
  parts.reserve(reports.size());
  for (const Report& report : reports) {
    parts.push_back(report.batch.get_fields(of_batch));
    pointers.push_back(&parts.back());
    if (report.output.losses) add_losses(*report.output.losses, all.output.losses);
  }
  all.batch = SampleList::concat(pointers);
  return all;
}

}  // namespace pergola
