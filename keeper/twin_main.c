#include "keeper/twin_main.h"

#include "base/clock.h"
#include "base/whole_file.h"
#include "loop/disk.h"
#include "twin/twin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DONE = 0,
	FAILED = 1,
	USAGE = 2,
	SMTP_PORT = 3587,
	HTTP_PORT = 3443,
	HTTPS_PORT = 3444,
	MX_PORT = 3525,
	GOOGLE_PORT = 4587,
	GOOGLE_TLS_PORT = 4465,
};

static const char keys_name[] = "twin-keys.pem", ca_name[] = "twin-ca.pem";

static const char usage[] =
	"usage: postern twin [--config FILE] [--data DIR] [--mail DIR] [--port-base N]\n"
	"                    [--smtp-port N] [--http-port N] [--https-port N]\n"
	"                    [--mx-port N] [--client-ca FILE] [--google-port N]\n"
	"                    [--google-tls-port N] [--print-config]\n"
	"       postern twin mail [N]\n"
	"       postern twin switch NAME VALUE [MAILBOX]\n"
	"       postern twin fault NAME [STAGE] [times=N|always] [ms=N]\n"
	"                    [mailbox=ADDRESS] [text=REPLY]\n"
	"       postern twin faults\n"
	"       postern twin code ADDRESS\n"
	"       postern twin user ADDRESS [password=...] [authenticator=...] [name=...]\n"
	"                    [app_password=...] [send_as=...]\n"
	"       postern twin connector NAME [addresses=...] [certificate=...]\n"
	"                    [require_tls=on|off]\n"
	"       postern twin service EMAIL         (prints a new key file)\n"
	"       postern twin state\n"
	"       postern twin reset [mail|faults|switches|all]\n"
	"The commands take --json, and --url URL (else POSTERN_TWIN, else\n"
	"http://localhost:3443).\n";

struct options {
	const char *config_path, *mail_path, *client_ca_path;
	char data[512];
	int64_t smtp_port, http_port, https_port, mx_port, google_port, google_tls_port;
	bool print;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "postern twin: %s: %s\n", what, why);
	return FAILED;
}

static void default_data(char out[512])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (!geteuid())
		snprintf(out, 512, "/var/lib/postern-twin");
	else if (state && *state)
		snprintf(out, 512, "%s/postern-twin", state);
	else
		snprintf(out, 512, "%s/.local/state/postern-twin", home && *home ? home : ".");
}

static bool number_of(const char *text, int64_t limit, int64_t *out)
{
	uint64_t number;

	if (!text || !span_number(span_of(text), &number) || number > (uint64_t)limit)
		return false;
	*out = (int64_t)number;
	return true;
}

static bool take_option(struct options *o, const char *name, const char *value)
{
	int64_t base;

	if (!strcmp(name, "--config"))
		return (o->config_path = value);
	if (!strcmp(name, "--mail"))
		return (o->mail_path = value);
	if (!strcmp(name, "--data"))
		return value && snprintf(o->data, sizeof o->data, "%s", value) < (int)sizeof o->data;
	if (!strcmp(name, "--smtp-port"))
		return number_of(value, 65535, &o->smtp_port);
	if (!strcmp(name, "--http-port"))
		return number_of(value, 65535, &o->http_port);
	if (!strcmp(name, "--mx-port"))
		return number_of(value, 65535, &o->mx_port);
	if (!strcmp(name, "--client-ca"))
		return (o->client_ca_path = value);
	if (!strcmp(name, "--https-port"))
		return number_of(value, 65535, &o->https_port);
	if (!strcmp(name, "--google-port"))
		return number_of(value, 65535, &o->google_port);
	if (!strcmp(name, "--google-tls-port"))
		return number_of(value, 65535, &o->google_tls_port);
	if (strcmp(name, "--port-base") || !number_of(value, 65535 - GOOGLE_PORT, &base))
		return false;
	o->smtp_port = base + SMTP_PORT;
	o->http_port = base + HTTP_PORT;
	o->mx_port = base + MX_PORT;
	o->google_port = base + GOOGLE_PORT;
	o->google_tls_port = base + GOOGLE_TLS_PORT;
	o->https_port = base + HTTPS_PORT;
	return true;
}

