/* wire/mail_address.h - mail addresses and the paths of MAIL and RCPT.
 *
 * Why       Who may send as whom hangs on comparing addresses; every comparison goes through one reading of them.
 * Promise   What was read has no CR, LF, NUL or other control byte, and is at most MAIL_ADDRESS_BYTES long.
 * Owns      Nothing: parts are borrowed from the text.
 * Refuses   Anything that RFC 5321 4.1.2 does not derive, save what clumsy clients do with brackets and blanks around a
 *           path; trailing dots, empty labels, general address literals.
 * See       RFC 5321 4.1.2, 4.1.3, 4.5.3.1, RFC 6531 3.3 */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum {
	MAIL_ADDRESS_BYTES = 320,        /* a whole mailbox */
	MAIL_ADDRESS_LOCAL_BYTES = 128,  /* twice RFC 5321 4.5.3.1.1: return addresses of list servers pass 64 */
	MAIL_ADDRESS_DOMAIN_BYTES = 255, /* RFC 5321 4.5.3.1.2 */
};

/* A mailbox: `whole` is "local@domain" as written, quotes and brackets included. */
struct mail_address {
	struct span whole, local, domain;
	bool quoted;  /* `local` is a quoted string */
	bool literal; /* `domain` is an IP address in brackets */
	bool utf8;    /* holds bytes above 127: needs SMTPUTF8 */
};

/* Reads a mailbox, which must be all of the text. FAULT_BAD_ADDRESS. */
enum fault mail_address_parse(struct mail_address *address_out, struct span text) MUST_CHECK;

/* The path of MAIL or RCPT. A source route was checked and dropped (RFC 5321 appendix C). */
struct mail_address_path {
	bool null;       /* <> */
	bool postmaster; /* <Postmaster>, without a domain: `address.whole` and `.local` are that word */
	struct mail_address address;
};

enum mail_address_path_kind { MAIL_ADDRESS_REVERSE, MAIL_ADDRESS_FORWARD };

/* Reads a path at the beginning of `text`, and moves `text` behind it and the blanks that follow. Blanks may precede
 * it, and brackets may be missing around a mailbox. <> only as MAIL_ADDRESS_REVERSE, <Postmaster> only as
 * MAIL_ADDRESS_FORWARD. FAULT_BAD_ADDRESS. */
enum fault mail_address_path(struct mail_address_path *path_out, struct span *text,
			     enum mail_address_path_kind) MUST_CHECK;

/* Whether both are the same mailbox: ASCII letters without case on both sides of the @, and a quoted local part equal
 * to its plain spelling. */
bool mail_address_same(const struct mail_address *, const struct mail_address *);

/* The same for texts; false when either is no mailbox. */
bool mail_address_same_text(struct span, struct span);

/* Appends the one spelling that all equal addresses share: for keys and look-ups. False when `out` is full. */
bool mail_address_canonical(struct buf *out, const struct mail_address *);

/* Whether it is a host name: labels of letters, digits, hyphens or UTF-8, or an address literal (RFC 5321 4.1.2). */
bool mail_address_is_domain(struct span);
