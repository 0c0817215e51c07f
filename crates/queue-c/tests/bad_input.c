/* Bad input to every function: it is refused with errno, and the process goes on. */
#include "queue.h"

#include "check.h"

#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define RING 4096

/* A call without a result sets errno. */
#define CHECK_REFUSED(call, expected) \
    do {                              \
        errno = 0;                    \
        call;                         \
        CHECK(errno == (expected));   \
    } while (0)

/* No function takes this pool: NULL, destroyed, or all zeros. */
static void check_pool_is_refused(queue_pool_t *pool)
{
    uint64_t counts[5] = {1, 1, 1, 1, 1};
    CHECK_ERRNO(queue_pool_acquire(pool) == -1, EINVAL);
    CHECK_ERRNO(queue_pool_release(pool, 0) == -1, EINVAL);
    CHECK_ERRNO(queue_pool_get(pool, 0) == NULL, EINVAL);
    CHECK_ERRNO(queue_pool_get_epoll_fd(pool) == -1, EINVAL);
    CHECK_ERRNO(queue_pool_is_empty(pool, 0), EINVAL);
    CHECK_REFUSED(queue_pool_stats(pool, &counts[0], &counts[1], &counts[2], &counts[3], &counts[4]), EINVAL);
    for (int i = 0; i < 5; i++)
        CHECK(counts[i] == 0);
    CHECK_REFUSED(queue_pool_stats(pool, NULL, NULL, NULL, NULL, NULL), EINVAL);
    CHECK_REFUSED(queue_pool_destroy(pool), EINVAL);
}

static void check_queue_is_refused(queue_t *q)
{
    uint64_t counts[4] = {1, 1, 1, 1};
    uint8_t byte = 0, *bytes = &byte;
    size_t size = 1;
    CHECK_ERRNO(!queue_publish(q, "x", 1), EINVAL);
    CHECK_ERRNO(!queue_publish(q, NULL, 1), EINVAL);
    CHECK_ERRNO(queue_get(q, &bytes, &size) == 0, EINVAL);
    CHECK(bytes == NULL && size == 0);
    CHECK_ERRNO(queue_get(q, NULL, NULL) == 0, EINVAL);
    CHECK_REFUSED(queue_ack(q), EINVAL);
    CHECK_REFUSED(queue_close(q), EINVAL);
    CHECK_ERRNO(!queue_is_closed_and_empty(q), EINVAL);
    CHECK_REFUSED(queue_stats(q, &counts[0], &counts[1], &counts[2], &counts[3]), EINVAL);
    for (int i = 0; i < 4; i++)
        CHECK(counts[i] == 0);
    CHECK_REFUSED(queue_stats(q, NULL, NULL, NULL, NULL), EINVAL);
    CHECK_REFUSED(queue_reset(q), EINVAL);
    CHECK_REFUSED(queue_destroy(q), EINVAL);
}

static void null_pointers_are_refused(void)
{
    CHECK_ERRNO(queue_pool_init(NULL, 1, RING, -1) == -1, EINVAL);
    CHECK_ERRNO(queue_init(NULL, RING, 0) == -1, EINVAL);
    check_pool_is_refused(NULL);
    check_queue_is_refused(NULL);

    queue_t q;
    uint8_t *bytes;
    size_t size;
    CHECK(queue_init(&q, RING, 0) == 0 && queue_publish(&q, "x", 1));
    CHECK_ERRNO(queue_get(&q, NULL, &size) == 0 && size == 0, EINVAL);
    CHECK_ERRNO(queue_get(&q, &bytes, NULL) == 0 && bytes == NULL, EINVAL);
    CHECK(queue_get(&q, &bytes, &size) == 1);
    queue_destroy(&q);
}

static void zeroed_structures_are_refused(void)
{
    queue_pool_t pool;
    queue_t q;
    memset(&pool, 0, sizeof pool);
    memset(&q, 0, sizeof q);
    check_pool_is_refused(&pool);
    check_queue_is_refused(&q);
}

static void use_after_destroy_is_refused(void)
{
    queue_pool_t pool;
    CHECK(queue_pool_init(&pool, 2, RING, -1) == 0);
    /* One lease is open with a message in it, one is closed. */
    CHECK(queue_publish(queue_pool_get(&pool, queue_pool_acquire(&pool)), "x", 1));
    queue_close(queue_pool_get(&pool, queue_pool_acquire(&pool)));
    queue_pool_destroy(&pool);
    CHECK(pool.capacity == 0 && pool.num_active == 0 && pool.num_free == 0);
    check_pool_is_refused(&pool);

    queue_t q;
    CHECK(queue_init(&q, RING, 0) == 0 && queue_publish(&q, "x", 1));
    queue_destroy(&q);
    check_queue_is_refused(&q);
}

static void impossible_sizes_are_refused(void)
{
    size_t capacities[] = {0, 1, 2048, 4095, 4097, 3 * 4096, SIZE_MAX, SIZE_MAX / 2 + 1};
    queue_pool_t pool;
    queue_t q;
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        CHECK_ERRNO(queue_pool_init(&pool, 1, capacities[i], -1) == -1, EINVAL);
        check_pool_is_refused(&pool);
        CHECK_ERRNO(queue_init(&q, capacities[i], 0) == -1, EINVAL);
        check_queue_is_refused(&q);
    }
    int counts[] = {0, -1, INT_MIN, INT_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        CHECK_ERRNO(queue_pool_init(&pool, counts[i], RING, -1) == -1, EINVAL);
        check_pool_is_refused(&pool);
    }
}

