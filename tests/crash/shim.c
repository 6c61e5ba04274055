/* Records what a process writes below one folder, and what of it it has synced: LD_PRELOAD=shim.so TORN_ROOT=DIR TORN_TRACE=FILE.
 *
 * Each call is appended to the trace after it has succeeded: a header, the path, a second path or the bytes. tests/crash/torn.py
 * reads it and makes what a power cut may leave. Calls outside of the folder pass through untouched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct header {
    uint64_t time_ns;
    int64_t offset;
    uint32_t kind; /* the letter of the call */
    uint32_t path_bytes;
    uint32_t more_bytes;
    uint32_t unused;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static char root[PATH_MAX];
static size_t root_bytes;

static ssize_t (*real_write)(int, const void *, size_t);

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("TORN_ROOT"), *file = getenv("TORN_TRACE");
    real_write = dlsym(RTLD_NEXT, "write");
    if (!folder || !file || !realpath(folder, root)) return;
    root_bytes = strlen(root);
    trace = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int below(const char *path) {
    return trace >= 0 && path && !strncmp(path, root, root_bytes) && path[root_bytes] == '/';
}

static void record(char kind, const char *path, int64_t offset, const void *more, size_t more_bytes) {
    struct timespec now;
    int kept = errno;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct header header = {
        .time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
        .offset = offset, .kind = (uint32_t)kind,
        .path_bytes = (uint32_t)(strlen(path) - root_bytes - 1), .more_bytes = (uint32_t)more_bytes,
    };
    pthread_mutex_lock(&lock);
    real_write(trace, &header, sizeof header);
    real_write(trace, path + root_bytes + 1, header.path_bytes);
    if (more_bytes) real_write(trace, more, more_bytes);
    pthread_mutex_unlock(&lock);
    errno = kept;
}

/* The path that a descriptor is open at, if it is a file or folder below the root. */
static int path_of(int descriptor, char *path) {
    char link[64];
    if (trace < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (!strcmp(path, root)) { strcpy(path + length, "/."); return 1; }
    return below(path) && !strstr(path, " (deleted)");
}

static char *absolute(const char *path, char *found) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (!realpath(folder, found)) return NULL;
        strncat(found, slash, PATH_MAX - strlen(found) - 1);
        return found;
    }
    return NULL;
}

static void wrote(int descriptor, const void *bytes, ssize_t count, int64_t offset) {
    char path[PATH_MAX];
    if (count > 0 && descriptor != trace && path_of(descriptor, path)) record('w', path, offset, bytes, (size_t)count);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    char path[PATH_MAX];
    int is_ours = descriptor > 2 && descriptor != trace && path_of(descriptor, path);
    ssize_t done = real_write(descriptor, bytes, count);
    if (is_ours && done > 0) wrote(descriptor, bytes, done, lseek(descriptor, 0, SEEK_CUR) - done);
    return done;
}

#define WRAP_PWRITE(name, type) \
    ssize_t name(int descriptor, const void *bytes, size_t count, type offset) { \
        static ssize_t (*real)(int, const void *, size_t, type); \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        ssize_t done = real(descriptor, bytes, count, offset); \
        wrote(descriptor, bytes, done, offset); \
        return done; \
    }
WRAP_PWRITE(pwrite, off_t)
WRAP_PWRITE(pwrite64, off64_t)

#define WRAP_TRUNCATE(name, type) \
    int name(int descriptor, type length) { \
        static int (*real)(int, type); \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        int failed = real(descriptor, length); \
        char path[PATH_MAX]; \
        if (!failed && path_of(descriptor, path)) record('t', path, length, NULL, 0); \
        return failed; \
    }
WRAP_TRUNCATE(ftruncate, off_t)
WRAP_TRUNCATE(ftruncate64, off64_t)

#define WRAP_SYNC(name) \
    int name(int descriptor) { \
        static int (*real)(int); \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        int failed = real(descriptor); \
        char path[PATH_MAX]; \
        if (!failed && path_of(descriptor, path)) record('s', path, 0, NULL, 0); \
        return failed; \
    }
WRAP_SYNC(fsync)
WRAP_SYNC(fdatasync)

static void opened(const char *path, int flags, int descriptor, int was_there) {
    char found[PATH_MAX];
    if (descriptor < 0 || trace < 0) return;
    if (!(flags & (O_CREAT | O_TRUNC)) || !absolute(path, found) || !below(found)) return;
    if (!was_there) record('c', found, 0, NULL, 0);
    else if (flags & O_TRUNC) record('t', found, 0, NULL, 0);
}

#define WRAP_OPEN(name) \
    int name(const char *path, int flags, ...) { \
        static int (*real)(const char *, int, ...); \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        va_list rest; va_start(rest, flags); \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int was_there = trace >= 0 && (flags & (O_CREAT | O_TRUNC)) ? !access(path, F_OK) : 1; \
        int descriptor = real(path, flags, mode); \
        opened(path, flags, descriptor, was_there); \
        return descriptor; \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    char one[PATH_MAX], other[PATH_MAX];
    if (!real) real = dlsym(RTLD_NEXT, "rename");
    int is_ours = trace >= 0 && absolute(from, one) && below(one) && absolute(to, other) && below(other);
    int failed = real(from, to);
    if (!failed && is_ours) record('r', one, 0, other + root_bytes + 1, strlen(other) - root_bytes - 1);
    return failed;
}

int unlink(const char *path) {
    static int (*real)(const char *);
    char found[PATH_MAX];
    if (!real) real = dlsym(RTLD_NEXT, "unlink");
    int is_ours = trace >= 0 && absolute(path, found) && below(found);
    int failed = real(path);
    if (!failed && is_ours) record('u', found, 0, NULL, 0);
    return failed;
}

int mkdir(const char *path, mode_t mode) {
    static int (*real)(const char *, mode_t);
    char found[PATH_MAX];
    if (!real) real = dlsym(RTLD_NEXT, "mkdir");
    int failed = real(path, mode);
    if (!failed && trace >= 0 && absolute(path, found) && below(found)) record('d', found, 0, NULL, 0);
    return failed;
}
