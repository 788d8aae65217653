/* Serves desk's pages with a vault that makes things up, to look at: desk_pages PORT [PROVIDER]. The link, as in /link/wrong, chooses what comes of it.
 * It is `green`, or a fault's name; with `long-` before it the mailbox has the longest of names. The button leads to PROVIDER?state=LINK, or else straight back. */
#include "base/json.h"
#include "base/panic.h"
#include "loop/role.h"
#include "loop/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KNOWN "\"address\":\"%s\",\"name\":\"Accounts payable\",\"provider\":\"Microsoft 365\",\"language\":\"en\""
#define SHORT "accounts.payable@contoso.example"
#define LONG "accounts.payable.of.the.subsidiaries-in-the-north-and-west@mail.departments.of-a-company-with-a-long-name.contoso.example"

/* What a provider says with it, or another account that signed in. */
static const struct {
	enum fault fault;
	const char *why, *account;
} details[] = {
	{ FAULT_WRONG_ACCOUNT, "", "adele.vance@contoso.example" },
	{ FAULT_OAUTH_DECLINED, "AADSTS65004: User declined to consent to access the app. Trace ID: 0b1e1f6f-0000-4a5c-9d3e-6a1c2d0f0a00", "" },
	{ FAULT_OAUTH_CONSENT_OF_ADMIN, "AADSTS90094: The grant requires admin permission.", "" },
	{ FAULT_OAUTH_POLICY_BLOCKED, "AADSTS53003: Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.", "" },
	{ FAULT_UNREACHABLE, "login.microsoftonline.com: connection refused", "" },
};

static bool is_of_link(enum fault f)
{
	return f == FAULT_LINK_LATE || f == FAULT_LINK_SPENT || f == FAULT_LINK_FOREIGN || f == FAULT_LINK_UNKNOWN;
}

struct show {
	struct loop *loop;
	void *desk;
	struct link *vault;
	const char *provider;
};

static void press(const struct show *s, struct link *link, const struct message *m, const json_t *arguments)
{
	struct span url = json_text(arguments, "public_url");
	char result[1000];

	if (s->provider)
		snprintf(result, sizeof result, "{\"browser\":\"B\",\"url\":\"%s?state=%.*s\"}", s->provider, SPAN_ARGS(json_text(arguments, "link")));
	else
		snprintf(result, sizeof result, "{\"browser\":\"B\",\"url\":\"%.*s/oauth/callback?code=c&state=%.*s\"}", SPAN_ARGS(url),
			 SPAN_ARGS(json_text(arguments, "link")));
	link_send(link, &MESSAGE_OF(answer, .request = m->call.request, .result = span_of(result)));
}

static void received(void *self, struct link *link, const struct message *m)
{
	json_t *arguments = json_read(m->call.arguments, MESSAGE_BYTES_MAX);
	bool is_way_back = span_equal(m->call.operation, SPAN("consent.finish"));
	struct span state = json_text(arguments, is_way_back ? "state" : "link");
	bool is_long = span_starts(state, SPAN("long-"));
	enum fault fault = fault_named(span_slice(state, is_long ? 5 : 0, state.size));
	const char *why = "", *account = fault == FAULT_COUNT ? is_long ? LONG : SHORT : "";
	char result[1000];

	if (span_equal(m->call.operation, SPAN("consent.press"))) {
		press(self, link, m, arguments);
		json_decref(arguments);
		return;
	}
	if (fault == FAULT_COUNT || !(is_way_back || is_of_link(fault)))
		fault = FAULT_OK;
	for (size_t i = 0; i < sizeof details / sizeof *details; i++)
		if (fault == details[i].fault) {
			why = details[i].why;
			account = details[i].account;
		}
	snprintf(result, sizeof result, "{" KNOWN ",\"account\":\"%s\",\"link_usable\":%s}", is_long ? LONG : SHORT, account, is_of_link(fault) ? "false" : "true");
	link_send(link, &MESSAGE_OF(answer, .request = m->call.request, .fault = fault, .why = span_of(why), .result = span_of(result)));
	json_decref(arguments);
}

static void ended(void *self, struct link *link)
{
	struct show *s = self;

	loop_stop(s->loop);
}

static void ready(void *self, enum fault fault, struct span why)
{
	printf("ready\n");
	fflush(stdout);
}

static void drained(void *self)
{
}

static int bound(const char *port)
{
	struct address a;
	int fd;

	if (!address_parse(&a, SPAN("127.0.0.1"), (uint16_t)atoi(port)))
		fatal("the port is wrong");
	fd = listener_bind(&a, 64);
	if (fd < 0)
		fatal("cannot listen on port %s", port);
	return fd;
}

int main(int count, char **arguments)
{
	static const struct link_events events = { .received = received, .ended = ended };
	const struct role_listener web = { .name = SPAN("web"), .fd = bound(count > 1 ? arguments[1] : "8443") };
	struct show s = { .loop = loop_new(), .provider = count > 2 ? arguments[2] : NULL };
	struct role_start start = { .listeners = &web, .listener_count = 1, .ready = ready, .drained = drained, .host = &s };
	struct config *config;
	char why[256];
	int ends[2];

	if (config_read(&config, "pages", SPAN("listener web { protocol = http tls = none }"), why, sizeof why) != FAULT_OK)
		fatal("the boot text is wrong");
	start.config = config;
	if (desk_role.start(&s.desk, s.loop, &start, why) != FAULT_OK || stream_pair(ends))
		fatal("desk does not start");
	desk_role.peer(s.desk, ROLE_VAULT, 0, ends[0]);
	s.vault = link_new_take(s.loop, ends[1], ROLE_VAULT, ROLE_DESK, 0, &events, &s);
	loop_run(s.loop);
	return 0;
}
