/* The promises of queue.h that show on one thread. */
#include "queue.h"

#include "check.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RING 4096

/* The ids that the epoll reports at once, in no order; -1 where there is none. */
static int ready(int epoll_fd, int *second)
{
    struct epoll_event events[2];
    int count = epoll_wait(epoll_fd, events, 2, 0);
    CHECK(count >= 0);
    if (second)
        *second = count == 2 ? (int)events[1].data.u32 : -1;
    return count >= 1 ? (int)events[0].data.u32 : -1;
}

static size_t get(queue_t *q, const char *expected)
{
    uint8_t *bytes;
    size_t size;
    size_t got = queue_get(q, &bytes, &size);
    CHECK(got == size && got == strlen(expected));
    CHECK(memcmp(bytes, expected, size) == 0);
    CHECK((uintptr_t)bytes % 8 == 0);
    return got;
}

static bool is_empty(queue_t *q)
{
    uint8_t *bytes;
    size_t size;
    errno = 0;
    if (queue_get(q, &bytes, &size) > 0)
        return false;
    CHECK(errno == EAGAIN && bytes == NULL && size == 0);
    return true;
}

static void a_lease_takes_the_lowest_free_id(void)
{
    queue_pool_t pool;
    CHECK(queue_pool_init(&pool, 3, RING, -1) == 0);
    CHECK(pool.capacity == 3 && pool.num_active == 0 && pool.num_free == 3);
    for (int id = 0; id < 3; id++) {
        CHECK(queue_pool_acquire(&pool) == id);
        CHECK(pool.num_active == id + 1 && pool.num_free == 2 - id);
        queue_t *q = queue_pool_get(&pool, id);
        CHECK(q->capacity == RING && q->queue_id == id && q->eventfd >= 0);
    }
    CHECK_ERRNO(queue_pool_acquire(&pool) == -1, EAGAIN);
    int order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++) {
        queue_close(queue_pool_get(&pool, order[i]));
        CHECK(queue_pool_release(&pool, order[i]) == 0);
        CHECK(pool.num_free == i + 1);
    }
    for (int id = 0; id < 3; id++)
        CHECK(queue_pool_acquire(&pool) == id);
    queue_pool_destroy(&pool);
}

static void a_message_is_returned_until_it_is_acked(void)
{
    queue_pool_t pool;
    CHECK(queue_pool_init(&pool, 1, RING, -1) == 0);
    queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
    CHECK(queue_publish(q, "one", 3) && queue_publish(q, "second", 6));
    get(q, "one");
    get(q, "one");
    CHECK(!queue_pool_is_empty(&pool, 0));
    queue_ack(q);
    get(q, "second");
    queue_close(q);
    CHECK(!queue_is_closed_and_empty(q));
    CHECK_ERRNO(queue_pool_release(&pool, 0) == -1, EBUSY);
    queue_ack(q);
    CHECK(queue_is_closed_and_empty(q) && queue_pool_is_empty(&pool, 0));
    CHECK(queue_pool_release(&pool, 0) == 0);
    queue_pool_destroy(&pool);
}

static void a_queue_is_readable_while_it_holds_messages(void)
{
    queue_pool_t pool;
    CHECK(queue_pool_init(&pool, 2, RING, -1) == 0);
    int epoll_fd = queue_pool_get_epoll_fd(&pool);
    queue_t *one = queue_pool_get(&pool, queue_pool_acquire(&pool));
    queue_t *two = queue_pool_get(&pool, queue_pool_acquire(&pool));
    CHECK(ready(epoll_fd, NULL) == -1);
    for (int round = 0; round < 3; round++) {
        CHECK(queue_publish(two, "x", 1) && queue_publish(two, "y", 1));
        CHECK(ready(epoll_fd, NULL) == 1);
        get(two, "x");
        queue_ack(two);
        CHECK(ready(epoll_fd, NULL) == 1);
        get(two, "y");
        queue_ack(two);
        CHECK(is_empty(two) && is_empty(two));
        CHECK(ready(epoll_fd, NULL) == -1);
    }
    int second;
    CHECK(queue_publish(one, "a", 1) && queue_publish(two, "b", 1));
    int first = ready(epoll_fd, &second);
    CHECK(first + second == 1 && first != second);
    queue_pool_destroy(&pool);
}

