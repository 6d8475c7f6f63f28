//! What the operating system offers to C only.

use std::cell::OnceCell;
use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::unistd::{ForkResult, Pid};

/// Splits the process in two. The child gets `None`, the parent the child's id.
///
/// # Errors
/// No more processes or memory.
pub fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: no thread of ours runs yet: look-ups start theirs later, in the child. The only other thread is that of
    // tcl.so, which waits and holds no lock.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => {
            // SAFETY: takes a number. Without it all children would draw the same random numbers.
            unsafe { libpurple_sys::g_random_set_seed(seed()) };
            Ok(None)
        }
    }
}

fn seed() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u128(std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos()));
    hasher.finish() as u32
}

/// Takes ownership of a descriptor that the process was given at its start or in a message.
///
/// # Errors
/// It is not open.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asks about a number.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and callers name each descriptor once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends the process without the exit handlers of libraries: tcl.so's waits for a thread that a forked child lacks.
pub fn end(status: i32) -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(status) }
}

/// Lets a crash end the process at once.
///
/// The standard library's handler, which looks for overflows of its own threads' stacks, ignores such a signal that
/// somebody sent, and would hide from the launcher what killed a process.
pub fn let_crashes_kill() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: restores what the kernel does by default.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Has the kernel end this process by SIGALRM unless called again within this many seconds.
pub fn rearm_alarm(seconds: u32) {
    // SAFETY: takes a number.
    unsafe { libc::alarm(seconds) };
}

/// Where the kernel shows the process's arguments, and how much room is there.
struct Title {
    start: *mut u8,
    length: usize,
}

thread_local! {
    static TITLE: OnceCell<Option<Title>> = const { OnceCell::new() };
}

/// Shows a text where `ps` shows the command line, cut to the room that the original arguments took.
pub fn set_title(title: &str) {
    TITLE.with(|room| {
        let Some(room) = room.get_or_init(find_arguments) else { return };
        let mut bytes = title.as_bytes().to_vec();
        bytes.resize(room.length, 0);
        if let Some(last) = bytes.last_mut() {
            *last = 0;
        }
        // SAFETY: `find_arguments` made sure that this memory is ours and writable; the standard library copied the
        // arguments when they were first asked for, which was before this.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), room.start, room.length) };
    });
    let name: String = title.chars().filter(char::is_ascii).take(15).collect();
    if let Ok(name) = std::ffi::CString::new(name) {
        // SAFETY: the kernel copies at most 16 bytes of a text of ours.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

/// Finds the memory of the arguments by the addresses that the kernel gives in `/proc/self/stat`.
fn find_arguments() -> Option<Title> {
    // Fields are numbered from 1; the second may hold blanks and ends with a bracket. 48: arg_start, 49: arg_end.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(48 - 3);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    let length = end.checked_sub(start).filter(|length| start != 0 && *length > 1)?;
    Some(Title { start: start as *mut u8, length })
}

/// Text for an error number of C.
pub fn error_text(number: i32) -> String {
    let mut buffer = [0 as c_char; 256];
    // SAFETY: the length is that of the buffer, in which the text ends with a zero byte.
    unsafe {
        if libc::strerror_r(number, buffer.as_mut_ptr(), buffer.len()) != 0 {
            return format!("error {number}");
        }
        CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned()
    }
}
