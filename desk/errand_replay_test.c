/* Deadlines of questions, on virtual time. */
#include "desk/errand.h"
#include "desk/gather.h"

#include "loop/fake/world.h"
#include "loop/link.h"
#include "loop/stream.h"
#include "tests/test.h"

#include <stdlib.h>

struct play {
	struct loop *loop;
	struct errands *errands;
	struct link *vault, *old;
	bool is_mute;
	uint64_t asked; /* the number of the last question */
	unsigned questions;
};

struct outcome {
	unsigned count;
	enum fault fault;
	bool came;
	int64_t at_ms;
};

static void vault_received(void *self, struct link *link, const struct message *m)
{
	struct play *p = self;

	p->asked = m->call.request;
	p->questions++;
	if (!p->is_mute)
		link_send(link, &MESSAGE_OF(answer, .request = m->call.request, .result = SPAN("{}")));
}

static void vault_ended(void *self, struct link *link)
{
	struct play *p = self;

	link_close(link == p->vault ? &p->vault : &p->old);
}

static const struct link_events vault_events = { .received = vault_received, .ended = vault_ended };

static void connect_vault(struct play *p)
{
	int ends[2];

	assert_int_equal(stream_pair(ends), 0);
	errands_peer(p->errands, ROLE_VAULT, 0, ends[0]);
	p->vault = link_new_take(p->loop, ends[1], ROLE_VAULT, ROLE_DESK, 0, &vault_events, p);
}

static void begin(struct play *p)
{
	struct trail trail;

	world_begin(7, 1750000000000);
	trail_configure(TRAIL_SILENT, LEVEL_ERROR);
	trail_init(&trail, "desk", SPAN(""));
	*p = (struct play){ .loop = world_loop("desk") };
	p->errands = errands_new(p->loop, &trail);
	connect_vault(p);
}

static void end(struct play *p)
{
	errands_free(&p->errands);
	link_close(&p->vault);
	loop_free(&p->loop);
	world_end();
}

static void done(void *self, const struct errand_answer *a)
{
	struct outcome *o = self;

	o->count++;
	o->fault = a->fault;
	o->came = a->came;
	o->at_ms = world_ms();
}

static void ask(struct play *p, enum role role, int wait_ms, struct outcome *o)
{
	*o = (struct outcome){ 0 };
	errands_ask(p->errands, &(struct errand_wish){ .role = role, .operation = SPAN("org.list"), .actor = SPAN("ada"), .arguments = SPAN("{}"),
						       .wait_ms = wait_ms, .done = done, .self = o });
	assert_int_equal(o->count, 0); /* never from inside */
}

static void a_silent_role_is_away_after_thirty_seconds(void **state)
{
	struct play p;
	struct outcome o;

	begin(&p);
	p.is_mute = true;
	ask(&p, ROLE_VAULT, 0, &o);
	world_run_until(29990, NULL, NULL);
	assert_int_equal(o.count, 0);
	world_run_until(31000, NULL, NULL);
	assert_int_equal(o.count, 1);
	assert_int_equal(o.fault, FAULT_VAULT_AWAY);
	assert_false(o.came);
	assert_int_equal(o.at_ms, 30000);
	/* What comes too late belongs to nobody. */
	link_send(p.vault, &MESSAGE_OF(answer, .request = p.asked, .result = SPAN("{}")));
	world_run_until(32000, NULL, NULL);
	assert_int_equal(o.count, 1);
	assert_int_equal(errands_open(p.errands), 0);
	end(&p);
}

static void an_answer_ends_the_deadline(void **state)
{
	struct play p;
	struct outcome o;

	begin(&p);
	ask(&p, ROLE_VAULT, 0, &o);
	world_run_until(60000, NULL, NULL);
	assert_int_equal(o.count, 1);
	assert_true(o.came);
	assert_int_equal(o.fault, FAULT_OK);
	assert_true(o.at_ms < 1000);
	end(&p);
}

static void a_role_never_met_is_away_at_once(void **state)
{
	struct play p;
	struct outcome o;

	begin(&p);
	ask(&p, ROLE_POST, 0, &o);
	world_run_until(10, NULL, NULL);
	assert_int_equal(o.fault, FAULT_POST_AWAY);
	assert_int_equal(o.count, 1);
	end(&p);
}

