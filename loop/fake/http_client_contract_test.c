#include "tests/contracts/http_client.h"
