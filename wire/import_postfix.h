/* wire/import_postfix.h - a Postfix that relays through providers: main.cf, its tables, and the files of sasl-xoauth2.
 *
 * Why       What stands in several files there is one thing: which address leaves by which server, signed in as whom.
 * Promise   Files may come in any order; import_postfix_join() makes accounts of them. A user name that is an address is the mailbox; addresses that are
 *           relayed the same way become its aliases. Postfix itself becomes the one client.
 * Owns      Nothing: its rows live in the arena of the import.
 * Refuses   As wire/import.h; tables that are no text.
 * See       postconf(5), transport(5) for the form of a next hop, sasl_passwd as SASL_README has it; sasl-xoauth2's README */
#pragma once
#include "wire/import.h"

enum { IMPORT_POSTFIX_ROWS_MAX = 10000, IMPORT_POSTFIX_FILES_MAX = 32 };

/* What a file is. */
enum import_postfix_kind { IMPORT_POSTFIX_MAIN, IMPORT_POSTFIX_PASSWORDS, IMPORT_POSTFIX_RELAYS };

struct import_postfix_row {
	struct span key, value;
};

struct import_postfix {
	struct import *into;
	struct span relayhost;
	bool is_wrapped;            /* TLS from the first byte */
	bool by_sender;             /* passwords are looked up by sender too */
	size_t password_count, relay_count, wanted_count;
	struct import_postfix_row passwords[IMPORT_POSTFIX_ROWS_MAX], relays[IMPORT_POSTFIX_ROWS_MAX];
	/* Tables that main.cf names, still to be read. */
	struct import_postfix_wanted {
		enum import_postfix_kind kind;
		struct span path;
	} wanted[IMPORT_POSTFIX_FILES_MAX];
	/* The configuration of sasl-xoauth2, for token files that do not say otherwise. */
	struct span client_id, client_secret, token_url;
};

/* An empty one in the arena of the import. */
struct import_postfix *import_postfix_new(struct import *);

/* What a text most likely is. */
enum import_postfix_kind import_postfix_guess(struct span text);

/* Reads main.cf, whose directory stands for $config_directory; one table; the configuration of sasl-xoauth2. */
MUST_CHECK enum fault import_postfix_main(struct import_postfix *, struct span text, struct span directory);
MUST_CHECK enum fault import_postfix_table(struct import_postfix *, enum import_postfix_kind, struct span text);
MUST_CHECK enum fault import_postfix_xoauth2(struct import_postfix *, struct span json);

/* Makes accounts of it all. Those with a token_file are then completed by import_postfix_token(), or with an empty text where there is no such file. */
MUST_CHECK enum fault import_postfix_join(struct import_postfix *);
void import_postfix_token(struct import_postfix *, struct import_account *, struct span json);
