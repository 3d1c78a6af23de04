/* An ONNX Runtime of long ago: it has no API that was made since. It says what it found in the environment when it was
 * loaded, which is when later ones begin with their telemetry. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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

__attribute__((constructor)) static void loaded(void) {
  const char* said = getenv("ORT_DISABLE_TELEMETRY");
  fprintf(stderr, "ORT_DISABLE_TELEMETRY=%s\n", said == NULL ? "(none)" : said);
}
