//! GLib's main loop: the only one that plugins can work with, as several add sources to it behind libpurple's back.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use libpurple_sys as sys;
use sys::{gboolean, gpointer, guint};

use super::guard;

/// A source that runs until it is dropped.
#[derive(Debug)]
pub struct Source(guint);

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: the number names a source that we added and nobody else removes; a callback never ends its own.
        unsafe { sys::g_source_remove(self.0) };
    }
}

/// Calls `function` whenever the descriptor is readable or broken (`true`), or, if `writable` is set, only writable.
pub fn watch(fd: BorrowedFd<'_>, writable: bool, function: impl FnMut(bool) + 'static) -> Source {
    type Closure = Box<dyn FnMut(bool)>;
    unsafe extern "C" fn run(_: i32, condition: sys::GIOCondition::Type, data: gpointer) -> gboolean {
        guard(1, || {
            let readable = condition & !sys::GIOCondition::G_IO_OUT != 0;
            // SAFETY: `data` is the closure given below; `free` runs only after the source ended. GLib does not dispatch
            // a source inside its own dispatch, so this borrow is the only one.
            unsafe { (*data.cast::<Closure>())(readable) };
            1
        })
    }
    unsafe extern "C" fn free(data: gpointer) {
        // SAFETY: `data` came from `Box::into_raw` and GLib calls this once.
        guard((), || unsafe { drop(Box::from_raw(data.cast::<Closure>())) });
    }
    let mut condition =
        sys::GIOCondition::G_IO_IN | sys::GIOCondition::G_IO_HUP | sys::GIOCondition::G_IO_ERR;
    if writable {
        condition |= sys::GIOCondition::G_IO_OUT;
    }
    let closure: Box<Closure> = Box::new(Box::new(function));
    // SAFETY: the functions match the data, which GLib now owns.
    Source(unsafe {
        sys::g_unix_fd_add_full(
            sys::G_PRIORITY_DEFAULT as i32,
            fd.as_raw_fd(),
            condition,
            Some(run),
            Box::into_raw(closure).cast(),
            Some(free),
        )
    })
}

type Timer = Box<dyn FnMut() -> bool>;

unsafe extern "C" fn run_timer(data: gpointer) -> gboolean {
    // SAFETY: `data` is a `Timer` that `free_timer` frees after the source ended; dispatch does not nest.
    guard(false, || unsafe { (*data.cast::<Timer>())() }).into()
}

unsafe extern "C" fn free_timer(data: gpointer) {
    // SAFETY: `data` came from `Box::into_raw` and GLib calls this once.
    guard((), || unsafe { drop(Box::from_raw(data.cast::<Timer>())) });
}

fn add_timer(priority: i32, delay: Duration, function: Timer) -> guint {
    let milliseconds = guint::try_from(delay.as_millis()).unwrap_or(guint::MAX);
    let data = Box::into_raw(Box::new(function)).cast();
    // SAFETY: the functions match the data, which GLib now owns.
    unsafe { sys::g_timeout_add_full(priority, milliseconds, Some(run_timer), data, Some(free_timer)) }
}

/// Calls `function` once, when what runs now has returned to the loop.
pub fn soon(function: impl FnOnce() + 'static) {
    after(Duration::ZERO, function);
}

/// Calls `function` once, after a time.
pub fn after(delay: Duration, function: impl FnOnce() + 'static) {
    let mut function = Some(function);
    add_timer(
        sys::G_PRIORITY_DEFAULT as i32,
        delay,
        Box::new(move || {
            if let Some(function) = function.take() {
                function();
            }
            false
        }),
    );
}

/// Calls `function` every so often, for ever.
pub fn every(period: Duration, mut function: impl FnMut() + 'static) {
    add_timer(
        sys::G_PRIORITY_DEFAULT as i32,
        period,
        Box::new(move || {
            function();
            true
        }),
    );
}

/// Calls `function` at each SIGTERM and SIGINT.
pub fn on_termination(function: fn()) {
    unsafe extern "C" fn run(data: gpointer) -> gboolean {
        // SAFETY: `data` is the function pointer given below.
        let function = unsafe { std::mem::transmute::<gpointer, fn()>(data) };
        guard((), function);
        1
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: `run` takes the function pointer that goes with it.
        unsafe { sys::g_unix_signal_add(signal, Some(run), function as gpointer) };
    }
}

/// Runs the timer that a plugin armed with `data` behind libpurple's back, if there is one, in the loop's next round.
///
/// # Safety
/// `data` is only compared, but must be the plugin's own: a source of somebody else would be run early.
pub(super) unsafe fn hurry(data: gpointer) {
    // SAFETY: null means the default context; the source is alive while it is attached, and ready time 0 means now.
    unsafe {
        let source = sys::g_main_context_find_source_by_user_data(ptr::null_mut(), data);
        if !source.is_null() {
            sys::g_source_set_ready_time(source, 0);
        }
    }
}

