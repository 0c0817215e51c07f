/* Eight threads acquire and release a hundred times each, from a pool with room for four of them at once. Each checks
 * that its queue is its own: it gets the message that it published. */
#include "queue.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 8, ROUNDS = 100, QUEUES = 4, RING_BYTES = 4096 };

struct worker {
    queue_pool_t *pool;
    uint32_t number;
    int rounds, wrong;
};

static void *work(void *argument)
{
    struct worker *worker = (struct worker *)argument;
    while (worker->rounds < ROUNDS) {
        int id = queue_pool_acquire(worker->pool);
        if (id < 0) {
            if (errno != EAGAIN) {
                worker->wrong++;
                break;
            }
            sched_yield(); /* all are leased */
            continue;
        }
        queue_t *q = queue_pool_get(worker->pool, id);
        uint32_t message[2] = {worker->number, (uint32_t)worker->rounds};
        uint8_t *bytes;
        size_t size;
        worker->wrong += !queue_publish(q, message, sizeof message);
        worker->wrong += queue_get(q, &bytes, &size) != sizeof message || memcmp(bytes, message, sizeof message) != 0;
        queue_close(q);
        worker->wrong += queue_pool_release(worker->pool, id) == 0; /* too early: not acked */
        queue_ack(q);
        worker->wrong += queue_pool_release(worker->pool, id) != 0;
        worker->rounds++;
    }
    return NULL;
}

int main(void)
{
    queue_pool_t pool;
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    int wrong = 0;
    if (queue_pool_init(&pool, QUEUES, RING_BYTES, -1) != 0) {
        perror("queue_pool_init");
        return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        struct worker worker = {&pool, (uint32_t)i, 0, 0};
        workers[i] = worker;
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        wrong += workers[i].wrong + (workers[i].rounds != ROUNDS);
    }
    uint64_t published, acquired;
    queue_pool_stats(&pool, &published, NULL, NULL, NULL, &acquired);
    printf("%llu leases, %llu messages; %d of %d queues free; %d wrong\n", (unsigned long long)acquired,
           (unsigned long long)published, pool.num_free, pool.capacity, wrong);
    wrong += acquired != THREADS * ROUNDS || published != acquired || pool.num_free != QUEUES || pool.num_active != 0;
    queue_pool_destroy(&pool);
    return wrong ? 1 : 0;
}
