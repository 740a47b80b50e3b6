# SPDX-License-Identifier: Apache-2.0
#
# cmake -DLIBRARY=<file> -DNAME=<name> -DPLATFORM=<system>-<processor> [-DMIN_GLIBC=<v>] [-DMIN_GLIBCXX=<v>] -P SixcallManifest.cmake
#
# Writes LIBRARY.json: the SHA-256 of the library, and what its ELF note says.
cmake_minimum_required(VERSION 3.20)
file(READ "${LIBRARY}" hex HEX)

# The head of the note: 8 bytes of name, 112 of description, type 1, "sixcall\0".
string(FIND "${hex}" "08000000700000000100000073697863616c6c00" at)
if(at LESS 0)
  message(FATAL_ERROR "${LIBRARY} has no ELF note, without which no host loads it: put SIXCALL_NOTE(caps, vendor, name, version) "
    "at file scope in one of its C sources, or SIXCALL_CONNECTOR in one of its C++ sources")
endif()

# number(<variable> <byte> <bytes>): a little-endian number of the note.
function(number out byte bytes)
  set(text "")
  math(EXPR last "${bytes} - 1")
  foreach(i RANGE ${last})
    math(EXPR from "${at} + 2 * (${byte} + ${i})")
    string(SUBSTRING "${hex}" ${from} 2 digits)
    string(PREPEND text "${digits}")
  endforeach()
  math(EXPR value "0x${text}")
  set(${out} ${value} PARENT_SCOPE)
endfunction()

# text(<variable> <byte>): 32 bytes of text, up to the first NUL.
function(text out byte)
  set(value "")
  foreach(i RANGE 31)
    math(EXPR from "${at} + 2 * (${byte} + ${i})")
    string(SUBSTRING "${hex}" ${from} 2 digits)
    if(digits STREQUAL "00")
      break()
    endif()
    math(EXPR code "0x${digits}")
    string(ASCII ${code} character)
    if(character STREQUAL "\"" OR character STREQUAL "\\")
      string(PREPEND character "\\")
    endif()
    string(APPEND value "${character}")
  endforeach()
  set(${out} "${value}" PARENT_SCOPE)
endfunction()

number(major 20 2)
number(minor 22 2)
text(vendor 36)
text(product 68)
text(version 100)
if(NOT product STREQUAL NAME)
  message(FATAL_ERROR "${LIBRARY} calls itself \"${product}\" in its ELF note, but sixcall_add_connector calls it \"${NAME}\"")
endif()

string(TOLOWER "${PLATFORM}" platform)
string(REPLACE "x86_64" "amd64" platform "${platform}")
string(REPLACE "aarch64" "arm64" platform "${platform}")
file(SHA256 "${LIBRARY}" sum)
get_filename_component(file "${LIBRARY}" NAME)
set(promises "")
foreach(promise GLIBC GLIBCXX)
  if(MIN_${promise})
    string(TOLOWER "min_${promise}" key)
    string(APPEND promises ",\n  \"${key}\": \"${MIN_${promise}}\"")
  endif()
endforeach()
file(WRITE "${LIBRARY}.json" "{
  \"schema\": \"sixcall.manifest/1\",
  \"name\": \"${product}\",
  \"version\": \"${version}\",
  \"vendor\": \"${vendor}\",
  \"abi\": \"${major}.${minor}\",
  \"platform\": \"${platform}\",
  \"library\": \"${file}\",
  \"sha256\": \"${sum}\"${promises}
}
")
