#include "cli/browser.h"

#include "base/panic.h"
#include "base/text.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES_MAX = 1024 * 1024, URL_BYTES = 8192, PATIENCE_SECONDS = 30, HOPS_MAX = 10 };

struct browser {
	CURL *curl;
	struct curl_slist *headers;
	struct buf page;
	char address[URL_BYTES], error[CURL_ERROR_SIZE];
	long status;
};

static size_t take_page(char *bytes, size_t one, size_t count, void *self)
{
	return buf_put(self, (struct span){ bytes, one * count }) ? one * count : 0;
}

struct browser *browser_new(const char *accept_language)
{
	struct browser *b = calloc(1, sizeof *b);
	char header[100];

	if (!b || !(b->curl = curl_easy_init()))
		panic("out of memory");
	buf_init(&b->page, PAGE_BYTES_MAX);
	snprintf(header, sizeof header, "Accept-Language: %s", accept_language);
	b->headers = curl_slist_append(NULL, header);
	curl_easy_setopt(b->curl, CURLOPT_HTTPHEADER, b->headers);
	curl_easy_setopt(b->curl, CURLOPT_COOKIEFILE, "");
	curl_easy_setopt(b->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(b->curl, CURLOPT_TIMEOUT, (long)PATIENCE_SECONDS);
	curl_easy_setopt(b->curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(b->curl, CURLOPT_MAXREDIRS, (long)HOPS_MAX);
	curl_easy_setopt(b->curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(b->curl, CURLOPT_ERRORBUFFER, b->error);
	curl_easy_setopt(b->curl, CURLOPT_WRITEFUNCTION, take_page);
	curl_easy_setopt(b->curl, CURLOPT_WRITEDATA, &b->page);
	return b;
}

void browser_free(struct browser **browser)
{
	struct browser *b = *browser;

	if (!b)
		return;
	curl_easy_cleanup(b->curl);
	curl_slist_free_all(b->headers);
	buf_free(&b->page);
	free(b);
	*browser = NULL;
}

static bool fail(struct browser *b, const char *why)
{
	snprintf(b->error, sizeof b->error, "%s", why);
	return false;
}

static bool is_local(const char *url)
{
	return !strncmp(url, "http://localhost:", 17) || !strncmp(url, "http://127.0.0.1:", 17) || !strncmp(url, "http://[::1]:", 13);
}

static bool fetch(struct browser *b, const char *url, const char *form)
{
	CURLcode result;
	char *where = NULL;

	if (!is_local(url))
		return fail(b, "the demo opens pages on this machine only");
	b->error[0] = 0;
	buf_clear(&b->page);
	curl_easy_setopt(b->curl, CURLOPT_URL, url);
	if (form)
		curl_easy_setopt(b->curl, CURLOPT_COPYPOSTFIELDS, form);
	else
		curl_easy_setopt(b->curl, CURLOPT_HTTPGET, 1L);
	result = curl_easy_perform(b->curl);
	curl_easy_getinfo(b->curl, CURLINFO_RESPONSE_CODE, &b->status);
	curl_easy_getinfo(b->curl, CURLINFO_EFFECTIVE_URL, &where);
	snprintf(b->address, sizeof b->address, "%s", where ? where : url);
	return result == CURLE_OK || fail(b, b->error[0] ? b->error : curl_easy_strerror(result));
}

bool browser_open(struct browser *b, const char *url)
{
	return fetch(b, url, NULL);
}

/* The value of an attribute of the tag that `tag` begins with, entities undone; false when it has none. */
static bool attribute(struct span tag, const char *name, struct buf *out)
{
	static const char *const entities[][2] = { { "&amp;", "&" }, { "&quot;", "\"" }, { "&#39;", "'" }, { "&lt;", "<" }, { "&gt;", ">" } };
	char wanted[64];
	struct span value;
	size_t at;

	buf_clear(out);
	snprintf(wanted, sizeof wanted, " %s=\"", name);
	at = span_find(tag, span_of(wanted));
	if (at == tag.size)
		return false;
	value = span_slice(tag, at + strlen(wanted), tag.size);
	value = span_slice(value, 0, span_find_byte(value, '"'));
	while (value.size) {
		bool found = false;

		for (size_t i = 0; i < sizeof entities / sizeof *entities && !found; i++)
			if (span_starts(value, span_of(entities[i][0]))) {
				buf_put(out, span_of(entities[i][1]));
				value = span_slice(value, strlen(entities[i][0]), value.size);
				found = true;
			}
		if (!found) {
			buf_put_byte(out, value.at[0]);
			value = span_slice(value, 1, value.size);
		}
	}
	return true;
}

static struct span form_number(const struct browser *b, unsigned number)
{
	struct span rest = buf_span(&b->page);

	for (;; number--) {
		size_t at = span_find_fold(rest, SPAN("<form"));

		if (at == rest.size)
			return (struct span){ NULL, 0 };
		rest = span_slice(rest, at, rest.size);
		if (!number)
			return span_slice(rest, 0, span_find_fold(rest, SPAN("</form>")));
		rest = span_slice(rest, 5, rest.size);
	}
}

/* The next tag of this name in `rest`, which moves behind it. */
static bool next_tag(struct span *rest, struct span name, struct span *tag_out)
{
	size_t at = span_find_fold(*rest, name);

	if (at == rest->size)
		return false;
	*rest = span_slice(*rest, at, rest->size);
	*tag_out = span_slice(*rest, 0, span_find_byte(*rest, '>'));
	*rest = span_slice(*rest, tag_out->size, rest->size);
	return true;
}

static void put_pair(struct buf *out, struct span name, struct span value)
{
	if (out->size)
		buf_put_byte(out, '&');
	text_percent(out, name);
	buf_put_byte(out, '=');
	text_percent(out, value);
}

/* The form as it stands, with what is filled in. Returns how many of the fields it had. */
static size_t build(struct span form, const struct browser_field *fields, size_t count, struct buf *out)
{
	struct span rest = form, tag;
	struct buf name, value, type;
	size_t used = 0;

	buf_init(&name, 1024);
	buf_init(&value, 64 * 1024);
	buf_init(&type, 64);
	while (next_tag(&rest, SPAN("<input"), &tag)) {
		bool is_filled = false;

		if (!attribute(tag, "name", &name))
			continue;
		for (size_t i = 0; i < count && !is_filled; i++)
			if (span_equal(buf_span(&name), span_of(fields[i].name))) {
				put_pair(out, buf_span(&name), span_of(fields[i].value));
				is_filled = true;
				used++;
			}
		attribute(tag, "type", &type);
		if (!is_filled && attribute(tag, "value", &value) && !span_equal(buf_span(&type), SPAN("radio")))
			put_pair(out, buf_span(&name), buf_span(&value));
	}
	/* A button with a name is sent when it is the one that is pressed. */
	rest = form;
	while (next_tag(&rest, SPAN("<button"), &tag))
		for (size_t i = 0; i < count; i++)
			if (attribute(tag, "name", &name) && attribute(tag, "value", &value) && span_equal(buf_span(&name), span_of(fields[i].name)) &&
			    span_equal(buf_span(&value), span_of(fields[i].value))) {
				put_pair(out, buf_span(&name), buf_span(&value));
				used++;
			}
	buf_free(&name);
	buf_free(&value);
	buf_free(&type);
	return used;
}

/* Addresses of forms are absolute, or paths of the same host. */
static void resolve(const struct browser *b, struct span action, char out[URL_BYTES])
{
	struct span address = span_of(b->address), host;

	host = span_slice(address, 0, 7 + span_find_byte(span_slice(address, 7, address.size), '/'));
	if (!action.size)
		snprintf(out, URL_BYTES, "%s", b->address);
	else if (action.at[0] == '/')
		snprintf(out, URL_BYTES, "%.*s%.*s", SPAN_ARGS(host), SPAN_ARGS(action));
	else
		snprintf(out, URL_BYTES, "%.*s", SPAN_ARGS(action));
}

bool browser_submit(struct browser *b, unsigned number, const struct browser_field *fields, size_t count)
{
	struct span form = form_number(b, number);
	struct buf body, action;
	char url[URL_BYTES], *text;
	bool good = false;

	if (!form.at)
		return fail(b, "the page has no form");
	buf_init(&body, PAGE_BYTES_MAX);
	buf_init(&action, URL_BYTES);
	attribute(span_slice(form, 0, span_find_byte(form, '>')), "action", &action);
	resolve(b, buf_span(&action), url);
	if (build(form, fields, count, &body) < count) {
		fail(b, "the form lacks a field that was to be filled in");
	} else {
		buf_put_byte(&body, 0);
		text = strdup(body.at);
		good = text && fetch(b, url, text);
		free(text);
	}
	buf_wipe(&body);
	buf_free(&action);
	return good;
}

const char *browser_address(const struct browser *b)
{
	return b->address;
}

struct span browser_page(const struct browser *b)
{
	return buf_span(&b->page);
}

long browser_status(const struct browser *b)
{
	return b->status;
}

const char *browser_error(const struct browser *b)
{
	return b->error;
}

bool browser_has_field(const struct browser *b, const char *name)
{
	char wanted[100];

	snprintf(wanted, sizeof wanted, "name=\"%s\"", name);
	return span_find(buf_span(&b->page), span_of(wanted)) < b->page.size;
}

void browser_words(const struct browser *b, struct buf *out, size_t max)
{
	struct span page = buf_span(&b->page);
	size_t begin = span_find_fold(page, SPAN("<main"));
	bool in_tag = false, blank = false;

	page = span_slice(page, begin < page.size ? begin : 0, page.size);
	for (size_t i = 0; i < page.size && out->size < max; i++) {
		char c = page.at[i];

		if (c == '<' || c == '>') {
			in_tag = c == '<';
			blank = true;
		} else if (!in_tag && (unsigned char)c <= ' ') {
			blank = true;
		} else if (!in_tag) {
			if (blank && out->size)
				buf_put_byte(out, ' ');
			blank = false;
			buf_put_byte(out, c);
		}
	}
}
