// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/predicted_texts.h"

#include "host/data/vocab.h"
#include "host/model/metrics/class_scores.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace pergola::host {
namespace {

Strings vocabulary_of(const char* metric, const Config& params) {
  Strings words = params.get<Strings>("answers", Strings{});
  if (!words.empty()) return words;
  throw params.error("answers", concat("has no words, and ", metric,
                                       " needs them to make a text of the model's numbers; list "
                                       "them by number, or choose a data set that tells its "
                                       "`answers`, as those with the processor vqa_answer do"));
}

std::int64_t find_end(const Strings& words) {
  const auto found = std::find(words.begin(), words.end(), "</s>");
  return found == words.end() ? -1 : found - words.begin();
}

// The number of the highest score, or -1 where nothing is chosen.
at::Tensor chosen(const at::Tensor& scores, std::int64_t first) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  const auto [best, id] = at::max(scores.slice(-1, first), -1);
  // A NaN is its row's maximum, and above nothing.
  const at::Tensor valid = best.gt(kNone).bitwise_and(scores.amax(-1).gt(kNone));
  return (id + (first + 1)) * valid - 1;
}

}  // namespace

ParamSpec PredictedTexts::answers_spec() {
  return {.name = "answers",
          .fallback = {},
          .meaning = "the words by their numbers; by default those of the data set",
          .type = Value::Type::kArray};
}

PredictedTexts::PredictedTexts(const char* metric, Form form, const Config& params)
    : metric_(metric),
      form_(form),
      vocabulary_(vocabulary_of(metric, params)),
      end_(form == Form::kAnswer ? -1 : find_end(vocabulary_)) {}

at::Tensor PredictedTexts::scores_of(const ModelOutput& output, std::int64_t samples) const {
  const at::Tensor& scores = output_tensor(metric_, output, "scores");
  const bool answer = form_ == Form::kAnswer;
  const std::int64_t least = answer ? 2 : 1;
  if ((scores.dim() != 2 && scores.dim() != 3) || scores.size(0) != samples ||
      scores.size(-1) < least || (scores.dim() == 3 && scores.size(1) == 0)) {
    throw Error(ErrorKind::kData, metric_, " cannot read scores ", scores.sizes(), " for ", samples,
                " samples; expected [batch, words] or [batch, ", answer ? "branches" : "places",
                ", words] with at least ", least, least == 1 ? " word" : " words",
                "; check the model's last layer");
  }
  if (scores.dim() == 2) return widened(scores);
  return widened(answer ? scores.select(1, 0) : scores);
}

void PredictedTexts::add(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  const std::vector<Strings>& answers = batch.string_lists("answers");
  const auto samples = static_cast<std::int64_t>(answers.size());
  const at::Tensor scores = scores_of(output, samples);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].empty()) continue;
    throw Error(ErrorKind::kData, metric_, " needs at least one true text a sample, and sample ", i,
                " of the batch has none in 'answers'; correct the data set");
  }
  const auto words = static_cast<std::int64_t>(vocabulary_.size());
  const bool copies = form_ != Form::kCaption && batch.has("context_tokens");
  if (scores.size(-1) > words && !copies) {
    throw Error(ErrorKind::kData, metric_, " found scores ", output.scores.sizes(), " for ", words,
                " words", form_ == Form::kCaption ? "" : ", and no 'context_tokens' in the batch",
                "; expected at most one score a word; check the model's last layer, or the param "
                "`answers`");
  }
  const at::Tensor ids = chosen(scores, form_ == Form::kAnswer ? 1 : 0);
  Batch entry{ids.dim() == 1 ? ids.unsqueeze(1) : ids, answers, {}};
  if (copies) entry.context_tokens = batch.string_lists("context_tokens");
  batches_.push_back(std::move(entry));
  rows_ += samples;
}

void PredictedTexts::visit(const Visitor& visitor) const {
  const Strings no_context;
  for (const Batch& batch : batches_) {
    const at::Tensor ids_BT = batch.ids.cpu().contiguous();
    const std::int64_t places = ids_BT.size(1);
    const auto* ids = ids_BT.const_data_ptr<std::int64_t>();
    for (std::size_t i = 0; i < batch.answers.size(); ++i, ids += places) {
      const Strings& context = batch.context_tokens.empty() ? no_context : batch.context_tokens[i];
      visitor(decode(ids, places, context), batch.answers[i]);
    }
  }
}

Strings PredictedTexts::decode(const std::int64_t* ids, std::int64_t count,
                               const Strings& context) const {
  const auto words = static_cast<std::int64_t>(vocabulary_.size());
  Strings text;
  for (const std::int64_t* id = ids; id != ids + count && (end_ < 0 || *id != end_); ++id) {
    if (*id < 0) continue;
    if (*id < words) {
      text.push_back(vocabulary_[static_cast<std::size_t>(*id)]);
    } else if (*id - words < static_cast<std::int64_t>(context.size())) {
      text.push_back(normalize_answer(context[static_cast<std::size_t>(*id - words)]));
    }
  }
  if (form_ == Form::kCaption) {
    std::erase_if(text, [](const std::string& word) { return word == "<s>" || word == "<pad>"; });
  }
  return text;
}

void PredictedTexts::clear() {
  batches_.clear();
  rows_ = 0;
}

}  // namespace pergola::host
