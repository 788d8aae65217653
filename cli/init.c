#include "cli/cli.h"

#include "base/buf.h"
#include "base/secret.h"
#include "base/text.h"
#include "loop/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, KEY_BYTES = 32, TEXT_BYTES = 64 * 1024, UID_BASE = 64190 };

static int complain(const char *path)
{
	fprintf(stderr, "postern: %s: %s\n", path, strerror(errno));
	return CLI_FAILED;
}

/* Makes a file that is not there yet, whole and synced. */
static int write_file(const char *data, const char *name, mode_t mode, struct span text)
{
	char path[PATH_BYTES + 32];
	int fd;
	bool good;

	snprintf(path, sizeof path, "%s/%s", data, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return complain(path);
	good = write(fd, text.at, text.size) == (ssize_t)text.size && !fsync(fd);
	if (close(fd) || !good)
		return complain(path);
	printf(cli_word(CLI_WORD_INIT_MADE), path);
	putchar('\n');
	return CLI_DONE;
}

/* The parents too; only the last one is ours alone. */
static int make_directory(const char *data)
{
	char path[512];

	snprintf(path, sizeof path, "%s", data);
	for (char *at = path + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return complain(path);
		*at = '/';
	}
	if (mkdir(path, 0711) && errno != EEXIST)
		return complain(path);
	return CLI_DONE;
}

static int write_key(const char *data)
{
	struct secret *key = secret_random(KEY_BYTES);
	struct buf text;
	int result;

	buf_init(&text, 256);
	text_base64(&text, secret_borrow(key));
	buf_put_byte(&text, '\n');
	result = write_file(data, "kek", 0600, buf_span(&text));
	buf_wipe(&text);
	secret_free(&key);
	return result;
}

static int write_certificates(const char *folder, struct span host_name)
{
	struct certificate_pair authority, server;
	struct span names[] = { host_name, SPAN("localhost"), SPAN("127.0.0.1"), SPAN("::1") };
	int result = CLI_FAILED;

	if (certificate_authority(&authority, "Postern local CA") != FAULT_OK)
		return CLI_FAILED;
	if (certificate_for(&server, &authority, names, sizeof names / sizeof *names, false) == FAULT_OK) {
		result = write_file(folder, "ca.pem", 0644, buf_span(&authority.certificate_pem));
		if (!result)
			result = write_file(folder, "server.pem", 0644, buf_span(&server.certificate_pem));
		if (!result)
			result = write_file(folder, "server.key", 0600, buf_span(&server.key_pem));
	} else {
		fprintf(stderr, "postern: %.*s: %s\n", SPAN_ARGS(host_name), fault_row(FAULT_BAD_ADDRESS)->says[cli_language()]);
	}
	certificate_pair_free(&server);
	certificate_pair_free(&authority);
	return result;
}

static void put_listener(struct buf *b, const char *folder, const char *name, int port, const char *tls, const char *more)
{
	buf_print(b, "\nlistener %s {\n\tport = %d\n\taddresses = { \"127.0.0.1\", \"::1\" }   # loopback until you say otherwise\n\ttls = %s\n", name, port, tls);
	if (strcmp(tls, "none"))
		buf_print(b, "\tcertificate = \"%s/server.pem\"\n\tkey = \"%s/server.key\"\n", folder, folder);
	buf_print(b, "%s}\n", more);
}

static int write_boot_file(const char *data, const char *folder, struct span host_name, struct span public_url)
{
	struct buf b;
	int result;

	buf_init(&b, TEXT_BYTES);
	buf_print(&b, "# The boot file of Postern: what is needed before there is a database. postern.conf(5) names every key.\n"
		      "# `postern check` reads it; SIGHUP puts changes in force.\n\ndata = \"%s\"\nhost_name = \"%.*s\"\n",
		  data, SPAN_ARGS(host_name));
	/* Started as root, each role wants a user of its own; the package makes them, a bare machine has none. */
	if (!geteuid() && !getpwnam("postern-gate"))
		buf_print(&b, "uid_base = %d   # no users postern-gate, postern-vault, ... on this machine: numeric ids from here\n", UID_BASE);
	if (strcmp(data, folder))
		buf_print(&b, "key_file = \"%s/kek\"\n", folder);
	if (public_url.size)
		buf_print(&b, "public_url = \"%.*s\"\n", SPAN_ARGS(public_url));
	put_listener(&b, folder, "submission", 587, "starttls", "");
	put_listener(&b, folder, "submissions", 465, "implicit", "");
	put_listener(&b, folder, "devices", 25, "starttls", "\tmechanisms = {}\n\tnetworks_only = yes   # only addresses in a client's trusted networks\n");
	buf_print(&b, "\nlistener local {\n\taddresses = { \"%s/local.sock\" }   # programs of this machine, by `postern sendmail`\n\ttls = none\n\tmechanisms = {}\n"
		      "\tnetworks_only = yes   # only users in a client's trusted networks, such as uid:33\n}\n", data);
	put_listener(&b, folder, "web", 8443, "none", "\tprotocol = http   # on loopback providers allow http://localhost as redirect address\n");
	result = write_file(folder, "postern.conf", 0644, buf_span(&b));
	buf_free(&b);
	return result;
}

/* Where key, certificates and boot file go: the system's folder, where a package made it and nobody chose another data directory. */
static const char *choose_folder(const struct cli *c, const char *data)
{
	struct span given = cli_value(c, "config-dir");

	if (given.size)
		return given.at;
	return !geteuid() && !strcmp(data, "/var/lib/postern") && !access("/etc/postern/postern.conf", F_OK) ? "/etc/postern" : data;
}

/* An absolute path, since the boot file names it. */
static int make_folder(const char *wanted, char absolute_out[PATH_BYTES])
{
	int result = make_directory(wanted);

	return !result && !realpath(wanted, absolute_out) ? complain(wanted) : result;
}

/* A boot file that is there already, as a package brings one, stays as it is. */
static int make_all(const struct cli *c, const char *wanted, struct span host_name)
{
	char data[PATH_BYTES], folder[PATH_BYTES], path[PATH_BYTES + 32];
	int result = make_folder(c->data, data);

	if (!result)
		result = make_folder(wanted, folder);
	if (!result)
		result = write_certificates(folder, host_name);
	snprintf(path, sizeof path, "%s/postern.conf", folder);
	if (!result && access(path, F_OK))
		result = write_boot_file(data, folder, host_name, cli_value(c, "public-url"));
	return result ? result : write_key(folder);
}

int cli_init(const struct cli *c)
{
	const char *folder = choose_folder(c, c->data);
	struct span host_name = cli_value(c, "host-name");
	char own[256] = "localhost", path[600];
	int result;

	if (!host_name.size) {
		gethostname(own, sizeof own - 1);
		host_name = span_of(own);
	}
	snprintf(path, sizeof path, "%s/kek", folder);
	if (!access(path, F_OK)) {
		fprintf(stderr, "postern: ");
		fprintf(stderr, cli_word(CLI_WORD_INIT_EXISTS), folder);
		fputc('\n', stderr);
		return CLI_FAILED;
	}
	result = make_all(c, folder, host_name);
	if (!result)
		printf("%s\n", cli_word(CLI_WORD_INIT_NEXT));
	return result;
}
