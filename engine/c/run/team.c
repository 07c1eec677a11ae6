#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu, affinities */
#endif
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEAST_BYTES 200000 /* read by a step: below that waking others costs more than it brings */
#define SPINS 20000        /* before a thread that finds no work sleeps */
#define PARTS 8            /* that a share is taken in */
#define LEARN 64           /* steps after which shares are dealt anew */
#define LATE 50000         /* nanoseconds that nobody should be waited for */
#define YIELD 100000       /* looks, some milliseconds of them, before the core is given away */
#define ALONE 100          /* times as long as it waited the caller then works alone */

/* A share: the phase that it is of in the upper half, the next block in the lower. */
struct share {
    _Atomic uint64_t next;
    uint32_t end;
    _Atomic uint64_t done; /* blocks of this thread, wherever they were, since the last deal */
    char apart[40];        /* on a cache line of its own */
};

struct team {
    uint32_t threads;
    struct share share[MOST_THREADS];
    double weight[MOST_THREADS]; /* of the shares, 1 together */
    const struct layer *layer;   /* of the phase; written before its shares are */
    const struct batch *batch;
    int project;
    void (*task)(const void *given, uint32_t first, uint32_t end); /* NULL: of the layer */
    const void *given;
    _Atomic uint32_t phase, finished, sleepers, stop;
    uint32_t steps;
    uint64_t opened, alone_until; /* nanoseconds; 0: together */
    pthread_t thread[MOST_THREADS];
    uint32_t made;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint32_t forks; /* of the process, before it was made */
};

/* A child of fork has the memory of a team and none of its threads: its steps go on alone. */
static _Atomic uint32_t forks;
static pthread_once_t watched = PTHREAD_ONCE_INIT;

static void forked(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch(void)
{
    pthread_atfork(NULL, NULL, forked);
}

static int orphaned(const struct team *t)
{
    return t->forks != atomic_load_explicit(&forks, memory_order_relaxed);
}

struct member {
    struct team *team;
    uint32_t which;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void work(const struct layer *layer, const struct batch *batch, int project, uint32_t first,
                 uint32_t end)
{
    (project ? layer_project : layer_gates)(layer, batch, first, end);
}

/* Unequal cores out of equal ones, for bench.cpu.cores: all threads but the caller's do everything
 * twice. A step changes cells and nothing else that it reads; they are put back before. */
static void work_as(const struct team *t, uint32_t mine, uint32_t first, uint32_t end)
{
    if (t->task) {
        t->task(t->given, first, end);
        return;
    }
#ifdef SPARSEFLOW_RUN_SLOW
    static _Thread_local int32_t kept[1 << 16];
    size_t at = (size_t)first * LANES, count = (size_t)(end - first) * LANES;
    int twice = mine && !t->project && t->batch->count == 1 && count <= 1 << 16;
    if (twice) {
        memcpy(kept, t->batch->lanes[0]->c + at, count * sizeof *kept);
        work(t->layer, t->batch, t->project, first, end);
        memcpy(t->batch->lanes[0]->c + at, kept, count * sizeof *kept);
    }
#else
    (void)mine;
#endif
    work(t->layer, t->batch, t->project, first, end);
}

#ifdef SPARSEFLOW_RUN_EQUAL
#define EQUAL 1 /* shares stay as they are, and nobody takes of others */
#else
#define EQUAL 0
#endif

/* Take blocks of a share of a phase until it is empty, or of a later one. */
static void empty(struct team *t, uint32_t mine, uint32_t whose, uint32_t phase)
{
    struct share *share = &t->share[whose];
    uint64_t seen = atomic_load_explicit(&share->next, memory_order_acquire);
    while ((uint32_t)(seen >> 32) == phase) {
        /* `end` is of this phase if the exchange succeeds. */
        uint32_t first = (uint32_t)seen, last = __atomic_load_n(&share->end, __ATOMIC_RELAXED);
        if (first >= last)
            return;
        uint32_t part = (last - first + PARTS - 1) / PARTS, end = first + part;
        uint64_t taken = (uint64_t)phase << 32 | end;
        if (!atomic_compare_exchange_strong_explicit(&share->next, &seen, taken,
                                                     memory_order_acq_rel, memory_order_acquire))
            continue;
        work_as(t, mine, first, end);
        atomic_fetch_add_explicit(&t->share[mine].done, part, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->finished, part, memory_order_release);
        seen = atomic_load_explicit(&share->next, memory_order_acquire);
    }
}

static void take_part(struct team *t, uint32_t mine, uint32_t phase)
{
    for (uint32_t n = 0; n < (EQUAL ? 1 : t->threads); n++)
        empty(t, mine, (mine + n) % t->threads, phase);
}

static void sleep_until_work(struct team *t, uint32_t seen)
{
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->phase) == seen && !atomic_load(&t->stop))
        pthread_cond_wait(&t->wake, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->lock);
}

static void *live(void *given)
{
    struct member me = *(struct member *)given;
    struct team *t = me.team;
    uint32_t seen = 0;
    free(given);
    while (!atomic_load(&t->stop)) {
        uint32_t phase = atomic_load(&t->phase);
        for (int n = 0; phase == seen && n < SPINS; n++) {
            relax();
            phase = atomic_load_explicit(&t->phase, memory_order_acquire);
        }
        if (phase == seen) {
            sleep_until_work(t, seen);
            continue;
        }
        seen = phase;
        take_part(t, me.which, phase);
    }
    return NULL;
}