/* How often the queue was made readable since a get found it empty: the count in its eventfd. */
static unsigned wakes(const queue_t *q)
{
    char path[64], line[128];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", q->eventfd);
    FILE *info = fopen(path, "r");
    CHECK(info != NULL);
    bool found = false;
    while (!found && fgets(line, sizeof line, info))
        found = sscanf(line, "eventfd-count: %x", &count) == 1;
    CHECK(fclose(info) == 0 && found);
    return count;
}

static void only_a_publish_to_an_idle_queue_enters_the_kernel(void)
{
    queue_t q;
    CHECK(queue_init(&q, RING, 0) == 0);
    CHECK(wakes(&q) == 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++) {
            CHECK(queue_publish(&q, "x", 1));
            CHECK(wakes(&q) == 1);
        }
        for (int i = 0; i < 10; i++) {
            get(&q, "x");
            queue_ack(&q);
        }
        /* No get found it empty. */
        CHECK(queue_publish(&q, "y", 1));
        CHECK(wakes(&q) == 1);
        get(&q, "y");
        queue_ack(&q);
        CHECK(is_empty(&q));
        CHECK(wakes(&q) == 0);
    }
    queue_destroy(&q);
}

static void a_closed_queue_is_readable_until_its_release(void)
{
    queue_pool_t pool;
    CHECK(queue_pool_init(&pool, 2, RING, -1) == 0);
    int epoll_fd = queue_pool_get_epoll_fd(&pool);
    for (int round = 0; round < 3; round++) {
        queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
        CHECK(ready(epoll_fd, NULL) == -1);
        if (round > 0) {
            CHECK(queue_publish(q, "x", 1));
            get(q, "x");
            queue_ack(q);
            CHECK(is_empty(q));
        }
        queue_close(q);
        for (int look = 0; look < 3; look++) {
            CHECK(ready(epoll_fd, NULL) == 0);
            CHECK(is_empty(q));
            CHECK(queue_is_closed_and_empty(q));
        }
        CHECK(queue_pool_release(&pool, 0) == 0);
        CHECK(ready(epoll_fd, NULL) == -1);
        CHECK_ERRNO(queue_pool_get(&pool, 0) == NULL, ENOENT);
    }
    queue_pool_destroy(&pool);
}

static void a_full_queue_drops_and_counts(void)
{
    static const uint8_t message[1000] = {0};
    queue_pool_t pool;
    uint64_t published, dropped, published_bytes, dropped_bytes, acquired;
    CHECK(queue_pool_init(&pool, 1, RING, -1) == 0);
    for (int lease = 1; lease <= 2; lease++) {
        queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
        /* 1008 bytes each with its header: four fit. */
        for (int i = 0; i < 4; i++)
            CHECK(queue_publish(q, message, sizeof message));
        CHECK_ERRNO(!queue_publish(q, message, sizeof message), EAGAIN);
        CHECK_ERRNO(!queue_publish(q, message, 500), EAGAIN);
        queue_stats(q, &published, &dropped, &published_bytes, &dropped_bytes);
        CHECK(published == 4 && published_bytes == 4000 && dropped == 2 && dropped_bytes == 1500);
        uint8_t *bytes;
        size_t size;
        while (queue_get(q, &bytes, &size) > 0)
            queue_ack(q);
        CHECK(queue_publish(q, message, sizeof message));
        CHECK(queue_get(q, &bytes, &size) == sizeof message);
        queue_ack(q);
        queue_close(q);
        CHECK(queue_pool_release(&pool, 0) == 0);
        queue_pool_stats(&pool, &published, &dropped, &published_bytes, &dropped_bytes, &acquired);
        uint64_t leases = (uint64_t)lease;
        CHECK(published == 5 * leases && published_bytes == 5000 * leases);
        CHECK(dropped == 2 * leases && dropped_bytes == 1500 * leases && acquired == leases);
    }
    queue_pool_destroy(&pool);
}

static void sizes_out_of_range_are_refused_uncounted(void)
{
    static const uint8_t message[RING] = {0};
    queue_pool_t pool;
    uint64_t published, dropped;
    CHECK(queue_pool_init(&pool, 1, RING, -1) == 0);
    queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
    CHECK_ERRNO(!queue_publish(q, message, 0), EINVAL);
    CHECK_ERRNO(!queue_publish(q, NULL, 1), EINVAL);
    CHECK_ERRNO(!queue_publish(q, message, RING / 2 + 1), EMSGSIZE);
    CHECK_ERRNO(!queue_publish(q, message, SIZE_MAX), EMSGSIZE);
    CHECK(queue_publish(q, message, RING / 2));
    queue_close(q);
    CHECK_ERRNO(!queue_publish(q, message, 1), EPIPE);
    queue_stats(q, &published, &dropped, NULL, NULL);
    CHECK(published == 1 && dropped == 0);
    queue_pool_destroy(&pool);
}

