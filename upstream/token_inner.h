/* upstream/token_inner.h - what the two halves of the token life cycle share: who asks and waits, and how one is renewed.
 *
 * Why       Neither half fits into one sitting of a reader together with the other.
 * Promise   As upstream/token.h.
 * Owns      Nothing.
 * Refuses   Being included by anything but upstream/token*.c. */
#pragma once
#include "upstream/token.h"

#include "base/map.h"

enum { TOKEN_WHY_BYTES = 512, TOKEN_STORE_AGAIN_MS = 5 * 1000 };

enum token_stage { TOKEN_IDLE, TOKEN_LOADING, TOKEN_QUEUED, TOKEN_ASKING, TOKEN_STORING };

struct token_waiter {
	struct token_waiter *next;
	token_done *done;
	void *self;
	uint64_t request;
};

struct token {
	struct tokens *all;
	uint64_t mailbox;
	enum token_stage state;
	struct token_waiter *waiters;

	/* The access token, while it lives. Loop time is for deciding, wall time for telling. */
	struct buf access;
	int64_t expires_at_ms, obtained_at_ms, expires_wall_ms, refreshed_wall_ms;
	int64_t refresh_ends_wall_ms; /* as the last answer had it; 0 where it had none */
	uint64_t generation;
	bool used; /* somebody asked for it since it was obtained */

	/* What is in use during a refresh, wiped afterwards. */
	struct buf refresh, before, stored_refresh, stored_before, tenant, object, address;
	bool forced, tried_before, is_application;
	int64_t forced_at_ms;
	uint64_t refused; /* the generation that the mail server refused at last */
	struct http_fetch *fetch;
	struct provider *asked; /* whose endpoints are awaited */
	struct token *next_queued;

	enum fault fault;
	char why[TOKEN_WHY_BYTES];
	unsigned failures;
	int64_t retry_at_ms; /* loop time before which no refresh begins; 0 for none */
	struct timer timer;
};

struct tokens {
	struct loop *loop;
	struct http_client *http;
	const struct token_host *host;
	void *host_self;
	struct map by_mailbox;
	struct token *queue, **queue_end;
	unsigned in_flight;
	bool is_serving;
	size_t keep_alive_at;
};

/* --- token.c */
struct token *token_find(const struct tokens *, uint64_t mailbox);
int64_t token_now_ms(const struct token *);

/* Whether the access token in memory may still be given out. */
bool token_is_good(const struct token *);

/* Answers all who wait: with the access token, or with the fault and what `why` says. */
void token_answer_waiters(struct token *, enum fault);
void token_set_why(struct token *, enum fault, struct span why);

/* Clears what is in use during a refresh only. */
void token_wipe_refresh(struct token *);

/* Around so many ms, by a tenth more or less, so that what began together does not stay together. */
int64_t token_about(int64_t ms);

/* Sets the timer for the next thing that happens by itself. */
void token_set_timer(struct token *);

/* Takes an access token, if it still lives. */
void token_take_access(struct token *, const struct token_kept *);

/* --- token_refresh.c */

/* Begins a refresh of an idle one, or its second try with the token before. */
void token_begin(struct token *);
void token_save(struct token *);

/* It has a good token: whoever waits gets it. */
void token_works(struct token *);

/* Gives up its place among those that wait for one, or its place in flight. */
void token_leave_queue(struct token *);
void token_leave_flight(struct tokens *);