/* Keep a member on a core of its own: the system likes to wake it on the caller's. */
static void place(struct team *t, uint32_t which)
{
#if defined(__linux__)
    cpu_set_t all, one;
    int here = sched_getcpu(), cpu = 0;
    uint32_t passed = 0;
    if (here < 0 || sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) <= (int)which)
        return;
    for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && cpu != here && ++passed == which)
            break;
    if (cpu == CPU_SETSIZE)
        return;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(t->thread[which], sizeof one, &one);
#else
    (void)t;
    (void)which;
#endif
}

static int add_member(struct team *t, uint32_t which)
{
    struct member *member = malloc(sizeof *member);
    if (!member)
        return 0;
    *member = (struct member){t, which};
    if (pthread_create(&t->thread[which], NULL, live, member)) {
        free(member);
        return 0;
    }
    t->made = which;
    place(t, which);
    return 1;
}

int team_worth(size_t bytes)
{
    return bytes >= LEAST_BYTES;
}

struct team *team_make(uint32_t threads, size_t bytes)
{
    if (threads < 2 || !team_worth(bytes))
        return NULL;
    struct team *t = aligned(sizeof *t);
    if (!t)
        return NULL;
    pthread_once(&watched, watch);
    t->forks = atomic_load(&forks);
    t->threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    for (uint32_t n = 0; n < t->threads; n++)
        t->weight[n] = 1.0 / t->threads;
    for (uint32_t n = 1; n < t->threads; n++)
        if (!add_member(t, n)) {
            team_end(t);
            return NULL;
        }
    return t;
}

void team_end(struct team *t)
{
    if (!t)
        return;
    if (orphaned(t)) { /* lock and condition may be in any state */
        free(t);
        return;
    }
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->stop, 1);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
    for (uint32_t n = 1; n <= t->made; n++)
        pthread_join(t->thread[n], NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Deal blocks in proportion to the weights, and open the phase. */
static void open_phase(struct team *t, uint32_t blocks)
{
    uint32_t phase = atomic_load_explicit(&t->phase, memory_order_relaxed) + 1, first = 0;
    double sum = 0;
    atomic_store_explicit(&t->finished, 0, memory_order_relaxed);
    for (uint32_t n = 0; n < t->threads; n++) {
        sum += t->weight[n];
        uint32_t end = n + 1 == t->threads ? blocks : (uint32_t)(sum * blocks + 0.5);
        end = end < first ? first : end > blocks ? blocks : end;
        __atomic_store_n(&t->share[n].end, end, __ATOMIC_RELAXED);
        atomic_store_explicit(&t->share[n].next, (uint64_t)phase << 32 | first,
                              memory_order_release);
        first = end;
    }
    atomic_store(&t->phase, phase);
    if (atomic_load(&t->sleepers)) {
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->wake);
        pthread_mutex_unlock(&t->lock);
    }
}

/* Wait for the blocks that others have begun. Who is waited for too long may have lost its core:
 * then the caller works alone so long that the wait was one part in ALONE of the time. */
static void await(struct team *t, uint32_t blocks)
{
    if (atomic_load_explicit(&t->finished, memory_order_acquire) == blocks)
        return;
    uint64_t begin = now(), waited;
    for (uint32_t n = 1; atomic_load_explicit(&t->finished, memory_order_acquire) != blocks; n++) {
        if (n < YIELD || n % 64)
            relax();
        else
            sched_yield(); /* the core that we wait for may be ours; but who yields loses it */
    }
    waited = now() - begin;
    if (waited > LATE && waited > (begin - t->opened) / 4)
        t->alone_until = now() + ALONE * waited;
}

/* What the team was just told, in blocks. */
static void together(struct team *t, uint32_t blocks)
{
    t->opened = now();
    open_phase(t, blocks);
    take_part(t, 0, atomic_load_explicit(&t->phase, memory_order_relaxed));
    await(t, blocks);
}

void team_run(struct team *t, const struct layer *layer, const struct batch *batch, int project)
{
    uint32_t blocks = project ? layer->out_blocks : layer->blocks;
    if (!t || t->alone_until || orphaned(t)) {
        work(layer, batch, project, 0, blocks);
        return;
    }
    t->layer = layer;
    t->batch = batch;
    t->project = project;
    t->task = NULL;
    together(t, blocks);
}

void team_share(struct team *t, void (*task)(const void *given, uint32_t first, uint32_t end),
                const void *given, uint32_t count)
{
    if (!t || t->alone_until || orphaned(t)) {
        task(given, 0, count);
        return;
    }
    t->task = task;
    t->given = given;
    together(t, count);
}

/* Shares follow what each thread got done; none goes to nothing, so that it can come back. */
static void deal(struct team *t)
{
    double done[MOST_THREADS], sum = 0, least = 0.02 / t->threads;
    for (uint32_t n = 0; n < t->threads; n++)
        sum += done[n] = (double)atomic_exchange(&t->share[n].done, 0) + 1;
    for (uint32_t n = 0; n < t->threads; n++) {
        t->weight[n] = 0.5 * t->weight[n] + 0.5 * done[n] / sum;
        t->weight[n] = t->weight[n] < least ? least : t->weight[n];
    }
    sum = 0;
    for (uint32_t n = 0; n < t->threads; n++)
        sum += t->weight[n];
    for (uint32_t n = 0; n < t->threads; n++)
        t->weight[n] /= sum;
}

void team_rest(struct team *t)
{
    if (!t)
        return;
    if (t->alone_until) {
        if (now() >= t->alone_until)
            t->alone_until = 0;
    } else if (++t->steps == LEARN) {
        t->steps = 0;
        if (!EQUAL)
            deal(t);
    }
}
