#include "cli/call.h"

#include "base/buf.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 16 * 1024 * 1024, PATIENCE_SECONDS = 60 };

static size_t take_answer(char *bytes, size_t one, size_t count, void *self)
{
	return buf_put(self, (struct span){ bytes, one * count }) ? one * count : 0;
}

struct wait {
	time_t begun_s, told_s;
};

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* A person at a terminal is told every second that something is still going on; a file or a pipe is not. */
static int tell_of_waiting(void *self, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct wait *wait = self;
	time_t waited_s = now_s() - wait->begun_s;

	(void)down_total, (void)down, (void)up_total, (void)up;
	if (waited_s <= wait->told_s || !isatty(STDERR_FILENO))
		return 0;
	wait->told_s = waited_s;
	fputc('\r', stderr);
	fprintf(stderr, cli_word(CLI_WORD_STILL_WAITING), (long)waited_s);
	return 0;
}

static void end_waiting(const struct wait *wait)
{
	if (wait->told_s > 1)
		fputs("\r\033[K", stderr);
}

/* Where the boot file of the data directory puts the socket is the default; POSTERN_CONTROL names another. */
static void socket_path(const char *data, char path_out[512])
{
	const char *given = getenv("POSTERN_CONTROL");

	if (given && *given)
		snprintf(path_out, 512, "%s", given);
	else
		snprintf(path_out, 512, "%s/control.sock", data);
}

/* One request; the answer is appended. `is_json_out` says of which kind it is. */
static CURLcode ask(const char socket[512], const char *method, struct span path, char *text, long *status_out, struct buf *answer, bool *is_json_out)
{
	struct curl_slist *headers = NULL;
	CURL *curl = curl_easy_init();
	struct wait wait = { now_s(), 1 };
	const char *type = NULL;
	char url[2048];
	CURLcode result;

	snprintf(url, sizeof url, "http://localhost%.*s", SPAN_ARGS(path));
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, cli_language() == LANGUAGE_FR ? "Accept-Language: fr" : "Accept-Language: en");
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)PATIENCE_SECONDS);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, tell_of_waiting);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &wait);
	if (text)
		curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, text);
	result = curl_easy_perform(curl);
	end_waiting(&wait);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status_out);
	*is_json_out = !curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type) && type && !strncmp(type, "application/json", 16);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	return result;
}

static int say_away(const char *socket, CURLcode result)
{
	fprintf(stderr, "postern: ");
	fprintf(stderr, cli_word(CLI_WORD_NOT_RUNNING), socket, curl_easy_strerror(result));
	fputc('\n', stderr);
	return CLI_AWAY;
}

int call_bytes(const char *data, const char *method, struct span path, long *status_out, struct buf *bytes_out, json_t **json_out)
{
	char socket[512];
	bool is_json = false;
	CURLcode result;

	*json_out = NULL;
	buf_clear(bytes_out);
	socket_path(data, socket);
	result = ask(socket, method, path, NULL, status_out, bytes_out, &is_json);
	if (result == CURLE_OK && is_json)
		*json_out = json_loadb(bytes_out->at ? bytes_out->at : "", bytes_out->size, 0, NULL);
	return result == CURLE_OK && (!is_json || *json_out) ? CLI_DONE : say_away(socket, result);
}

int call_daemon(const char *data, const char *method, struct span path, const json_t *body, long *status_out, json_t **json_out)
{
	char socket[512], *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct buf answer;
	CURLcode result;
	bool is_json;

	*json_out = NULL;
	buf_init(&answer, ANSWER_BYTES_MAX);
	socket_path(data, socket);
	result = ask(socket, method, path, text, status_out, &answer, &is_json);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	if (result == CURLE_OK)
		*json_out = json_loadb(answer.at ? answer.at : "", answer.size, 0, NULL);
	buf_wipe(&answer);
	if (result == CURLE_OK && *json_out)
		return CLI_DONE;
	return say_away(socket, result);
}

static const char *text_of(const json_t *answer, const char *name)
{
	const char *text = json_string_value(json_object_get(answer, name));

	return text ? text : "";
}

int call_failed(const json_t *answer)
{
	const char *why = text_of(answer, "why"), *remedy = text_of(answer, "remedy");

	fprintf(stderr, "postern: %s", text_of(answer, "says"));
	if (*why)
		fprintf(stderr, ": %s", why);
	fputc('\n', stderr);
	if (*remedy)
		fprintf(stderr, "  %s\n", remedy);
	return CLI_FAILED;
}
