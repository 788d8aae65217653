/* The whole story on one machine: a simulated tenant, a gateway, a sign-in with a second factor, a mail, and a mail that waits until a switch is back on.
 * It types what a person would type, and reads what the product says; nothing is prepared behind its back. */
#include "cli/browser.h"
#include "base/text.h"
#include "base/whole_file.h"
#include "cli/cli.h"
#include "cli/process.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_BYTES = 1024 * 1024, START_WAIT_MS = 20000, PATIENCE_S = 60, LINE_COLUMNS = 200 };

static const char tenant[] = "contoso.example";
static const char app_id[] = "5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01";
static const char app_secret[] = "twn8Q~Contoso.demo.client.secret";
static const char address[] = "alex@contoso.example", password[] = "Correct-Horse-7";

struct demo {
	const struct cli *cli;
	char directory[600], data[700], log[700];
	char twin_url[200], twin_ca[700];
	unsigned twin_smtp_port, smtp_port;
	char client_password[200], link[600], held_id[80];
	struct buf output;
	const char *broken; /* the step that is to be broken on purpose, or "" */
};

static void say(const char *step, struct span text)
{
	struct buf clean;

	buf_init(&clean, 4096);
	text_plain(&clean, span_slice(text, 0, 3000));
	printf("%-9s %.*s\n", step, SPAN_ARGS(buf_span(&clean)));
	fflush(stdout);
	buf_free(&clean);
}

static bool give_up(struct demo *d, const char *step, struct span why)
{
	printf("%-9s FAILED: %.*s\n", step, SPAN_ARGS(why));
	printf("%-9s logs: %s\n", "", d->log);
	fflush(stdout);
	return false;
}

static bool is_broken(const struct demo *d, const char *step)
{
	return !strcmp(d->broken, step);
}

/* Types `postern ...`; the words end with NULL. The answer stays in d->output. */
static bool type(struct demo *d, struct span input, const char *const *more)
{
	const char *words[64] = { process_self() };
	size_t count = 1;

	while (*more && count < 58)
		words[count++] = *more++;
	words[count++] = "--data";
	words[count++] = d->data;
	buf_clear(&d->output);
	return process_run(words, input, &d->output) == 0;
}

#define TYPE(d, ...) type(d, SPAN(""), (const char *const[]){ __VA_ARGS__, NULL })

static json_t *answer(struct demo *d)
{
	return json_loadb(d->output.at ? d->output.at : "", d->output.size, 0, NULL);
}

/* A member of the JSON that the last command printed, or "". */
static void answer_text(struct demo *d, const char *name, char *out, size_t size)
{
	json_t *object = answer(d);
	const char *text = json_string_value(json_object_get(object, name));

	snprintf(out, size, "%s", text ? text : "");
	json_decref(object);
}

/* --- the beginning */

static bool start_twin(struct demo *d)
{
	char twin_data[720], port[16], http_port[16], base[16];
	const struct span wanted = cli_value(d->cli, "port-base");
	const char *words[] = { process_self(), "twin", "--data", twin_data, "--smtp-port", port, "--http-port", http_port, NULL };
	unsigned long port_base = 0;
	struct buf line;
	bool good;

	snprintf(base, sizeof base, "%.*s", SPAN_ARGS(wanted));
	port_base = wanted.size ? strtoul(base, NULL, 10) : 0;
	snprintf(twin_data, sizeof twin_data, "%s/twin", d->directory);
	snprintf(port, sizeof port, "%lu", d->cli && cli_value(d->cli, "once").at ? 0 : port_base + 3587);
	snprintf(http_port, sizeof http_port, "%lu", d->cli && cli_value(d->cli, "once").at ? 0 : port_base + 3443);
	buf_init(&line, 4096);
	good = process_start(words, d->log, "ready ", START_WAIT_MS, &line) && buf_put_byte(&line, 0) &&
	       sscanf(line.at, "ready smtp=127.0.0.1:%u http=%199s ca=%699s", &d->twin_smtp_port, d->twin_url, d->twin_ca) == 3;
	if (good)
		say("twin", span_of(line.at));
	else
		give_up(d, "twin", SPAN("the simulated tenant does not start"));
	buf_free(&line);
	return good;
}

