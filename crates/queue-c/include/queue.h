/*
 * A pool of queues: one bounded single-producer single-consumer queue of messages per producer, all of them
 * in one epoll.
 *
 *   - A message has any size from 1 byte to half the queue's capacity. The reader finds it in place, in one
 *     piece, at an address that is a multiple of 8.
 *   - A publish never waits and never overwrites. A full queue drops the new message and counts it.
 *   - Messages of one queue arrive in order, once each.
 *
 * The C interface of mixpool-queue. Link with -lmixpool_queue_c -lpthread. C11 and C++17, Linux.
 *
 *   queue_pool_t pool;
 *   queue_pool_init(&pool, 64, 1 << 16, -1);                  // 64 queues of 64 KiB
 *
 *   int id = queue_pool_acquire(&pool);                       // a producer's thread
 *   queue_t *q = queue_pool_get(&pool, id);
 *   queue_publish(q, "hello", 5);
 *   queue_close(q);
 *
 *   struct epoll_event event;                                 // the consumer's thread
 *   while (epoll_wait(queue_pool_get_epoll_fd(&pool), &event, 1, -1) == 1) {
 *       queue_t *ready = queue_pool_get(&pool, event.data.u32);
 *       uint8_t *bytes;
 *       size_t size;
 *       while (queue_get(ready, &bytes, &size) > 0) {
 *           use(bytes, size);
 *           queue_ack(ready);
 *       }
 *       if (queue_is_closed_and_empty(ready))
 *           queue_pool_release(&pool, event.data.u32);
 *   }
 *
 * THREADS
 *   A queue has two sides. queue_publish and queue_close belong to its producer, queue_get and queue_ack to its
 *   consumer. Each side is used by one thread at a time; the two run at once without a lock, and so do calls on
 *   different queues. A side may move to another thread if something orders the two threads, such as a mutex
 *   or a join. Nothing may use a queue while it is released, reset or destroyed, but for a queue_close that is
 *   about to return: a release or destroy may follow as soon as the queue is seen closed. All other functions
 *   may be called by any thread at any time between the init and the destroy of their pool.
 *
 * WAKING
 *   Each leased queue is in the pool's epoll, with its id as data.u32. It is readable (EPOLLIN, level-triggered)
 *   while it holds messages, and from its close until its release. A publish enters the kernel only to make an
 *   idle queue readable: one eventfd write. The queue becomes idle in the queue_get that finds it empty, so
 *   after the last queue_ack it stays readable until that call. Call queue_get until it returns 0, or leave
 *   messages: then the epoll reports the queue again.
 *
 * ERRORS
 *   A call that fails returns -1, false, NULL or 0 (or nothing, where it returns nothing) and sets errno; a call
 *   that succeeds may change errno. Every function checks its pointers: NULL, a pool or queue that was
 *   destroyed, or one that is all zeros is refused with EINVAL. A structure that was never initialised
 *   cannot be recognised. A queue_t * from queue_pool_get is valid until the destroy of its pool.
 *   No call ends the process. An internal fault is reported as ENOTRECOVERABLE.
 *
 * SIZES
 *   A message takes its size and 8 bytes, rounded up to a multiple of 8. A library with headers of 4 bytes and
 *   no rounding fits more small messages into the same capacity.
 *
 * COSTS
 *   "Wait-free": a bounded number of steps, independent of other threads. No function but the inits and
 *   queue_pool_acquire allocates. A page of a queue is made present by its first use.
 */
#ifndef MIXPOOL_QUEUE_H
#define MIXPOOL_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Private. */
struct mixpool_queue_pool;
struct mixpool_queue;

/* One queue. Programs may read the public fields and write none. Not to be copied. */
typedef struct queue_t {
    size_t capacity; /* bytes, with the headers of messages; 0 once destroyed */
    int eventfd;     /* readable as described under WAKING; -1 while the queue is not leased */
    int queue_id;    /* the id within the pool, or the one given to queue_init */
    struct mixpool_queue_pool *private_pool;
    struct mixpool_queue *private_queue;
} queue_t;

/* A pool. Programs may read the public fields and write none. Not to be copied. num_active + num_free == capacity;
 * while other threads acquire and release, each figure is a recent one. */
