//! Sockets that the service manager passes (sd_listen_fds(3)).

use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// What was passed and nobody has taken yet. Taken once and handed on: a descriptor has one owner.
#[derive(Debug, Default)]
pub struct Passed(Vec<(Option<String>, OwnedFd)>);

impl Passed {
    /// All that was passed to this process. To be called once.
    #[must_use]
    pub fn take() -> Self {
        let passed = sd_listen_fds::get().unwrap_or_else(|error| {
            tracing::warn!("The sockets that the service manager passes cannot be used: {error}.");
            Vec::new()
        });
        let passed: Vec<_> =
            passed.into_iter().map(|(name, descriptor)| (name, descriptor.into_std())).collect();
        for (_, descriptor) in &passed {
            // They are not for programs that we start. It fails only if there is no such descriptor.
            let _ = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
        Self(passed)
    }

    /// Those with this `FileDescriptorName=`.
    pub fn named(&mut self, wanted: &str) -> Vec<OwnedFd> {
        let is_wanted = |(name, _): &mut (Option<String>, OwnedFd)| name.as_deref() == Some(wanted);
        self.0.extract_if(.., is_wanted).map(|(_, descriptor)| descriptor).collect()
    }

    /// All that are left.
    pub fn rest(&mut self) -> impl Iterator<Item = (Option<String>, OwnedFd)> {
        self.0.drain(..)
    }
}
