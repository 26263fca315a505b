# SPDX-License-Identifier: BSD-3-Clause
# Makes a .cpp of text files, so that the program carries them:
#
#   cmake -DOUTPUT=assets.cpp "-DFILES=page/page.html;page/page.css;..." -P embed.cmake
#
# Each becomes the function of host/report/assets.h with its name, page_html() for page.html.
set(text "// Made by host/report/embed.cmake.\n#include \"host/report/assets.h\"\n\nnamespace pergola::host::assets {\n")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  string(REPLACE "." "_" name ${name})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND text "\nstd::string_view ${name}() noexcept {\n  static constexpr char kBytes[] = {${bytes}};\n  return {kBytes, sizeof(kBytes)};\n}\n")
endforeach()
string(APPEND text "\n}  // namespace pergola::host::assets\n")
file(WRITE ${OUTPUT} "${text}")
