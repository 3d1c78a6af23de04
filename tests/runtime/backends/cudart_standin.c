/* Stands in for the CUDA runtime library in tests: device memory is host memory filled with rubbish, and every
 * copy is put off until its stream is waited for, so that a missing wait shows. STANDIN_LIMIT bytes can be
 * allocated at a time. */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2 };

typedef struct Op {
    struct Op *next;
    void *target;
    const void *source; /* NULL: set to zero */
    size_t count;
} Op;


static Op *first, *last;
static size_t limit = (size_t)1 << 30, used;
static int devices = 1, waits;

static void run_all(void) {
    while (first) {
        Op *op = first;
        first = op->next;
        if (op->source)
            memmove(op->target, op->source, op->count);
        else
            memset(op->target, 0, op->count);
        free(op);
    }
    last = NULL;
}

static int queue(void *target, const void *source, size_t count) {
    Op *op = malloc(sizeof *op);
    *op = (Op){NULL, target, source, count};
    if (last)
        last->next = op;
    else
        first = op;
    last = op;
    return SUCCESS;
}

void standin_limit(size_t bytes) { limit = bytes; }
size_t standin_used(void) { return used; }
int standin_waits(void) { return waits; }

const char *cudaGetErrorString(int status) { return status == OUT_OF_MEMORY ? "out of memory" : "invalid argument"; }
int cudaSetDevice(int device) { return device < devices ? SUCCESS : INVALID; }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) {
    *stream = &waits;
    return flags == 1 ? SUCCESS : INVALID;
}
int cudaStreamDestroy(void *stream) {
    run_all();
    return stream == &waits ? SUCCESS : INVALID;
}
int cudaStreamSynchronize(void *stream) {
    waits++;
    run_all();
    return stream == &waits ? SUCCESS : INVALID;
}

static int allocate(void **address, size_t count) {
    size_t *whole;
    if (used + count > limit)
        return OUT_OF_MEMORY;
    whole = aligned_alloc(256, (count + 511) / 256 * 256);
    whole[0] = count;
    used += count;
    *address = (char *)whole + 256;
    memset(*address, 0xAB, count);
    return SUCCESS;
}

static int release(void *address) {
    char *whole = (char *)address - 256;
    run_all(); /* as cudaFree waits for the device */
    used -= *(size_t *)whole;
    free(whole);
    return SUCCESS;
}

int cudaMalloc(void **address, size_t count) { return allocate(address, count); }
int cudaFree(void *address) { return release(address); }
int cudaMallocHost(void **address, size_t count) { return allocate(address, count); }
int cudaFreeHost(void *address) { return release(address); }

int cudaMemcpyAsync(void *target, const void *source, size_t count, int kind, void *stream) {
    if (stream != &waits || kind < 1 || kind > 3)
        return INVALID;
    return queue(target, source, count);
}
int cudaMemsetAsync(void *target, int value, size_t count, void *stream) {
    if (stream != &waits || value != 0)
        return INVALID;
    return queue(target, NULL, count);
}