static bool read_options(struct options *o, int count, char **words)
{
	*o = (struct options){ .smtp_port = -1, .http_port = -1, .https_port = -1, .mx_port = -1, .google_port = -1, .google_tls_port = -1 };
	default_data(o->data);
	for (int i = 1; i < count; i++) {
		if (!strcmp(words[i], "--print-config")) {
			o->print = true;
			continue;
		}
		if (!take_option(o, words[i], i + 1 < count ? words[i + 1] : NULL))
			return false;
		i++;
	}
	/* Who moves the one wants the others out of the way too. */
	if (o->smtp_port >= 0 && o->mx_port < 0)
		o->mx_port = 0;
	if (o->smtp_port >= 0 && o->google_port < 0)
		o->google_port = 0;
	if (o->smtp_port >= 0 && o->google_tls_port < 0)
		o->google_tls_port = 0;
	/* Two twins on one machine differ by the port of their pages: the other one goes with it, chosen by the system or beside it. */
	if (o->http_port >= 0 && o->http_port < 65535 && o->https_port < 0)
		o->https_port = o->http_port ? o->http_port + 1 : 0;
	return true;
}

/* Makes the directories above the last one. */
static void make_parents(const char *path)
{
	char part[512];

	snprintf(part, sizeof part, "%s", path);
	for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
		struct disk *d = NULL;

		*at = 0;
		if (access(part, F_OK) && disk_open(&d, part, true) == FAULT_OK)
			disk_close(&d);
		*at = '/';
	}
}

/* A whole small file of the directory, appended. */
static bool read_file(struct disk *d, const char *name, struct buf *out)
{
	struct disk_file *file = NULL;
	uint64_t size = 0;
	size_t got = 0;
	char *room;
	bool ok = disk_file_open(&file, d, name, DISK_READ) == FAULT_OK && disk_size(file, &size) == FAULT_OK && (room = buf_room(out, size)) &&
		  disk_read(file, 0, room, size, &got) == FAULT_OK;

	if (file)
		disk_file_close(&file);
	buf_grew(out, ok ? got : 0);
	return ok;
}

static enum fault write_file(struct disk *d, const char *name, struct span bytes)
{
	struct disk_file *file = NULL;
	enum fault fault = disk_remove(d, name);

	if (fault == FAULT_OK || fault == FAULT_NOT_FOUND)
		fault = disk_file_open(&file, d, name, DISK_MAKE);
	if (fault == FAULT_OK)
		fault = disk_write(file, 0, bytes);
	if (fault == FAULT_OK)
		fault = disk_sync(file);
	if (file)
		disk_file_close(&file);
	return fault;
}

/* The keys of the last time, or new ones. */
static enum fault open_keys(struct twin_keys **out, struct disk *d)
{
	enum fault fault = FAULT_OK;
	struct buf saved;

	buf_init(&saved, (size_t)TWIN_PEM_BYTES * 4);
	if (!read_file(d, keys_name, &saved) || twin_keys_load(out, buf_span(&saved), clock_wall_ms()) != FAULT_OK) {
		buf_clear(&saved);
		fault = twin_keys_make(out, clock_wall_ms());
		if (fault == FAULT_OK)
			fault = twin_keys_save(*out, &saved);
		if (fault == FAULT_OK)
			fault = write_file(d, keys_name, buf_span(&saved));
	}
	if (fault == FAULT_OK)
		fault = write_file(d, ca_name, twin_keys_ca(*out));
	buf_wipe(&saved);
	return fault;
}

