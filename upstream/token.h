/* upstream/token.h - the access tokens of all mailboxes, and how they are kept fresh.
 *
 * Why       A token is asked for with every connection, lives an hour, and may be renewed by one request at a time only: some providers take the
 *           use of an old refresh token for a theft.
 * Promise   - One refresh per mailbox at a time; whoever asks meanwhile waits for its result. Each question is answered exactly once, within 45 s.
 *           - A refresh begins at four fifths of the token's life, more or less; the old token serves until the new one is stored.
 *           - What a provider answered is stored (TOKEN_HOST.save) before anyone gets it. While storing fails, it is kept and stored again.
 *           - A refresh that failed is never repeated at once: after 429, 5xx, a timeout or nonsense comes a wait that doubles from 5 s to 15
 *             minutes, Retry-After honoured. Only when the refresh token was refused is the one before it tried, once.
 *           - A token that the mail server refused is renewed once, not again within a minute. Where that failed, it is not given out any more:
 *             whoever asks hears why, and not from the mail server that the old token is no good.
 *           - An application's own token (client credentials, or a service account's for one mailbox) goes the same way, without a refresh token and without being stored.
 * Owns      What it knows of each mailbox or provider. Access tokens stay in memory until they end, wiped; refresh tokens only while one is used.
 * Refuses   Another account than the one linked, where the answer names one: FAULT_WRONG_ACCOUNT, and nothing is stored.
 * See       states: IDLE -> LOADING -> ASKING -> STORING -> IDLE, with an access token or a fault beside them */
#pragma once
#include "upstream/account.h"

struct tokens;
struct token;

/* Whose token: a mailbox's, which is its number, or a provider's own, for all its mailboxes. */
#define TOKEN_OF_PROVIDER (UINT64_C(1) << 63)
static inline uint64_t token_of_provider(uint64_t provider)
{
	return provider | TOKEN_OF_PROVIDER;
}

enum { TOKEN_DEADLINE_MS = 20000, TOKEN_IDLE_DAYS = 14 };

/* What is kept of a sign-in; spans are borrowed for the call. */
struct token_kept {
	struct span refresh_token, refresh_token_before, access_token;
	int64_t expires_at_ms; /* of the access token, wall clock */
	uint64_t generation;
	struct span tenant, object; /* who signed in */
	int64_t refresh_ends_at_ms; /* of the refresh token, wall clock, where the provider says; else 0 */
	bool is_application;        /* nobody did: the application asks on its own behalf, and nothing is kept but in memory */
	struct span address;        /* of the mailbox that a service account asks for */
};

struct token_host {
	/* Fetch what is kept; answer by token_loaded(), not from inside. */
	void (*load)(void *host, uint64_t mailbox);
	/* Store, synced; answer by token_stored(), not from inside. The account is not told. */
	void (*save)(void *host, uint64_t mailbox, const struct token_kept *);
	/* The registration that the mailbox signs in by, or NULL. */
	struct provider *(*provider)(void *host, uint64_t mailbox);
	/* A refresh failed, or works again (FAULT_OK): for the log, the state shown, and what is held. */
	void (*changed)(void *host, uint64_t mailbox, enum fault, struct span why);
};

/* Whoever waits when they are freed is answered FAULT_VAULT_AWAY. */
struct tokens *tokens_new(struct loop *, struct http_client *, const struct token_host *, void *host);
void tokens_free(struct tokens **);

/* A mailbox that has been linked: `refreshed_at_ms` (wall clock) decides when it counts as idle; `fault` what stood in the way at last. */
void tokens_add(struct tokens *, uint64_t mailbox, int64_t refreshed_at_ms, enum fault fault, struct span why);

/* Forgets a mailbox; whoever waits gets FAULT_NOT_LINKED. */
void tokens_remove(struct tokens *, uint64_t mailbox);

/* A sign-in was stored for it just now: this replaces what was known, and ends a refresh under way. The access token may be empty. */
void tokens_linked(struct tokens *, uint64_t mailbox, const struct token_kept *);

/* The registration changed: waits and faults are forgotten, so that the next question asks anew. */
void tokens_provider_changed(struct tokens *, uint64_t mailbox);

struct token_answer {
	enum fault fault;
	struct span why;          /* the provider's words, or ours; never a secret */
	struct span access_token; /* valid during the call */
	uint64_t generation;
	int64_t expires_at_ms;
};
typedef void token_done(void *self, uint64_t request, const struct token_answer *);

/* Asks for a token; `done` may be called from inside. `refused_generation`: the mail server refused the token of that number (0: none).
 * An unknown mailbox gives FAULT_NOT_LINKED. */
void tokens_want(struct tokens *, uint64_t mailbox, uint64_t refused_generation, token_done *done, void *self, uint64_t request);

/* The host's answers to `load` and `save`. */
void tokens_loaded(struct tokens *, uint64_t mailbox, enum fault, const struct token_kept *);
void tokens_stored(struct tokens *, uint64_t mailbox, enum fault);

/* Renews those that were not renewed for about TOKEN_IDLE_DAYS (spread by a day and a half), at most `most` of them; to be called every
 * minute or so. Gives how many it began. */
unsigned tokens_keep_alive(struct tokens *, unsigned most);

/* What is known of one, for people. */
struct token_state {
	bool is_known, has_token;
	enum fault fault;
	struct span why;
	int64_t expires_at_ms, retry_at_ms; /* wall clock; 0 when there is none */
	uint64_t generation;
};
struct token_state tokens_state(const struct tokens *, uint64_t mailbox);

/* Requests to token endpoints in flight. */
unsigned tokens_in_flight(const struct tokens *);
