/* Names to addresses, against a name server of the test's own. */
#include "loop/dns.h"
#include "loop/real/resolv.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- a server with a table; what is in no row does not exist, and "silent" is never answered */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_MX = 15, TYPE_AAAA = 28 };

static const struct record {
	const char *name;
	int type;
	const char *value;
	unsigned ttl;
} records[] = {
	{ "mail.example.org", TYPE_A, "192.0.2.1", 300 },
	{ "mail.example.org", TYPE_A, "192.0.2.2", 300 },
	{ "mail.example.org", TYPE_A, "192.0.2.3", 300 },
	{ "mail.example.org", TYPE_AAAA, "2001:db8::1", 300 },
	{ "four.example.org", TYPE_A, "192.0.2.4", 300 },
	{ "brief.example.org", TYPE_A, "192.0.2.5", 0 },
	{ "alias.example.org", TYPE_CNAME, "four.example.org", 300 },
	{ "half-silent.example.org", TYPE_A, "192.0.2.6", 300 },
	{ "host.corp.example", TYPE_A, "192.0.2.7", 300 },
	{ "own.example.org", TYPE_A, "127.0.0.1", 300 },
	{ "own.example.org", TYPE_AAAA, "::1", 300 },
	{ "clouds.example.org", TYPE_A, "169.254.169.254", 300 },
	{ "half-own.example.org", TYPE_A, "127.0.0.1", 300 },
	{ "half-own.example.org", TYPE_A, "192.0.2.9", 300 },
	{ "mx.example.org", TYPE_MX, "20 mx2.example.org", 300 },
	{ "mx.example.org", TYPE_MX, "10 mx1.example.org", 300 },
	{ "mx.example.org", TYPE_MX, "5 localhost", 300 },
	{ "mx.example.org", TYPE_MX, "6 127.0.0.1", 300 },
	{ "mx.example.org", TYPE_MX, "30 mx3.example.org", 300 },
	{ "no-mail.example.org", TYPE_MX, "0 ", 300 },
	{ "own-mx.example.org", TYPE_MX, "1 twin.localhost", 300 },
};

struct server {
	pthread_t thread;
	int fd;
	uint16_t port;
	unsigned asked;
};

static size_t read_name(const unsigned char *at, char *out)
{
	size_t size = 0;

	*out = '\0';
	while (at[size]) {
		strncat(out, (const char *)at + size + 1, at[size]);
		size += at[size] + 1u;
		if (at[size])
			strcat(out, ".");
	}
	return size + 1;
}

static size_t put_name(unsigned char *at, const char *name)
{
	size_t size = 0;

	while (*name) {
		size_t label = strcspn(name, ".");

		at[size++] = (unsigned char)label;
		memcpy(at + size, name, label);
		size += label;
		name += label + (name[label] == '.');
	}
	at[size++] = 0;
	return size;
}

static size_t put_record(unsigned char *at, const struct record *r)
{
	size_t size = put_name(at, r->name), value;
	unsigned char head[] = {
		0, (unsigned char)r->type, 0, 1, 0, 0, (unsigned char)(r->ttl >> 8), (unsigned char)r->ttl
	};

	memcpy(at + size, head, sizeof head);
	size += sizeof head;
	if (r->type == TYPE_CNAME) {
		value = put_name(at + size + 2, r->value);
	} else if (r->type == TYPE_MX) {
		at[size + 2] = 0;
		at[size + 3] = (unsigned char)atoi(r->value);
		value = 2 + put_name(at + size + 4, strchr(r->value, ' ') + 1);
	}
	else {
		value = (size_t)(inet_pton(r->type == TYPE_A ? AF_INET : AF_INET6, r->value, at + size + 2) *
				 (r->type == TYPE_A ? 4 : 16));
	}
	at[size] = 0;
	at[size + 1] = (unsigned char)value;
	return size + 2 + value;
}

