/* An ONNX Runtime of long ago: it has no API that was made since. */
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const void* (*get_api)(uint32_t version);
  const char* (*get_version)(void);
} Base;

static const void* get_api(uint32_t version) {
  (void)version;
  return NULL;
}
static const char* get_version(void) { return "1.9.0"; }
static const Base base = {get_api, get_version};

const Base* OrtGetApiBase(void) { return &base; }
