/* upstream/smtp_way.h - the way out by SMTP: connections to providers, kept and shared by the letters of a mailbox.
 *
 * Why       A sign-in costs a second and providers count sessions: a connection is opened when a letter needs one, and used again.
 * Promise   At most `connections_per_mailbox` connections for a mailbox, one letter on each. Every letter gets exactly one `done`, save when
 *           the way is freed. Certificates are verified; without TLS it speaks to loopback only. A letter on a kept connection that had gone
 *           stale is sent again on another before anybody hears of it. A sign-in refused with an unexpired bearer token is tried once more with
 *           a token made anew.
 * Owns      Connections. A password or token is held only until the sign-in ended. Letters are borrowed.
 * Refuses   TLS none to anywhere but loopback: FAULT_TLS_MISSING.
 * See       wire/smtp_client.h, RFC 8314, architecture section 2 (P3) */
#pragma once
#include "base/message.h"
#include "loop/dial.h"
#include "wire/smtp_client.h"

struct smtp_way;
struct smtp_way_connection;

struct smtp_way_settings {
	struct span own_name; /* for EHLO; copied */
	unsigned connections_per_mailbox;
	int64_t idle_ms;      /* how long a connection is kept for the next letter */
	int connect_ms;
};

/* What a failure is about. */
enum smtp_way_blame { SMTP_WAY_MESSAGE, SMTP_WAY_MAILBOX, SMTP_WAY_TENANT, SMTP_WAY_HOST };

struct smtp_way_end {
	bool begun;                   /* the outcomes stand with the recipients; else `outcome` speaks for all */
	const struct outcome *outcome;
	enum smtp_way_blame blame;    /* where something failed */
	bool unknown, dsn_passed;     /* as struct smtp_client_wish has them */
	bool is_password;             /* it signs in by a stored password */
	struct span host;
};

/* How far a letter has come. SENDS: its body is asked for; AWAITS: its end was written. */
enum smtp_way_step { SMTP_WAY_ASKS, SMTP_WAY_DIALS, SMTP_WAY_SIGNS_IN, SMTP_WAY_BEGINS, SMTP_WAY_SENDS, SMTP_WAY_AWAITS };

/* A message on its way, or, without recipients, a sign-in alone. The caller fills in the first part. */
struct smtp_way_letter {
	uint64_t mailbox;
	struct smtp_client_message message;
	/* Bytes are wanted: answer by smtp_way_body() or smtp_way_no_body(), at once or later. */
	void (*more)(void *self);
	void (*done)(void *self, const struct smtp_way_end *);
	/* It has come so far; for the log. May be NULL. */
	void (*step)(void *self, enum smtp_way_step);
	void *self;
	/* the way's own */
	enum smtp_way_step at;
	struct smtp_way_connection *connection;
	struct smtp_way_letter *next;
};

struct smtp_way_events {
	/* A token is wanted: ask the vault, answer by smtp_way_token(). Never answered from inside. */
	void (*token_wanted)(void *self, uint64_t request, uint64_t mailbox, bool force, uint64_t generation);
	/* Who answers for a mailbox. */
	void (*named)(void *self, uint64_t mailbox, struct span tenant, struct span host);
};

/* `dns` and the loop outlive it; `tls` is held. Freed with its connections, closed at once. */
struct smtp_way *smtp_way_new(struct loop *, struct dns *, struct tls *, const struct smtp_way_settings *, const struct smtp_way_events *,
			      void *self);
void smtp_way_free(struct smtp_way **);

/* For connections to come. */
void smtp_way_set(struct smtp_way *, struct tls *, const struct smtp_way_settings *);

/* Gives a letter to the way, which keeps it until `done`; that may come from inside, where nothing needs to be asked. */
void smtp_way_send(struct smtp_way *, struct smtp_way_letter *);

/* Answers `more`: bytes that stay as they are until the next `more` or `done`, `end` with the last of them; or why there are none. */
void smtp_way_body(struct smtp_way_letter *, struct span bytes, bool end);
void smtp_way_no_body(struct smtp_way_letter *, enum fault);

/* The vault's answer; or its link ended: all that wait for it get FAULT_VAULT_AWAY. */
void smtp_way_token(struct smtp_way *, const struct message_token *);
void smtp_way_vault_ended(struct smtp_way *);

/* Signs in anew for what comes: idle connections of the mailbox (0: of all) say goodbye, the others after their letter. */
void smtp_way_renew(struct smtp_way *, uint64_t mailbox);

/* How many are open. */
unsigned smtp_way_connections(const struct smtp_way *);
