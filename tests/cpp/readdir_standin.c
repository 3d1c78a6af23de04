/* The C library's readdir in a folder named "targets", preloaded: READDIR "gone" lists a first entry that is not there
 * (any more), "broken" fails after the first entry. Other folders are listed as they are. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int in_targets(DIR* listing) {
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd(listing));
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 8) return 0;
  path[length] = '\0';
  return strcmp(path + length - 8, "/targets") == 0;
}

static struct dirent* next(DIR* listing, const char* real_name) {
  struct dirent* (*real)(DIR*) = (struct dirent * (*)(DIR*)) dlsym(RTLD_NEXT, real_name);
  const char* mode = getenv("READDIR");
  if (mode == NULL || !in_targets(listing)) return real(listing);
  static DIR* begun = NULL; /* one listing at a time */
  const int first = begun != listing;
  begun = listing;
  if (first && strcmp(mode, "gone") == 0) {
    static struct dirent gone = {.d_type = DT_UNKNOWN, .d_name = "gone.onnxruntime"};
    return &gone;
  }
  struct dirent* found = first || strcmp(mode, "broken") != 0 ? real(listing) : NULL;
  if (found == NULL) begun = NULL;
  if (!first && strcmp(mode, "broken") == 0) errno = EIO;
  return found;
}

struct dirent* readdir(DIR* listing) { return next(listing, "readdir"); }
struct dirent64* readdir64(DIR* listing) { return (struct dirent64*)next(listing, "readdir64"); }
