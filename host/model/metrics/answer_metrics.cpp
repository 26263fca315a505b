// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/answer_metrics.h"

#include "host/model/metrics/anls.h"
#include "host/model/metrics/text_normalizer.h"
#include "pergola/error.h"

#include <algorithm>
#include <limits>

namespace pergola::host {
namespace {

// "the mountain 's top" is "the mountain's top" again.
std::string joined(const Strings& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  for (std::size_t at = text.find(" 's"); at != std::string::npos; at = text.find(" 's", at)) {
    text.erase(at, 1);
  }
  return text;
}

}  // namespace

void ScoreCounts::add(const ScoreCounts& other) {
  for (const auto& [score, count] : other.samples) samples[score] += count;
}

double ScoreCounts::value() const {
  double sum = 0;
  std::int64_t total = 0;
  for (const auto& [score, count] : samples) {
    sum += score * static_cast<double>(count);
    total += count;
  }
  if (total == 0) return std::numeric_limits<double>::quiet_NaN();
  return sum / static_cast<double>(total);
}

void AnswerMetric::count(const Strings& predicted, const Strings& answers,
                         ScoreCounts& counts) const {
  ++counts.samples[score(joined(predicted), answers)];
}

PeopleAccuracy::PeopleAccuracy(const char* name, PredictedTexts::Form form, const Config& params)
    : AnswerMetric(name, form, params),
      name_(name),
      num_answers_(params.get<std::int64_t>("num_answers")) {}

ComponentSpec PeopleAccuracy::spec_of(const char* summary) {
  return {summary,
          {PredictedTexts::answers_spec(),
           {.name = "num_answers",
            .fallback = 10,
            .meaning = "the number of people; fewer answers are repeated in turn",
            .low = 2,
            .high = 1000}}};
}

double PeopleAccuracy::score(const std::string& predicted, const Strings& answers) const {
  const auto given = static_cast<std::int64_t>(answers.size());
  if (given > num_answers_) {
    throw Error(ErrorKind::kData, name_, " found a sample with ", given,
                " true answers, expected 1 to ", num_answers_,
                "; correct the data, or set num_answers of the metric");
  }
  const std::string text = normalize_evalai(predicted);
  std::int64_t same = 0;
  for (std::int64_t i = 0; i < given; ++i) {
    // Repeated in turn, the first (num_answers mod given) of them come once more than the others.
    const std::int64_t people = num_answers_ / given + (i < num_answers_ % given ? 1 : 0);
    if (normalize_evalai(answers[static_cast<std::size_t>(i)]) == text) same += people;
  }
  constexpr std::int64_t kEnough = 3;
  const std::int64_t thirds =
      same * std::min(same - 1, kEnough) + (num_answers_ - same) * std::min(same, kEnough);
  return static_cast<double>(thirds) / static_cast<double>(kEnough * num_answers_);
}

ComponentSpec VqaEvalAiAccuracy::spec() {
  return spec_of(
      "mean of min(1, people who gave the predicted answer / 3), each person left out once, "
      "answers in EvalAI's form");
}

VqaEvalAiAccuracy::VqaEvalAiAccuracy(const Config& params)
    : PeopleAccuracy("vqa_evalai_accuracy", PredictedTexts::Form::kAnswer, params) {}

ComponentSpec TextVqaAccuracy::spec() {
  return spec_of("vqa_evalai_accuracy of answers that are sequences of words and context tokens");
}

TextVqaAccuracy::TextVqaAccuracy(const Config& params)
    : PeopleAccuracy("textvqa_accuracy", PredictedTexts::Form::kWords, params) {}

ComponentSpec StVqaAnls::spec() {
  return {
      "mean over samples of 1 - edit distance / longer length to the closest true answer, 0 below "
      "0.5",
      {PredictedTexts::answers_spec()}};
}

StVqaAnls::StVqaAnls(const Config& params)
    : AnswerMetric("stvqa_anls", PredictedTexts::Form::kWords, params) {}

double StVqaAnls::score(const std::string& predicted, const Strings& answers) const {
  double best = 0;
  for (const std::string& answer : answers) best = std::max(best, anls(predicted, answer));
  return best;
}

ComponentSpec StVqaAccuracy::spec() {
  return {"share of samples whose predicted words are one of the true answers, in EvalAI's form",
          {PredictedTexts::answers_spec()}};
}

StVqaAccuracy::StVqaAccuracy(const Config& params)
    : AnswerMetric("stvqa_accuracy", PredictedTexts::Form::kWords, params) {}

double StVqaAccuracy::score(const std::string& predicted, const Strings& answers) const {
  const std::string text = normalize_evalai(predicted);
  return std::any_of(answers.begin(), answers.end(),
                     [&](const std::string& answer) { return normalize_evalai(answer) == text; })
             ? 1
             : 0;
}

}  // namespace pergola::host
