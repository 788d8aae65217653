/* desk/errand.h - a question to another role, its number and its deadline.
 *
 * Why       Every page and every operation asks vault, post or a gate; whoever asks should not care how that role is doing.
 * Promise   `done` is called exactly once, never from inside errands_ask(): with the answer, or with VAULT_AWAY or POST_AWAY when the role is
 *           away, goes away, or is silent until the deadline.
 * Owns      The links to the other roles, and the questions that are open.
 * Refuses   More than ERRANDS_MAX open at once: FAULT_TOO_BUSY. An answer nobody asked for, or from another role than was asked: ignored.
 * See       `call` and `answer` in tables/messages.def */
#pragma once
#include "base/message.h"
#include "base/trail.h"
#include "loop/loop.h"

enum { ERRANDS_MAX = 4096, ERRAND_PEERS_MAX = 80, ERRAND_WAIT_MS = 30000 };

struct errands;

/* What came of it; texts are valid during the call and may be empty. */
struct errand_answer {
	bool came;        /* the role answered; else `fault` says why it did not */
	enum fault fault;
	struct span why, result;
};

typedef void errand_done(void *self, const struct errand_answer *);

/* Which role, which of its kind, and what. Texts are borrowed for the call; `wait_ms` 0 means ERRAND_WAIT_MS. */
struct errand_wish {
	enum role role;
	unsigned index;
	struct span operation, actor, arguments;
	enum language language;
	int wait_ms;
	errand_done *done;
	void *self;
};

/* Knows no role yet. */
struct errands *errands_new(struct loop *, const struct trail *);

/* Calls `done` of what is still open with FAULT_SHUTTING_DOWN, from inside. */
void errands_free(struct errands **);

/* A link to another role, in place of an earlier one; takes the descriptor. */
void errands_peer(struct errands *, enum role, unsigned index, int fd);

/* Asks. A role that is away has failed its deadline already. */
void errands_ask(struct errands *, const struct errand_wish *);

/* The role that was introduced as number `at`, and whether its link stands; false past the end. */
bool errands_role(const struct errands *, size_t at, enum role *role_out, unsigned *index_out, bool *up_out);

/* How many questions are open. */
size_t errands_open(const struct errands *);