static void messages_cross_the_end_of_the_ring_in_one_piece(void)
{
    queue_t q;
    uint8_t message[777], *bytes;
    size_t size;
    CHECK(queue_init(&q, RING, 0) == 0);
    for (int i = 0; i < 1000; i++) {
        size_t length = 1 + (size_t)(i * 31) % sizeof message;
        memset(message, i, sizeof message);
        CHECK(queue_publish(&q, message, length));
        CHECK(queue_get(&q, &bytes, &size) == length && size == length);
        CHECK(memcmp(bytes, message, length) == 0);
        queue_ack(&q);
    }
    queue_destroy(&q);
}

static void a_queue_without_a_pool_works_alone(void)
{
    queue_t q;
    uint64_t published, dropped;
    CHECK(queue_init(&q, RING, 42) == 0);
    CHECK(q.capacity == RING && q.queue_id == 42 && q.eventfd >= 0);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.u32 = 7;
    CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, q.eventfd, &event) == 0);
    CHECK(ready(epoll_fd, NULL) == -1);
    CHECK(queue_publish(&q, "hello", 5));
    CHECK(ready(epoll_fd, NULL) == 7);
    get(&q, "hello");
    queue_ack(&q);
    CHECK(is_empty(&q));
    CHECK(ready(epoll_fd, NULL) == -1);
    queue_close(&q);
    CHECK(ready(epoll_fd, NULL) == 7);
    CHECK(queue_is_closed_and_empty(&q));

    queue_reset(&q);
    CHECK(!queue_is_closed_and_empty(&q));
    queue_stats(&q, &published, &dropped, NULL, NULL);
    CHECK(published == 0 && dropped == 0);
    CHECK(queue_publish(&q, "left", 4));
    queue_reset(&q);
    CHECK(is_empty(&q));
    CHECK(queue_publish(&q, "new", 3));
    get(&q, "new");
    queue_destroy(&q);
    CHECK(q.capacity == 0 && q.eventfd == -1);
    close(epoll_fd);
}

static void a_reset_queue_of_a_pool_stays_in_the_epoll(void)
{
    queue_pool_t pool;
    uint64_t published, acquired;
    CHECK(queue_pool_init(&pool, 2, RING, -1) == 0);
    int epoll_fd = queue_pool_get_epoll_fd(&pool);
    queue_pool_acquire(&pool);
    queue_t *q = queue_pool_get(&pool, queue_pool_acquire(&pool));
    CHECK(queue_publish(q, "x", 1));
    queue_close(q);
    queue_reset(q);
    CHECK(pool.num_active == 2 && queue_pool_get(&pool, 1) == q);
    CHECK(ready(epoll_fd, NULL) == -1);
    CHECK(queue_publish(q, "y", 1));
    CHECK(ready(epoll_fd, NULL) == 1);
    get(q, "y");
    queue_pool_stats(&pool, &published, NULL, NULL, NULL, &acquired);
    CHECK(published == 2 && acquired == 3);
    queue_pool_destroy(&pool);
}

static void the_callers_epoll_stays_the_callers(void)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    queue_pool_t pool;
    CHECK(queue_pool_init(&pool, 1, RING, epoll_fd) == 0);
    CHECK(queue_pool_get_epoll_fd(&pool) == epoll_fd);
    CHECK(queue_publish(queue_pool_get(&pool, queue_pool_acquire(&pool)), "x", 1));
    CHECK(ready(epoll_fd, NULL) == 0);
    queue_pool_destroy(&pool);
    CHECK(ready(epoll_fd, NULL) == -1);
    CHECK(close(epoll_fd) == 0);
}

int main(void)
{
    a_lease_takes_the_lowest_free_id();
    a_message_is_returned_until_it_is_acked();
    a_queue_is_readable_while_it_holds_messages();
    only_a_publish_to_an_idle_queue_enters_the_kernel();
    a_closed_queue_is_readable_until_its_release();
    a_full_queue_drops_and_counts();
    sizes_out_of_range_are_refused_uncounted();
    messages_cross_the_end_of_the_ring_in_one_piece();
    a_queue_without_a_pool_works_alone();
    a_reset_queue_of_a_pool_stays_in_the_epoll();
    the_callers_epoll_stays_the_callers();
    return 0;
}
