/* The variadic corner of libpurple, as plain arrays.
 *
 * Some UI operations take a va_list, whose layout differs from one architecture to the next and which stable Rust cannot
 * read. Each function here walks the list and hands on what was in it. */
#ifndef SPECTRUM2_PURPLE_SHIM_H
#define SPECTRUM2_PURPLE_SHIM_H

#include <purple.h>

/* A dialog with buttons: `labels[i]` belongs to `callbacks[i]`; both arrays live only during the call. */
typedef void *(*SpectrumRequestAction)(const char *title, const char *primary, const char *secondary,
		int default_action, PurpleAccount *account, const char *who, void *user_data, size_t count,
		const char *const *labels, const PurpleRequestActionCb *callbacks);

/* A dialog with one choice out of several: `labels[i]` stands for `values[i]`. */
typedef void *(*SpectrumRequestChoice)(const char *title, const char *primary, const char *secondary,
		int default_value, GCallback ok, GCallback cancel, PurpleAccount *account, const char *who,
		void *user_data, size_t count, const char *const *labels, const int *values);

/* Puts translating functions into `ops`; they call the two given ones. */
void spectrum_request_ops_init(PurpleRequestUiOps *ops, SpectrumRequestAction action, SpectrumRequestChoice choice);

#endif
