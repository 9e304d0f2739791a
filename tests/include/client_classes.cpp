// SPDX-License-Identifier: MIT
//
// A client in C++: types of functions by decltype, registers by names in containers, flags of an enum combined.
// tests/include/standards.sh compiles it with our headers and Windows'.
#include <WinHvEmulation.h>
#include <WinHvPlatform.h>

#include <cstring>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <vector>

struct Functions {
    decltype(&WHvCreatePartition) create = WHvCreatePartition;
    decltype(&WHvDeletePartition) destroy = WHvDeletePartition;
    decltype(&WHvSetPartitionProperty) set = WHvSetPartitionProperty;
    decltype(&WHvMapGpaRange) map = WHvMapGpaRange;
};

struct Failure : std::runtime_error {
    HRESULT hr;
    explicit Failure(HRESULT result) : std::runtime_error("the hypervisor said no"), hr(result) {}
};

static void need(HRESULT hr)
{
    if (FAILED(hr))
        throw Failure(hr);
}

class Partition {
public:
    explicit Partition(UINT32 processors)
    {
        WHV_PARTITION_PROPERTY property;

        std::memset(&property, 0, sizeof property);
        need(functions.create(&handle));
        property.ProcessorCount = processors;
        need(functions.set(handle, WHvPartitionPropertyCodeProcessorCount, &property, sizeof property.ProcessorCount));
        property.ExtendedVmExits.AsUINT64 = 0;
        property.ExtendedVmExits.X64CpuidExit = 1;
        property.ExtendedVmExits.ExceptionExit = 1;
        need(functions.set(handle, WHvPartitionPropertyCodeExtendedVmExits, &property, sizeof(WHV_EXTENDED_VM_EXITS)));
    }
    Partition(const Partition &) = delete;
    Partition &operator=(const Partition &) = delete;
    ~Partition() { functions.destroy(handle); }

    void map(void *memory, WHV_GUEST_PHYSICAL_ADDRESS gpa, UINT64 size, bool writable)
    {
        WHV_MAP_GPA_RANGE_FLAGS flags = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute;

        if (writable)
            flags |= WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagTrackDirtyPages;
        need(functions.map(handle, memory, gpa, size, flags));
    }

    std::map<WHV_REGISTER_NAME, WHV_REGISTER_VALUE> read(UINT32 index, std::initializer_list<WHV_REGISTER_NAME> which)
    {
        std::vector<WHV_REGISTER_NAME> names(which);
        std::vector<WHV_REGISTER_VALUE> values(names.size());
        std::map<WHV_REGISTER_NAME, WHV_REGISTER_VALUE> result;

        need(WHvGetVirtualProcessorRegisters(handle, index, names.data(), static_cast<UINT32>(names.size()), values.data()));
        for (size_t i = 0; i < names.size(); i++)
            result[names[i]] = values[i];
        return result;
    }

    static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *access)
    {
        return static_cast<Partition *>(context)->port(access->Port, access->AccessSize) ? S_OK : E_FAIL;
    }

    WHV_EMULATOR_CALLBACKS callbacks() const
    {
        WHV_EMULATOR_CALLBACKS c = {};

        c.Size = sizeof c;
        c.WHvEmulatorIoPortCallback = on_port;
        return c;
    }

private:
    static bool port(UINT16 number, UINT16 size) { return number == 0x3f8 && size == 1; }

    Functions functions;
    WHV_PARTITION_HANDLE handle = nullptr;
};

UINT64 client(void *memory);
UINT64 client(void *memory)
{
    Partition partition(2);

    partition.map(memory, 0, 0x1000, true);
    return partition.read(0, { WHvX64RegisterRip, WHvX64RegisterCr3 })[WHvX64RegisterCr3].Reg64;
}
