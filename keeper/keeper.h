/* keeper/keeper.h - the process that starts the others, watches them and starts them again.
 *
 * Why       Something must hold the right to low ports and key files; it should do nothing else.
 * Promise   A role that dies is started again at once, then after waits that double to 10 s; its peers get new links. SIGHUP reloads: all or nothing.
 *           SIGTERM drains for `drain_ms`, then ends. When the keeper dies, so do the roles.
 * Owns      Listeners, certificates and key files as descriptors; the MAC key of grants.
 * Refuses   To run two on one data directory (the post's lock says so), to start as root without users for the roles. */
#pragma once
#include "base/fault.h"

struct keeper_options {
	const char *config_path;
	int64_t port_base;
};

/* Runs until told to stop; the exit code of `postern serve`. Prints `listening NAME ADDRESS` for each listener and `ready` on standard output. */
int keeper_main(const struct keeper_options *);

/* What a role's process runs: `postern role NAME INDEX`, with its link to the keeper at descriptor 3. */
int role_main(struct span name, unsigned index);
