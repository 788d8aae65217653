#include "base/json.h"
#include "base/text.h"
#include "keeper/twin_main.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, USAGE = 2, AWAY = 3, ANSWER_BYTES = 256 * 1024 * 1024, PATIENCE_SECONDS = 30, COLUMNS = 80 };

/* A command while it is carried out. */
struct ask {
	const char *url;
	bool json;
	int count; /* of the words behind the command */
	char **words;
};

static size_t take_answer(char *bytes, size_t one, size_t count, void *self)
{
	return buf_put(self, (struct span){ bytes, one * count }) ? one * count : 0;
}

/* One request; the answer is left in `out`. The HTTP status, or 0 with a line on standard error. */
static long fetch(const struct ask *a, const char *path, const json_t *body, struct buf *out)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, url[2048], trouble[CURL_ERROR_SIZE] = "";
	CURL *curl = curl_easy_init();
	long status = 0;

	snprintf(url, sizeof url, "%s%s", a->url, path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)PATIENCE_SECONDS);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, trouble);
	if (text)
		curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, text);
	if (curl_easy_perform(curl) == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	else
		fprintf(stderr, "postern twin: no twin answers at %s: %s\n", a->url, trouble);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	free(text);
	return status;
}

/* Fetches JSON. DONE and the document, or the exit code after a line on standard error. */
static int fetch_json(const struct ask *a, const char *path, const json_t *body, json_t **out)
{
	struct buf answer;
	long status;

	*out = NULL;
	buf_init(&answer, ANSWER_BYTES);
	status = fetch(a, path, body, &answer);
	if (status)
		*out = json_read(buf_span(&answer), ANSWER_BYTES);
	buf_free(&answer);
	if (status == 200 && *out)
		return DONE;
	if (status)
		fprintf(stderr, "postern twin: %.*s: %.*s\n", SPAN_ARGS(json_text(*out, "says")), SPAN_ARGS(json_text(*out, "what")));
	json_decref(*out);
	*out = NULL;
	return status ? FAILED : AWAY;
}

static void print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* `width` columns of a text, cut with an ellipsis; characters of UTF-8 are not split, and nothing can command the terminal. */
static void print_cell(struct span text, int width, bool last)
{
	struct buf plain;
	int used = 0;
	size_t at = 0, characters = 0;

	buf_init(&plain, ANSWER_BYTES);
	text_plain(&plain, text);
	for (size_t i = 0; i < plain.size; i++)
		characters += (plain.at[i] & 0xc0) != 0x80;
	while (at < plain.size && used < width - (characters > (size_t)width)) {
		size_t next = at + 1;

		while (next < plain.size && (plain.at[next] & 0xc0) == 0x80)
			next++;
		fwrite(plain.at + at, 1, next - at, stdout);
		at = next;
		used++;
	}
	if (at < plain.size) {
		fputs("…", stdout);
		used++;
	}
	if (!last)
		printf("%*s", width - used + 1, "");
	buf_free(&plain);
}

static void print_mails(const json_t *items)
{
	size_t at;
	json_t *m;

	printf("%-5s %-8s %-22s %-22s %s\n", "NO", "TIME", "FROM", "TO", "SUBJECT");
	json_array_foreach(items, at, m) {
		printf("%-5lld ", (long long)json_integer_value(json_object_get(m, "number")));
		print_cell(span_slice(json_text(m, "at"), 11, 8), 8, false);
		print_cell(json_text(m, "sender"), 22, false);
		print_cell(json_text(m, "recipients"), 22, false);
		print_cell(json_text(m, "subject"), COLUMNS - 5 - 8 - 22 - 22 - 4, true);
		putchar('\n');
	}
}

static int show_raw(const struct ask *a, const char *number)
{
	struct buf answer;
	char path[128];
	long status;

	buf_init(&answer, ANSWER_BYTES);
	snprintf(path, sizeof path, "/twin/mail/%.20s/raw", number);
	status = fetch(a, path, NULL, &answer);
	if (status == 200)
		fwrite(answer.at, 1, answer.size, stdout);
	else if (status)
		fprintf(stderr, "postern twin: no such mail: %s\n", number);
	buf_free(&answer);
	return status == 200 ? DONE : status ? FAILED : AWAY;
}

static int ask_mail(const struct ask *a)
{
	char path[128] = "/twin/mail";
	json_t *json;
	int code;

	if (a->count == 1 && !a->json)
		return show_raw(a, a->words[0]);
	if (a->count == 1)
		snprintf(path, sizeof path, "/twin/mail/%.20s", a->words[0]);
	code = fetch_json(a, path, NULL, &json);
	if (code == DONE && a->json)
		print_json(json);
	else if (code == DONE)
		print_mails(json_object_get(json, "items"));
	json_decref(json);
	return code;
}

/* Posts, and says nothing when it was done. */
static int change(const struct ask *a, const char *path, json_t *body)
{
	json_t *json;
	int code = fetch_json(a, path, body, &json);

	if (code == DONE && a->json)
		print_json(json);
	json_decref(json);
	json_decref(body);
	return code;
}

static int ask_switch(const struct ask *a)
{
	if (a->count < 2 || a->count > 3)
		return USAGE;
	return change(a, "/twin/switch",
		      json_pack("{s:s,s:s,s:s}", "name", a->words[0], "value", a->words[1], "mailbox", a->count == 3 ? a->words[2] : ""));
}

