/* Eight producers lease, publish and close a hundred times each, while the consumer drains and releases: a queue goes from
 * thread to thread, often while the last one is still in its queue_close. Every message arrives, in the lease that
 * published it, and the consumer sleeps in between without a lost wake. */
#include "queue.h"

#include "check.h"

#include <sched.h>
#include <string.h>
#include <sys/epoll.h>

enum { PRODUCERS = 8, LEASES = 100, QUEUES = 3, MESSAGES_MAX = 7, LONG_MS = 30000 };

struct message {
    uint32_t producer, lease, number;
};

struct producer {
    queue_pool_t *pool;
    uint32_t number;
    uint32_t published;
};

static void *produce(void *argument)
{
    struct producer *producer = (struct producer *)argument;
    for (uint32_t lease = 0; lease < LEASES;) {
        int id = queue_pool_acquire(producer->pool);
        if (id < 0) {
            CHECK(errno == EAGAIN);
            sched_yield();
            continue;
        }
        queue_t *q = queue_pool_get(producer->pool, id);
        for (uint32_t number = 0; number < (lease + producer->number) % (MESSAGES_MAX + 1); number++) {
            struct message message = {producer->number, lease, number};
            CHECK(queue_publish(q, &message, sizeof message));
            producer->published++;
        }
        queue_close(q);
        lease++;
    }
    return NULL;
}

int main(void)
{
    queue_pool_t pool;
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    struct message last[QUEUES];
    uint32_t received = 0, released = 0, published = 0;
    CHECK(queue_pool_init(&pool, QUEUES, 4096, -1) == 0);
    memset(last, 0xff, sizeof last);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct producer producer = {&pool, i, 0};
        producers[i] = producer;
        CHECK(pthread_create(&threads[i], NULL, produce, &producers[i]) == 0);
    }
    while (released < PRODUCERS * LEASES) {
        struct epoll_event events[QUEUES];
        int count = epoll_wait(queue_pool_get_epoll_fd(&pool), events, QUEUES, LONG_MS);
        CHECK(count > 0);
        for (int i = 0; i < count; i++) {
            uint32_t id = events[i].data.u32;
            queue_t *q = queue_pool_get(&pool, (int)id);
            CHECK(q != NULL && q->queue_id == (int)id);
            uint8_t *bytes;
            size_t size;
            while (queue_get(q, &bytes, &size) > 0) {
                struct message message;
                CHECK(size == sizeof message);
                memcpy(&message, bytes, sizeof message);
                if (message.number > 0) {
                    CHECK(message.producer == last[id].producer && message.lease == last[id].lease);
                    CHECK(message.number == last[id].number + 1);
                }
                last[id] = message;
                received++;
                queue_ack(q);
            }
            if (queue_is_closed_and_empty(q)) {
                CHECK(queue_pool_release(&pool, (int)id) == 0);
                released++;
            }
        }
    }
    /* The last producers may still be in their queue_close. */
    uint64_t counted, acquired;
    queue_pool_stats(&pool, &counted, NULL, NULL, NULL, &acquired);
    CHECK(pool.num_active == 0 && pool.num_free == QUEUES);
    queue_pool_destroy(&pool);
    for (int i = 0; i < PRODUCERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        published += producers[i].published;
    }
    CHECK(received == published && counted == published && acquired == PRODUCERS * LEASES);
    return 0;
}
