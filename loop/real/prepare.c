#include "loop/prepare.h"

#include "base/panic.h"

#include <ares.h>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <time.h>

void loop_prepare(void)
{
	tzset();
	if (sodium_init() < 0 || !OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS |
							   OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
						   NULL))
		fatal("the cryptographic libraries do not start");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || ares_library_init(ARES_LIB_INIT_ALL))
		fatal("the network libraries do not start");
	if (sqlite3_initialize())
		fatal("SQLite does not start");
}
