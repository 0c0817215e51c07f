/* A pool runs out of queues, and queues out of room; released and drained, all of it is used again. */
#include "queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { QUEUES = 3, RING_BYTES = 4096, ROUNDS = 4 };

/* Fills a queue up; returns how many messages it took. */
static int fill(queue_t *q, const uint8_t *message, size_t size)
{
    int taken = 0;
    while (queue_publish(q, message, size))
        taken++;
    return errno == EAGAIN ? taken : -1;
}

static int drain(queue_t *q)
{
    int taken = 0;
    uint8_t *bytes;
    size_t size;
    while (queue_get(q, &bytes, &size) > 0) {
        taken++;
        queue_ack(q);
    }
    return taken;
}

int main(void)
{
    static const uint8_t message[320] = {0};
    queue_pool_t pool;
    int wrong = 0, published = 0;
    if (queue_pool_init(&pool, QUEUES, RING_BYTES, -1) != 0) {
        perror("queue_pool_init");
        return 1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int id = 0; id < QUEUES; id++)
            wrong += queue_pool_acquire(&pool) != id;
        wrong += queue_pool_acquire(&pool) != -1 || errno != EAGAIN;
        printf("round %d: %d leased, %d free\n", round, pool.num_active, pool.num_free);
        for (int id = QUEUES - 1; id >= 0; id--) {
            queue_t *q = queue_pool_get(&pool, id);
            /* 328 bytes each, with the header. */
            int full = fill(q, message, sizeof message);
            wrong += full != RING_BYTES / 328;
            wrong += drain(q) != full;
            int again = fill(q, message, sizeof message);
            wrong += again != full;
            published += full + again;
            queue_close(q);
            wrong += queue_pool_release(&pool, id) != -1; /* not empty */
            wrong += drain(q) != again || !queue_is_closed_and_empty(q);
            wrong += queue_pool_release(&pool, id) != 0;
        }
    }
    uint64_t total, dropped, acquired;
    queue_pool_stats(&pool, &total, &dropped, NULL, NULL, &acquired);
    printf("%llu leases, %llu messages published, %llu dropped; %d wrong\n", (unsigned long long)acquired,
           (unsigned long long)total, (unsigned long long)dropped, wrong);
    wrong += acquired != QUEUES * ROUNDS || total != (uint64_t)published || dropped != 2 * QUEUES * ROUNDS;
    queue_pool_destroy(&pool);
    return wrong ? 1 : 0;
}
