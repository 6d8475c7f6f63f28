//! Who connected to a loopback port: any user of the machine can, and the first bytes are users' passwords.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use nix::unistd::Uid;

/// Whether the other end of a loopback connection belongs to our own user, or to root.
///
/// True where the kernel's table cannot be read: then nothing is known against it.
pub fn is_our_user(connection: &TcpStream) -> bool {
    let (Ok(ours), Ok(theirs)) = (connection.local_addr(), connection.peer_addr()) else {
        return false;
    };
    let Ok(table) = fs::read_to_string("/proc/self/net/tcp") else {
        return true;
    };
    owner(&table, theirs, ours).is_some_and(|uid| uid == Uid::effective().as_raw() || uid == 0)
}

/// The owner of the socket that is bound to `local` and connected to `remote`, from the table of proc(5).
fn owner(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let (local, remote) = (entry(local)?, entry(remote)?);
    table.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let found = columns.next()? == local && columns.next()? == remote;
        // st, tx_queue:rx_queue, tr:tm->when and retrnsmt stand before uid.
        found.then(|| columns.nth(4)?.parse().ok()).flatten()
    })
}

/// An address as the table has it: the four bytes as a number in the machine's byte order.
fn entry(address: SocketAddr) -> Option<String> {
    match address {
        SocketAddr::V4(address) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
        }
        SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn our_own_connection_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert!(is_our_user(&server));
        assert!(is_our_user(&client));
    }

    #[test]
    fn the_owner_is_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n\
            1: 0100007F:A001 0100007F:A002 01 00000000:00000000 00:00000000 00000000  1000        0 2 1\n";
        let (local, remote) = ("127.0.0.1:40961".parse().unwrap(), "127.0.0.1:40962".parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(owner(table, local, remote), Some(1000));
        }
        assert_eq!(owner(table, remote, local), None);
    }
}
