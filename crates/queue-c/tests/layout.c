/* The layout of the public structures; src/lib.rs asserts the same numbers. And queue.h alone is enough for the
 * names that programs expect of it. */
#include "queue.h"

#ifndef __cplusplus
#define static_assert _Static_assert
#endif

static_assert(sizeof(queue_t) == 32, "size of queue_t");
static_assert(offsetof(queue_t, capacity) == 0, "queue_t.capacity");
static_assert(offsetof(queue_t, eventfd) == 8, "queue_t.eventfd");
static_assert(offsetof(queue_t, queue_id) == 12, "queue_t.queue_id");
static_assert(offsetof(queue_t, private_pool) == 16, "queue_t.private_pool");
static_assert(offsetof(queue_t, private_queue) == 24, "queue_t.private_queue");

static_assert(sizeof(queue_pool_t) == 24, "size of queue_pool_t");
static_assert(offsetof(queue_pool_t, capacity) == 0, "queue_pool_t.capacity");
static_assert(offsetof(queue_pool_t, num_active) == 4, "queue_pool_t.num_active");
static_assert(offsetof(queue_pool_t, num_free) == 8, "queue_pool_t.num_free");
static_assert(offsetof(queue_pool_t, epoll_fd) == 12, "queue_pool_t.epoll_fd");
static_assert(offsetof(queue_pool_t, private_pool) == 16, "queue_pool_t.private_pool");

static_assert(sizeof(uint64_t) == 8 && sizeof(bool) == 1, "stdint.h and stdbool.h");

int main(void)
{
    pthread_t self = pthread_self();
    ssize_t signed_size = pthread_equal(self, pthread_self()) ? 0 : -1;
    return (int)signed_size;
}
