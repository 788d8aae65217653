#include "tests/test.h"

#include "loop/dial.h"
#include "loop/fake/world.h"

struct asker {
	struct loop *loop;
	struct dns *dns;
	struct dns_answer answer;
	size_t answers, dialled;
	struct stream *stream;
	enum fault fault;
	int64_t at_ms;
	char first[64];
};

static void enter(struct asker *a)
{
	world_begin(4, 0);
	*a = (struct asker){ .loop = world_loop("asker") };
	a->dns = dns_new(a->loop, SPAN(""), SPAN(""));
}

static void leave(struct asker *a)
{
	stream_close(&a->stream);
	dns_free(&a->dns);
	loop_free(&a->loop);
	world_end();
}

static void on_answer(void *self, const struct dns_answer *answer)
{
	struct asker *a = self;

	a->answer = *answer;
	a->answers++;
	a->at_ms = world_ms();
}

static void ask(struct asker *a, const char *host)
{
	a->answers = 0;
	dns_resolve(a->dns, span_of(host), 25, on_answer, a);
	assert_int_equal(a->answers, 0);
	world_run_until(world_ms() + 11000, NULL, NULL);
	assert_int_equal(a->answers, 1);
}

static void names_are_what_the_scenario_says(void **state)
{
	struct asker a;
	struct dns_question *question;

	enter(&a);
	world_name("mail.example", "2001:db8::1 192.0.2.1");
	world_name("none.example", "");
	world_name("mute.example", NULL);
	ask(&a, "MAIL.example");
	assert_int_equal(a.answer.fault, FAULT_OK);
	assert_int_equal(a.answer.count, 2);
	assert_int_equal(a.answer.addresses[0].family, ADDRESS_IPV6);
	assert_int_equal(a.answer.addresses[1].family, ADDRESS_IPV4);
	assert_int_equal(a.answer.addresses[1].port, 25);
	ask(&a, "none.example");
	assert_int_equal(a.answer.fault, FAULT_NO_ADDRESS);
	ask(&a, "unknown.example");
	assert_int_equal(a.answer.fault, FAULT_NO_ADDRESS);
	ask(&a, "mute.example");
	assert_int_equal(a.answer.fault, FAULT_TIMEOUT);
	ask(&a, "127.0.0.1");
	assert_int_equal(a.answer.count, 1);
	ask(&a, "localhost");
	assert_int_equal(a.answer.count, 2);
	question = dns_resolve(a.dns, SPAN("mail.example"), 25, on_answer, &a);
	dns_cancel(&question);
	assert_null(question);
	a.answers = 0;
	world_run_until(world_ms() + 1000, NULL, NULL);
	assert_int_equal(a.answers, 0);
	leave(&a);
}

static void on_ended(void *self, enum fault fault, struct span why)
{
}

static void on_dialled(void *self, struct stream *stream, enum fault fault, struct span why)
{
	static const struct stream_events events = { .ended = on_ended };
	struct asker *a = self;

	a->stream = stream;
	if (stream)
		stream_set_events(stream, &events, a);
	a->fault = fault;
	a->dialled++;
	a->at_ms = world_ms();
}

static void on_accepted(void *self, int fd, const struct address *peer)
{
	struct asker *a = self;
	static const struct stream_events none = { 0 };
	struct stream *s = stream_adopt_take(a->loop, fd, &none, NULL);

	stream_close(&s);
}

static struct listener *listen_on(struct asker *a, const char *text)
{
	struct address at;

	assert_true(address_parse(&at, span_of(text), 587));
	return listener_new(a->loop, listener_bind(&at, 4), on_accepted, a);
}

