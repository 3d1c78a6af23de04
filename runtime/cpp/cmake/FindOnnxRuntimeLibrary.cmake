# ONNX Runtime: the headers and the shared library, as the imported target `onnxruntime::onnxruntime`.
#
# ONNXRUNTIME_ROOT names an unpacked release (include/, lib/). Without it the library is the one inside the Python
# wheel of Python3_EXECUTABLE (its SONAME is libonnxruntime.so.1, under which it is linked here), and the headers are
# those that tools/fetch_packages.py unpacks into the build folder. The virtual environment that `make setup` makes is
# taken where no other Python is named.
set(made "${CMAKE_CURRENT_SOURCE_DIR}/../../.venv/bin/python")
if(NOT Python3_EXECUTABLE AND EXISTS "${made}")
  set(Python3_EXECUTABLE "${made}")
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)

set(fetched "${CMAKE_BINARY_DIR}/headers")
set(ONNXRUNTIME_ROOT "$ENV{ONNXRUNTIME_ROOT}" CACHE PATH "An unpacked release of ONNX Runtime")
set(NLOHMANN_JSON_ROOT "$ENV{NLOHMANN_JSON_ROOT}" CACHE PATH "Folder that holds nlohmann/json.hpp")
set(wanted)
if(NOT ONNXRUNTIME_ROOT)
  list(APPEND wanted onnxruntime)
endif()
if(NOT NLOHMANN_JSON_ROOT)
  list(APPEND wanted nlohmann-json)
endif()
if(wanted)
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" "${CMAKE_CURRENT_SOURCE_DIR}/tools/fetch_packages.py" "${fetched}" ${wanted}
    OUTPUT_VARIABLE folders OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" folders "${folders}")
endif()
if(NOT ONNXRUNTIME_ROOT)
  list(POP_FRONT folders ort_include)
endif()
if(NOT NLOHMANN_JSON_ROOT)
  list(POP_FRONT folders NLOHMANN_JSON_ROOT)
endif()

if(ONNXRUNTIME_ROOT)
  find_path(ort_include onnxruntime_c_api.h REQUIRED NO_CACHE NO_DEFAULT_PATH
    PATHS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session)
  find_library(ort_library onnxruntime REQUIRED NO_CACHE NO_DEFAULT_PATH PATHS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES lib lib64)
else()
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import importlib.util, pathlib; s = importlib.util.find_spec('onnxruntime'); print(*pathlib.Path(s.origin).parent.glob('capi/libonnxruntime.so.*'))"
    OUTPUT_VARIABLE wheel_library OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  if(NOT EXISTS "${wheel_library}")
    message(FATAL_ERROR "no libonnxruntime.so in the onnxruntime of ${Python3_EXECUTABLE}: give ONNXRUNTIME_ROOT")
  endif()
  set(ort_library "${CMAKE_BINARY_DIR}/onnxruntime/libonnxruntime.so.1")
  file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/onnxruntime")
  file(CREATE_LINK "${wheel_library}" "${ort_library}" SYMBOLIC)
endif()

add_library(onnxruntime::onnxruntime SHARED IMPORTED)
set_target_properties(onnxruntime::onnxruntime PROPERTIES
  IMPORTED_LOCATION "${ort_library}"
  IMPORTED_SONAME libonnxruntime.so.1
  INTERFACE_INCLUDE_DIRECTORIES "${ort_include}"
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${ort_include}")
