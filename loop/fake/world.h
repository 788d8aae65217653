/* loop/fake/world.h - the strings behind the fake loop, network, disks and pools: one world of virtual time.
 *
 * Why       Replay runs every role in one process; whoever writes a scenario needs to move time, break what can break and see what happened.
 * Promise   The same seed and the same calls give the same log, byte for byte. Nothing here reads a clock, a descriptor or an address in memory.
 * Owns      One world for the process: its loops, connections, names, disks and everything in flight, until world_end().
 * Refuses   A second world before world_end(); virtual time that goes back.
 * See       tests/replay/README.md; base/fake/fake.h for the clock and the dice that the product sees */
#pragma once
#include "base/fault.h"
#include "loop/loop.h"

/* Starts a world at virtual millisecond 0, which is `wall_ms` on the wall. Without a call the first use begins one from seed 1. */
void world_begin(uint64_t seed, int64_t wall_ms);

/* Frees everything. Loops must have been freed. */
void world_end(void);

/* A number below `limit` from the world's own dice, which the product's use of random bytes does not move. */
uint64_t world_dice(uint64_t limit);

/* --- time */

/* Lets the next thing happen. False: nothing is left. */
bool world_step(void);

/* Runs what is due up to `at_ms`, which is then the time; stops early, with false, when `is_done` (may be NULL) says so. */
bool world_run_until(int64_t at_ms, bool (*is_done)(void *self), void *self);

/* The virtual time. */
int64_t world_ms(void);

/* Things that happened since the beginning. */
uint64_t world_steps(void);

/* Calls `fire(self)` after so many ms, as nobody in particular. */
void world_after(int64_t after_ms, void (*fire)(void *self), void *self);

/* --- the log: "      12 gate      connection 3 opened", one line for each thing that happens */

/* NULL stops it. */
void world_log(void (*write)(void *self, struct span line), void *self);

/* A line of one's own, under the name of whose turn it is. */
void world_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- processes: a loop is one */

/* A loop with a name for the log (cut to 15 bytes); loop_new() makes one called "loop". */
struct loop *world_loop(const char *name);
const char *world_loop_name(const struct loop *);

/* The death of a process: its connections close as its kernel would close them, nothing of it runs any more, and until world_buried() all that its
 * code asks of loop, stream, link and disk is refused without effect, so that its objects can be freed. Not from inside its own callbacks. */
void world_kill(struct loop *);

/* Frees the loop of a dead process. */
void world_buried(struct loop **);

/* Sends a signal that loop_on_signal() waits for. */
void world_signal(struct loop *, int signal_number);

/* --- network */

struct world_network {
	int least_ms, most_ms;             /* one way, between hosts; 1 to 20 */
	int local_least_ms, local_most_ms; /* over a pair or a path; 0 to 1 */
	size_t window_bytes;               /* sent and not yet taken by the owner of the other end; 256 KB */
	size_t piece_bytes_max;            /* data is cut at random into pieces of at most this; 1500 */
};
void world_network(const struct world_network *);

/* How a road behaves: to every port when `port` is 0. */
enum world_road {
	WORLD_ROAD_OPEN,
	WORLD_ROAD_REFUSED, /* connecting is refused at once */
	WORLD_ROAD_SILENT,  /* nothing comes back, and what is under way waits */
};
void world_road(const char *address, uint16_t port, enum world_road);

/* Resets every connection that was made to the address and port (0: any). Returns how many. */
size_t world_cut(const char *address, uint16_t port);

/* One more descriptor for the same listening socket, as dup() would give; -1 when it is none. */
int world_listener_copy(int fd);

/* Closes a descriptor that nobody took, as the kernel does for a dead process. */
void world_close(int fd);

/* Who is at the other end of a connection over a path; 0 for all until told otherwise. */
void world_peer_identity(uint32_t uid, uint32_t gid, int32_t pid);

/* What a name resolves to: addresses parted by blanks; empty: it has none; NULL: the servers do not answer. */
void world_name(const char *host, const char *addresses);

/* Who takes mail for a domain: hosts parted by blanks, the preferred one first; empty: nobody; NULL: the servers do not answer. */
void world_exchangers(const char *domain, const char *hosts);

/* A certificate for the null TLS, as text for tls_server_settings; `names` parted by blanks, `authority` as named by world_authority(). */
struct span world_certificate(char text_out[512], const char *names, const char *authority, int64_t ends_at_ms);

/* A CA bundle that trusts `authority`, as text for tls_client_new(). */
struct span world_authority(char text_out[128], const char *authority);

/* --- pools */

/* How long a job of the pools of that name takes ("" for all). 0 to 2 ms until told otherwise. */
void world_pool_delay(const char *pool, int least_ms, int most_ms);

/* --- disks: by the path of a directory; everything below it is meant too */

enum world_disk_trouble {
	WORLD_DISK_SYNC_FAILS,  /* and what was not synced is gone, as on Linux: later syncs succeed without it */
	WORLD_DISK_SYNC_LIES,   /* says yes and keeps nothing */
	WORLD_DISK_WRITE_FAILS,
	WORLD_DISK_READ_FAILS,
	WORLD_DISK_FULL,        /* no new block is given; those that a file has may be written */
	WORLD_DISK_ENDS,        /* the power begins to fail: this sync and all that follows come to nothing; world_power_cut() is due before the next event */
};

/* The next `times` such calls meet it; -1 for all to come, 0 ends it. Of WORLD_DISK_ENDS only the last of them does. */
void world_disk_trouble(const char *path, enum world_disk_trouble, int times);

enum world_cut_mode {
	WORLD_CUT_LOSE, /* all that was not synced */
	WORLD_CUT_DICE, /* each unsynced sector of 512 bytes, size and name by the dice, names in their order */
	WORLD_CUT_KEEP, /* nothing: the cache was written in time */
};

/* Power loss below `path`. Whoever has files open there must be dead. */
void world_power_cut(const char *path, enum world_cut_mode);

/* Alters one byte of a file on the disk; false: no such file, or it is shorter. */
bool world_disk_damage(const char *path, const char *name, uint64_t at);

/* The bytes of a file, to be freed by free(); NULL: no such file. */
char *world_disk_bytes(const char *path, const char *name, size_t *size_out);
