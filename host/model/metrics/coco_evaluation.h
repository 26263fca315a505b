// SPDX-License-Identifier: BSD-3-Clause
// Mean average precision of boxes as COCO defines it: pycocotools' COCOeval for "bbox", area range
// "all", at most 100 detections of a category and image; the mean over IoU 0.50, 0.55, ..., 0.95,
// recall 0, 0.01, ..., 1, and the categories that have objects.
//
// In each image and category, detections in the order of their scores take the free object that
// they overlap most, by at least the IoU; else a crowd region (where the overlap counts against the
// detection's own area, and any number may be in it), and then they count neither way. Pure
// functions and plain values; thread-safe.
//
// One difference: an annotation with the id 0 is an object as any other. COCOeval takes what
// matched it for unmatched.
#pragma once

#include "host/data/coco_file.h"

#include <cstdint>
#include <map>
#include <vector>

namespace pergola::host {

struct Detection {
  std::int64_t category = 0;
  double score = 0;
  Box box{};
};

// What is left of one image: which of its detections are right at which IoU, and how many objects
// there are to be found.
struct JudgedImage {
  struct Judged {
    double score = 0;
    std::uint16_t right = 0;    // bit t: has an object at the t-th IoU
    std::uint16_t ignored = 0;  // bit t: counts neither way
  };
  struct Category {
    std::vector<Judged> detections;  // by falling score
    std::int64_t objects = 0;        // crowds left out
  };
  std::map<std::int64_t, Category> categories;
};

[[nodiscard]] JudgedImage judge(const std::vector<Detection>& detections,
                                const std::vector<TrueBox>& truths);

// The mean average precision of all images; of equal scores that of the image with the smaller id
// is ahead. NaN when no category has an object.
[[nodiscard]] double mean_average_precision(const std::map<std::int64_t, JudgedImage>& images);

}  // namespace pergola::host
