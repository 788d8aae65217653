#include "tests/contracts/stream.h"
