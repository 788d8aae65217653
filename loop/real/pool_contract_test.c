#include "tests/contracts/pool.h"
