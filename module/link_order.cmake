# SPDX-License-Identifier: Apache-2.0
# vhsm_link_order(TARGET FILE): the sections that FILE names lie first in TARGET's .text, in its order.
# GNU ld has no option for that before 2.43, but takes a script in the place of its own: which is its
# own with FILE's lines before the others of .text. (A script that only adds a section would do, too;
# but then valgrind does not know the names of what lies there.)
function(vhsm_link_order target file)
  execute_process(COMMAND ${CMAKE_LINKER} -shared -z relro -z now --verbose
    OUTPUT_VARIABLE script ERROR_QUIET)
  set(first_line "*(.text.unlikely .text.*_unlikely .text.unlikely.*)")
  string(FIND "${script}" "${first_line}" found)
  if(found EQUAL -1)
    message(STATUS "The linker is not GNU ld: ${file} does not apply, signatures are 1 % slower")
    return()
  endif()
  file(READ ${file} order)
  string(REPLACE "${first_line}" "${order}    ${first_line}" script "${script}")
  string(REGEX REPLACE "^.*\n====+\n(.*)\n====+\n.*$" "\\1" script "${script}")
  set(whole ${CMAKE_CURRENT_BINARY_DIR}/${target}.ld)
  file(CONFIGURE OUTPUT ${whole} CONTENT "${script}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${whole})
  target_link_options(${target} PRIVATE -Wl,-T,${whole})
endfunction()
