/* CHECK ends the program at the first fact that does not hold, with its line. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(fact)                                                                       \
    do {                                                                                  \
        if (!(fact)) {                                                                    \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #fact, errno); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* The call fails, and this is its errno. */
#define CHECK_ERRNO(fact, expected) \
    do {                            \
        errno = 0;                  \
        CHECK(fact);                \
        CHECK(errno == (expected)); \
    } while (0)

#endif
