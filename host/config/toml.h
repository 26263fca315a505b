// SPDX-License-Identifier: BSD-3-Clause
// TOML to and from Values. Every value knows its place ("runs/x.toml:4:9"). Nothing else in the
// host includes toml++, whose exceptions and types stay inside. No state; thread-safe.
#pragma once

#include "pergola/error.h"
#include "pergola/value.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace pergola::host {

// The table that `text` holds; `source` is its name in origins and messages. Throws Error of that
// kind, with line and column, for text that is not TOML 1.0, for dates and times (nothing here
// takes them) and for tables or arrays nested deeper than 64 levels.
[[nodiscard]] Value parse_toml(std::string_view text, const std::string& source,
                               ErrorKind kind = ErrorKind::kConfig);

// The table in a file. Throws Error{kConfig} when the file cannot be read either.
[[nodiscard]] Value load_toml(const std::filesystem::path& path);

// A key as it stands before the `=`: in quotes where it needs them.
[[nodiscard]] std::string toml_key(const std::string& key);

// Whether a comment behind each value says where it came from.
enum class Origins { kHide, kShow };

// TOML that parse_toml reads back to an equal table: keys sorted, tables as [a.b], tables in arrays
// inline. Null members are left out.  REQUIRES: `table` is a table without null in an array.
[[nodiscard]] std::string to_toml(const Value& table, Origins origins = Origins::kHide);

}  // namespace pergola::host
