# What all targets of the project share: language level, warnings, sanitizers, include root.

set(DLM_SANITIZE "" CACHE STRING "Sanitizers for every target, as for -fsanitize=")
option(DLM_WARNINGS_AS_ERRORS "Treat warnings as errors" ON)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(DLM_CCACHE ccache)
if(DLM_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${DLM_CCACHE})
endif()

add_library(dlm_options INTERFACE)
target_include_directories(dlm_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_compile_options(dlm_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow)
if(DLM_WARNINGS_AS_ERRORS)
  target_compile_options(dlm_options INTERFACE -Werror)
endif()
target_compile_definitions(dlm_options INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION)
if(DLM_SANITIZE)
  target_compile_options(dlm_options INTERFACE -fsanitize=${DLM_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all -O1 -g1)
  target_link_options(dlm_options INTERFACE -fsanitize=${DLM_SANITIZE})
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Its optimizer guesses wrongly inside KJ's Maybe, its sanitizers' instrumentation in other library headers as well.
  target_compile_options(dlm_options INTERFACE -Wno-maybe-uninitialized -Wno-tsan)
else()
  # KJ's macros are made of these.
  target_compile_options(dlm_options INTERFACE -Wno-gnu-statement-expression)
endif()

# dlm_library(NAME SOURCES... [PUBLIC deps...] [PRIVATE deps...]): a static library of one folder.
function(dlm_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE $<BUILD_INTERFACE:dlm_options> ${ARG_PRIVATE})
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                            $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}>)
endfunction()

# dlm_program(NAME SOURCES... LINK deps...): an executable in bin/, installed. Its allocator is not that of the C library, whose caches
# are too small for what Cap'n Proto RPC allocates in a turn; sanitizers bring their own.
function(dlm_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE dlm_options ${ARG_LINK} $<TARGET_NAME_IF_EXISTS:Tcmalloc::minimal>)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
