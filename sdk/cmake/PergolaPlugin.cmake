# SPDX-License-Identifier: BSD-3-Clause
# pergola_add_plugin(name SOURCES a.cpp ... [MANIFEST plugin.toml] [LINK lib ...])
#
# Builds a plugin: a shared library <name>.so that exports `pergola_plugin` alone and carries its
# plugin.toml and the build's fingerprint in ELF sections, which the host reads without loading it.
# Put the file into a plugin folder, and the host knows its models. It is optimised where no build type
# is named. Outside of Pergola's own tree, pergola/plugin.h is compiled once for all of its sources:
# that takes half a minute and 0.6 GB the first time, and five seconds instead of a quarter of a minute
# later. PERGOLA_PLUGIN_PCH=OFF does without, for a build that is made once.

set(_pergola_plugin_dir ${CMAKE_CURRENT_LIST_DIR})

function(pergola_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 plugin "" "MANIFEST" "SOURCES;LINK")
  if(NOT plugin_SOURCES)
    message(FATAL_ERROR "pergola_add_plugin(${name}): SOURCES names no file")
  endif()
  if(NOT plugin_MANIFEST)
    set(plugin_MANIFEST plugin.toml)
  endif()
  cmake_path(ABSOLUTE_PATH plugin_MANIFEST BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
             OUTPUT_VARIABLE manifest)
  if(NOT EXISTS ${manifest})
    message(FATAL_ERROR "pergola_add_plugin(${name}): ${manifest} is missing; it names the plugin "
                        "and its models")
  endif()
  file(STRINGS ${manifest} named REGEX "^name *= *[\"']${name}[\"']")
  if(NOT named)
    message(FATAL_ERROR "pergola_add_plugin(${name}): ${manifest} must say name = \"${name}\"")
  endif()

  set(info ${CMAKE_CURRENT_BINARY_DIR}/${name}_plugin_info.cpp)
  # Not configure_file: its @...@ would also take the assembler's @progbits.
  file(READ ${_pergola_plugin_dir}/plugin_info.cpp.in text)
  string(REPLACE "@name@" "${name}" text "${text}")
  string(REPLACE "@manifest@" "${manifest}" text "${text}")
  file(CONFIGURE OUTPUT ${info} CONTENT "${text}" @ONLY)
  set_source_files_properties(${info} PROPERTIES OBJECT_DEPENDS ${manifest}
                              SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)

  add_library(${name} MODULE ${plugin_SOURCES} ${info})
  target_link_libraries(${name} PRIVATE Pergola::sdk ${plugin_LINK})
  target_compile_options(${name} PRIVATE $<$<CONFIG:>:-O2>)
  if(PERGOLA_PLUGIN_PCH)
    target_precompile_headers(${name} PRIVATE <pergola/plugin.h>)
  endif()
  target_link_options(${name} PRIVATE
    LINKER:--version-script=${_pergola_plugin_dir}/plugin.map LINKER:-z,defs)
  set_target_properties(${name} PROPERTIES
    PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS ${_pergola_plugin_dir}/plugin.map)
endfunction()
