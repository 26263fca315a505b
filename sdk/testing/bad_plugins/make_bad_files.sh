#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Makes the files that are no plugins, though a plugin folder may hold them: each is wrong in one way,
# most of them made of a good plugin. README.md says what a host does with each.
#
#   make_bad_files.sh GOOD.so FOLDER [NAME ...]
#   make_bad_files.sh --list
#
# Makes FOLDER/NAME.so of each NAME, or of all. Run by root, `unreadable` can be read all the same.

set -euo pipefail
export LC_ALL=C

# One function for each, which makes the file $1.
empty() { : >"$1"; }
text() { echo 'not a library' >"$1"; }
folder() { mkdir "$1"; }
fifo() { mkfifo "$1"; }
device() { ln -s /dev/zero "$1"; }
dangling() { ln -s nowhere.so "$1"; }
loop() { ln -s "$(basename "$1")" "$1"; }
unreadable() { cp "$good" "$1" && chmod 0 "$1"; }
world_writable() { cp "$good" "$1" && chmod 666 "$1"; }
huge() { cp "$good" "$1" && truncate -s 64G "$1"; } # a hole, which takes no room on the disk
truncated() { head -c 5000 "$good" >"$1"; }
header_cut() { head -c 40 "$good" >"$1"; }
other_system() { printf 'MZ\x90\0\x03\0\0\0' >"$1"; }
archive() { printf '!<arch>\n' >"$1"; }
garbage() { { head -c 64 "$good" && head -c 50000 /dev/zero | tr '\0' '\377'; } >"$1"; }

# patch FILE OFFSET BYTES: BYTES as printf has them, over what is there.
patch() {
  # shellcheck disable=SC2059 # the bytes are escapes
  printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# Fields of the ELF header, by their offset.
bits_32() { cp "$good" "$1" && patch "$1" 4 '\x01'; }
big_endian() { cp "$good" "$1" && patch "$1" 5 '\x02'; }
executable() { cp "$good" "$1" && patch "$1" 16 '\x02'; }
other_processor() { cp "$good" "$1" && patch "$1" 18 '\xf3\x00'; } # RISC-V
no_sections() { cp "$good" "$1" && patch "$1" 60 '\0\0'; }
sections_outside() { cp "$good" "$1" && patch "$1" 46 '\x7f'; }
# The first segment's p_offset: the table of segments follows the header.
segment_outside() { cp "$good" "$1" && patch "$1" 78 '\x7f'; }

# section_header FILE NAME: the offset of its entry in the table of sections.
section_header() {
  local table number
  table=$(readelf -hW "$1" | sed -n 's/.*Start of section headers: *\([0-9]*\).*/\1/p')
  number=$(readelf -SW "$1" | sed -n "s/^ *\[ *\([0-9]*\)\] $2 .*/\1/p")
  echo $((table + 64 * number))
}
manifest_outside() { # its sh_offset
  cp "$good" "$1"
  patch "$1" $(($(section_header "$1" '\.pergola\.manifest') + 24)) '\0\0\0\0\0\0\0\x7f'
}
manifest_endless() { # its sh_size
  cp "$good" "$1"
  patch "$1" $(($(section_header "$1" '\.pergola\.manifest') + 32)) '\xff\xff\xff\xff\xff\xff\xff\xff'
}
without_entry() { sed 's/pergola_plugin/pergola_plugim/g' "$good" >"$1"; }
wrong_name() { sed 's/name = "[a-z]/name = "z/' "$good" >"$1"; }
escape_in_name() { echo 'not a library' >"${1%.so}"$'\e[2J.so'; }

names=(empty text folder fifo device dangling loop unreadable world_writable huge truncated header_cut
  other_system archive garbage bits_32 big_endian executable other_processor no_sections sections_outside
  segment_outside manifest_outside manifest_endless without_entry wrong_name escape_in_name)

if [[ ${1:-} == --list ]]; then
  printf '%s\n' "${names[@]}"
  exit
fi
if (($# < 2)); then
  echo 'usage: make_bad_files.sh GOOD.so FOLDER [NAME ...]' >&2
  exit 2
fi
good=$1 folder=$2
shift 2
if (($# == 0)); then set -- "${names[@]}"; fi
mkdir -p "$folder"
for name in "$@"; do
  rm -rf "$folder/$name.so" "$folder/$name"$'\e[2J.so'
  "$name" "$folder/$name.so"
done
