/* Integrity under a slow consumer: four producers, messages of all sizes with a sequence number and a CRC-32 each.
 * The consumer is too slow on purpose, so queues fill up and drop; every message that arrives is whole and in order,
 * and the messages missing from the sequence are those that were dropped.
 *
 * integrity [microseconds that the consumer sleeps per wake, 1000 by default] */
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum { PRODUCERS = 4, MESSAGES = 20000, RING_BYTES = 16384, PAYLOAD_MAX = 700 };

struct message {
    uint32_t crc; /* of all that follows */
    uint32_t sequence;
    uint8_t payload[PAYLOAD_MAX];
};

/* Of the producer and the consumer of one queue: its id, and what became of the messages. */
struct account {
    queue_t *queue;
    uint32_t published, dropped;                 /* the producer's */
    uint32_t received, missing, next, damaged;   /* the consumer's */
};

static uint32_t crc32(const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xedb88320 & (0 - (crc & 1)));
    }
    return ~crc;
}

static void nap(long microseconds)
{
    struct timespec time;
    time.tv_sec = microseconds / 1000000;
    time.tv_nsec = microseconds % 1000000 * 1000;
    nanosleep(&time, NULL);
}

static void *produce(void *argument)
{
    struct account *account = (struct account *)argument;
    struct message message;
    uint32_t random = (uint32_t)account->queue->queue_id + 1;
    for (uint32_t sequence = 0; sequence < MESSAGES; sequence++) {
        random = random * 1664525 + 1013904223;
        size_t payload = (random >> 8) % PAYLOAD_MAX;
        message.sequence = sequence;
        memset(message.payload, (int)(random >> 24), payload);
        size_t size = offsetof(struct message, payload) + payload;
        message.crc = crc32((const uint8_t *)&message.sequence, size - sizeof message.crc);
        if (queue_publish(account->queue, &message, size))
            account->published++;
        else
            account->dropped++;
    }
    queue_close(account->queue);
    return NULL;
}

/* One message, in place. */
static void receive(struct account *account, const uint8_t *bytes, size_t size)
{
    const struct message *message = (const struct message *)(const void *)bytes;
    if (size < offsetof(struct message, payload) || message->sequence < account->next ||
        message->crc != crc32(bytes + sizeof message->crc, size - sizeof message->crc)) {
        account->damaged++;
        return;
    }
    account->missing += message->sequence - account->next;
    account->next = message->sequence + 1;
    account->received++;
}

int main(int argc, char **argv)
{
    long sleep_us = argc > 1 ? atol(argv[1]) : 1000;
    queue_pool_t pool;
    pthread_t threads[PRODUCERS];
    struct account accounts[PRODUCERS];
    memset(accounts, 0, sizeof accounts);
    if (queue_pool_init(&pool, PRODUCERS, RING_BYTES, -1) != 0) {
        perror("queue_pool_init");
        return 1;
    }
    for (int i = 0; i < PRODUCERS; i++) {
        accounts[i].queue = queue_pool_get(&pool, queue_pool_acquire(&pool));
        if (!accounts[i].queue || pthread_create(&threads[i], NULL, produce, &accounts[i]) != 0) {
            perror("a producer");
            return 1;
        }
    }
    for (int released = 0; released < PRODUCERS;) {
        struct epoll_event events[PRODUCERS];
        int count = epoll_wait(queue_pool_get_epoll_fd(&pool), events, PRODUCERS, -1);
        for (int i = 0; i < count; i++) {
            int id = (int)events[i].data.u32;
            queue_t *q = queue_pool_get(&pool, id);
            uint8_t *bytes;
            size_t size;
            while (queue_get(q, &bytes, &size) > 0) {
                receive(&accounts[id], bytes, size);
                queue_ack(q);
            }
            if (queue_is_closed_and_empty(q) && queue_pool_release(&pool, id) == 0)
                released++;
        }
        nap(sleep_us);
    }
    int wrong = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        struct account *account = &accounts[i];
        pthread_join(threads[i], NULL);
        /* Drops after the last message that arrived. */
        account->missing += MESSAGES - account->next;
        printf("queue %d: published %u, dropped %u; received %u, missing %u, damaged %u\n", i, account->published,
               account->dropped, account->received, account->missing, account->damaged);
        wrong += account->received != account->published || account->missing != account->dropped || account->damaged;
    }
    uint64_t published, dropped;
    queue_pool_stats(&pool, &published, &dropped, NULL, NULL, NULL);
    printf("pool: published %llu, dropped %llu\n", (unsigned long long)published, (unsigned long long)dropped);
    wrong += published + dropped != (uint64_t)PRODUCERS * MESSAGES;
    queue_pool_destroy(&pool);
    return wrong ? 1 : 0;
}
