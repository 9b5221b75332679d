# SPDX-License-Identifier: Apache-2.0
# vhsm_link_order(TARGET FILE): the code that FILE names lies first in TARGET's .text, in its order; the
# constants and tables of the objects that it names lie first in theirs.
# GNU ld has no option for that before 2.43, but takes a script in the place of its own: which is its
# own with FILE's lines before the others. (A script that only adds a section would do, too; but then
# valgrind does not know the names of what lies there.)
function(vhsm_link_order target file)
  file(READ ${file} code)
  string(REGEX MATCHALL "[^ \n]*\\.o\\(" objects "${code}")
  list(TRANSFORM objects REPLACE "(.+)" "    \\1.rodata .rodata._Z* .rodata.cst*)\n" OUTPUT_VARIABLE constants)
  list(TRANSFORM objects REPLACE "(.+)" "    \\1.data.rel.ro .data.rel.ro.*)\n" OUTPUT_VARIABLE tables)
  list(JOIN constants "" constants)
  list(JOIN tables "" tables)

  execute_process(COMMAND ${CMAKE_LINKER} -shared -z relro -z now --verbose
    OUTPUT_VARIABLE script ERROR_QUIET)
  set(code_begins "*(.text.unlikely ")
  set(constants_begins "*(.rodata ")
  set(tables_begins "*(.data.rel.ro.local* ")
  foreach(part code constants tables)
    string(FIND "${script}" "${${part}_begins}" found)
    if(found EQUAL -1)
      message(STATUS "The linker is not GNU ld: ${file} does not apply, handshakes are 1 % slower")
      return()
    endif()
    string(REPLACE "${${part}_begins}" "\n${${part}}    ${${part}_begins}" script "${script}")
  endforeach()
  string(REGEX REPLACE "^.*\n====+\n(.*)\n====+\n.*$" "\\1" script "${script}")
  set(whole ${CMAKE_CURRENT_BINARY_DIR}/${target}.ld)
  file(CONFIGURE OUTPUT ${whole} CONTENT "${script}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${whole})
  target_link_options(${target} PRIVATE -Wl,-T,${whole})
endfunction()