static void answers_with_strange_faults_are_a_bug(void **state)
{
	struct play p;
	struct outcome o;

	begin(&p);
	p.is_mute = true;
	ask(&p, ROLE_VAULT, 0, &o);
	world_run_until(100, NULL, NULL);
	link_send(p.vault, &MESSAGE_OF(answer, .request = p.asked, .fault = 4000000000u));
	link_send(p.vault, &MESSAGE_OF(answer, .request = p.asked + 1));
	world_run_until(200, NULL, NULL);
	assert_int_equal(o.count, 1);
	assert_int_equal(o.fault, FAULT_BUG);
	end(&p);
}

static void a_restarted_role_is_asked_anew(void **state)
{
	struct play p;
	struct outcome before, after;

	begin(&p);
	p.is_mute = true;
	ask(&p, ROLE_VAULT, 0, &before);
	world_run_until(100, NULL, NULL);
	p.old = p.vault;
	connect_vault(&p); /* the keeper is quicker than the end of the old link */
	p.is_mute = false;
	ask(&p, ROLE_VAULT, 0, &after);
	world_run_until(1000, NULL, NULL);
	assert_int_equal(before.fault, FAULT_VAULT_AWAY);
	assert_int_equal(before.count, 1);
	assert_int_equal(after.fault, FAULT_OK);
	assert_true(after.came);
	assert_null(p.old);
	end(&p);
}

static void more_than_the_ceiling_are_refused(void **state)
{
	static struct outcome outcomes[ERRANDS_MAX + 1];
	struct play p;

	begin(&p);
	p.is_mute = true;
	for (size_t i = 0; i <= ERRANDS_MAX; i++)
		ask(&p, ROLE_VAULT, 0, &outcomes[i]);
	world_run_until(1000, NULL, NULL);
	assert_int_equal(outcomes[ERRANDS_MAX].fault, FAULT_TOO_BUSY);
	assert_int_equal(p.questions, ERRANDS_MAX);
	assert_int_equal(outcomes[0].count, 0);
	errands_free(&p.errands);
	for (size_t i = 0; i < ERRANDS_MAX; i++)
		assert_int_equal(outcomes[i].fault, FAULT_SHUTTING_DOWN);
	end(&p);
}

struct gathered {
	unsigned count;
	size_t parts;
	bool vault_came, post_came;
	int64_t at_ms;
};

static void on_gathered(void *self, const struct gather_part *parts, size_t count)
{
	struct gathered *g = self;

	g->count++;
	g->parts = count;
	g->at_ms = world_ms();
	for (size_t i = 0; i < count; i++)
		*(parts[i].role == ROLE_VAULT ? &g->vault_came : &g->post_came) = parts[i].came;
}

static void gathering_waits_for_the_slowest_and_no_longer(void **state)
{
	struct play p;
	struct gathered g = { 0 };

	begin(&p);
	gather_start(p.errands, ROLE_VAULT | ROLE_POST, SPAN("status"), LANGUAGE_EN, 2000, on_gathered, &g);
	assert_int_equal(g.count, 0);
	world_run_until(5000, NULL, NULL);
	assert_int_equal(g.count, 1);
	assert_int_equal(g.parts, 2);
	assert_true(g.vault_came);
	assert_false(g.post_came);
	p.is_mute = true;
	gather_start(p.errands, ROLE_VAULT | ROLE_POST, SPAN("status"), LANGUAGE_EN, 2000, on_gathered, &g);
	world_run_until(20000, NULL, NULL);
	assert_int_equal(g.count, 2);
	assert_false(g.vault_came);
	assert_int_equal(g.at_ms, 7000);
	end(&p);
}

TESTS(a_silent_role_is_away_after_thirty_seconds, an_answer_ends_the_deadline, a_role_never_met_is_away_at_once,
      answers_with_strange_faults_are_a_bug, a_restarted_role_is_asked_anew, more_than_the_ceiling_are_refused,
      gathering_waits_for_the_slowest_and_no_longer)
