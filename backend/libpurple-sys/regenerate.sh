#!/bin/sh
# Writes src/bindings.rs anew from the installed headers. Needs libpurple-dev, libclang and
# `cargo install bindgen-cli --version 0.72.1`. With an argument, writes there instead.
set -eu
cd "$(dirname "$0")"

# Functions that take a va_list, whose layout is the architecture's own: src/shim.c stands in for those we need.
blocked='purple_status_set_active_with_attrs|purple_.*_varg|purple_.*_vargs|purple_.*_valist|purple_signal_emit_vargs.*|purple_marshal_.*|purple_debug_.*_ui_ops_.*'

areas='account|accounts|account_option|blist|buddy|buddies|buddy_icon|buddy_icons|certificate|chat|connection|connections|contact'
areas="$areas|conv|conv_chat|conv_im|conversation|conversations|core|debug|dnsquery|eventloop|find|get|group|imgstore|input|markup"
areas="$areas|network|normalize|notify|notify_user_info|notify_user_info_entry|plugin|plugins|prefs|presence|privacy|proxy|proxy_info|prpl"
areas="$areas|request|request_field|request_fields|roomlist|roomlist_room|savedstatus|set|signal|signals|srv_txt_query|ssl|status|status_type|timeout|url|user|util|value|xfer|xfers|strdup|version"

exec bindgen wrapper.h --output "${1:-src/bindings.rs}" --rust-target 1.85 --rust-edition 2024 \
    --default-enum-style moduleconsts --no-layout-tests --no-doc-comments --use-core --merge-extern-blocks \
    --allowlist-function "purple_($areas)_.*|purple_normalize|purple_cmd_do_command|serv_.*|spectrum_.*|xmlnode_(from_str|get_child|get_next_twin|get_attrib|get_data|free)" \
    --allowlist-function 'g_(free|malloc0|strdup|list_append|list_free|list_free_full|slist_free|slist_append|hash_table_(new_full|insert|lookup|lookup_extended|destroy|size|remove|foreach)|str_hash|str_equal)' \
    --allowlist-function 'g_(idle_add|timeout_add|timeout_add_seconds|timeout_add_full|source_remove|unix_fd_add_full|unix_signal_add|main_loop_(new|run|quit|unref)|main_context_(wakeup|iteration|find_source_by_user_data)|source_set_ready_time|random_set_seed|log_set_default_handler|log_set_handler|io_.*|clear_error|error_free)' \
    --allowlist-var 'PURPLE_.*|OPT_PROTO_.*|G_(IO|PRIORITY|LOG)_.*' \
    --allowlist-type 'Purple.*|_Purple.*|Spectrum.*' \
    --blocklist-function "$blocked" \
    --blocklist-type '.*va_list.*' \
    --raw-line '/* Made by regenerate.sh; do not edit. */' --raw-line '/// What a C va_list points to; never looked into.' --raw-line '#[repr(C)]' --raw-line 'pub struct __va_list_tag { _private: [u8; 0] }' \
    -- $(pkg-config --cflags purple glib-2.0)
