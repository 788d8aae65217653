/* wire/import.h - what was found in the configuration of another program: who sends, how they sign in, who uses it.
 *
 * Why       Whoever moves in has a file of another program's; four kinds of file become one list, which `postern import` shows and carries out.
 * Promise   Each reader takes a whole text and adds what it found; what it understood and cannot take stands in the notes, with the reason. Addresses are
 *           mail addresses and texts are one clean line, so that no file becomes part of a request or of a terminal's screen.
 * Owns      Nothing: all of it lives in the arena given, which is to be wiped.
 * Refuses   Texts over IMPORT_TEXT_BYTES, more of a kind than the ceilings here, what is no file of its kind: FAULT_MALFORMED or FAULT_TOO_LARGE,
 *           and `why` says where.
 * See       wire/import_proxy.h, wire/import_postfix.h, wire/import_msmtp.h, wire/import_graph.h; tables/import_notes.def */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

enum {
	IMPORT_TEXT_BYTES = 1024 * 1024,
	IMPORT_ACCOUNTS_MAX = 2000,
	IMPORT_CLIENTS_MAX = 500,
	IMPORT_NOTES_MAX = 4000,
	IMPORT_LIST_MAX = 1000,
	IMPORT_WORD_BYTES = 2000,
	IMPORT_SECRET_BYTES = 32 * 1024,
	IMPORT_ARENA_BYTES = 64 * 1024 * 1024,
};

enum import_note {
#define IMPORT_NOTE(symbol, en, fr) IMPORT_NOTE_##symbol,
#include "tables/import_notes.def"
#undef IMPORT_NOTE
	IMPORT_NOTE_COUNT
};

/* How a mailbox signs in at its provider. IMPORT_LINK: a person has to, anew. */
enum import_sign_in { IMPORT_LINK, IMPORT_TOKEN, IMPORT_PASSWORD, IMPORT_APPLICATION };

/* Several texts, in the order found. */
struct import_list {
	size_t count, room;
	struct span *items;
};

/* The app registration, or the server, that mailboxes share. */
struct import_registration {
	struct span kind;                            /* a row of tables/providers.def; empty while unknown */
	struct span tenant, client_id, client_secret;
	struct span issuer;                          /* where the kind's own is not meant */
	struct span host;                            /* of the mail server; empty: the kind's own */
	uint64_t port;                               /* with a host */
	bool is_implicit, is_clear;                  /* TLS from the first byte; none at all */
	bool is_application;                         /* it signs in as itself, for any mailbox of its tenant */
	bool is_login;                               /* passwords are given by AUTH LOGIN, since the server has no PLAIN */
};

/* Tokens that are still sealed under a password. */
struct import_sealed {
	struct span salt, refresh_token, client_secret; /* the salt is in bytes already */
	uint64_t rounds;
};

struct import_account {
	struct span address; /* "@domain" for a registration that serves any address of a domain */
	struct import_registration registration;
	enum import_sign_in sign_in;
	struct span user;                                /* as which it gives its password, where that is not its address */
	struct span refresh_token, password, token_file; /* token_file: a path that is still to be read */
	struct import_sealed sealed;
	struct import_list aliases;
	bool by_graph;                                   /* mail went by Microsoft Graph */
};

/* A program or device that sends through it. */
struct import_client {
	struct span name;
	struct import_list mailboxes, networks, senders;
};

struct import_remark {
	struct span about, detail;
	enum import_note note;
};

struct import {
	struct arena *arena;
	size_t account_count, client_count, remark_count;
	struct import_account accounts[IMPORT_ACCOUNTS_MAX];
	struct import_client clients[IMPORT_CLIENTS_MAX];
	struct import_remark remarks[IMPORT_NOTES_MAX];
	enum fault fault;   /* the first thing that did not fit */
	char why[200];
};

/* An empty one in the arena, which needs IMPORT_ARENA_BYTES of room. */
struct import *import_new(struct arena *);

/* The account of that address: the one there is, or a new one. NULL, and `fault`, when there are too many, and for what is no address. */
struct import_account *import_account(struct import *, struct span address);

/* The same for what stands for every address of a domain: "@domain". */
struct import_account *import_domain(struct import *, struct span at_domain);

/* A client of that name: the one there is, or a new one; `@`, `/` and blanks of the name become dots. NULL as above. */
struct import_client *import_client(struct import *, struct span name);

/* Adds a text that is one clean line and not there yet. */
void import_list_add(struct import *, struct import_list *, struct span);

/* Notes what could not be taken. `detail` may be empty. */
void import_remark(struct import *, enum import_note, struct span about, struct span detail);

/* A copy that is one clean line of at most IMPORT_WORD_BYTES, without blanks at its ends; empty for what is none. */
struct span import_word(struct import *, struct span);

/* The same for a secret, of at most IMPORT_SECRET_BYTES. */
struct span import_secret(struct import *, struct span);

/* Ends the reading with a fault, unless it ended before. */
void import_fail(struct import *, enum fault, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Fills in kind, tenant and issuer by the address of a token endpoint. False when nothing is known of it. */
bool import_token_url(struct import *, struct import_registration *, struct span url);

/* Keeps the mail server, and fills in the kind by its name where none is known: `smtp` for a server of somebody else's. */
void import_server(struct import *, struct import_registration *, struct span host, uint64_t port);

/* Whether that server is the kind's own, or none is named. */
bool import_is_own_server(const struct import_registration *);

/* Whether a server is the own one of any kind, or none. */
bool import_is_known_server(struct span host);

/* The text of a note in a language, with its detail; appended. */
void import_put_remark(struct buf *out, const struct import_remark *, enum language);