/* The boot file that init wrote, on ports of its own where the story runs alone, and trusting the twin's CA. */
static bool adapt_boot_file(struct demo *d, bool free_ports)
{
	char path[800];
	struct buf text, out;
	FILE *file;
	size_t size;
	struct span rest, line;

	snprintf(path, sizeof path, "%s/postern.conf", d->data);
	buf_init(&text, OUTPUT_BYTES);
	buf_init(&out, OUTPUT_BYTES);
	if (!whole_file_read(path, &text))
		return false;
	buf_print(&out, "extra_ca_file = \"%s\"\nprobe_first_ms = 500\n", d->twin_ca);
	for (rest = buf_span(&text); span_cut(&rest, '\n', &line);)
		if (free_ports && span_starts(span_trim(line), SPAN("port = ")))
			buf_put(&out, SPAN("\tport = 0\n"));
		else
			buf_print(&out, "%.*s\n", SPAN_ARGS(line));
	file = fopen(path, "we");
	if (!file)
		return false;
	size = fwrite(out.at, 1, out.size, file);
	size = size == out.size && !fclose(file);
	buf_free(&text);
	buf_free(&out);
	return size;
}


static bool start_gateway(struct demo *d)
{
	bool once = cli_value(d->cli, "once").at != NULL;
	char base[16];
	const char *words[] = { process_self(), "serve", "--data", d->data, "--port-base", base, NULL };
	struct buf line;
	bool good;

	snprintf(base, sizeof base, "%.*s", SPAN_ARGS(cli_value(d->cli, "port-base")));
	if (!base[0])
		words[4] = NULL;
	if (!TYPE(d, "init", "--host-name", "localhost") || !adapt_boot_file(d, once))
		return give_up(d, "gateway", buf_span(&d->output));
	buf_init(&line, 4096);
	good = process_start(words, d->log, "listening submission 127.0.0.1:", START_WAIT_MS, &line);
	if (good) {
		buf_put_byte(&line, 0);
		d->smtp_port = (unsigned)strtoul(line.at + strlen("listening submission 127.0.0.1:"), NULL, 10);
		say("gateway", span_of(line.at));
	}
	buf_free(&line);
	return good || give_up(d, "gateway", SPAN("Postern does not start"));
}

static bool set_up(struct demo *d)
{
	char issuer[300], port[16];

	snprintf(issuer, sizeof issuer, "%s/%s/v2.0", d->twin_url, tenant);
	snprintf(port, sizeof port, "%u", d->twin_smtp_port);
	if (!TYPE(d, "org", "add", "contoso", "--language", "en") ||
	    !type(d, span_of(app_secret),
		  (const char *const[]){ "provider", "add", "m365", "--org", "contoso", "--kind", "microsoft", "--tenant", tenant, "--client-id", app_id,
					 "--client-secret", "--issuer", issuer, "--smtp-host", "localhost", "--smtp-port", port, NULL }) ||
	    !TYPE(d, "mailbox", "add", address, "--org", "contoso", "--provider", "m365") ||
	    !TYPE(d, "client", "add", "erp", "--org", "contoso", "--mailbox", address, "--json"))
		return give_up(d, "set-up", buf_span(&d->output));
	answer_text(d, "password", d->client_password, sizeof d->client_password);
	say("set-up", SPAN("organisation contoso, provider m365, mailbox alex@contoso.example, client erp"));
	return d->client_password[0] || give_up(d, "set-up", SPAN("no client password came"));
}

/* --- the consent */

static bool authenticator_code(struct demo *d, char code[16])
{
	struct browser *b = browser_new("en");
	char url[400];
	json_t *object = NULL;
	const char *text;

	snprintf(url, sizeof url, "%s/twin/code?address=%s", d->twin_url, address);
	if (browser_open(b, url))
		object = json_loadb(browser_page(b).at, browser_page(b).size, 0, NULL);
	text = json_string_value(json_object_get(object, "code"));
	snprintf(code, 16, "%s", text ? text : "");
	/* The code of another minute is as wrong as any. */
	if (is_broken(d, "code") && code[0])
		code[0] = code[0] == '9' ? '0' : (char)(code[0] + 1);
	json_decref(object);
	browser_free(&b);
	return code[0] != 0;
}

/* From the provider's first page to the page it sends back to. */
static bool sign_in(struct demo *d, struct browser *b)
{
	for (int pages = 0; pages < 8 && !strncmp(browser_address(b), d->twin_url, strlen(d->twin_url)); pages++) {
		struct browser_field fields[2] = { { "login", address }, { "passwd", password } };
		char code[16];
		bool good;

		if (browser_has_field(b, "passwd"))
			good = browser_submit(b, 0, fields, 2);
		else if (browser_has_field(b, "otc"))
			good = authenticator_code(d, code) && browser_submit(b, 0, &(struct browser_field){ "otc", code }, 1);
		else if (browser_has_field(b, "ucaccept"))
			good = browser_submit(b, 0, &(struct browser_field){ "ucaccept", "Yes" }, 1);
		else
			return false;
		if (!good)
			return false;
		if (is_broken(d, "code") && browser_has_field(b, "otc"))
			return false;
	}
	return true;
}

