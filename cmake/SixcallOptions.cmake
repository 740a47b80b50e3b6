# SPDX-License-Identifier: Apache-2.0
# sixcall_project_options(<target>): the warnings and sanitizers of this project's
# own targets. A stranger's connector chooses its own.
function(sixcall_project_options target)
  if(NOT SIXCALL_TOP_LEVEL)
    return()
  endif()
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wpointer-arith -Wundef
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
  if(SIXCALL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(SIXCALL_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${SIXCALL_SANITIZE} -fno-omit-frame-pointer -g)
    target_link_options(${target} PRIVATE -fsanitize=${SIXCALL_SANITIZE})
    if(SIXCALL_SANITIZE MATCHES "undefined")
      target_compile_options(${target} PRIVATE -fno-sanitize-recover=undefined)
    endif()
  endif()
endfunction()