static void a_dead_road_costs_a_moment_only(void **state)
{
	struct asker a;
	struct listener *one, *other;

	enter(&a);
	world_name("smtp.example", "2001:db8::1 192.0.2.1");
	one = listen_on(&a, "2001:db8::1");
	other = listen_on(&a, "192.0.2.1");
	world_road("2001:db8::1", 0, WORLD_ROAD_SILENT);
	dial_start(a.dns, a.loop, SPAN("smtp.example"), 587, NULL, 5000, on_dialled, &a);
	assert_true(world_run_until(10000, NULL, NULL));
	assert_int_equal(a.dialled, 1);
	assert_int_equal(a.fault, FAULT_OK);
	assert_non_null(a.stream);
	assert_int_equal(stream_peer(a.stream).family, ADDRESS_IPV4);
	assert_in_range(a.at_ms, 250, 400);
	listener_free(&one);
	listener_free(&other);
	leave(&a);
}

static void no_road_is_said(void **state)
{
	struct asker a;

	enter(&a);
	world_name("smtp.example", "2001:db8::1 192.0.2.1");
	dial_start(a.dns, a.loop, SPAN("smtp.example"), 587, NULL, 5000, on_dialled, &a);
	world_run_until(10000, NULL, NULL);
	assert_int_equal(a.dialled, 1);
	assert_null(a.stream);
	assert_int_equal(a.fault, FAULT_UNREACHABLE);
	leave(&a);
}

static void on_exchangers(void *self, const struct dns_exchangers *e)
{
	struct asker *a = self;

	a->answers++;
	a->fault = e->fault;
	a->dialled = e->count;
	snprintf(a->first, sizeof a->first, "%s", e->hosts[0]);
}

static void exchangers(struct asker *a, const char *domain, enum fault fault, size_t count, const char *first)
{
	a->answers = 0;
	dns_exchange(a->dns, span_of(domain), on_exchangers, a);
	assert_int_equal(a->answers, 0);
	world_run_until(world_ms() + 11000, NULL, NULL);
	assert_int_equal(a->answers, 1);
	assert_int_equal(a->fault, fault);
	assert_int_equal(a->dialled, count);
	assert_string_equal(a->first, first);
}

static void who_takes_mail(void **state)
{
	struct dns_question *question;
	struct asker a;

	enter(&a);
	world_exchangers("contoso.example", "mx1.example mx2.example");
	world_exchangers("none.example", "");
	world_exchangers("mute.example", NULL);
	world_name("own.example", "192.0.2.1");
	exchangers(&a, "Contoso.example", FAULT_OK, 2, "mx1.example");
	exchangers(&a, "none.example", FAULT_NO_ADDRESS, 0, "");
	exchangers(&a, "mute.example", FAULT_TIMEOUT, 0, "");
	exchangers(&a, "own.example", FAULT_OK, 1, "own.example");
	exchangers(&a, "unknown.example", FAULT_NO_ADDRESS, 0, "");
	question = dns_exchange(a.dns, SPAN("contoso.example"), on_exchangers, &a);
	dns_cancel(&question);
	a.answers = 0;
	world_run_until(world_ms() + 1000, NULL, NULL);
	assert_int_equal(a.answers, 0);
	leave(&a);
}

static void one_family_alone(void **state)
{
	struct address any = { 0 };
	struct listener *one, *other;
	struct asker a;

	enter(&a);
	world_name("smtp.example", "2001:db8::1 192.0.2.1");
	one = listen_on(&a, "2001:db8::1");
	other = listen_on(&a, "192.0.2.1");
	assert_true(address_parse(&any, SPAN("0.0.0.0"), 0));
	dial_start(a.dns, a.loop, SPAN("smtp.example"), 587, &any, 5000, on_dialled, &a);
	assert_true(world_run_until(10000, NULL, NULL));
	assert_int_equal(stream_peer(a.stream).family, ADDRESS_IPV4);
	listener_free(&one);
	listener_free(&other);
	leave(&a);
}

TESTS(who_takes_mail, one_family_alone, names_are_what_the_scenario_says, a_dead_road_costs_a_moment_only, no_road_is_said)
