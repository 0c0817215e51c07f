/* One event loop for queues and a timer: the pool is given the program's epoll, where a timerfd is already. Two
 * producers publish on the side; the loop counts ticks and messages, and ends when both have closed and the timer
 * has ticked. */
#include "queue.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { PRODUCERS = 2, MESSAGES = 50, TICKS = 5 };

/* Queues have small numbers as their data: this one is no queue's. */
static const uint32_t TIMER = 1000000;

static void *produce(void *argument)
{
    queue_t *q = (queue_t *)argument;
    struct timespec pause;
    pause.tv_sec = 0;
    pause.tv_nsec = 500000;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        while (!queue_publish(q, &i, sizeof i))
            nanosleep(&pause, NULL);
        nanosleep(&pause, NULL);
    }
    queue_close(q);
    return NULL;
}

static int add_timer(int epoll_fd)
{
    struct itimerspec every;
    struct epoll_event event;
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    memset(&every, 0, sizeof every);
    every.it_value.tv_nsec = every.it_interval.tv_nsec = 5000000;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.u32 = TIMER;
    if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &event) != 0)
        return -1;
    return timer;
}

int main(void)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int timer = add_timer(epoll_fd);
    queue_pool_t pool;
    pthread_t threads[PRODUCERS];
    if (timer < 0 || queue_pool_init(&pool, PRODUCERS, 65536, epoll_fd) != 0) {
        perror("the event loop");
        return 1;
    }
    for (int i = 0; i < PRODUCERS; i++) {
        queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
        if (!q || pthread_create(&threads[i], NULL, produce, q) != 0) {
            perror("a producer");
            return 1;
        }
    }
    uint64_t ticks = 0;
    uint32_t received = 0;
    while (pool.num_active > 0 || ticks < TICKS) {
        struct epoll_event events[PRODUCERS + 1];
        int count = epoll_wait(epoll_fd, events, PRODUCERS + 1, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u32 == TIMER) {
                uint64_t expired;
                if (read(timer, &expired, sizeof expired) == sizeof expired)
                    ticks += expired;
                continue;
            }
            int id = (int)events[i].data.u32;
            queue_t *q = queue_pool_get(&pool, id);
            uint8_t *bytes;
            size_t size;
            while (queue_get(q, &bytes, &size) > 0) {
                received++;
                queue_ack(q);
            }
            if (queue_is_closed_and_empty(q))
                queue_pool_release(&pool, id);
        }
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    printf("%u messages beside %llu ticks\n", received, (unsigned long long)ticks);
    queue_pool_destroy(&pool);
    close(timer);
    close(epoll_fd);
    return received == PRODUCERS * MESSAGES ? 0 : 1;
}
