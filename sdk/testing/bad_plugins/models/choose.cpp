// SPDX-License-Identifier: BSD-3-Clause
// Which of the models the plugin brings: wrong_models.cpp is compiled once for all of them.
extern const char* const bad_plugin_model;
const char* const bad_plugin_model = BAD_PLUGIN_MODEL;
