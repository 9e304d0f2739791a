#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compiles our public headers as clients would: alone and together, in C99, C11 and C++17, with all warnings,
# and after a header of the client's own that brought the Windows types along. And two clients as they are written for
# Windows, unchanged: here, and for Windows with our headers and with mingw-w64's.
#
# usage: standards.sh [BUILD-DIRECTORY]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
include=$here/../../include
build=${1:-build/tests/include}/standards
mkdir -p "$build"
passed=0
failed=0

# check COMPILER STANDARD FILE [OPTION...]
check() {
    compiler=$1 standard=$2 file=$3
    shift 3
    if $compiler -std="$standard" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror "$@" -I "$include" \
        -fsyntax-only "$file"; then
        passed=$((passed + 1))
    else
        echo "failed: $compiler -std=$standard $* $file"
        failed=$((failed + 1))
    fi
}

headers="WinHvPlatformDefs.h WinHvPlatform.h WinHvEmulation.h softwhp.h"
for header in $headers; do
    printf '#include <%s>\nextern HRESULT client;\nHRESULT client = S_OK;\n' "$header" >"$build/$header.c"
done

{
    for header in $headers; do
        echo "#include <$header>"
    done
    cat <<'END'
HRESULT client(WHV_PARTITION_HANDLE partition, VOID *memory);
HRESULT client(WHV_PARTITION_HANDLE partition, VOID *memory)
{
    static const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvRegisterPendingInterruption};
    WHV_REGISTER_VALUE values[2];
    WHV_RUN_VP_EXIT_CONTEXT exit_context;
    HRESULT hr = WHvMapGpaRange(partition, memory, 0, 4096, WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite);

    if (FAILED(hr))
        return hr;
    hr = WHvRunVirtualProcessor(partition, 0, &exit_context, sizeof(exit_context));
    if (hr == WHV_E_VP_DOES_NOT_EXIST || hr == HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED))
        return E_FAIL;
    switch (exit_context.ExitReason) {
    case WHvRunVpExitReasonX64IoPortAccess:
        values[0].Reg64 = exit_context.VpContext.Rip + exit_context.VpContext.InstructionLength;
        values[1].PendingInterruption.AsUINT64 = exit_context.IoPortAccess.AccessInfo.IsWrite;
        return WHvSetVirtualProcessorRegisters(partition, 0, names, 2, values);
    default:
        return exit_context.MemoryAccess.AccessInfo.GpaUnmapped ? E_INVALIDARG : S_OK;
    }
}
END
} >"$build/all.c"

# The types that a port of a Windows program has of its own, the same and different ones.
cat >"$build/same.h" <<'END'
#include <stdint.h>
#define VOID void
#define S_OK 0
#define FAILED(hr) ((hr) < 0)
#define GUID_DEFINED
typedef uint8_t UINT8;
typedef uint16_t UINT16;
typedef uint32_t UINT32;
typedef uint64_t UINT64;
typedef int32_t HRESULT;
typedef void *HANDLE;
typedef struct GUID {
    uint32_t Data1;
    uint16_t Data2, Data3;
    uint8_t Data4[8];
} GUID;
END
cat >"$build/different.h" <<'END'
#define SOFTWHP_NO_BASE_TYPES
typedef void VOID, *PVOID, *HANDLE;
typedef unsigned char UINT8;
typedef unsigned short UINT16, USHORT;
typedef unsigned int UINT32;
typedef unsigned long long UINT64;
typedef int HRESULT, BOOL;
typedef enum { PowerDeviceD0 = 1 } DEVICE_POWER_STATE;
typedef struct {
    UINT32 Data1;
    UINT16 Data2, Data3;
    UINT8 Data4[8];
} GUID;
typedef struct {
    UINT32 LowPart;
    HRESULT HighPart;
} LUID;
END

cc=${CC:-cc}
cxx=${CXX:-c++}
for file in $headers all; do
    file=$build/$file.c
    check "$cc" c99 "$file"
    check "$cc" c11 "$file"
    check "$cxx" c++17 "$file" -x c++
    if command -v x86_64-w64-mingw32-gcc >/dev/null; then
        check x86_64-w64-mingw32-gcc c11 "$file"
    fi
done
for types in same different; do
    check "$cc" c11 "$build/all.c" -Wno-long-long -include "$build/$types.h"
    check "$cxx" c++17 "$build/all.c" -x c++ -include "$build/$types.h"
done
check "$cc" c11 "$here/client_table.c"
check "$cxx" c++17 "$here/client_classes.cpp"
if command -v x86_64-w64-mingw32-gcc >/dev/null; then
    # Windows doesn't care whether a name has capitals, and mingw-w64's headers have none.
    mkdir -p "$build/windows"
    printf '#include <windows.h>\n#include <winhvplatform.h>\n' >"$build/windows/WinHvPlatform.h"
    printf '#include <windows.h>\n#include <winhvemulation.h>\n' >"$build/windows/WinHvEmulation.h"
    for headers in "$include" "$build/windows"; do
        check x86_64-w64-mingw32-gcc c11 "$here/client_table.c" -Wno-pedantic -I "$headers"
    done
    if command -v x86_64-w64-mingw32-g++ >/dev/null; then
        for headers in "$include" "$build/windows"; do
            check x86_64-w64-mingw32-g++ c++17 "$here/client_classes.cpp" -I "$headers"
        done
    else
        echo "skipped: C++ for Windows, x86_64-w64-mingw32-g++ is missing (package g++-mingw-w64-x86-64)"
    fi
fi
command -v x86_64-w64-mingw32-gcc >/dev/null ||
    echo "skipped: for Windows, x86_64-w64-mingw32-gcc is missing (package gcc-mingw-w64-x86-64)"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