static bool link_mailbox(struct demo *d)
{
	struct browser *b = browser_new("en");
	struct buf words;
	char state[80];
	bool good;

	buf_init(&words, 4096);
	if (!TYPE(d, "mailbox", "link", address, "--json")) {
		browser_free(&b);
		return give_up(d, "linked", buf_span(&d->output));
	}
	answer_text(d, "link", d->link, sizeof d->link);
	good = browser_open(b, d->link) && browser_submit(b, 0, NULL, 0) && sign_in(d, b) && browser_status(b) == 200;
	browser_words(b, &words, LINE_COLUMNS);
	if (!good)
		give_up(d, "linked", words.size ? buf_span(&words) : span_of(browser_error(b)));
	if (good && (good = TYPE(d, "mailbox", "show", address, "--json"))) {
		answer_text(d, "state", state, sizeof state);
		buf_clear(&d->output);
		buf_print(&d->output, "%s with password and authenticator code; state %s; the page says: %.*s", address, state,
			  SPAN_ARGS(buf_span(&words)));
		say("linked", buf_span(&d->output));
	}
	buf_free(&words);
	browser_free(&b);
	return good;
}

/* --- the mails */

/* The line of swaks that begins with the server's answer to the final dot. */
static struct span verdict_of(struct buf *output)
{
	struct span rest = buf_span(output), line, last = { "", 0 };
	bool is_sent = false;

	while (span_cut(&rest, '\n', &line)) {
		is_sent = is_sent || span_starts(line, SPAN(" ~> .")) || span_starts(line, SPAN(" -> ."));
		if (is_sent && !last.size && (span_starts(line, SPAN("<~  ")) || span_starts(line, SPAN("<~* ")) || span_starts(line, SPAN("<** "))))
			last = span_slice(line, 4, line.size);
	}
	return span_trim(last);
}

static bool swaks(struct demo *d, const char *subject, struct span *verdict_out)
{
	char port[16], header[100], ca[800];
	const char *words[] = { "swaks", "--server", "localhost", "--port", port, "--tls", "--tls-ca-path", ca, "--auth", "PLAIN", "--auth-user", "erp",
				"--auth-password", d->client_password, "--auth-hide-password", "--from", address, "--to", "someone@fabrikam.example",
				"--header", header, "--timeout", "60", NULL };
	int code;

	snprintf(port, sizeof port, "%u", d->smtp_port);
	snprintf(header, sizeof header, "Subject: %s", subject);
	snprintf(ca, sizeof ca, "%s/ca.pem", d->data);
	buf_clear(&d->output);
	code = process_run(words, SPAN(""), &d->output);
	*verdict_out = verdict_of(&d->output);
	if (!verdict_out->size && code)
		*verdict_out = span_trim(buf_span(&d->output));
	return code == 0;
}

/* Whether a mail with this subject lies at the twin. */
static bool has_arrived(struct demo *d, const char *subject)
{
	struct browser *b = browser_new("en");
	char url[400];
	bool found = false;

	snprintf(url, sizeof url, "%s/twin/mail", d->twin_url);
	if (browser_open(b, url))
		found = span_find(browser_page(b), span_of(subject)) < browser_page(b).size;
	browser_free(&b);
	return found;
}

static bool wait_for_mail(struct demo *d, const char *subject, int patience_s)
{
	struct timespec pause = { 0, 100 * 1000000 };
	bool is_told = false;

	for (int i = 0; i < patience_s * 10; i++) {
		if (has_arrived(d, subject))
			return true;
		nanosleep(&pause, NULL);
		if (i == 10 && isatty(STDOUT_FILENO)) {
			printf(cli_word(CLI_WORD_WAITING), subject);
			fflush(stdout);
			is_told = true;
		}
	}
	if (is_told)
		putchar('\n');
	return false;
}

static bool accept_mail(struct demo *d)
{
	struct span verdict;

	if (!swaks(d, "the first mail", &verdict) || span_find(verdict, SPAN(" accepted by ")) == verdict.size)
		return give_up(d, "accepted", verdict);
	say("accepted", verdict);
	if (!wait_for_mail(d, "the first mail", 10))
		return give_up(d, "arrived", SPAN("the mail is not at the twin"));
	say("arrived", SPAN("\"the first mail\" lies at the twin"));
	return true;
}

static bool throw_switch(struct demo *d, const char *value)
{
	const char *words[] = { process_self(), "twin", "switch", "smtp_auth", value, "--url", d->twin_url, NULL };

	buf_clear(&d->output);
	return process_run(words, SPAN(""), &d->output) == 0;
}