typedef struct queue_pool_t {
    int capacity;   /* queues; ids are 0 to capacity - 1; 0 once destroyed */
    int num_active; /* queues leased */
    int num_free;   /* queues not leased */
    int epoll_fd;   /* the caller's, or the pool's own; -1 once destroyed */
    struct mixpool_queue_pool *private_pool;
} queue_pool_t;

/* ---- A pool ---- */

/*
 * Makes a pool of max_producers queues of capacity_per_queue bytes each, none leased.
 *
 * capacity_per_queue is a power of two and a multiple of the page size, at most 4 GiB. epoll_fd is an epoll of the
 * caller, which stays the caller's and may have other descriptors in it, or -1: then the pool makes one and
 * closes it in queue_pool_destroy. The pool keeps a duplicate of the caller's epoll_fd.
 *
 * Returns 0, or -1 with *pool as after a destroy and errno:
 *   EINVAL  pool is NULL; a size is not one of the above; epoll_fd is no epoll
 *   EBADF   epoll_fd is not open
 *   EMFILE, ENFILE  too few descriptors
 *   ENOMEM  too little memory, address space, locked memory or mappings
 *   EFBIG   the pool exceeds the limit on the size of files
 *   or what the kernel returned.
 * Threads: any, before all other calls. Cost: enters the kernel twice a queue, allocates.
 */
int queue_pool_init(queue_pool_t *pool, int max_producers, size_t capacity_per_queue, int epoll_fd);

/*
 * Ends the pool: takes its queues out of the epoll, discards the messages that wait in them and frees all
 * memory. All queue_t * and message pointers of the pool become invalid. A second call does nothing.
 *
 * errno: EINVAL (NULL or destroyed).
 * Threads: one, after all other calls. Cost: enters the kernel.
 */
void queue_pool_destroy(queue_pool_t *pool);

/*
 * Leases the queue with the lowest free id. It is open, empty, with counts of 0, and in the epoll.
 *
 * Returns the id, or -1 with errno:
 *   EINVAL  NULL or destroyed
 *   EAGAIN  all queues are leased
 *   EMFILE, ENFILE, ENOMEM, ENOSPC  the kernel made no eventfd or did not take it into the epoll
 * Threads: any. Cost: the pool's mutex; enters the kernel; allocates at an id's first lease at most.
 */
int queue_pool_acquire(queue_pool_t *pool);

/*
 * Ends the lease of a queue that is closed and empty (queue_is_closed_and_empty). Its counts go into those of the
 * pool, and its id is free.
 *
 * Returns 0, or -1 with errno:
 *   EINVAL  NULL, destroyed, or id is not one of the pool's
 *   ENOENT  the queue is not leased
 *   EBUSY   the queue is not closed, or a message in it is not acked
 * Threads: any, while no other uses this queue. Cost: the pool's mutex; enters the kernel.
 */
int queue_pool_release(queue_pool_t *pool, int id);

/*
 * The queue with this id, or NULL with errno:
 *   EINVAL  NULL, destroyed, or id is not one of the pool's
 *   ENOENT  the queue is not leased
 * Threads: any. Cost: wait-free.
 */
queue_t *queue_pool_get(queue_pool_t *pool, int id);

/*
 * The epoll of the pool's queues: the one given to queue_pool_init, or the pool's own. -1 with errno EINVAL for NULL
 * or a destroyed pool.
 * Threads: any. Cost: wait-free.
 */
int queue_pool_get_epoll_fd(queue_pool_t *pool);

/*
 * Whether no message waits in the queue. True for a queue that is not leased, and with errno EINVAL for NULL, a
 * destroyed pool or an id that is not one of the pool's. A message that was got and not acked still waits.
 * Threads: any. Cost: the pool's mutex.
 */
bool queue_pool_is_empty(queue_pool_t *pool, int id);

/*
 * The pool's counts since its init, over all leases, released ones included: messages published, messages
 * dropped by full queues, the bytes of both without headers, and leases. Each pointer may be NULL. Exact while
 * no other thread publishes.
 *
 * For NULL or a destroyed pool: zeros, with errno EINVAL.
 * Threads: any. Cost: the pool's mutex, and a look at each queue.
 */