/* Words such as ms=500 become members; the first one without a sign becomes `bare`. */
static bool put_pairs(const struct ask *a, json_t *body, const char *bare)
{
	for (int i = 1; i < a->count; i++) {
		struct span word = span_of(a->words[i]);
		size_t end = span_find_byte(word, '=');
		char name[32];

		if (end == word.size && !bare)
			return false;
		snprintf(name, sizeof name, "%.*s", end == word.size ? (int)strlen(bare) : (int)end, end == word.size ? bare : word.at);
		json_put_text(body, name, end == word.size ? word : span_slice(word, end + 1, word.size));
	}
	return true;
}

static int ask_pairs(const struct ask *a, const char *path, const char *first, const char *bare)
{
	json_t *body = json_object();

	if (a->count)
		json_put_text(body, first, span_of(a->words[0]));
	if (a->count && put_pairs(a, body, bare))
		return change(a, path, body);
	json_decref(body);
	return USAGE;
}

static int ask_fault(const struct ask *a)
{
	return ask_pairs(a, "/twin/fault", "name", "stage");
}

static int ask_user(const struct ask *a)
{
	return ask_pairs(a, "/twin/user", "address", NULL);
}

/* A new key file of a service account, on standard output. */
static int ask_service(const struct ask *a)
{
	json_t *json, *body;
	int code;

	if (a->count != 1)
		return USAGE;
	body = json_pack("{s:s,s:b}", "email", a->words[0], "key", true);
	code = fetch_json(a, "/twin/service", body, &json);
	if (code == DONE)
		print_json(json);
	json_decref(json);
	json_decref(body);
	return code;
}

static int ask_connector(const struct ask *a)
{
	return ask_pairs(a, "/twin/connector", "name", NULL);
}

static int ask_faults(const struct ask *a)
{
	json_t *json, *row;
	size_t at;
	int code = fetch_json(a, "/twin/faults", NULL, &json);

	if (code == DONE && a->json)
		print_json(json);
	json_array_foreach(a->json ? NULL : json_object_get(json, "items"), at, row) {
		print_cell(json_text(row, "name"), 26, false);
		print_cell(json_text(row, "stage"), 10, false);
		print_cell(json_text(row, "says"), COLUMNS - 26 - 10 - 2, true);
		putchar('\n');
	}
	json_decref(json);
	return code;
}

static int ask_code(const struct ask *a)
{
	struct buf path;
	json_t *json;
	int code;

	if (a->count != 1)
		return USAGE;
	buf_init(&path, 2048);
	buf_print(&path, "/twin/code?address=");
	text_percent(&path, span_of(a->words[0]));
	buf_put_byte(&path, 0);
	code = fetch_json(a, path.at, NULL, &json);
	if (code == DONE && a->json)
		print_json(json);
	else if (code == DONE)
		printf("%.*s\n", SPAN_ARGS(json_text(json, "code")));
	json_decref(json);
	buf_free(&path);
	return code;
}

static void print_state(const json_t *state)
{
	const char *name;
	json_t *value, *user;
	size_t at;

	printf("%-26s %.*s\n", "pages", SPAN_ARGS(json_text(state, "url")));
	printf("%-26s %lld\n", "smtp port", (long long)json_integer_value(json_object_get(state, "smtp_port")));
	json_object_foreach(json_object_get(state, "switches"), name, value) {
		if (json_is_string(value))
			printf("%-26s %s\n", name, json_string_value(value));
		else
			printf("%-26s %lld\n", name, (long long)json_integer_value(value));
	}
	json_array_foreach(json_object_get(state, "users"), at, user) {
		printf("\n%.*s\n", SPAN_ARGS(json_text(user, "address")));
		json_object_foreach(json_object_get(user, "switches"), name, value)
			printf("  %-24s %s\n", name, json_string_value(value));
	}
}

static int ask_state(const struct ask *a)
{
	json_t *json;
	int code = fetch_json(a, "/twin/state", NULL, &json);

	if (code == DONE && a->json)
		print_json(json);
	else if (code == DONE)
		print_state(json);
	json_decref(json);
	return code;
}

static int ask_reset(const struct ask *a)
{
	return change(a, "/twin/reset", json_pack("{s:s}", "what", a->count ? a->words[0] : "all"));
}

static const struct {
	const char *name;
	int (*run)(const struct ask *);
} commands[] = { { "mail", ask_mail }, { "switch", ask_switch }, { "fault", ask_fault }, { "faults", ask_faults },
		 { "code", ask_code }, { "user", ask_user },	 { "connector", ask_connector }, { "service", ask_service },
		 { "state", ask_state }, { "reset", ask_reset } };

/* Where the twin is: --url, POSTERN_TWIN, else the port that it has by itself. Takes its own options out of the words. */
static bool read_words(struct ask *a, int count, char **words)
{
	const char *given = getenv("POSTERN_TWIN");

	*a = (struct ask){ .url = given && *given ? given : "http://localhost:3443", .words = words };
	for (int i = 0; i < count; i++) {
		if (!strcmp(words[i], "--json")) {
			a->json = true;
		} else if (!strcmp(words[i], "--url")) {
			if (++i == count)
				return false;
			a->url = words[i];
		} else {
			words[a->count++] = words[i];
		}
	}
	return true;
}

int twin_ask(int count, char **words)
{
	int code = USAGE;
	struct ask a;

	if (read_words(&a, count - 2, words + 2))
		for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
			if (!strcmp(commands[i].name, words[1]))
				code = commands[i].run(&a);
	if (code == USAGE)
		fprintf(stderr, "postern twin: `%s` was not understood; see postern twin --help\n", words[1]);
	return code;
}
