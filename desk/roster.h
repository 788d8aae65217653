/* desk/roster.h - who may use the control socket, and what they are called.
 *
 * Why       The named person of an operation is whoever the kernel says is at the other end; the names stand in two files that desk cannot open
 *           itself, so the keeper passes their texts.
 * Promise   Admits root, our own user, the user named in the boot file, and members of the control group: by the list of the group, as
 *           their first group in passwd, or because the process runs with that group.
 * Owns      Copies of the two texts.
 * Refuses   Everybody else. What only a directory service knows counts by the group of the process alone.
 * See       passwd(5), group(5), SO_PEERCRED in unix(7) */
#pragma once
#include "base/buf.h"

struct roster;

struct roster_settings {
	struct span passwd, group; /* the two files */
	struct span group_name;    /* whose members are admitted; empty: nobody's */
	struct span user_name;     /* admitted besides, where it exists */
	uint32_t own_uid;
};

/* Copies what it needs. */
struct roster *roster_new(const struct roster_settings *);

/* Sets it to NULL. */
void roster_free(struct roster **);

/* Whether a process of this user and group may use the control socket. */
bool roster_admits(const struct roster *, uint32_t uid, uint32_t gid);

/* Appends the user's name, or "uid 1234" where it has none. */
bool roster_name(const struct roster *, uint32_t uid, struct buf *out);
