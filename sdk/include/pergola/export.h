// SPDX-License-Identifier: BSD-3-Clause
// Visibility of the SDK's symbols. Everything in libpergola_sdk.so is hidden unless it is marked.
#pragma once

#define PERGOLA_API __attribute__((visibility("default")))
