/* A connector: what post is given to go out by, what its provider sees, and what people are told of it. */
#include "loop/certificate.h"
#include "tests/vault_stage.h"

static void house(struct stage *s)
{
	stage_begin(s);
	assert_int_equal(stage_call(s, "org.add", "{'name':'o'}"), FAULT_OK);
	assert_int_equal(stage_call(s, "provider.add", "{'name':'relay','org':'o','kind':'connector','tenant':'o.example'}"), FAULT_OK);
	assert_int_equal(stage_call(s, "mailbox.add", "{'address':'a@o.example','org':'o','provider':'relay'}"), FAULT_OK);
}

static void nobody_signs_in(void **state)
{
	struct stage s;

	house(&s);
	assert_string_equal(stage_text(&s, "state"), "ready");
	assert_int_equal(stage_want(&s, 1, WAY_CONNECTOR, 0), FAULT_OK);
	assert_string_equal(s.token_host, "o.example");
	assert_string_equal(s.token_user, "a@o.example");
	assert_string_equal(s.token_source, "0.0.0.0");
	assert_string_equal(s.access_token, "");
	assert_true(s.token.by_mx && s.token.port == 25 && s.token.tls == 1 && !s.token.mechanism);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'relay','smtp_host':'mx.o.example','source':'192.0.2.7'}"), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_CONNECTOR, 0), FAULT_OK);
	assert_string_equal(s.token_host, "mx.o.example");
	assert_string_equal(s.token_source, "192.0.2.7");
	assert_false(s.token.by_mx);
	stage_end(&s);
}

/* The organisation's connector carries mailboxes of its other providers too. */
static void a_second_way(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','way':['connector']}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "not linked");
	assert_int_equal(stage_want(&s, 1, WAY_CONNECTOR, 0), FAULT_CONNECTOR_NOT_SET);
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'relay','org':'school','kind':'connector','tenant':'example.com'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "ready");
	assert_int_equal(stage_want(&s, 1, WAY_CONNECTOR, 0), FAULT_OK);
	assert_string_equal(s.token_host, "example.com");
	stage_end(&s);
}

static void see(struct stage *s, const char *address)
{
	link_send(s->post, &MESSAGE_OF(address_seen, .mailbox = 1, .address = span_of(address)));
	stage_pass(s, 5000);
	assert_int_equal(stage_call(s, "provider.show", "{'name':'relay'}"), FAULT_OK);
}

static size_t attention(struct stage *s)
{
	assert_int_equal(stage_call(s, "status", "{}"), FAULT_OK);
	return json_array_size(json_object_get(s->result, "attention"));
}

static void the_address_is_what_the_provider_sees(void **state)
{
	struct stage s;

	house(&s);
	see(&s, "not an address");
	assert_string_equal(stage_text(&s, "seen_address"), "");
	assert_non_null(strstr(stage_text(&s, "command"), "-SenderIPAddresses THE-PUBLIC-IPV4-ADDRESS-OF-THIS-SERVER"));
	see(&s, "192.0.2.1");
	assert_string_equal(stage_text(&s, "registered_address"), "192.0.2.1");
	assert_string_equal(stage_text(&s, "command"),
			    "New-InboundConnector -Name 'Postern relay' -ConnectorType OnPremises -SenderDomains '*' -RequireTls $true -SenderIPAddresses 192.0.2.1");
	assert_int_equal(attention(&s), 0);
	see(&s, "192.0.2.2");
	assert_string_equal(stage_text(&s, "registered_address"), "192.0.2.1");
	assert_non_null(strstr(stage_text(&s, "command"), "-SenderIPAddresses 192.0.2.1,192.0.2.2"));
	assert_int_equal(attention(&s), 1);
	stage_kill(&s); /* and it is remembered */
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(attention(&s), 1);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'relay','registered_address':'nonsense'}"), FAULT_MALFORMED);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'relay','registered_address':'192.0.2.2'}"), FAULT_OK);
	assert_int_equal(attention(&s), 0);
	stage_end(&s);
}

/* PEM as a JSON string has it. */
static void put_escaped(struct buf *out, struct span pem)
{
	for (size_t i = 0; i < pem.size; i++)
		if (pem.at[i] == '\n')
			buf_put(out, SPAN("\\n"));
		else
			buf_put_byte(out, pem.at[i]);
}

static void a_certificate_and_its_key(void **state)
{
	const struct span name = SPAN("gw.o.example");
	struct certificate_pair authority, pair;
	struct stage s;
	struct buf pem, alone;

	house(&s);
	assert_int_equal(certificate_authority(&authority, "Test"), FAULT_OK);
	assert_int_equal(certificate_for(&pair, &authority, &name, 1, false), FAULT_OK);
	buf_init(&pem, 1 << 16);
	buf_init(&alone, 1 << 16);
	put_escaped(&alone, buf_span(&pair.certificate_pem));
	put_escaped(&pem, buf_span(&pair.certificate_pem));
	put_escaped(&pem, buf_span(&pair.key_pem));
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'relay','certificate':'%.*s'}", SPAN_ARGS(buf_span(&alone))), FAULT_MALFORMED);
	assert_non_null(strstr(s.answer_why, "there is no key in it"));
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'relay','certificate':'%.*s'}", SPAN_ARGS(buf_span(&pem))), FAULT_OK);
	assert_string_equal(stage_text(&s, "certificate_names"), "gw.o.example");
	assert_non_null(strstr(stage_text(&s, "command"), "-TlsSenderCertificateName 'gw.o.example'"));
	assert_int_equal(stage_want(&s, 1, WAY_CONNECTOR, 0), FAULT_OK);
	assert_true(span_equal(span_of(s.access_token), buf_span(&pair.key_pem)));
	assert_true(span_equal(span_of(s.token_certificate), buf_span(&pair.certificate_pem)));
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'relay','certificate':''}"), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_CONNECTOR, 0), FAULT_OK);
	assert_string_equal(s.access_token, "");
	assert_string_equal(s.token_certificate, "");
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'second','org':'o','kind':'connector','tenant':'o.example','certificate':'%.*s'}",
				    SPAN_ARGS(buf_span(&pem))), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'a@o.example','provider':'second'}"), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_CONNECTOR, 0), FAULT_OK);
	assert_true(span_equal(span_of(s.access_token), buf_span(&pair.key_pem)));
	buf_wipe(&pem);
	buf_free(&alone);
	certificate_pair_free(&authority);
	certificate_pair_free(&pair);
	stage_end(&s);
}

TESTS(nobody_signs_in, a_second_way, the_address_is_what_the_provider_sees, a_certificate_and_its_key)
