/* vault/inner.h - what the files of the vault share.
 *
 * Why       The role is one object, told in several files: who is recognised, who signed in, which tokens there are, what people change.
 * Promise   All of it runs on the role's loop but the `work` of a change, which has the database to itself on the store's one thread, and
 *           touches nothing but its own arena.
 * Owns      See vault/vault.h.
 * Refuses   Being included by anything outside vault/. */
#pragma once
#include "base/json.h"
#include "base/remedy.h"
#include "base/trail.h"
#include "identity/grant.h"
#include "identity/throttle.h"
#include "loop/link.h"
#include "loop/pool.h"
#include "loop/role.h"
#include "upstream/token.h"
#include "upstream/way.h"
#include "vault/keyring.h"
#include "vault/registry.h"

enum { VAULT_URL_BYTES = 2048, VAULT_PEERS_MAX = 256, VAULT_WHY_BYTES = 512, VAULT_ACTOR_BYTES = 64, VAULT_CHANGE_BYTES_MAX = 64 * 1024 * 1024 };

struct vault;
struct backup;
struct consents;
struct devices;
struct lookout;
struct notices;
struct probe;
struct refusals;
struct rotation;
struct troubles;

/* Something that waits for an answer from outside. It stands in the vault's list so that whoever ends the vault frees it. */
struct vault_pending {
	struct vault_pending *next, **at;
	void (*drop)(void *self);
	void *self;
};

/* A certificate that a listener shows, as far as the vault watches it. */
struct vault_certificate {
	struct span listener;
	int64_t ends_at_ms;
};

struct vault_peer {
	struct vault *vault;
	enum role role;
	unsigned index;
	struct link *link;
	size_t told;        /* mailboxes whose state post was told so far */
	struct timer tell;
};

struct vault {
	struct loop *loop;
	const struct config *config;
	struct trail trail;
	struct secret *mac_key, *password_key;
	void (*ready)(void *host, enum fault, struct span why);
	void (*drained)(void *host);
	void *host;

	struct disk *disk;
	struct sqlite *db;
	struct pool *pool;
	unsigned changes;   /* under way */
	bool is_draining, is_closing;
	struct timer soon;  /* says ready, and drained */
	struct timer minute;

	struct buf public_url; /* as desk said it last */
	struct dns *dns;
	struct http_client *http;
	struct keyring *keys;
	struct registry registry;
	struct throttle *throttle;
	struct tokens *tokens;
	struct map revocations, ended_credentials;
	struct refusals *refusals;
	struct consents *consents;
	struct devices *devices;
	struct rotation *rotation;
	struct backup *backup; /* under way, or NULL */
	struct lookout *lookout;
	struct troubles *troubles;
	struct notices *notices;
	struct arena *certificate_arena;
	struct vault_certificate *certificates;
	size_t certificate_count;
	struct probe *probes;  /* under way */
	uint64_t next_probe;
	struct timer probe_soon;

	struct vault_pending *pending;
	size_t peer_count;
	struct vault_peer *peers[VAULT_PEERS_MAX];
};

/* --- vault.c */

/* Sends to every peer of a role. */
void vault_tell(struct vault *, enum role, const struct message *);

/* Sends to one, if it is still there. */
void vault_tell_one(struct vault *, enum role, unsigned index, const struct message *);

/* Puts it into the list, and takes it out; the latter also when it is in none. */
void vault_pending_add(struct vault *, struct vault_pending *, void (*drop)(void *self), void *self);
void vault_pending_remove(struct vault_pending *);

/* --- change.c: a transaction on the store's thread, then what follows from it. */
struct change {
	struct vault *vault;
	struct arena *arena; /* wiped at the end */
	void *data;
	enum fault fault;    /* of the transaction, for `done` */
	enum fault (*work)(struct change *, struct sqlite *);
	void (*done)(struct change *);
};

/* `data_size` zeroed bytes are `data`. */
struct change *change_new(struct vault *, enum fault (*work)(struct change *, struct sqlite *), void (*done)(struct change *), size_t data_size);

/* Runs it, and frees it after `done`. When too many wait, `done` gets FAULT_TOO_BUSY, soon. */
void change_run_take(struct change *);

/* Frees one that was not run. */
void change_drop(struct change **);

/* Seals a text into the change's arena, ready for secrets_put(). */
struct secret_row change_seal(struct change *, struct span subject, uint64_t row, struct span name, struct span text);

/* --- operations.c */

/* Who asked, and in which language; a copy that outlives the message. */
struct asker {
	enum role role;
	unsigned index;
	uint64_t request;
	enum language language;
	char actor[VAULT_ACTOR_BYTES], operation[48];
};

