/* loop/role.h - what every role is to whoever runs it: a process of the keeper's, or replay.
 *
 * Why       A role is an ordinary object; the same code runs in six processes or in one.
 * Promise   start() may open files below `data`; afterwards a role opens none but vault and post below their own directories.
 * Owns      Each function says what it takes.
 * Refuses   A start or reload that cannot be: a fault and a text, and at a reload everything stays as it was.
 * See       keeper/role_main.c, tests/replay/ */
#pragma once
#include "base/config.h"
#include "base/message.h"
#include "loop/link.h"

/* A file that the keeper read: purpose "certificate", "key", "rsa_certificate", "rsa_key" (name: the listener's), "ca", "resolv_conf", "hosts",
 * "passwd" and "group" (who may use the control socket), "key_encryption_key". */
struct role_file {
	struct span purpose, name, bytes;
};

struct role_listener {
	struct span name, address;
	int fd;
};

/* All that a role gets before it begins, or anew at a reload (then without listeners that it has already and without mac_key). Borrowed for the call; the
 * descriptors of `listeners` are taken. */
struct role_start {
	const struct config *config; /* stays until the next reload has returned */
	unsigned index;
	const struct role_file *files;
	size_t file_count;
	const struct role_listener *listeners;
	size_t listener_count;
	struct span mac_key;
	/* To be called once when it serves, or can't: post recovers first. Never from inside start(). */
	void (*ready)(void *host, enum fault fault, struct span why);
	/* To be called once after drain(), when the last session has ended. */
	void (*drained)(void *host);
	void *host;
};

/* The bytes of a file, or an empty span. */
struct span role_file(const struct role_start *, struct span purpose, struct span name);

/* All files of a purpose, one after the other: the CA bundle is two where `extra_ca_file` is set. False when `out` is full. */
bool role_files(const struct role_start *, struct span purpose, struct buf *out);

/* Whether two roles speak to one another: whoever runs them gives every such pair a link. */
bool role_are_peers(enum role, enum role);

struct role_face {
	enum role role;
	/* Makes the object. On a fault nothing is left, and `why_out` (256 bytes) has a text. */
	enum fault (*start)(void **self_out, struct loop *, const struct role_start *, char *why_out);
	/* A link to another role, at the start and again after that role was restarted; takes the descriptor. */
	void (*peer)(void *self, enum role, unsigned index, int fd);
	/* Puts a new configuration in force, or refuses it whole and stays as it is. */
	enum fault (*reload)(void *self, const struct role_start *, char *why_out);
	/* Takes no new work; ends sessions politely. */
	void (*drain)(void *self);
	void (*free)(void **self);
};

/* Defined by the roles: gate/gate.c, vault/vault.c, post/post.c, desk/desk.c. */
extern const struct role_face gate_role, vault_role, post_role, desk_role;