static size_t answer(unsigned char *bytes, size_t size)
{
	char name[256];
	size_t name_size = read_name(bytes + 12, name);
	int type = bytes[12 + name_size + 1];
	unsigned count = 0, known = 0;

	if (strstr(name, "silent") && (type == TYPE_AAAA || type == TYPE_MX || !strcmp(name, "silent.example.org")))
		return 0;
	for (size_t pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
			if (strcasecmp(records[i].name, name))
				continue;
			known++;
			if (records[i].type != type && records[i].type != TYPE_CNAME)
				continue;
			if (records[i].type == TYPE_CNAME || pass) {
				size += put_record(bytes + size, &records[i]);
				count++;
			}
			if (records[i].type == TYPE_CNAME)
				strcpy(name, records[i].value);
		}
	bytes[2] = 0x81;
	bytes[3] = known ? 0x80 : 0x83;
	bytes[7] = (unsigned char)count;
	bytes[11] = 0;
	return size;
}

static void *serve(void *self)
{
	struct server *s = self;

	for (;;) {
		unsigned char bytes[2048] = { 0 };
		struct sockaddr_in from;
		socklen_t from_size = sizeof from;
		ssize_t got = recvfrom(s->fd, bytes, 512, 0, (struct sockaddr *)&from, &from_size);

		if (got < 12)
			return NULL;
		__atomic_add_fetch(&s->asked, 1, __ATOMIC_SEQ_CST);
		size_t size = answer(bytes, (size_t)got);
		if (size)
			sendto(s->fd, bytes, size, 0, (struct sockaddr *)&from, from_size);
	}
}