/* Answers once. `result` (NULL: an empty object) is taken. `why` is a text in the asker's language, or empty: then the fault's own. */
void asker_answer(struct vault *, const struct asker *, enum fault, struct span why, json_t *result);
void asker_answer_print(struct vault *, const struct asker *, enum fault, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Notes a change in the log, with the actor's name. */
void asker_note(struct vault *, const struct asker *, struct span name, struct span organisation);

typedef void vault_run(struct vault *, const struct asker *, const json_t *arguments);

/* One row an operation; each file of operations has its own table, ended by a NULL name. */
struct vault_operation {
	const char *name;
	vault_run *run;
};
extern const struct vault_operation organisation_operations[], provider_operations[], mailbox_operations[], client_operations[],
	key_operations[], consent_operations[], status_operations[], backup_operations[];

/* A moment as RFC 3339; nothing for 0. */
void operations_put_date(json_t *to, const char *name, int64_t wall_ms);

/* Lines of a list as an array of texts. */
void operations_put_lines(json_t *to, const char *name, struct span lines);

/* The name of an organisation, or an empty span. */
struct span operations_organisation(const struct vault *, uint64_t id);

/* A list a page at a time: the items, and `next`, the name to give as `after` for those that follow, when there are more. */
struct operations_page {
	json_t *items;
	int64_t limit;
	uint64_t after; /* the number of the last one of the page before */
	struct span last;
	bool has_more;
};

/* Adds one, or says false, drops it and marks that there are more. */
bool operations_page_add(struct operations_page *, struct span name, json_t *item);

/* Answers with those of `map` behind the number `after`, at most `limit` of the arguments (1,000 when it says nothing); `one` adds one of them or passes
 * it over, and says false when the page is full. */
void operations_list(struct vault *, const struct asker *, const json_t *arguments, const struct map *, uint64_t after,
		     bool (*one)(const struct vault *, const struct asker *, const void *which, struct span org, struct operations_page *));

/* Runs the operation that a message names. */
void operations_call(struct vault *, const struct vault_peer *, const struct message_call *);

/* --- authorize.c */

/* Answers a gate. */
void authorize_client(struct vault *, const struct vault_peer *, const struct message_authorize *);

/* Begins and ends with the vault. */
void authorize_start(struct vault *);
void authorize_free(struct vault *);

/* A login with this client's password of before can be named from now on. */
void authorize_end_credential(struct vault *, const struct client_row *);

/* Writes down when clients were last recognised. */
void authorize_store_use(struct vault *);

/* Tells gates and posts that grants of this client up to `at_ms` are void, and remembers it for grants to come. */
void authorize_revoke(struct vault *, uint64_t client, int64_t at_ms);

/* Tells a post that came what was revoked within the life of a grant. */
void authorize_tell(struct vault *, const struct vault_peer *);

/* The moment to write on a grant or a revocation of this client: now, but always behind its last revocation. */
int64_t authorize_moment_ms(struct vault *, uint64_t client);

/* --- refusals.c */
void refusals_start(struct vault *);
void refusals_free(struct vault *);
struct refusal {
	enum fault fault;
	uint64_t client;
	struct span name, listener, remote, user, sender, recipient;
	uint64_t organisation;
};
void refusals_note(struct vault *, const struct refusal *);
void refusals_flush(struct vault *);

/* --- mailbox.c: what a mailbox is to the others */
enum mailbox_state { MAILBOX_READY, MAILBOX_UNLINKED, MAILBOX_HELD, MAILBOX_DISABLED };
enum mailbox_state mailbox_state(const struct vault *, const struct registry_mailbox *);
struct provider *mailbox_provider(const struct vault *, const struct registry_mailbox *);

/* The ways out of a mailbox in order of preference: its own, else those of its organisation, else `smtp`. Gives how many. */
size_t mailbox_ways(const struct vault *, const struct registry_mailbox *, enum way out[WAY_END]);
/* What it signs in with is there: an account was linked, or its provider knows none; an app password was set. */
bool mailbox_has_way(const struct vault *, const struct registry_mailbox *, enum way);
/* Whose trouble may be that of many: the tenant that signed in, else the provider's; empty where there is no provider. */
struct span mailbox_tenant(const struct vault *, const struct registry_mailbox *);

/* The one whose account signs in for it: a delegate's, or itself. */
const struct registry_mailbox *mailbox_account(const struct vault *, const struct registry_mailbox *);

/* Whether a service account asks for its token. */
bool mailbox_service(const struct vault *, const struct registry_mailbox *);

/* Whose token it signs in by (upstream/token.h). */
uint64_t mailbox_token(const struct vault *, const struct registry_mailbox *);

/* FAULT_OK, FAULT_MAILBOX_NOT_READY or FAULT_MAILBOX_DISABLED, for grants. */
enum fault mailbox_ready(const struct vault *, const struct registry_mailbox *);
void mailbox_tell(struct vault *, const struct registry_mailbox *);
void mailbox_tell_all(struct vault *, struct vault_peer *);
/* Tells post how it stands now, and that something about it changed for the better; the same of those it signs in for, unless `alone`. */
void mailbox_mended(struct vault *, uint64_t mailbox);
void mailbox_mended_alone(struct vault *, uint64_t mailbox);
void mailbox_count(struct vault *);

/* --- refresh.c */
void refresh_start(struct vault *);
void refresh_wanted(struct vault *, const struct vault_peer *, const struct message_token_wanted *);

/* --- probe.c: whether the sign-in of a mailbox works, tried by post */
typedef void probe_done(void *self, enum fault, struct span host, struct span says);
/* `done` is called once, not from inside, unless the vault is freed first: `drop` is then. */
void probe_begin(struct vault *, const struct registry_mailbox *, enum way, probe_done *done, void (*drop)(void *self), void *self);
void probe_answered(struct vault *, const struct message_probed *);
void probe_post_ended(struct vault *);
/* Answers those that had nobody to ask: from the loop, as every answer is. */
void probe_soon(void *vault);

/* Tries one way (WAY_NONE: all that are set up) and answers the asker: how each fared, or the fault of the first that did not work. */
void mailbox_test(struct vault *, const struct asker *, const struct registry_mailbox *, enum way);

/* --- lend.c: a sealed secret that post asked for, opened for as long as it takes to give it */
struct lend_wish {
	unsigned post;               /* who asked, and how to answer */
	uint64_t request, mailbox;
	struct span subject, name;   /* which secret (store/secrets.h); texts that live for ever */
	uint64_t row;
	enum fault missing;          /* what it means that there is none */
};
typedef void lend_given(struct vault *, const struct lend_wish *, enum fault, struct span secret);
/* `give` is called once, not from inside; the secret is wiped behind it. */
void lend_secret(struct vault *, const struct lend_wish *, lend_given *give);

/* --- app_password.c */
/* Gives a mailbox's app password to post. */
void app_password_wanted(struct vault *, const struct vault_peer *, const struct message_token_wanted *);
extern const struct vault_operation app_password_operations[];

/* --- segments.c, rotate.c */
void segments_key_wanted(struct vault *, const struct vault_peer *, const struct message_segment_key_wanted *);
void segments_unwrap(struct vault *, const struct vault_peer *, const struct message_segment_unwrap *);
void rotate_start(struct vault *);
void rotate_free(struct vault *);
void rotate_post_came(struct vault *, const struct vault_peer *);
void rotate_post_done(struct vault *, const struct vault_peer *, const struct message_segment_rotated *);

/* --- backup.c: a copy of the database, sealed; and the key for post's part */
void vault_backup_start(struct vault *);
void vault_backup_answered(struct vault *, const struct vault_peer *, const struct message_answer *);
void vault_backup_free(struct vault *);

/* --- lookout.c: warns of what lapses */
MUST_CHECK enum fault lookout_start(struct vault *);
void lookout_free(struct vault *);

/* Something changed that has an end: looks again, soon. */
void lookout_soon(struct vault *);

/* What lapses soon, as JSON, at most `most` of it. */
json_t *lookout_describe(struct vault *, enum language, size_t most);

/* Takes note of the certificates of the listeners. */
void lookout_certificates(struct vault *, const struct role_start *);

/* --- sign_in.c: an answer of a token endpoint becomes the sign-in of a mailbox, or is refused */
struct sign_in_wish {
	uint64_t mailbox, link;      /* `link` is used up along with it; 0 for none */
	struct span nonce;           /* empty: the token carries none */
	const char *way;             /* "link", "device" or "adopt", for the log */
};
struct sign_in_result {
	enum fault fault;
	struct span why, account;    /* `account`: who came, as far as is known */
};
typedef void sign_in_done(void *self, const struct sign_in_result *);

/* Takes the answer. `done` is called once, perhaps from inside; `self` must live until then. */
void sign_in_begin_take(struct vault *, const struct sign_in_wish *, struct oauth_answer *, sign_in_done *done, void *self);

/* POSTs a form to an address of the provider; the form is wiped by the caller. */
struct http_fetch *sign_in_post(struct vault *, struct span url, struct span form, http_done *done, void *self);

/* --- consent.c, device.c */
void consent_start(struct vault *);
void consent_free(struct vault *);
void consent_forget_mailbox(struct vault *, uint64_t mailbox);
void consent_tidy(struct vault *);

/* Makes a link for a mailbox, or begins a device code, and answers the asker. */
void consent_make_link(struct vault *, const struct asker *, const struct registry_mailbox *);
void device_start(struct vault *);
void device_free(struct vault *);
void device_begin(struct vault *, const struct asker *, const struct registry_mailbox *);

/* --- adopt.c: a refresh token that another program got. Answers the asker once it was proved and stored, or refused. */
void adopt_begin(struct vault *, const struct asker *, const struct registry_mailbox *, struct span refresh_token);

/* The address under which people reach the pages, without a slash at its end; and the redirect address to register. In `out`. */
void consent_public_url(const struct vault *, struct buf *out);
void consent_redirect_uri(const struct vault *, struct buf *out);