static void a_descriptor_that_is_no_epoll_is_refused(void)
{
    queue_pool_t pool;
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    CHECK_ERRNO(queue_pool_init(&pool, 1, RING, pipes[0]) == -1, EINVAL);
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
    CHECK_ERRNO(queue_pool_init(&pool, 1, RING, pipes[0]) == -1, EBADF);
    CHECK_ERRNO(queue_pool_init(&pool, 1, RING, -2) == -1, EBADF);
    CHECK_ERRNO(queue_pool_init(&pool, 1, RING, INT_MIN) == -1, EBADF);
    check_pool_is_refused(&pool);
}

static void ids_out_of_range_are_refused(void)
{
    queue_pool_t pool;
    int ids[] = {-1, 2, INT_MIN, INT_MAX};
    CHECK(queue_pool_init(&pool, 2, RING, -1) == 0);
    CHECK(queue_pool_acquire(&pool) == 0);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        CHECK_ERRNO(queue_pool_get(&pool, ids[i]) == NULL, EINVAL);
        CHECK_ERRNO(queue_pool_release(&pool, ids[i]) == -1, EINVAL);
        CHECK_ERRNO(queue_pool_is_empty(&pool, ids[i]), EINVAL);
    }
    CHECK_ERRNO(queue_pool_get(&pool, 1) == NULL, ENOENT);
    CHECK_ERRNO(queue_pool_release(&pool, 1) == -1, ENOENT);
    CHECK(queue_pool_is_empty(&pool, 1));
    queue_pool_destroy(&pool);
}

static void calls_out_of_turn_are_refused(void)
{
    queue_pool_t pool;
    uint8_t *bytes;
    size_t size;
    CHECK(queue_pool_init(&pool, 1, RING, -1) == 0);
    queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
    CHECK_REFUSED(queue_ack(q), EINVAL);
    CHECK(queue_publish(q, "x", 1) && queue_publish(q, "y", 1));
    CHECK_REFUSED(queue_ack(q), EINVAL);
    CHECK(queue_get(q, &bytes, &size) == 1 && *bytes == 'x');
    queue_ack(q);
    CHECK_REFUSED(queue_ack(q), EINVAL);
    CHECK(queue_get(q, &bytes, &size) == 1 && *bytes == 'y');
    CHECK_ERRNO(queue_pool_release(&pool, 0) == -1, EBUSY);
    queue_close(q);
    CHECK_REFUSED(queue_close(q), EPIPE);
    CHECK_ERRNO(queue_pool_release(&pool, 0) == -1, EBUSY);
    queue_ack(q);
    CHECK(queue_pool_release(&pool, 0) == 0);
    CHECK_ERRNO(queue_pool_release(&pool, 0) == -1, ENOENT);

    /* A pointer to a queue that was released. */
    CHECK_ERRNO(!queue_publish(q, "x", 1), EPIPE);
    CHECK_ERRNO(queue_get(q, &bytes, &size) == 0, EINVAL);
    CHECK_REFUSED(queue_ack(q), EINVAL);
    CHECK_REFUSED(queue_close(q), EPIPE);
    CHECK_REFUSED(queue_reset(q), EINVAL);
    CHECK(queue_is_closed_and_empty(q));

    /* A queue of a pool ends with it. */
    CHECK(queue_pool_acquire(&pool) == 0);
    CHECK_REFUSED(queue_destroy(q), EINVAL);
    CHECK(queue_publish(q, "x", 1));
    queue_pool_destroy(&pool);
}

static void too_few_descriptors_are_an_error(void)
{
    struct rlimit before, few;
    queue_pool_t pool;
    queue_t q;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = before;
    few.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK_ERRNO(queue_pool_init(&pool, 4, RING, -1) == -1, EMFILE);
    CHECK_ERRNO(queue_init(&q, RING, 0) == -1, EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    check_pool_is_refused(&pool);
    check_queue_is_refused(&q);

    /* Enough for the pool, not for its leases. */
    CHECK(queue_pool_init(&pool, 4, RING, -1) == 0);
    CHECK(queue_pool_acquire(&pool) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK_ERRNO(queue_pool_acquire(&pool) == -1, EMFILE);
    CHECK(pool.num_active == 1 && pool.num_free == 3);
    CHECK_ERRNO(queue_pool_get(&pool, 1) == NULL, ENOENT);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    for (int id = 1; id < 4; id++)
        CHECK(queue_pool_acquire(&pool) == id);
    queue_pool_destroy(&pool);
}

static void a_closed_epoll_of_the_caller_fails_no_call(void)
{
    queue_pool_t pool;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(queue_pool_init(&pool, 2, RING, epoll_fd) == 0);
    CHECK(queue_pool_acquire(&pool) == 0);
    CHECK(close(epoll_fd) == 0);
    CHECK(queue_pool_acquire(&pool) == 1);
    queue_close(queue_pool_get(&pool, 0));
    CHECK(queue_pool_release(&pool, 0) == 0);
    queue_pool_destroy(&pool);
}

int main(void)
{
    null_pointers_are_refused();
    zeroed_structures_are_refused();
    use_after_destroy_is_refused();
    impossible_sizes_are_refused();
    a_descriptor_that_is_no_epoll_is_refused();
    ids_out_of_range_are_refused();
    calls_out_of_turn_are_refused();
    too_few_descriptors_are_an_error();
    a_closed_epoll_of_the_caller_fails_no_call();
    return 0;
}
