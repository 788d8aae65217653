/* tests/replay/play.h - one scenario with one seed, from the raising of the house to the last expectation.
 *
 * Why       The test, the command line and the shrinking of a failure all want the same thing.
 * Promise   The same scenario and seed give the same log, byte for byte, in any process.
 * Owns      A world, from play_run() to its end.
 * Refuses   Nothing: what went wrong stands in `complaints`. */
#pragma once
#include "tests/replay/admin.h"
#include "tests/replay/application.h"
#include "tests/replay/cloud.h"
#include "tests/replay/flood.h"
#include "tests/replay/house.h"
#include "tests/replay/scenario.h"

enum { PLAY_DUE_MAX = 256, PLAY_MAILBOXES_MAX = 60, PLAY_NOTICED_MAX = 100 };

struct play {
	struct scenario scenario;
	struct buf rolled, boot, client, log, complaints;
	struct cloud *cloud;
	struct house *house;
	struct admin *admin;
	struct applications *applications;
	struct flood *flood; /* NULL: none */
	struct address gate;
	struct ledger ledger;
	char mailboxes[PLAY_MAILBOXES_MAX][128], password[256]; /* the first is the usual sender */
	size_t mailbox_count;
	struct {
		char address[128];
		size_t count;
	} notices[PLAY_NOTICED_MAX]; /* mails of Postern's own that arrived, by recipient */
	size_t noticed_count;
	int64_t begun_ms, until_ms;
	uint64_t begun_step;
	const struct scenario_line *failing; /* the line whose power cut is due when a disk says so; NULL: none */
	bool has_failed;                     /* a disk has said so */
	bool has_begun;
	bool is_quiet;       /* between beginning and end only what the trail says at level info is looked at, and none of it kept */
	int64_t people;      /* who are added to the twin's own */
	uint64_t queued;     /* messages that post has in the end */
	/* lines whose time has come, in order; done between two events */
	struct scenario_line *due[PLAY_DUE_MAX];
	size_t due_count;
};

/* Makes what has nothing to do with a seed and takes long. play_run() does so too; before a fork it is done once for all children. */
void play_prepare(void);

/* Plays it. `log` and `complaints` are initialised by the call and are the caller's to free. */
void play_run(struct play *, struct span scenario, uint64_t seed);

/* --- script.c, for play.c */

/* Does what a line says; checks an expectation. Complains when it cannot. */
void script_do(struct play *, const struct scenario_line *);
void script_expect(struct play *, const struct scenario_line *);
void script_prepare(struct play *, const struct scenario_line *);

/* Adds the people that the scenario wants. */
void script_people(struct play *);

/* Takes from the sink what arrived since the last time. */
void script_gather(struct play *);

/* Asks sink and queue what became of the letters. */
void script_count(struct play *);

/* --- expect.c */

/* Whether the scenario wants a promise to be broken; whether it is this one, which it then has seen. */
bool script_expects_broken(const struct play *);
bool script_is_expected(struct play *, struct span complaint);

/* What must hold of a house whatever happened to it: everything sealed opens, nothing is left over. */
void script_check_house(struct play *, struct buf *complaints);

/* Has a person sign in and consent for a mailbox; complains when that does not work. `result` is for what is answered meanwhile. */
bool play_link(struct play *, const char *address, struct buf *result);

/* A complaint, with the line it is about. */
void play_complain(struct play *, const struct scenario_line *, const char *format, ...) __attribute__((format(printf, 3, 4)));
