/* post/inner.h - what the files of post/ share: the role, the messages coming in, the tries, the causes of holds.
 *
 * Why       One object is driven from five sides: gates, vault, desk, disk and network.
 * Promise   Nothing outside post/ includes it. An arrival gets exactly one `settled`, unless its session went first.
 * Owns      See each struct.
 * Refuses   Nothing. */
#pragma once
#include "base/config.h"
#include "base/json.h"
#include "base/map.h"
#include "base/metric.h"
#include "base/remedy.h"
#include "base/secret.h"
#include "base/trail.h"
#include "loop/link.h"
#include "loop/role.h"
#include "queue/body.h"
#include "queue/queue.h"
#include "upstream/ways.h"

enum { POST_GATES_MAX = 64, POST_TRIES_MAX = 1000, POST_CONNECT_MS = 30000, POST_ARRIVALS_MAX = 100000 };

struct cause;
struct delivery;
struct post_backup;
struct post_probe;
struct post_notice;
struct untold;

struct post {
	struct loop *loop;
	struct trail trail;
	unsigned index;
	const struct config *config;
	struct secret *mac_key;
	char host_name[256];
	struct link *vault, *desk, *gates[POST_GATES_MAX];
	struct dns *dns;
	struct tls *tls;
	struct ways *ways;
	struct queue *queue;
	struct bodies *bodies;
	uint64_t first_new_id;
	int64_t wall_ahead_ms; /* of the loop's time, at the start */
	bool is_open, is_draining, said_drained;
	struct timer drain_timer, sweep_timer, vault_away;
	struct delivery *deliveries; /* under way */
	/* intake.c */
	struct map arrivals;
	size_t gathered_bytes;
	struct map revoked;
	/* hold.c */
	struct map mailbox_causes, tenant_causes, mailboxes;
	struct untold *untold; /* what was mended while the vault was away */
	struct post_notice *notices;
	unsigned tries;
	struct post_backup *backup; /* under way, or NULL */
	struct post_probe *probes;  /* under way */
	void (*ready)(void *host, enum fault, struct span why);
	void (*drained)(void *host);
	void *host;
};

/* --- mailboxes.c: mailboxes, as the vault tells them */

/* What the vault said of a mailbox; NULL when it has not. */
struct known_mailbox {
	uint64_t id, notice_mailbox, account;
	bool enabled;
	enum language language;
	char address[SMTP_CLIENT_ADDRESS_BYTES + 1];
	unsigned char ways[WAY_END]; /* in order of preference */
	size_t way_count;
	struct limit_rates rates; /* what its provider allows */
};
const struct known_mailbox *post_mailbox(const struct post *, uint64_t id);
/* That of the mailbox whose account signs in for it, or empty. */
struct span post_account_address(const struct post *, uint64_t id);

/* The way to try a mailbox's mail by, first (`at` 0) and then; WAY_NONE behind the last. */
enum way post_way(const struct post *, uint64_t mailbox, size_t at);
/* Its address, or empty. */
struct span post_mailbox_address(const struct post *, uint64_t id);

/* As the vault tells it. */
void post_mailbox_state(struct post *, const struct message_mailbox_state *);
/* A sign-in without mail, as the vault asks for. */
void post_probe(struct post *, const struct message_probe *);
/* At the end of the role; probes before the ways, mailboxes behind them. */
void post_probes_free(struct post *);
void post_mailboxes_free(struct post *);

/* --- post.c */

/* Wall time that a clock set forward while we run does not move: ages are counted by it, so that no jump ends the life of what waits. */
int64_t post_now_ms(const struct post *);

/* Says at debug level which step of its life a message has come to; docs/queue.md has their order. */
void post_step(const struct post *, uint64_t id, const char *step);

/* A try ended: while draining, the last one lets the role go. */
void post_try_ended(struct post *);

/* --- intake.c: a message comes in, and its session waits for a word */
struct arrival_key {
	uint64_t gate, session;
};

struct arrival {
	struct arrival_key key;
	struct post *post;
	uint64_t serial;
	enum { ARRIVAL_GATHERS, ARRIVAL_STORES, ARRIVAL_WAITS } state;
	/* what the grant said */
	uint64_t client, mailbox, notice_mailbox, id;
	int64_t issued_at_ms, expires_at_ms, verdict_wait_ms;
	/* the record in the making, and its body where that is long */
	struct buf payload;
	size_t body_at, counted;
	uint64_t body_bytes;
	struct body_writing *writing;
	char file_key[SEAL_KEY_BYTES];
	bool has_file;
	size_t unwritten;
	unsigned char key_bytes[MAIL_KEY_BYTES]; /* of its resubmission */
	struct buf message_id;
	/* the wait */
	struct mail *mail;
	struct timer verdict;
	struct arrival *next; /* another that waits for the same message */
};

/* What a gate says of a message, as tables/messages.def has it: its envelope, its bytes, its end; or that it is given up, or its session gone. */
void intake_begin(struct post *, struct link *, const struct message_mail_begin *);
void intake_body(struct post *, struct link *, const struct message_mail_body *);
void intake_end(struct post *, struct link *, const struct message_mail_end *);
void intake_drop(struct post *, struct link *, const struct message_mail_drop *);

