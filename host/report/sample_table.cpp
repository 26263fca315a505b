// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/sample_table.h"

#include "host/report/format.h"
#include "host/report/images.h"
#include "host/report/predictions.h"
#include "host/support/files.h"
#include "pergola/error.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

std::string count_text(std::size_t count) { return grouped(static_cast<std::int64_t>(count)); }

struct VerdictText {
  const char* style;  // a class of page.css
  const char* text;
};

VerdictText text_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRight:
      return {"right", "✓ right"};
    case Verdict::kWrong:
      return {"wrong", "✗ wrong"};
    case Verdict::kUnknown:
      break;
  }
  return {"unknown", "–"};
}

Html images_of(const Prediction& prediction, ImageShelf& shelf) {
  Html images;
  for (const std::string& name : prediction.images) {
    const EmbeddedImage image = shelf.embed(name);
    images +=
        image.uri.empty()
            ? fill("no_image", {{"name", name}, {"why", image.problem}})
            : fill("image", {{"uri", image.uri}, {"alt", fs::path(name).filename().string()}});
  }
  return images;
}

Html target_of(const Prediction& prediction) {
  std::string text;
  for (const std::string& target : prediction.targets) text += (text.empty() ? "" : ", ") + target;
  return text.empty() ? Html() : fill("target", {{"text", text}});
}

Html score_of(double probability) {
  if (!std::isfinite(probability)) return {};
  return fill("score", {{"percent", percent(probability)},
                        {"width", coordinate(100 * std::clamp(probability, 0.0, 1.0))}});
}

Html row_of(const Prediction& prediction, ImageShelf& shelf) {
  const VerdictText verdict = text_of(prediction.verdict);
  const bool has_score = std::isfinite(prediction.probability);
  return fill("sample", {{"verdict_class", verdict.style},
                         {"verdict", verdict.text},
                         {"probability", has_score ? digits_of(prediction.probability, 6) : "-1"},
                         {"images", images_of(prediction, shelf)},
                         {"question", prediction.question},
                         {"answer", prediction.answer},
                         {"target", target_of(prediction)},
                         {"more", prediction.more},
                         {"score", score_of(prediction.probability)}});
}

std::string summary_of(const PredictionFile& file) {
  std::string text = count_text(file.rows) + (file.rows == 1 ? " row" : " rows");
  const std::size_t judged = file.right + file.wrong;
  if (judged > 0) {
    const double part = static_cast<double>(file.right) / static_cast<double>(judged);
    text += concat(": ", count_text(file.right), " right (", percent(part), "), ",
                   count_text(file.wrong), " wrong");
  } else {
    text += "; they do not say what is right";
  }
  if (file.damaged_lines > 0) text += ", " + count_text(file.damaged_lines) + " not readable";
  if (file.samples.size() == file.rows) return text + ". All are below.";
  text += ". Below are " + count_text(file.samples.size());
  if (judged == 0) return text + ", spread over the file.";
  return concat(text, ": ", count_text(file.count(Verdict::kWrong)),
                " of the wrong ones, those that the model was surest of, and ",
                count_text(file.count(Verdict::kRight)),
                " of the right ones, spread over the file.");
}

Html filter_of(const PredictionFile& file, const std::string& id) {
  if (file.samples.empty()) return {};
  return fill("filter", {{"id", id},
                         {"all", count_text(file.samples.size())},
                         {"right", count_text(file.count(Verdict::kRight))},
                         {"wrong", count_text(file.count(Verdict::kWrong))}});
}

std::set<fs::path> prediction_files(const fs::path& folder) {
  std::set<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder / "predictions", error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with('.') && name.ends_with(".json")) files.insert(it->path());
  }
  return files;
}

// The folders of the data that the run's config names, and the run's own.
std::vector<fs::path> image_folders(const RunFacts& facts) {
  const fs::path data_dir = facts.config.text("env.data_dir");
  std::vector<fs::path> folders = {data_dir};
  for (const std::string& dataset : facts.config.datasets()) {
    folders.emplace_back(facts.config.text(concat("dataset_config.", dataset, ".data_dir")));
    // Often a link to another disk.
    const bool is_name = dataset.find('/') == std::string::npos && dataset != "..";
    if (is_name && !data_dir.empty()) folders.push_back(data_dir / dataset);
  }
  folders.push_back(facts.folder);
  return folders;
}

}  // namespace

Html predictions_body(RunFacts& facts, std::size_t most) {
  ImageShelf shelf(image_folders(facts));
  Html body;
  std::size_t number = 0;
  for (const fs::path& path : prediction_files(facts.folder)) {
    PredictionFile file;
    try {
      file = read_predictions(read_file(path, ErrorKind::kCheckpoint), path.stem().string(), most);
    } catch (const Error& error) {
      facts.notes.emplace_back(error.what());
      continue;
    }
    Html rows;
    for (const Prediction& prediction : file.samples) rows += row_of(prediction, shelf);
    body += fill("predictions", {{"name", file.name},
                                 {"summary", summary_of(file)},
                                 {"filter", filter_of(file, std::to_string(number++))},
                                 {"rows", rows}});
  }
  return body;
}

}  // namespace pergola::host