static bool hold_mail(struct demo *d)
{
	struct span verdict, rest, word;

	if (!is_broken(d, "off") && !throw_switch(d, "off"))
		return give_up(d, "switch", buf_span(&d->output));
	if (!is_broken(d, "off"))
		say("switch", SPAN("SMTP AUTH is off for the tenant"));
	if (!swaks(d, "the second mail", &verdict) || span_find(verdict, SPAN(" held: ")) == verdict.size)
		return give_up(d, "held", verdict);
	say("held", verdict);
	rest = span_slice(verdict, 4, verdict.size); /* behind "250 " or "250-": enhanced code, id, what became of it */
	for (int i = 0; i < 2 && span_cut(&rest, ' ', &word); i++)
		snprintf(d->held_id, sizeof d->held_id, "%.*s", SPAN_ARGS(word));
	if (!TYPE(d, "queue", "show", d->held_id, "--json"))
		return give_up(d, "held", buf_span(&d->output));
	if (has_arrived(d, "the second mail"))
		return give_up(d, "held", SPAN("the mail arrived although SMTP AUTH is off"));
	return true;
}

static bool release_mail(struct demo *d)
{
	if (!is_broken(d, "on") && !throw_switch(d, "on"))
		return give_up(d, "switch", buf_span(&d->output));
	if (!is_broken(d, "on"))
		say("switch", SPAN("SMTP AUTH is on again; nothing else is done"));
	if (!wait_for_mail(d, "the second mail", is_broken(d, "on") ? 10 : PATIENCE_S))
		return give_up(d, "released", SPAN("the held mail did not go out"));
	buf_clear(&d->output);
	buf_print(&d->output, "%s by itself, and delivered: \"the second mail\" lies at the twin", d->held_id);
	say("released", buf_span(&d->output));
	return true;
}

/* --- with a person */

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
	(void)number;
	is_interrupted = 1;
}

static bool show_around(struct demo *d)
{
	struct timespec pause = { 1, 0 };

	if (!TYPE(d, "mailbox", "link", address, "--json"))
		return give_up(d, "link", buf_span(&d->output));
	answer_text(d, "link", d->link, sizeof d->link);
	printf("\n1. Open this in a browser, and sign in as %s with the password %s;\n   the authenticator code is on the twin's first page.\n\n   %s\n\n", address,
	       password, d->link);
	printf("2. Send a mail:\n\n   swaks --server localhost --port %u --tls --tls-ca-path %s/ca.pem \\\n      --auth PLAIN --auth-user erp --auth-password %s \\\n"
	       "      --from %s --to someone@fabrikam.example\n\n",
	       d->smtp_port, d->data, d->client_password, address);
	printf("3. Look at the tenant, its switches and the mail that arrived:\n\n   %s/\n\n", d->twin_url);
	printf("4. Ask the gateway:\n\n   %s status --data %s\n   %s queue list --data %s\n\nCtrl-C ends both; nothing is kept.\n", process_self(), d->data, process_self(),
	       d->data);
	fflush(stdout);
	while (!is_interrupted)
		nanosleep(&pause, NULL);
	return true;
}

static bool tell(struct demo *d)
{
	if (!start_twin(d) || !start_gateway(d) || !set_up(d))
		return false;
	if (!cli_value(d->cli, "once").at)
		return show_around(d);
	return link_mailbox(d) && accept_mail(d) && hold_mail(d) && release_mail(d);
}

static void remove_tree(const char *path)
{
	const char *words[] = { "rm", "-rf", path, NULL };
	struct buf out;

	buf_init(&out, 4096);
	process_run(words, SPAN(""), &out);
	buf_free(&out);
}

int cli_demo(const struct cli *c)
{
	struct demo d = { .cli = c };
	char broken[40];
	struct sigaction action = { .sa_handler = on_interrupt };
	bool good;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	snprintf(broken, sizeof broken, "%.*s", SPAN_ARGS(cli_value(c, "break")));
	d.broken = broken;
	snprintf(d.directory, sizeof d.directory, "%s/postern-demo-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(d.directory))
		return CLI_FAILED;
	chmod(d.directory, 0711);
	snprintf(d.data, sizeof d.data, "%s/data", d.directory);
	snprintf(d.log, sizeof d.log, "%s/log", d.directory);
	buf_init(&d.output, OUTPUT_BYTES);
	good = tell(&d);
	process_end_all();
	buf_wipe(&d.output);
	if (good)
		remove_tree(d.directory);
	return good ? CLI_DONE : CLI_FAILED;
}