/// Runs the loop until the process ends.
pub fn run() -> ! {
    // SAFETY: null means the default context.
    unsafe {
        let main_loop = sys::g_main_loop_new(ptr::null_mut(), 0);
        loop {
            sys::g_main_loop_run(main_loop);
        }
    }
}

/// libpurple's own timers and descriptors, straight onto the loop.
pub(super) fn install() {
    /// What libpurple wants called when a descriptor is ready.
    struct Input(unsafe extern "C" fn(gpointer, i32, sys::PurpleInputCondition::Type), gpointer);

    unsafe extern "C" fn dispatch(fd: i32, condition: sys::GIOCondition::Type, data: gpointer) -> gboolean {
        use sys::{GIOCondition as io, PurpleInputCondition as input};
        let mut ready = 0;
        if condition & (io::G_IO_IN | io::G_IO_HUP | io::G_IO_ERR) != 0 {
            ready |= input::PURPLE_INPUT_READ;
        }
        if condition & (io::G_IO_OUT | io::G_IO_HUP | io::G_IO_ERR | io::G_IO_NVAL) != 0 {
            ready |= input::PURPLE_INPUT_WRITE;
        }
        super::callback::forget_reader();
        // SAFETY: `data` is the `Input` given below. The function may remove this very source, which frees the `Input`
        // when the dispatch ends, so it is copied out first.
        unsafe {
            let Input(function, argument) = *data.cast::<Input>();
            function(argument, fd, ready);
        }
        1
    }
    unsafe extern "C" fn free(data: gpointer) {
        // SAFETY: `data` came from `Box::into_raw` and GLib calls this once.
        unsafe { drop(Box::from_raw(data.cast::<Input>())) };
    }
    unsafe extern "C" fn input_add(
        fd: i32,
        wanted: sys::PurpleInputCondition::Type,
        function: sys::PurpleInputFunction,
        argument: gpointer,
    ) -> guint {
        use sys::{GIOCondition as io, PurpleInputCondition as input};
        let Some(function) = function else { return 0 };
        let mut condition = 0;
        if wanted & input::PURPLE_INPUT_READ != 0 {
            condition |= io::G_IO_IN | io::G_IO_HUP | io::G_IO_ERR;
        }
        if wanted & input::PURPLE_INPUT_WRITE != 0 {
            condition |= io::G_IO_OUT | io::G_IO_HUP | io::G_IO_ERR | io::G_IO_NVAL;
        }
        let data = Box::into_raw(Box::new(Input(function, argument))).cast();
        // SAFETY: the functions match the data, which GLib now owns.
        unsafe {
            sys::g_unix_fd_add_full(
                sys::G_PRIORITY_DEFAULT as i32,
                fd,
                condition,
                Some(dispatch),
                data,
                Some(free),
            )
        }
    }
    /// What libpurple wants called when the time has come.
    struct Timeout(unsafe extern "C" fn(gpointer) -> gboolean, gpointer);

    unsafe extern "C" fn expire(data: gpointer) -> gboolean {
        super::callback::forget_reader();
        // SAFETY: `data` is the `Timeout` given below, copied out because the function may remove this very source.
        unsafe {
            let Timeout(function, argument) = *data.cast::<Timeout>();
            function(argument)
        }
    }
    unsafe extern "C" fn free_timeout(data: gpointer) {
        // SAFETY: `data` came from `Box::into_raw` and GLib calls this once.
        unsafe { drop(Box::from_raw(data.cast::<Timeout>())) };
    }
    unsafe extern "C" fn timeout_add(
        milliseconds: guint,
        function: sys::GSourceFunc,
        argument: gpointer,
    ) -> guint {
        let Some(function) = function else { return 0 };
        let data = Box::into_raw(Box::new(Timeout(function, argument))).cast();
        let priority = sys::G_PRIORITY_DEFAULT as i32;
        // SAFETY: the functions match the data, which GLib now owns.
        unsafe { sys::g_timeout_add_full(priority, milliseconds, Some(expire), data, Some(free_timeout)) }
    }
    unsafe extern "C" fn timeout_add_seconds(
        seconds: guint,
        function: sys::GSourceFunc,
        argument: gpointer,
    ) -> guint {
        // SAFETY: as the caller promises.
        unsafe { timeout_add(seconds.saturating_mul(1000), function, argument) }
    }
    // SAFETY: all fields are optional functions, for which zero means none.
    let mut ops: Box<sys::PurpleEventLoopUiOps> = Box::new(unsafe { std::mem::zeroed() });
    ops.timeout_add = Some(timeout_add);
    ops.timeout_add_seconds = Some(timeout_add_seconds);
    ops.timeout_remove = Some(sys::g_source_remove);
    ops.input_add = Some(input_add);
    ops.input_remove = Some(sys::g_source_remove);
    // SAFETY: libpurple keeps the table for good, and so do we.
    unsafe { sys::purple_eventloop_set_ui_ops(Box::leak(ops)) };
}
