/* Shifts the real-time clock of one process, for tests: preloaded, it adds the nanoseconds that are in the file
 * MIXPOOL_CLOCK_SHIFT names, as eight bytes in the machine's order, to each reading of CLOCK_REALTIME.
 *
 *     cc -shared -fPIC -o clock_shift.so benches/clock_shift.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const volatile int64_t *shift_ns;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("MIXPOOL_CLOCK_SHIFT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (fd >= 0) {
        void *file = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
        if (file != MAP_FAILED)
            shift_ns = file;
    }
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real_gettime(clock, now);

    if (result == 0 && clock == CLOCK_REALTIME && shift_ns) {
        int64_t ns = now->tv_nsec + *shift_ns % 1000000000;

        now->tv_sec += *shift_ns / 1000000000;
        if (ns < 0) {
            ns += 1000000000;
            now->tv_sec -= 1;
        } else if (ns >= 1000000000) {
            ns -= 1000000000;
            now->tv_sec += 1;
        }
        now->tv_nsec = ns;
    }
    return result;
}