/* All sessions of a gate are gone. */
void intake_gate_ended(struct post *, unsigned gate);

/* Grants of that client from before then hold no more. */
void intake_revoked(struct post *, const struct message_revoked *);

/* A message is on the disk, or was not taken: it is tried, or those who wait are told. */
void intake_accepted(struct post *, struct mail *, enum fault);

/* At the end of the role: forgets all arrivals, without a word. */
void intake_free(struct post *);

/* The one word to whoever waits for a message; `accepted` and `refused` say what the outcome says. */
void settle_accepted(struct mail *, struct span says);
void settle_refused(struct mail *, const struct outcome *, const struct remedy_names *);
void settle_queued(struct mail *, struct span says);
bool settle_is_awaited(const struct mail *);

/* --- deliver.c: a try */
void deliver_start(struct post *, struct mail *);
/* At the end of the role: gives up what is under way, without a word. */
void deliver_free(struct post *);

/* --- hold.c: what a person can mend */
enum hold_end { HOLD_WENT, HOLD_AGAIN, HOLD_UNSURE };

/* Holds a message, and with it its mailbox or tenant, for that reason. */
void hold_begin(struct post *, struct mail *, const struct outcome *, bool is_password);
/* A try of a message ended; the first one released decides for the rest. */
void hold_tried(struct post *, struct mail *, enum hold_end);
/* "held: <text>; <remedy>" of a message that cannot be tried, into `out`; false when its mailbox is not held. */
bool hold_says(struct post *, const struct mail *, struct buf *out);
void hold_recovered(struct post *);
void hold_mended(struct post *, uint64_t mailbox);
void hold_mailbox_state(struct post *, const struct message_mailbox_state *);
/* A mailbox's tenant became known. */
void hold_named(struct post *, struct lane *);
/* The vault is there (again): it is told of all causes. */
void hold_tell_all(struct post *);
void hold_free(struct post *);
const struct cause *hold_cause_of(const struct post *, const struct mail *);
const struct cause *hold_cause_of_lane(const struct post *, const struct lane *);
enum fault hold_fault(const struct cause *);
const char *hold_text(const struct cause *);
const struct cause *hold_next(const struct post *, size_t *at, bool of_tenants);
int64_t hold_since_ms(const struct cause *);
struct span hold_tenant(const struct cause *);
uint64_t hold_mailbox(const struct cause *);
/* "<text>; <remedy>" */
void hold_words(struct buf *out, enum fault, struct span text, const struct remedy_names *);

/* --- report.c: telling the sender later */
struct report_item {
	uint32_t at; /* the recipient's place in the envelope */
	const struct outcome *outcome;
	enum dsn_action action;
	struct span remote;
	int64_t until_ms; /* wall time until when a delayed one is tried again */
};

/* Puts a report about some recipients into the queue, where anybody wants one; failed ones become RECORD_REPORTED. False: nobody does.
 * A report of a delay names delayed ones alone. */
bool report_make(struct post *, struct mail *, const struct record_envelope *, struct span body, const struct record_closing *,
		 const struct report_item *, size_t count);
/* The ladder; the rung below, putting it into the mailbox, comes with the ways out that can. */
enum report_rung { REPORT_FROM_SELF = 2, REPORT_FROM_NOTICE = 3 };

/* A report that found no way is put into the queue for the next rung. False: there is none. */
bool report_climb(struct post *, struct mail *, const struct record_envelope *, struct span body, const struct record_closing *);
/* It is kept, and shown. */
void report_keep(struct post *, struct mail *, const struct outcome *);

/* --- expire.c: what was held for longer than the operator wants */
void expire_sweep(struct post *);

/* --- notice.c: mails of our own, as the vault words them */
void notice_take(struct post *, const struct message_notice *);
/* Whether a message is one. */
bool notice_is(const struct mail *);
/* A message is on the disk, or was not taken. */
void notice_accepted(struct post *, struct mail *, enum fault);
/* Its mailbox is in trouble: the vault is told, and finds another. It never begins a cause, so none is announced because of it. */
void notice_give_way(struct post *, struct mail *, enum fault);
/* The same of all that wait in a lane. */
void notice_flee(struct post *, struct lane *, enum fault);
/* Its last record is on the disk. */
void notice_ended(struct post *, const struct mail *);
void notice_free(struct post *);

/* --- backup.c: what waits is read out, sealed under the key that the vault gave */
void post_backup_begin(struct post *, struct link *, const struct message_call *, const json_t *arguments);
void post_backup_read(struct post *, struct link *, const struct message_call *, const json_t *arguments);
void post_backup_free(struct post *);

/* --- pace.c: what a provider allows a mailbox */

/* What it is, as schedule_rates has it. */
bool pace_rates(void *post, uint64_t mailbox, struct limit_rates *out);
/* How the end of a try is to be taken where the provider's word about one message is meant of all that the mailbox sends. */
enum schedule_end pace_end(enum fault, enum schedule_end otherwise);
/* "queued: ..." of a message in its lane that waits for a limit, into `out`; false when it waits for none. */
bool pace_says(struct post *, const struct mail *, struct buf *out);

/* --- operations.c */
void post_call(struct post *, struct link *, const struct message_call *);
