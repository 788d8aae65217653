#include "loop/http_client.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/secret.h"
#include "loop/real/http_easy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_BYTES = 256 * 1024, CONNECTIONS_MAX = 64, CONNECTIONS_PER_HOST_MAX = 8, KEPT_MAX = 16 };

/* A socket of libcurl's. */
struct http_socket {
	struct http_client *client;
	struct http_socket *next, **link;
	curl_socket_t fd;
	struct watch watch;
};

/* --- libcurl on the loop */

static void collect(struct http_client *);

static void act(struct http_client *c, curl_socket_t fd, int events)
{
	int running;

	curl_multi_socket_action(c->multi, fd, events, &running);
	collect(c);
}

static void on_time(void *self)
{
	act(self, CURL_SOCKET_TIMEOUT, 0);
}

/* 0 stays 0: a millisecond's wait for each request would cost a hundred times its work. */
static int on_timer(CURLM *multi, long wait_ms, void *self)
{
	struct http_client *c = self;

	if (wait_ms < 0)
		timer_stop(&c->timer);
	else
		timer_after(&c->timer, wait_ms);
	return 0;
}

static void on_ready(void *self, unsigned events)
{
	struct http_socket *s = self;

	if (events & WATCH_FAILED)
		act(s->client, s->fd, CURL_CSELECT_ERR);
	else
		act(s->client, s->fd,
		    (events & WATCH_READ ? CURL_CSELECT_IN : 0) | (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0));
}

static void drop_socket(struct http_socket *s)
{
	watch_close(&s->watch);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	free(s);
}

static struct http_socket *add_socket(struct http_client *c, curl_socket_t fd)
{
	struct http_socket *s = calloc(1, sizeof *s);

	if (!s)
		panic("out of memory");
	*s = (struct http_socket){ .client = c, .next = c->sockets, .link = &c->sockets, .fd = fd };
	if (s->next)
		s->next->link = &s->next;
	c->sockets = s;
	if (!watch_open(&s->watch, c->loop, fd, on_ready, s)) {
		drop_socket(s);
		return NULL;
	}
	curl_multi_assign(c->multi, fd, s);
	return s;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *client, void *socket)
{
	struct http_socket *s = socket;

	if (what == CURL_POLL_REMOVE) {
		if (s)
			drop_socket(s);
		curl_multi_assign(((struct http_client *)client)->multi, fd, NULL);
		return 0;
	}
	if (!s)
		s = add_socket(client, fd);
	if (s)
		watch_want(&s->watch,
			   (what & CURL_POLL_IN ? WATCH_READ : 0u) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0u));
	return 0;
}

/* OpenSSL before libcurl: whoever starts it first says whether openssl.cnf is read. */
struct http_client *http_client_new(struct loop *loop, struct dns *dns, struct span ca_pem)
{
	struct http_client *c = calloc(1, sizeof *c);

	if (!c)
		panic("out of memory");
	c->loop = loop;
	c->dns = dns;
	timer_init(&c->timer, loop, on_time, c);
	http_client_trust(c, ca_pem);
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		fatal("libcurl does not start");
	c->multi = curl_multi_init();
	if (!c->multi)
		panic("out of memory");
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST_MAX);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_MAX);
	return c;
}

/* A bundle without a certificate trusts nobody: every https request then fails, and says so. */
void http_client_trust(struct http_client *c, struct span ca_pem)
{
	struct tls *before = c->trust;

	if (tls_client_new(&c->trust, ca_pem, NULL) != FAULT_OK)
		c->trust = NULL;
	tls_drop(&before);
}

/* --- one request */

static void wipe_list(struct curl_slist **list)
{
	for (struct curl_slist *l = *list; l; l = l->next)
		secret_wipe(l->data, strlen(l->data));
	curl_slist_free_all(*list);
	*list = NULL;
}

