/* loop/real/http_easy.h - one request, as libcurl is told of it.
 *
 * Why       Apart from the loop: http_client.c runs requests, http_easy.c says what they are and what is forbidden them.
 * Promise   No setting is left to libcurl's defaults or the environment that could weaken or divert a request.
 * Owns      See loop/http_client.h.
 * Refuses   URLs with a user, methods that are not capital letters, headers with control characters. */
#pragma once
#include "loop/http_client.h"
#include "loop/real/inner.h"

#include <curl/curl.h>

enum { HTTP_EASY_FIELD_BYTES = 8 * 1024 };

struct http_socket;

struct http_client {
	struct loop *loop;
	struct dns *dns;
	CURLM *multi;
	struct tls *trust;
	struct timer timer;
	struct http_socket *sockets;
	struct http_fetch *fetches;
};

struct http_fetch {
	struct http_client *client;
	struct http_fetch *next, **link;
	CURL *easy;
	bool added; /* to the multi */
	struct dns_question *question;
	struct timer deadline, fail_soon;
	struct curl_slist *headers, *resolve;
	char *host;
	uint16_t port;
	bool is_plain, too_large, telling;
	struct buf body, answer, content_type, location, date, retry_after;
	size_t body_sent, head_size;
	http_done *done;
	void *self;
	enum fault fault;
	int verify_error; /* of X509_V_ERR_*, or X509_V_OK */
	char why[CURL_ERROR_SIZE];
};

/* Each false when it cannot be sent. http_easy_url() fills host, port and is_plain. */
bool http_easy_url(struct http_fetch *, struct span url);
bool http_easy_method(struct http_fetch *, struct span method);
bool http_easy_headers(struct http_fetch *, const struct http_request *);

/* Verification, limits and callbacks. */
void http_easy_manners(struct http_fetch *, int timeout_ms);

/* Where to connect to; libcurl asks nobody. */
void http_easy_addresses(struct http_fetch *, const struct dns_answer *);
