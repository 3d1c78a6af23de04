/* Stands in for the NVIDIA driver's library in tests: one GPU of compute capability 8.9. */
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_DEVICE = 101, MAJOR = 75, MINOR = 76 };

int cuInit(unsigned flags) { return flags == 0 ? SUCCESS : INVALID_VALUE; }
int cuDeviceGetCount(int *count) {
    *count = 1;
    return SUCCESS;
}
int cuDeviceGet(int *device, int index) {
    *device = index + 40; /* a handle is not an index */
    return index == 0 ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, "the one GPU", (size_t)size);
    return device == 40 ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 40 || (attribute != MAJOR && attribute != MINOR))
        return INVALID_VALUE;
    *value = attribute == MAJOR ? 8 : 9;
    return SUCCESS;
}
int cuDriverGetVersion(int *version) {
    *version = 13000;
    return SUCCESS;
}