static void destroy(struct http_fetch *f)
{
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	dns_cancel(&f->question);
	timer_stop(&f->deadline);
	timer_stop(&f->fail_soon);
	if (f->added)
		curl_multi_remove_handle(f->client->multi, f->easy);
	curl_easy_cleanup(f->easy);
	wipe_list(&f->headers);
	curl_slist_free_all(f->resolve);
	free(f->host);
	buf_wipe(&f->body);
	buf_wipe(&f->answer);
	buf_free(&f->content_type);
	buf_free(&f->location);
	buf_free(&f->date);
	buf_free(&f->retry_after);
	free(f);
}

static int64_t retry_after_ms(struct span text)
{
	char copy[64] = "";
	uint64_t seconds;
	time_t at;

	text = span_trim(text);
	if (!text.size || text.size >= sizeof copy)
		return -1;
	if (span_number(text, &seconds))
		return seconds > 365 * 86400 ? 365LL * 86400 * 1000 : (int64_t)seconds * 1000;
	memcpy(copy, text.at, text.size);
	at = curl_getdate(copy, NULL);
	if (at < 0)
		return -1;
	return (int64_t)at * 1000 > clock_wall_ms() ? (int64_t)at * 1000 - clock_wall_ms() : 0;
}

static void finish(struct http_fetch *f)
{
	struct http_answer answer = { .fault = f->fault, .retry_after_ms = -1, .why = SPAN("") };
	long status = 0;

	if (f->fault == FAULT_OK) {
		curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
		answer.status = (int)status;
		answer.content_type = buf_span(&f->content_type);
		answer.location = buf_span(&f->location);
		answer.date = buf_span(&f->date);
		answer.retry_after_ms = retry_after_ms(buf_span(&f->retry_after));
		answer.body = buf_span(&f->answer);
	} else {
		answer.why = span_of(f->why);
	}
	timer_stop(&f->deadline);
	f->telling = true;
	f->done(f->self, &answer);
	destroy(f);
}

static void fail(struct http_fetch *f, enum fault fault, const char *why)
{
	f->fault = fault;
	if (!*f->why)
		snprintf(f->why, sizeof f->why, "%s", why);
	timer_after(&f->fail_soon, 0);
}

static void on_fail_soon(void *self)
{
	finish(self);
}

static void on_deadline(void *self)
{
	struct http_fetch *f = self;

	f->fault = FAULT_TIMEOUT;
	snprintf(f->why, sizeof f->why, "no answer from %s in time", f->host ? f->host : "the host");
	finish(f);
}

static const struct {
	CURLcode code;
	enum fault fault;
} faults[] = {
	{ CURLE_PEER_FAILED_VERIFICATION, FAULT_TLS_UNTRUSTED },
	{ CURLE_SSL_CACERT_BADFILE, FAULT_TLS_UNTRUSTED },
	{ CURLE_SSL_CONNECT_ERROR, FAULT_TLS_FAILED },
	{ CURLE_SSL_CERTPROBLEM, FAULT_TLS_FAILED },
	{ CURLE_SSL_CIPHER, FAULT_TLS_FAILED },
	{ CURLE_COULDNT_CONNECT, FAULT_UNREACHABLE },
	{ CURLE_COULDNT_RESOLVE_HOST, FAULT_NO_ADDRESS },
	{ CURLE_OPERATION_TIMEDOUT, FAULT_TIMEOUT },
	{ CURLE_FILESIZE_EXCEEDED, FAULT_TOO_LARGE },
	{ CURLE_URL_MALFORMAT, FAULT_MALFORMED },
	{ CURLE_GOT_NOTHING, FAULT_CLOSED },
	{ CURLE_SEND_ERROR, FAULT_CLOSED },
	{ CURLE_RECV_ERROR, FAULT_CLOSED },
	{ CURLE_SEND_FAIL_REWIND, FAULT_CLOSED },
	{ CURLE_PARTIAL_FILE, FAULT_CLOSED },
};

static enum fault fault_of(const struct http_fetch *f, CURLcode code)
{
	if (code == CURLE_OK)
		return FAULT_OK;
	if (f->too_large)
		return FAULT_TOO_LARGE;
	if (f->verify_error != X509_V_OK)
		return FAULT_TLS_UNTRUSTED;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		if (faults[i].code == code)
			return faults[i].fault;
	return FAULT_UPSTREAM_BROKEN;
}

