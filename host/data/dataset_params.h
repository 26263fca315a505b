// SPDX-License-Identifier: BSD-3-Clause
// What the keys of the host's own data sets mean and may be, as a plugin's manifest says it of its
// own. LibTorch-free, so that a config can be checked without it. No state; thread-safe.
#pragma once

#include "host/config/config_params.h"

#include <string>

namespace pergola::host {

// All keys of dataset_config.<name>, with the defaults of host_dataset_defaults(name).
// REQUIRES: `name` is one of kHostDatasets.
[[nodiscard]] ConfigParams host_dataset_params(const std::string& name);

}  // namespace pergola::host
