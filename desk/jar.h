/* desk/jar.h - the one cookie: which links this browser has pressed.
 *
 * Why       A person who links several mailboxes has several sign-ins under way at once, and each must find its own way back.
 * Promise   Holds the last JAR_PAIRS_MAX links, the newest first. What comes from a browser is read as what we wrote, or left out.
 * Owns      Nothing: spans point into the cookie that was read, or at what was put.
 * Refuses   Anything but letters, digits, `-` and `_` in a text, and texts over JAR_TEXT_BYTES.
 * See       vault/consent.h; RFC 6265; docs/decisions/0053-pages-without-script.md */
#pragma once
#include "base/buf.h"

enum { JAR_PAIRS_MAX = 4, JAR_TEXT_BYTES = 64 };

/* `browser` is the vault's secret for this browser and link; `link` the token of the link itself. */
struct jar {
	size_t count;
	struct { struct span browser, link; } pairs[JAR_PAIRS_MAX];
};

/* Reads the value of the cookie; what is malformed in it is left out. */
void jar_read(struct jar *, struct span cookie);

/* The secret for a link, or the empty span. */
struct span jar_browser(const struct jar *, struct span link);

/* Puts a pair first, in place of one of the same link. False when it would not be read back. */
bool jar_put(struct jar *, struct span browser, struct span link);

/* Takes out pair number `at`. */
void jar_drop(struct jar *, size_t at);

/* Appends the value of the cookie; false when `out` is full. */
bool jar_write(const struct jar *, struct buf *out);