/* Each message is read anew: the owner may cancel others in between. */
static void collect(struct http_client *c)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left))) {
		struct http_fetch *f;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &f);
		f->fault = fault_of(f, message->data.result);
		if (f->too_large)
			snprintf(f->why, sizeof f->why, "the answer is too large");
		else if (f->verify_error != X509_V_OK)
			snprintf(f->why, sizeof f->why, "certificate: %s",
				 X509_verify_cert_error_string(f->verify_error));
		else if (message->data.result == CURLE_SEND_FAIL_REWIND) /* its own words say nothing to anybody */
			snprintf(f->why, sizeof f->why, "the kept connection was closed before an answer came");
		else if (f->fault != FAULT_OK && !*f->why)
			snprintf(f->why, sizeof f->why, "%s", curl_easy_strerror(message->data.result));
		finish(f);
	}
}

static bool all_loopback(const struct dns_answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (!address_is_loopback(&a->addresses[i]))
			return false;
	return true;
}

static void on_resolved(void *self, const struct dns_answer *answer)
{
	struct http_fetch *f = self;

	f->question = NULL;
	if (answer->fault != FAULT_OK) {
		fail(f, answer->fault, fault_row(answer->fault)->says[LANGUAGE_EN]);
		return;
	}
	if (f->is_plain && !all_loopback(answer)) {
		fail(f, FAULT_TLS_MISSING, "http:// is for this machine alone; use https://");
		return;
	}
	http_easy_addresses(f, answer);
	f->added = true;
	if (curl_multi_add_handle(f->client->multi, f->easy))
		fail(f, FAULT_BUG, "libcurl does not take the request");
}

static struct http_fetch *make(struct http_client *c, const struct http_request *r, http_done *done, void *self)
{
	struct http_fetch *f = calloc(1, sizeof *f);

	if (!f)
		panic("out of memory");
	*f = (struct http_fetch){ .client = c, .next = c->fetches, .link = &c->fetches, .done = done, .self = self };
	if (f->next)
		f->next->link = &f->next;
	c->fetches = f;
	f->easy = curl_easy_init();
	if (!f->easy)
		panic("out of memory");
	buf_init(&f->body, r->body.size + 1);
	buf_put(&f->body, r->body);
	buf_init(&f->answer, r->answer_bytes_max ? r->answer_bytes_max : ANSWER_BYTES);
	buf_init(&f->content_type, HTTP_EASY_FIELD_BYTES);
	buf_init(&f->location, HTTP_EASY_FIELD_BYTES);
	buf_init(&f->date, HTTP_EASY_FIELD_BYTES);
	buf_init(&f->retry_after, HTTP_EASY_FIELD_BYTES);
	timer_init(&f->deadline, c->loop, on_deadline, f);
	timer_init(&f->fail_soon, c->loop, on_fail_soon, f);
	timer_after(&f->deadline, r->timeout_ms);
	return f;
}

struct http_fetch *http_fetch(struct http_client *c, const struct http_request *r, http_done *done, void *self)
{
	struct http_fetch *f = make(c, r, done, self);

	if (!http_easy_url(f, r->url))
		fail(f, FAULT_MALFORMED, "not a URL of http or https");
	else if (!http_easy_method(f, r->method) || !http_easy_headers(f, r))
		fail(f, FAULT_MALFORMED, "a method or header that cannot be sent");
	else {
		http_easy_manners(f, r->timeout_ms);
		f->question = dns_resolve(c->dns, span_of(f->host), f->port, on_resolved, f);
	}
	return f;
}

void http_cancel(struct http_fetch **fetch)
{
	struct http_fetch *f = *fetch;

	*fetch = NULL;
	if (f && !f->telling) /* whoever is being told need not cancel, but may */
		destroy(f);
}

void http_client_free(struct http_client **client)
{
	struct http_client *c = *client;

	*client = NULL;
	if (!c)
		return;
	while (c->fetches)
		destroy(c->fetches);
	curl_multi_cleanup(c->multi);
	while (c->sockets)
		drop_socket(c->sockets);
	timer_stop(&c->timer);
	tls_drop(&c->trust);
	curl_global_cleanup();
	free(c);
}
