// SPDX-License-Identifier: BSD-3-Clause
// Weights of one model under the names of another. Plain functions; thread-safe.
#pragma once

#include "pergola/state_dict.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {

// MMF's checkpoint.pretrained_state_mapping, {part of the model's names = part of the file's}: the
// weight 'model.bert.pooler.bias' is the file's 'bert.pooler.bias' with {"model.bert" = "bert"}. A
// part is followed by a dot, may be anywhere in a name and is taken out wherever it is; "", which
// MMF has not, is in every name.
using StateMapping = std::map<std::string, std::string>;

// Another name of a weight of the file's: today's of an older one, the model's of Hugging Face's.
using Renaming = std::function<std::string(const std::string& name)>;

// The weights of `state` that a name in `own` is mapped to, under that name; what no mapping names
// is left out. The file's part is looked for in the names as they are in the file, and, for names
// of `own` that those do not fill, in what each of `renamings` makes of them, the first one first.
// Throws Error{kCheckpoint} for a mapping that fits nothing, and for two weights for one name.
[[nodiscard]] StateDict map_state(const StateDict& state, const std::vector<std::string>& own,
                                  const StateMapping& mapping,
                                  const std::vector<Renaming>& renamings = {});

// Makes position tables in `state` as long as those of the same name in `own`: a longer one is cut,
// a shorter one begins again where it ends, so that position n + i starts as position i. These are
// matrices whose name has a part that begins with "position_embeddings"; buffers "position_ids"
// become the model's own. Returns these weights as they were.
StateDict resize_position_tables(StateDict& state, const StateDict& own);

}  // namespace pergola::host