static void server_start(struct server *s)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof here;

	*s = (struct server){ .fd = socket(AF_INET, SOCK_DGRAM, 0) };
	assert_int_equal(bind(s->fd, (struct sockaddr *)&here, sizeof here), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&here, &size), 0);
	s->port = ntohs(here.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_port = htons(s->port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	sendto(s->fd, "end", 3, 0, (struct sockaddr *)&here, sizeof here);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

/* --- asking */

struct scene {
	struct server server;
	struct loop *loop;
	struct dns *dns;
	char answer[512];
	int done;
	bool running;
};

static void on_done(void *self, const struct dns_answer *a)
{
	struct scene *s = self;
	struct buf out;

	assert_true(s->running);
	buf_over(&out, s->answer, sizeof s->answer);
	buf_print(&out, "%s", fault_row(a->fault)->name);
	for (size_t i = 0; i < a->count; i++) {
		buf_put_byte(&out, ' ');
		assert_true(address_print(&out, &a->addresses[i], true));
	}
	buf_put_byte(&out, '\0');
	s->done++;
	loop_stop(s->loop);
}

static void scene_init(struct scene *s, const char *options)
{
	char text[256];

	*s = (struct scene){ .loop = loop_new() };
	server_start(&s->server);
	snprintf(text, sizeof text, "# made by a test\nnameserver [127.0.0.1]:%u\n%s\n", s->server.port, options);
	s->dns = dns_new(s->loop, span_of(text),
			 SPAN("127.0.0.1 localhost\n192.0.2.99 printer.lan printer # by hand\n"
			      "2001:db8::99\tPrinter\n"));
}

static void scene_free(struct scene *s)
{
	dns_free(&s->dns);
	loop_free(&s->loop);
	server_stop(&s->server);
}

static const char *ask(struct scene *s, struct span name)
{
	int before = s->done;

	dns_resolve(s->dns, name, 25, on_done, s);
	s->running = true;
	loop_run(s->loop);
	s->running = false;
	assert_int_equal(s->done, before + 1);
	return s->answer;
}

static void families_in_turn(void **state)
{
	struct scene s;

	scene_init(&s, "");
	assert_string_equal(ask(&s, SPAN("mail.example.org")),
			    "OK [2001:db8::1]:25 192.0.2.1:25 192.0.2.2:25 192.0.2.3:25");
	assert_string_equal(ask(&s, SPAN("four.example.org")), "OK 192.0.2.4:25");
	assert_string_equal(ask(&s, SPAN("alias.example.org")), "OK 192.0.2.4:25");
	assert_string_equal(ask(&s, SPAN("own.example.org")), "ADDRESS_OWN");
	assert_string_equal(ask(&s, SPAN("clouds.example.org")), "ADDRESS_OWN");
	assert_string_equal(ask(&s, SPAN("half-own.example.org")), "OK 192.0.2.9:25");
	scene_free(&s);
}

static void local_names_ask_nobody(void **state)
{
	struct scene s;

	scene_init(&s, "");
	assert_string_equal(ask(&s, SPAN("192.0.2.8")), "OK 192.0.2.8:25");
	assert_string_equal(ask(&s, SPAN("[2001:db8::8]")), "OK [2001:db8::8]:25");
	assert_string_equal(ask(&s, SPAN("printer")), "OK [2001:db8::99]:25 192.0.2.99:25");
	assert_string_equal(ask(&s, SPAN("PRINTER.lan")), "OK 192.0.2.99:25");
	assert_string_equal(ask(&s, SPAN("localhost")), "OK 127.0.0.1:25");
	assert_string_equal(ask(&s, SPAN("twin.localhost")), "OK [::1]:25 127.0.0.1:25");
	assert_int_equal(s.server.asked, 0);
	scene_free(&s);
}

static void what_has_no_address(void **state)
{
	static char long_name[300];
	struct scene s;

	memset(long_name, 'a', sizeof long_name);
	scene_init(&s, "");
	assert_string_equal(ask(&s, SPAN("nothing.example.org")), "NO_ADDRESS");
	unsigned asked = s.server.asked;
	assert_true(asked >= 2);
	assert_string_equal(ask(&s, SPAN("")), "NO_ADDRESS");
	assert_string_equal(ask(&s, SPAN("a..b")), "NO_ADDRESS");
	assert_string_equal(ask(&s, SPAN("a b.example.org")), "NO_ADDRESS");
	assert_string_equal(ask(&s, SPAN("mail.example.org\0.evil")), "NO_ADDRESS");
	assert_string_equal(ask(&s, (struct span){ long_name, sizeof long_name }), "NO_ADDRESS");
	assert_int_equal(s.server.asked, asked);
	scene_free(&s);
}

static void a_silent_server(void **state)
{
	struct scene s;

	scene_init(&s, "options timeout:1 attempts:1");
	assert_string_equal(ask(&s, SPAN("silent.example.org")), "TIMEOUT");
	scene_free(&s);
}

/* One family must not wait for the other's silence. */
static void one_silent_family(void **state)
{
	struct scene s;

	scene_init(&s, "options timeout:5 attempts:5");
	assert_string_equal(ask(&s, SPAN("half-silent.example.org")), "OK 192.0.2.6:25");
	scene_free(&s); /* with the other question still open */
}

static void answers_are_kept(void **state)
{
	struct scene s;
	unsigned asked;

	scene_init(&s, "");
	ask(&s, SPAN("four.example.org"));
	asked = s.server.asked;
	assert_string_equal(ask(&s, SPAN("FOUR.example.org")), "OK 192.0.2.4:25");
	assert_int_equal(s.server.asked, asked);
	ask(&s, SPAN("brief.example.org")); /* its time to live is 0 */
	asked = s.server.asked;
	assert_string_equal(ask(&s, SPAN("brief.example.org")), "OK 192.0.2.5:25");
	assert_true(s.server.asked > asked);
	scene_free(&s);
}

static void search_domains(void **state)
{
	struct scene s;

	scene_init(&s, "search nowhere.example corp.example");
	assert_string_equal(ask(&s, SPAN("host")), "OK 192.0.2.7:25");
	assert_string_equal(ask(&s, SPAN("four.example.org.")), "OK 192.0.2.4:25");
	scene_free(&s);
}

static void cancelling(void **state)
{
	struct dns_question *one, *two;
	struct scene s;

	scene_init(&s, "");
	one = dns_resolve(s.dns, SPAN("mail.example.org"), 25, on_done, &s);
	two = dns_resolve(s.dns, SPAN("192.0.2.1"), 25, on_done, &s);
	dns_cancel(&one);
	dns_cancel(&two);
	assert_null(one);
	assert_string_equal(ask(&s, SPAN("four.example.org")), "OK 192.0.2.4:25");
	assert_int_equal(s.done, 1);
	one = dns_resolve(s.dns, SPAN("silent.example.org"), 25, on_done, &s);
	scene_free(&s);
}

static void on_exchangers(void *self, const struct dns_exchangers *e)
{
	struct scene *s = self;
	struct buf out;

	assert_true(s->running);
	buf_over(&out, s->answer, sizeof s->answer);
	buf_print(&out, "%s", fault_row(e->fault)->name);
	for (size_t i = 0; i < e->count; i++)
		buf_print(&out, " %s", e->hosts[i]);
	buf_put_byte(&out, '\0');
	s->done++;
	loop_stop(s->loop);
}

static const char *exchangers(struct scene *s, struct span domain)
{
	int before = s->done;

	dns_exchange(s->dns, domain, on_exchangers, s);
	s->running = true;
	loop_run(s->loop);
	s->running = false;
	assert_int_equal(s->done, before + 1);
	return s->answer;
}

static void who_takes_mail(void **state)
{
	struct dns_question *question;
	struct scene s;

	scene_init(&s, "options timeout:1 attempts:1");
	assert_string_equal(exchangers(&s, SPAN("MX.example.org")), "OK mx1.example.org mx2.example.org mx3.example.org");
	assert_string_equal(exchangers(&s, SPAN("four.example.org")), "OK four.example.org"); /* RFC 5321 5.1 */
	assert_string_equal(exchangers(&s, SPAN("no-mail.example.org")), "NO_ADDRESS");	      /* RFC 7505 */
	assert_string_equal(exchangers(&s, SPAN("own-mx.example.org")), "NO_ADDRESS");
	assert_string_equal(exchangers(&s, SPAN("nothing.example.org")), "NO_ADDRESS");
	assert_string_equal(exchangers(&s, SPAN("a b.example.org")), "NO_ADDRESS");
	assert_string_equal(exchangers(&s, SPAN("")), "NO_ADDRESS");
	assert_string_equal(exchangers(&s, SPAN("silent.example.org")), "TIMEOUT");
	question = dns_exchange(s.dns, SPAN("mx.example.org"), on_exchangers, &s);
	dns_cancel(&question);
	assert_string_equal(ask(&s, SPAN("four.example.org")), "OK 192.0.2.4:25");
	dns_exchange(s.dns, SPAN("silent.example.org"), on_exchangers, &s);
	scene_free(&s);
}

static void resolv_conf(void **state)
{
	struct resolv r;
	char memory[128];
	struct buf b;

	resolv_read(&r, SPAN("# nothing\n; here\n"));
	assert_int_equal(r.server_count, 1);
	assert_true(address_is_loopback(&r.servers[0]));
	resolv_read(
		&r,
		SPAN("domain old.example\nnameserver 192.0.2.53 # ours\r\nnameserver\tfe80::1%1\nnameserver nonsense\n"
		     "search  a.example b.example .\noptions ndots:2 rotate timeout:99 attempts:0 edns0\nnameserver "
		     "[::1]:5353\n"
		     "nameserver [192.0.2.1]:0"));
	assert_int_equal(r.server_count, 3);
	buf_over(&b, memory, sizeof memory);
	for (size_t i = 0; i < r.server_count; i++)
		assert_true(address_print(&b, &r.servers[i], true) && buf_put_byte(&b, ' '));
	assert_span(buf_span(&b), "192.0.2.53:53 [fe80::1%1]:53 [::1]:5353 ");
	assert_int_equal(r.domain_count, 2);
	assert_string_equal(r.domains[1], "b.example");
	assert_int_equal(r.ndots, 2);
	assert_int_equal(r.timeout_ms, 5000);
	assert_int_equal(r.tries, 1);
	assert_true(r.rotate);
}

TESTS(who_takes_mail, families_in_turn, local_names_ask_nobody, what_has_no_address, a_silent_server, one_silent_family,
      answers_are_kept, search_domains, cancelling, resolv_conf)
