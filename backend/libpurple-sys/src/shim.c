#include "shim.h"

/* libpurple's dialogs have two to four buttons; what a plugin sends past this is not shown. */
#define MAX_ENTRIES 32

static SpectrumRequestAction on_action;
static SpectrumRequestChoice on_choice;

static void *request_action(const char *title, const char *primary, const char *secondary, int default_action,
		PurpleAccount *account, const char *who, PurpleConversation *conv, void *user_data,
		size_t action_count, va_list actions)
{
	const char *labels[MAX_ENTRIES];
	PurpleRequestActionCb callbacks[MAX_ENTRIES];
	size_t count = action_count < MAX_ENTRIES ? action_count : MAX_ENTRIES;

	for (size_t i = 0; i < count; i++) {
		labels[i] = va_arg(actions, const char *);
		callbacks[i] = va_arg(actions, PurpleRequestActionCb);
	}
	(void)conv;
	return on_action(title, primary, secondary, default_action, account, who, user_data, count, labels, callbacks);
}

static void *request_action_with_icon(const char *title, const char *primary, const char *secondary,
		int default_action, PurpleAccount *account, const char *who, PurpleConversation *conv,
		gconstpointer icon_data, gsize icon_size, void *user_data, size_t action_count, va_list actions)
{
	(void)icon_data;
	(void)icon_size;
	return request_action(title, primary, secondary, default_action, account, who, conv, user_data, action_count,
			actions);
}

static void *request_choice(const char *title, const char *primary, const char *secondary, int default_value,
		const char *ok_text, GCallback ok_cb, const char *cancel_text, GCallback cancel_cb,
		PurpleAccount *account, const char *who, PurpleConversation *conv, void *user_data, va_list choices)
{
	const char *labels[MAX_ENTRIES];
	int values[MAX_ENTRIES];
	size_t count = 0;
	const char *label;

	/* The list ends with a null label. */
	while (count < MAX_ENTRIES && (label = va_arg(choices, const char *)) != NULL) {
		labels[count] = label;
		values[count] = va_arg(choices, int);
		count++;
	}
	(void)ok_text;
	(void)cancel_text;
	(void)conv;
	return on_choice(title, primary, secondary, default_value, ok_cb, cancel_cb, account, who, user_data, count,
			labels, values);
}

void spectrum_request_ops_init(PurpleRequestUiOps *ops, SpectrumRequestAction action, SpectrumRequestChoice choice)
{
	on_action = action;
	on_choice = choice;
	ops->request_action = request_action;
	ops->request_action_with_icon = request_action_with_icon;
	ops->request_choice = request_choice;
}
