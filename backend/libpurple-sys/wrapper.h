/* What bindgen reads; see regenerate.sh. */
#include <purple.h>
#include <glib.h>
#include <glib-unix.h>
#include "src/shim.h"
