/* Two producers publish in bursts, and a consumer that sleeps whenever its queues are empty gets all of it: no wake is
 * lost, though it finds them empty at any moment. */
#include "queue.h"

#include "check.h"

#include <sched.h>
#include <string.h>
#include <sys/epoll.h>

enum { PRODUCERS = 2, MESSAGES = 50000, LONG_MS = 30000 };

static void *produce(void *argument)
{
    queue_t *q = (queue_t *)argument;
    uint32_t random = (uint32_t)q->queue_id + 1;
    for (uint32_t i = 0; i < MESSAGES;) {
        random = random * 1664525 + 1013904223;
        for (uint32_t burst = 1 + (random >> 29); burst > 0 && i < MESSAGES; burst--, i++)
            while (!queue_publish(q, &i, sizeof i))
                sched_yield();
        if (random >> 31)
            sched_yield();
    }
    queue_close(q);
    return NULL;
}

int main(void)
{
    queue_pool_t pool;
    pthread_t threads[PRODUCERS];
    uint32_t next[PRODUCERS];
    memset(next, 0, sizeof next);
    CHECK(queue_pool_init(&pool, PRODUCERS, 4096, -1) == 0);
    for (int i = 0; i < PRODUCERS; i++) {
        queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
        CHECK(q != NULL);
        CHECK(pthread_create(&threads[i], NULL, produce, q) == 0);
    }
    while (pool.num_active > 0) {
        struct epoll_event events[PRODUCERS];
        int count = epoll_wait(queue_pool_get_epoll_fd(&pool), events, PRODUCERS, LONG_MS);
        CHECK(count > 0);
        for (int i = 0; i < count; i++) {
            int id = (int)events[i].data.u32;
            queue_t *q = queue_pool_get(&pool, id);
            uint8_t *bytes;
            size_t size;
            while (queue_get(q, &bytes, &size) > 0) {
                uint32_t number;
                CHECK(size == sizeof number);
                memcpy(&number, bytes, sizeof number);
                CHECK(number == next[id]);
                next[id]++;
                queue_ack(q);
            }
            if (queue_is_closed_and_empty(q))
                CHECK(queue_pool_release(&pool, id) == 0);
        }
    }
    for (int i = 0; i < PRODUCERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(next[i] == MESSAGES);
    }
    queue_pool_destroy(&pool);
    return 0;
}
