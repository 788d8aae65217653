/* wire/address.h - mail addresses and the paths of MAIL and RCPT.
 *
 * Why       Who may send as whom hangs on comparing addresses; every comparison goes through one reading of them.
 * Promise   What was read has no CR, LF, NUL or other control byte, and is at most ADDRESS_BYTES long.
 * Owns      Nothing: parts are borrowed from the text.
 * Refuses   Anything that RFC 5321 4.1.2 does not derive, save what clumsy clients do with brackets and blanks around a
 *           path; trailing dots, empty labels, general address literals.
 * See       RFC 5321 4.1.2, 4.1.3, 4.5.3.1, RFC 6531 3.3 */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum {
	ADDRESS_BYTES = 320,        /* a whole mailbox */
	ADDRESS_LOCAL_BYTES = 128,  /* twice what RFC 5321 4.5.3.1.1 asks: return addresses of list servers pass 64 */
	ADDRESS_DOMAIN_BYTES = 255, /* RFC 5321 4.5.3.1.2 */
};

/* A mailbox: `whole` is "local@domain" as written, quotes and brackets included. */
struct address {
	struct span whole, local, domain;
	bool quoted;  /* `local` is a quoted string */
	bool literal; /* `domain` is an IP address in brackets */
	bool utf8;    /* holds bytes above 127: needs SMTPUTF8 */
};

/* Reads a mailbox, which must be all of the text. FAULT_BAD_ADDRESS. */
enum fault address_parse(struct address *address_out, struct span text) MUST_CHECK;

/* The path of MAIL or RCPT. A source route was checked and dropped (RFC 5321 appendix C). */
struct address_path {
	bool null;       /* <> */
	bool postmaster; /* <Postmaster>, without a domain: `address.whole` and `.local` are that word, `.domain` is empty */
	struct address address;
};

enum address_path_kind { ADDRESS_REVERSE, ADDRESS_FORWARD };

/* Reads a path at the beginning of `text`, and moves `text` behind it and the blanks that follow. Blanks may precede it,
 * and brackets may be missing around a mailbox. <> only as ADDRESS_REVERSE, <Postmaster> only as ADDRESS_FORWARD.
 * FAULT_BAD_ADDRESS. */
enum fault address_path(struct address_path *path_out, struct span *text, enum address_path_kind) MUST_CHECK;

/* Whether both are the same mailbox: ASCII letters without case on both sides of the @, and a quoted local part equal to
 * its plain spelling. */
bool address_same(const struct address *, const struct address *);

/* The same for texts; false when either is no mailbox. */
bool address_same_text(struct span, struct span);

/* Appends the one spelling that all equal addresses share: for keys and look-ups. False when `out` is full. */
bool address_canonical(struct buf *out, const struct address *);

/* Whether it is a host name: labels of letters, digits, hyphens or UTF-8, or an address literal (RFC 5321 4.1.2). */
bool address_is_domain(struct span);
