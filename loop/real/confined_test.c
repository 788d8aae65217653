/* After confinement: no file is opened, no thread and no program started, whatever the libraries under us think they
 * need. */
#include "loop/dns.h"
#include "loop/http_client.h"
#include "loop/http_server.h"
#include "loop/prepare.h"
#include "loop/real/test_end.h"
#include "loop/real/test_pki.h"

#include <seccomp.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GOOD = 7 };

static struct loop *loop;
static struct tls *server_tls, *client_tls;
static enum fault got;

static void on_request(void *self, struct http_exchange *x)
{
	http_answer(x, 200, SPAN("text/plain"), NULL, 0, SPAN("hello"));
}

static void on_fetched(void *self, const struct http_answer *a)
{
	got = a->fault;
	if (a->fault != FAULT_OK)
		dprintf(2, "%.*s\n", SPAN_ARGS(a->why));
	loop_stop(loop);
}

static void on_resolved(void *self, const struct dns_answer *a)
{
	got = a->fault;
	loop_stop(loop);
}

static void start_server(struct test_end *e)
{
	if (e->opened == 1)
		stream_start_tls_server(e->stream, server_tls);
}

static void start_client(struct test_end *e)
{
	if (e->opened == 1)
		stream_start_tls_client(e->stream, client_tls, SPAN("localhost"));
	else
		loop_stop(e->loop);
}

/* Any of these ends the child by SIGSYS. */
static void confine(void)
{
	static const int forbidden[] = { SCMP_SYS(open),   SCMP_SYS(openat), SCMP_SYS(openat2),
					 SCMP_SYS(creat),  SCMP_SYS(execve), SCMP_SYS(clone),
					 SCMP_SYS(clone3), SCMP_SYS(fork),   SCMP_SYS(vfork) };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, forbidden[i], 0))
			_exit(2);
	if (seccomp_load(filter))
		_exit(3);
	seccomp_release(filter);
}

static int listen_here(struct address *at_out)
{
	struct address a;
	int fd;

	address_parse(&a, SPAN("127.0.0.1"), 0);
	fd = listener_bind(&a, 8);
	*at_out = listener_address(fd);
	return fd;
}

/* Everything that a role makes while it starts. */
struct role {
	struct test_pki pki;
	struct dns *dns;
	struct http_client *client;
	struct http_server *server;
	struct address at;
	int fds[2];
};

static void start(struct role *r)
{
	struct test_leaf leaf;
	int fd;

	loop_prepare();
	loop = loop_new();
	test_pki_init(&r->pki);
	leaf = test_pki_leaf(&r->pki, &(struct test_flaw){ 0 });
	if (tls_server_new(
		    &server_tls,
		    &(struct tls_server_settings){ leaf.certificate_pem, leaf.key_pem, .lowest = TLS_VERSION_1_2 },
		    NULL) ||
	    tls_client_new(&client_tls, r->pki.root_pem, NULL) || stream_pair(r->fds))
		_exit(4);
	r->dns = dns_new(loop, SPAN("nameserver [127.0.0.1]:9\noptions timeout:1 attempts:1\n"), SPAN(""));
	r->client = http_client_new(loop, r->dns, r->pki.root_pem);
	fd = listen_here(&r->at);
	r->server = http_server_new(loop, fd, server_tls, &(struct http_server_settings){ 0 }, on_request, NULL);
}

static void fetch(struct role *r, const char *host)
{
	char url[128];

	snprintf(url, sizeof url, "https://%s:%u/", host, r->at.port);
	http_fetch(r->client,
		   &(struct http_request){
			   .method = SPAN("POST"), .url = span_of(url), .body = SPAN("a=b"), .timeout_ms = 5000 },
		   on_fetched, NULL);
	loop_run(loop);
	if (got != FAULT_OK)
		_exit(5);
}

static void live(void)
{
	struct role r;
	struct test_end left, right;

	start(&r);
	confine();
	test_end_adopt(&left, loop, r.fds[0]);
	test_end_adopt(&right, loop, r.fds[1]);
	left.on_opened = start_server;
	right.on_opened = start_client;
	loop_run(loop);
	fetch(&r, "localhost");
	fetch(&r, "127.0.0.1");
	dns_resolve(r.dns, SPAN("mail.example.org"), 25, on_resolved, NULL);
	loop_run(loop);
	if (got == FAULT_OK)
		_exit(6);
	http_client_trust(r.client, r.pki.root_pem); /* a reload */
	fetch(&r, "localhost");
	_exit(GOOD);
}

static void libraries_open_nothing(void **state)
{
	int status;
	pid_t child = fork();

	if (!child)
		live();
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		fail_msg("ended by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), GOOD);
}

TESTS(libraries_open_nothing)
