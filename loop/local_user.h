/* loop/local_user.h - a user of this machine as an address: where a connection over a Unix socket comes from.
 *
 * Why       A program at a socket in the file system has no address, but a user, by which it is known, counted and granted, as a device is by its address.
 * Promise   Printed it is "uid:1000". It is of the family of paths, and equal to no path, since those begin with a slash: so it counts as this machine's.
 * Owns      Nothing.
 * Refuses   Names: numbers are what the kernel says.
 * See       SO_PEERCRED in unix(7) */
#pragma once
#include "loop/address.h"

/* That user as an address. Nobody can listen there or connect to it. */
struct address local_user(uint32_t uid);

/* Reads "uid:1000". */
bool local_user_parse(struct address *out, struct span text);

/* Whether it is one, and which. */
bool local_user_is(const struct address *, uint32_t *uid_out);
