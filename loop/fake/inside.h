/* loop/fake/inside.h - what the fake sides share with one another.
 *
 * Why       One world, several files.
 * Promise   Every event stands in a heap of loop/timers.h, its owner's or the world's, and all heaps draw their order from one counter.
 * Owns      See world.h.
 * Refuses   Being included from outside loop/fake. */
#pragma once
#include "loop/fake/world.h"
#include "loop/timers.h"

struct stream;
struct listener;
struct pool;

enum { LOOP_SIGNALS_MAX = 8 };

struct loop {
	char name[16];
	bool stopped, dead;
	struct timers timers;
	struct stream *streams;
	struct listener *listeners;
	struct posted *posted;
	size_t signal_count;
	struct {
		int number;
		void (*handler)(void *self);
		void *self;
	} signals[LOOP_SIGNALS_MAX];
	struct loop *next;
};

struct world {
	bool begun;
	uint64_t dice, order, steps;
	int64_t now_ms;
	struct timers timers; /* of nobody: the network, and what the scenario arranged */
	struct loop *loops, *current;
	void (*log_write)(void *self, struct span line);
	void *log_self;
};

/* The one there is; begun when it was not. */
struct world *world_now(void);

/* An event of nobody's. */
void world_event(struct timer *, int64_t after_ms, void (*fire)(void *self), void *self);
void world_event_stop(struct timer *);

/* Whether it is the turn of something that died: what it asks for is refused. */
bool world_is_ghost(void);

/* A number from `least` to `most`. */
int world_between(int least, int most);

/* What each part does at the end of a world. */
void network_end(void);
void dns_end(void);
void pool_delays_end(void);
void disk_tree_end(void);
void sqlite_vfs_begin(void);

/* What each part does when a loop dies. */
void stream_loop_died(struct loop *);