void queue_pool_stats(queue_pool_t *pool, uint64_t *published, uint64_t *dropped, uint64_t *published_bytes,
                      uint64_t *dropped_bytes, uint64_t *acquired);

/* ---- A queue: the producer's side ---- */

/*
 * Publishes a copy of size bytes at data.
 *
 * Returns true, or false with errno:
 *   EINVAL    NULL, destroyed, or size is 0
 *   EMSGSIZE  size is more than half the capacity
 *   EPIPE     the queue is closed or was released
 *   EAGAIN    the queue is full: the message is dropped and counted. The other refusals are not counted
 * Threads: the producer's. Cost: wait-free, one copy; one eventfd write if the queue was idle.
 */
bool queue_publish(queue_t *q, const void *data, size_t size);

/*
 * Says that nothing more will be published. Messages that wait can still be got. A second call does nothing.
 *
 * errno: EINVAL (NULL or destroyed), EPIPE (closed before, or released).
 * Threads: the producer's. Cost: one or two eventfd writes.
 */
void queue_close(queue_t *q);

/* ---- A queue: the consumer's side ---- */

/*
 * The oldest message, in place. It is returned again until queue_ack; its bytes stay as they are until then.
 *
 * Returns its size, with *ptr and *size set. Returns 0, with *ptr NULL and *size 0, and errno:
 *   EAGAIN  the queue is empty
 *   EINVAL  q, ptr or size is NULL; destroyed; released
 * Threads: the consumer's. Cost: wait-free where a message waits; the call that finds the queue empty reads the
 * eventfd and looks again.
 */
size_t queue_get(queue_t *q, uint8_t **ptr, size_t *size);

/*
 * Takes the message of the last queue_get out of the queue; its bytes may be overwritten from now on. Without a
 * queue_get since the last queue_ack it does nothing.
 *
 * errno: EINVAL (NULL, destroyed, released, or no message was got).
 * Threads: the consumer's. Cost: wait-free.
 */
void queue_ack(queue_t *q);

/* ---- A queue: either side ---- */

/*
 * Whether the queue is closed and no message waits in it: nothing will ever come. A message that was got and not
 * acked still waits. True after the release, until the next lease of the id. False with errno EINVAL for
 * NULL or a destroyed queue.
 * Threads: any. Cost: wait-free before the close; after it the pool's mutex.
 */
bool queue_is_closed_and_empty(queue_t *q);

/*
 * The counts of this lease: messages published, messages dropped because the queue was full, and the bytes of
 * both without headers. Each pointer may be NULL. Exact for the producer's thread.
 *
 * Zeros for a queue that is not leased; for NULL or a destroyed queue also, with errno EINVAL.
 * Threads: any. Cost: the pool's mutex.
 */
void queue_stats(queue_t *q, uint64_t *published, uint64_t *dropped, uint64_t *published_bytes, uint64_t *dropped_bytes);

/* ---- A queue without a pool ---- */

/*
 * Makes one queue that is in no epoll. q->eventfd may be polled, or added to an epoll level-triggered. The
 * functions of the two sections above work on it; id is for the caller's use.
 *
 * capacity, the result and errno are as in queue_pool_init.
 * Threads: any, before all other calls. Cost: enters the kernel, allocates.
 */
int queue_init(queue_t *q, size_t capacity, int id);

/*
 * Ends a queue that queue_init made, discards the messages that wait in it and frees its memory. Message pointers become
 * invalid. A second call does nothing.
 *
 * errno: EINVAL (NULL, destroyed, or a queue of a pool).
 * Threads: one, after all other calls. Cost: enters the kernel.
 */
void queue_destroy(queue_t *q);

/*
 * Discards the messages that wait in the queue and opens it again with counts of 0, as a new lease of the same id
 * would. It counts as one in queue_pool_stats.
 *
 * errno: EINVAL (NULL, destroyed, or not leased), or as in queue_pool_acquire: then the queue is closed and empty.
 * Threads: one, while no other uses this queue. Cost: the pool's mutex; enters the kernel.
 */
void queue_reset(queue_t *q);

#ifdef __cplusplus
}
#endif

#endif
