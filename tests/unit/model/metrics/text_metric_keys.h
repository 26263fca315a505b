// SPDX-License-Identifier: BSD-3-Clause
// The metrics of texts and boxes. text_properties_test.cpp checks these, properties_test.cpp all
// others, in another program: the list is here for both to see.
#pragma once

#include <array>

namespace pergola::host {

inline constexpr std::array kTextMetricKeys = {
    "vqa_evalai_accuracy", "textvqa_accuracy", "stvqa_anls",        "stvqa_accuracy",
    "ocrvqa_accuracy",     "caption_bleu4",    "detection_mean_ap",
};

}  // namespace pergola::host