/* For people: who there is, and where. */
static void introduce(struct twin *t)
{
	const struct twin_tenant *tenant = twin_tenant(t);

	printf("\n%s (%s)\n  pages and switches  %s\n  the same under TLS  %s\n  SMTP                127.0.0.1:%u, STARTTLS\n  MX                  127.0.0.1:%u\n"
	       "  Gmail's SMTP        127.0.0.1:%u, STARTTLS; 127.0.0.1:%u, TLS\n",
	       tenant->name, tenant->domain, twin_url(t), twin_secure_url(t), (unsigned)twin_smtp_port(t), (unsigned)twin_mx_port(t),
	       (unsigned)twin_google_port(t, false), (unsigned)twin_google_port(t, true));
	for (size_t i = 0; i < tenant->app_count; i++)
		printf("  application         %s  %s\n  client secret       %s\n", tenant->apps[i].name, tenant->apps[i].id, tenant->apps[i].secret);
	for (size_t i = 0; i < tenant->user_count; i++)
		printf("  %-30s %-20s %s\n", tenant->users[i].address, tenant->users[i].password, tenant->users[i].authenticator);
	printf("\n  A code of an authenticator: postern twin code ADDRESS\n");
}

static void stop(void *self)
{
	loop_stop(self);
}

static int serve(const struct options *o, struct disk *data, struct disk *mail)
{
	struct twin_settings settings = { .smtp_port = o->smtp_port, .http_port = o->http_port, .mx_port = o->mx_port, .https = true,
					  .https_port = o->https_port, .google_port = o->google_port,
					  .google_tls_port = o->google_tls_port, .mail_directory = mail };
	struct loop *loop = loop_new();
	char why[TWIN_WHY_BYTES] = "";
	struct twin *twin = NULL;
	struct buf config, client_ca;
	enum fault fault;

	buf_init(&config, TWIN_CONFIG_BYTES);
	if (o->config_path && !whole_file_read(o->config_path, &config))
		return complain(o->config_path, strerror(errno));
	buf_init(&client_ca, TWIN_CONFIG_BYTES);
	if (o->client_ca_path && !whole_file_read(o->client_ca_path, &client_ca))
		return complain(o->client_ca_path, strerror(errno));
	settings.client_ca_pem = buf_span(&client_ca);
	settings.config = buf_span(&config);
	fault = open_keys(&settings.keys, data);
	if (fault != FAULT_OK)
		return complain(o->data, fault_row(fault)->says[LANGUAGE_EN]);
	fault = twin_new(&twin, loop, &settings, why);
	buf_free(&config);
	buf_free(&client_ca);
	if (fault != FAULT_OK)
		return complain(fault_row(fault)->says[LANGUAGE_EN], why);
	loop_on_signal(loop, SIGTERM, stop, loop);
	loop_on_signal(loop, SIGINT, stop, loop);
	printf("ready smtp=127.0.0.1:%u http=%s ca=%s/%s mx=127.0.0.1:%u https=%s google=127.0.0.1:%u google_tls=127.0.0.1:%u\n", (unsigned)twin_smtp_port(twin),
	       twin_url(twin), o->data, ca_name, (unsigned)twin_mx_port(twin), twin_secure_url(twin), (unsigned)twin_google_port(twin, false),
	       (unsigned)twin_google_port(twin, true));
	if (isatty(STDOUT_FILENO))
		introduce(twin);
	fflush(stdout);
	loop_run(loop);
	return DONE;
}

int twin_main(int count, char **words)
{
	struct disk *data = NULL, *mail = NULL;
	struct options o;
	enum fault fault;

	if (count > 1 && words[1][0] != '-')
		return twin_ask(count, words);
	if (!read_options(&o, count, words)) {
		fputs(usage, count > 1 && !strcmp(words[1], "--help") ? stdout : stderr);
		return count > 1 && !strcmp(words[1], "--help") ? DONE : USAGE;
	}
	if (o.print) {
		printf("%.*s", SPAN_ARGS(twin_config_preset()));
		return DONE;
	}
	make_parents(o.data);
	fault = disk_open(&data, o.data, true);
	if (fault == FAULT_OK)
		fault = disk_lock(data);
	if (fault != FAULT_OK)
		return complain(o.data, fault_row(fault)->says[LANGUAGE_EN]);
	if (o.mail_path && disk_open(&mail, o.mail_path, true) != FAULT_OK)
		return complain(o.mail_path, strerror(errno));
	return serve(&o, data, mail);
}
