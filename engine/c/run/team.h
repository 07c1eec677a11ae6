/* Threads that share the blocks of each step of one stream.
 *
 * Every thread has a share of a layer's blocks in proportion to what it got done before, takes
 * them in its order, and then what is left of others: parameters stay in the cache of the core
 * that reads them, and nobody waits for a core that was taken away, but for the few blocks that
 * it had begun. A guard lets the caller work alone where that happens again and again. */
#ifndef SPARSEFLOW_TEAM_H
#define SPARSEFLOW_TEAM_H

#include "layer.h"

#define MOST_THREADS 64

struct team;

/* Whether a step that reads so much is worth sharing. */
int team_worth(size_t bytes);
/* NULL for one thread, for work that is too small to share, and where no thread can be made. */
struct team *team_make(uint32_t threads, size_t bytes);
void team_end(struct team *team);

/* The gates, or the projection, of all lanes. `team` may be NULL. */
void team_run(struct team *team, const struct layer *layer, const struct batch *batch,
              int project);
/* Any other work, in parts of `count`. */
void team_share(struct team *team, void (*task)(const void *given, uint32_t first, uint32_t end),
                const void *given, uint32_t count);
/* Behind every step. */
void team_rest(struct team *team);

#endif
