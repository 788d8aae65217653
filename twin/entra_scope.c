#include "twin/entra.h"

static const struct span graph = { "https://graph.microsoft.com", 27 };

/* What the resources have; a `.default` stands for all that was consented. */
static const struct {
	const char *resource, *names;
} known[] = {
	{ "https://outlook.office.com", "SMTP.Send IMAP.AccessAsUser.All POP.AccessAsUser.All .default" },
	{ "https://outlook.office365.com", "SMTP.Send IMAP.AccessAsUser.All POP.AccessAsUser.All .default" },
	{ "https://graph.microsoft.com", "User.Read Mail.Send Mail.ReadWrite Mail.Send.Shared Mail.ReadWrite.Shared SMTP.Send IMAP.AccessAsUser.All "
					 "POP.AccessAsUser.All .default" },
};

static bool is_openid(struct span scope)
{
	return twin_scope_has(SPAN("openid profile email offline_access"), scope);
}

static struct span resource_of(struct span scope)
{
	return span_starts_fold(scope, SPAN("https://")) ? span_slice(scope, 0, 8 + span_find_byte(span_slice(scope, 8, scope.size), '/')) : graph;
}

static struct span name_of(struct span scope)
{
	size_t size = span_starts_fold(scope, SPAN("https://")) ? resource_of(scope).size + 1 : 0;

	/* Some clients write the slash of the resource twice. */
	while (size && size < scope.size && scope.at[size] == '/')
		size++;
	return span_slice(scope, size, scope.size);
}

struct span entra_resource(struct span scopes)
{
	struct span one;

	while (span_cut(&scopes, ' ', &one))
		if (one.size && !is_openid(one))
			return resource_of(one);
	return graph;
}

static bool is_known(struct span scope)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (span_equal_fold(resource_of(scope), span_of(known[i].resource)) && twin_scope_has(span_of(known[i].names), name_of(scope)))
			return true;
	return false;
}

int entra_check_scopes(struct span scopes, struct span *bad_out)
{
	struct span one;

	while (span_cut(&scopes, ' ', &one)) {
		if (!one.size || is_openid(one) || is_known(one))
			continue;
		*bad_out = one;
		return 70011;
	}
	return 0;
}

static void put_one(struct buf *out, struct span resource, struct span name, bool in_full)
{
	if (out->size)
		buf_put_byte(out, ' ');
	if (in_full) {
		buf_put(out, resource);
		buf_put_byte(out, '/');
	}
	buf_put(out, name);
}

bool entra_is_default(struct span scopes, struct span *resource_out)
{
	struct span one = span_trim(scopes);

	*resource_out = resource_of(one);
	return one.size && span_find_byte(one, ' ') == one.size && span_equal(name_of(one), SPAN(".default")) && is_known(one);
}

void entra_put_roles(struct buf *out, struct span roles, struct span resource)
{
	bool is_graph = span_equal_fold(resource, graph);
	struct span one;

	/* Exchange's permissions for programs are those of its protocols; Graph's are the others. */
	while (span_cut(&roles, ' ', &one))
		if (one.size && span_ends_fold(one, SPAN("AsApp")) != is_graph)
			put_one(out, resource, one, false);
}

void entra_put_scopes(struct buf *out, struct span scopes, struct span resource, bool in_full)
{
	struct span one;

	while (span_cut(&scopes, ' ', &one)) {
		if (!one.size || is_openid(one) || !span_equal_fold(resource_of(one), resource))
			continue;
		if (!span_equal(name_of(one), SPAN(".default"))) {
			put_one(out, resource, name_of(one), in_full);
			continue;
		}
		if (span_equal_fold(resource, graph)) {
			put_one(out, resource, SPAN("Mail.ReadWrite"), in_full);
			put_one(out, resource, SPAN("Mail.Send"), in_full);
			put_one(out, resource, SPAN("User.Read"), in_full);
			continue;
		}
		put_one(out, resource, SPAN("SMTP.Send"), in_full);
		put_one(out, resource, SPAN("IMAP.AccessAsUser.All"), in_full);
		put_one(out, resource, SPAN("POP.AccessAsUser.All"), in_full);
	}
	if (!out->size)
		put_one(out, resource, SPAN("User.Read"), in_full);
}
