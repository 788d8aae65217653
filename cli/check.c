#include "cli/call.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/whole_file.h"
#include "cli/show.h"
#include "loop/address.h"
#include "loop/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 4 * 1024 * 1024, DAY_MS = 86400000, WARN_DAYS = 30 };

struct checking {
	const struct cli *cli;
	const struct config *config;
	json_t *lines;
	bool is_bad;
};

static void show(bool good, const char *what, const char *about)
{
	char text[2048];

	snprintf(text, sizeof text, "%s%s%s", what, *about ? ": " : "", about);
	printf("%-6s ", cli_word(good ? CLI_WORD_CHECK_GOOD : CLI_WORD_CHECK_BAD));
	show_wrapped(span_of(text), 7);
}

/* One line of the result: what was looked at, whether it is good, and a word on it. */
static void note(struct checking *k, bool good, const char *what, const char *about)
{
	k->is_bad = k->is_bad || !good;
	json_array_append_new(k->lines, json_pack("{s:b,s:s,s:s}", "good", good, "what", what, "about", about));
	if (!k->cli->json)
		show(good, what, about);
}

static bool read_named(struct span path, struct buf *out)
{
	char text[600];

	snprintf(text, sizeof text, "%.*s", SPAN_ARGS(path));
	return whole_file_read(text, out);
}

static void check_certificate(struct checking *k, const struct config_listener *l)
{
	char what[200], about[300];
	const char *why = strerror(ENOENT);
	struct tls_server_settings settings = { .lowest = TLS_VERSION_1_2 };
	struct buf certificate, key;
	struct tls *tls = NULL;

	buf_init(&certificate, FILE_BYTES_MAX);
	buf_init(&key, FILE_BYTES_MAX);
	snprintf(what, sizeof what, "listener %.*s certificate", SPAN_ARGS(l->name));
	if (read_named(l->certificate, &certificate) && read_named(l->key, &key)) {
		settings.certificate_pem = buf_span(&certificate);
		settings.key_pem = buf_span(&key);
		if (tls_server_new(&tls, &settings, &why) == FAULT_OK) {
			int64_t days = (tls_ends_at_ms(tls) - clock_wall_ms()) / DAY_MS;

			snprintf(about, sizeof about, cli_language() == LANGUAGE_FR ? "finit dans %lld jours" : "ends in %lld days", (long long)days);
			note(k, days > 0, what, about);
			tls_drop(&tls);
			why = NULL;
		}
	}
	if (why)
		note(k, false, what, why);
	buf_free(&certificate);
	buf_wipe(&key);
}

/* Open to the network with no encryption is allowed for nobody but loopback. */
static void check_listener(struct checking *k, const struct config_listener *l)
{
	bool has_tls = !span_equal(l->tls, SPAN("none")), all_loopback = true;
	char what[200];

	for (size_t i = 0; i < l->addresses.count; i++) {
		struct address a;

		all_loopback = all_loopback && address_parse(&a, l->addresses.items[i], 0) && address_is_loopback(&a);
	}
	if (has_tls)
		check_certificate(k, l);
	snprintf(what, sizeof what, "listener %.*s tls", SPAN_ARGS(l->name));
	if (!has_tls && span_equal(l->protocol, SPAN("http")))
		note(k, all_loopback, what, all_loopback ? "none, on loopback" : "pages need TLS on any address but loopback");
	if (span_equal(l->lowest_tls, SPAN("1.0")) || span_equal(l->lowest_tls, SPAN("1.1")))
		note(k, true, what, "old versions are on: for old devices, on listed networks");
}

static void check_key(struct checking *k)
{
	char path[600];
	struct stat s;

	if (k->config->key_file.size)
		snprintf(path, sizeof path, "%.*s", SPAN_ARGS(k->config->key_file));
	else
		snprintf(path, sizeof path, "%.*s/kek", SPAN_ARGS(k->config->data));
	if (stat(path, &s))
		note(k, false, path, strerror(errno));
	else
		note(k, !(s.st_mode & 077), path, s.st_mode & 077 ? "others may read it: chmod 600" : "only its owner may read it");
}

/* What only the daemon knows; left out when none runs. */
static void check_providers(struct checking *k)
{
	json_t *answer, *items, *item;
	char path[600];
	struct stat s;
	long status = 0;
	size_t at;

	snprintf(path, sizeof path, "%.*s/control.sock", SPAN_ARGS(k->config->data));
	if (stat(path, &s) || call_daemon(k->cli->data, "GET", SPAN("/api/v1/providers"), NULL, &status, &answer))
		return;
	items = json_object_get(answer, "items");
	json_array_foreach(items, at, item) {
		const char *tls = json_string_value(json_object_get(item, "smtp_tls")), *host = json_string_value(json_object_get(item, "smtp_host"));
		const char *name = json_string_value(json_object_get(item, "name"));
		struct address a;
		bool is_none = tls && !strcmp(tls, "none");
		bool local = host && (!strcmp(host, "localhost") || (address_parse(&a, span_of(host), 0) && address_is_loopback(&a)));
		char what[200];

		snprintf(what, sizeof what, "provider %.100s", name ? name : "?");
		note(k, !is_none || local, what, is_none && !local ? "no TLS is for loopback only" : tls ? tls : "starttls");
	}
	json_decref(answer);
}

int cli_check(const struct cli *c)
{
	struct checking k = { .cli = c, .lines = json_array() };
	const char *path = cli_boot_file(c->arena, c->data, SPAN(""));
	struct config *config = NULL;
	char why[512];
	struct buf text;

	buf_init(&text, FILE_BYTES_MAX);
	if (!whole_file_read(path, &text)) {
		note(&k, false, path, strerror(errno));
	} else if (config_read(&config, path, buf_span(&text), why, sizeof why) != FAULT_OK) {
		note(&k, false, path, why);
	} else {
		k.config = config;
		note(&k, true, path, "");
		check_key(&k);
		for (size_t i = 0; i < config->listener_count; i++)
			check_listener(&k, &config->listeners[i]);
		check_providers(&k);
	}
	if (c->json) {
		char *dump = json_dumps(k.lines, JSON_INDENT(2));

		printf("%s\n", dump);
		free(dump);
	}
	json_decref(k.lines);
	config_free(&config);
	buf_free(&text);
	return k.is_bad ? CLI_FAILED : CLI_DONE;
}
