/* keeper/outfit.h - what the roles are given: the boot file's text, open files, bound listeners.
 *
 * Why       Only the keeper may open ports and key files; a reload must be complete and right before anything changes hands.
 * Promise   outfit_open() opens and checks everything, or changes nothing and says why. Listeners that stay are kept.
 * Owns      The configuration and all descriptors, until outfit_free().
 * Refuses   A configuration that does not read, a file that does not open, a certificate without its key, an address that cannot be bound. */
#pragma once
#include "base/config.h"
#include "base/message.h"
#include "loop/address.h"

enum { OUTFIT_FILES_MAX = 4 * CONFIG_LISTENERS_MAX + 8, OUTFIT_SOCKETS_MAX = 4 * CONFIG_LISTENERS_MAX };

struct outfit_file {
	const char *purpose;
	struct span name;
	unsigned roles; /* set of enum role */
	int fd;
};

struct outfit_socket {
	struct span name;
	enum role role;
	struct address address; /* as asked for, with the effective port */
	int fd;
};

struct outfit {
	struct config *config;
	struct buf text;        /* of the boot file */
	size_t file_count, socket_count;
	struct outfit_file files[OUTFIT_FILES_MAX];
	struct outfit_socket sockets[OUTFIT_SOCKETS_MAX];
};

/* `before` is the outfit in force or NULL; sockets of the same address move from it to the new one. `port_base` as in keeper/ports.h. */
MUST_CHECK enum fault outfit_open(struct outfit **out, const char *config_path, int64_t port_base, struct outfit *before, char *why_out,
				  size_t why_size);
void outfit_free(struct outfit **);
