//! Name look-ups in threads: libpurple would fork a process for each.
//!
//! At most four threads exist, started when first needed, so never before the zygote forks. They call the system's
//! resolver and nothing of libpurple. Look-ups wait in a queue of bounded length; when it is full they fail at once.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::ToSocketAddrs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::purple::event_loop::{self, Source};
use crate::purple::{Lookup, LookupResult, ServiceRecord, resolver_answer, resolver_ask};

/// Type number of TXT records (RFC 1035 §3.2.2).
pub const TXT: u16 = 16;
/// Type number of SRV records (RFC 2782).
pub const SRV: u16 = 33;

const THREADS: usize = 4;
const QUEUE: usize = 256;
/// Records of one answer that are looked at.
const MAX_RECORDS: usize = 64;

type Results = Arc<Mutex<Vec<(u64, LookupResult)>>>;

struct Pool {
    next: u64,
    jobs: SyncSender<(u64, Lookup)>,
    _source: Source,
}

thread_local! {
    static POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
}

/// Starts a look-up and returns its number, with which the answer comes later, never before this returns.
pub fn submit(lookup: Lookup) -> u64 {
    POOL.with_borrow_mut(|pool| {
        if pool.is_none() {
            *pool = start();
        }
        let Some(pool) = pool else { return fail_later(0, "no thread could be started for it") };
        pool.next += 1;
        let number = pool.next;
        match pool.jobs.try_send((number, lookup)) {
            Ok(()) => number,
            Err(TrySendError::Full(_)) => fail_later(number, "too many look-ups are waiting"),
            Err(TrySendError::Disconnected(_)) => fail_later(number, "the resolver's threads ended"),
        }
    })
}

fn fail_later(number: u64, reason: &str) -> u64 {
    let result = LookupResult::Failed(format!("The name could not be looked up: {reason}"));
    event_loop::soon(move || resolver_answer(number, &result));
    number
}

fn start() -> Option<Pool> {
    let (waker, woken) = UnixStream::pair().ok()?;
    waker.set_nonblocking(true).ok()?;
    woken.set_nonblocking(true).ok()?;
    let (jobs, queue) = sync_channel(QUEUE);
    let (queue, results) = (Arc::new(Mutex::new(queue)), Results::default());
    let mut started = 0;
    for _ in 0..THREADS {
        let (queue, results, waker) = (Arc::clone(&queue), Arc::clone(&results), waker.try_clone().ok()?);
        let thread = thread::Builder::new().name("resolver".to_owned()).stack_size(256 * 1024);
        started += usize::from(thread.spawn(move || work(&queue, &results, &waker)).is_ok());
    }
    if started == 0 {
        return None;
    }
    let source = {
        let results = Arc::clone(&results);
        let woken_by = woken.try_clone().ok()?;
        event_loop::watch(woken.as_fd(), false, move |_| {
            let mut bytes = [0; 64];
            while matches!((&woken_by).read(&mut bytes), Ok(length) if length > 0) {}
            let done = std::mem::take(&mut *results.lock().unwrap_or_else(PoisonError::into_inner));
            for (number, result) in &done {
                resolver_answer(*number, result);
            }
        })
    };
    // The source watches this descriptor for as long as the process lives.
    std::mem::forget(woken);
    Some(Pool { next: 0, jobs, _source: source })
}

fn work(
    queue: &Mutex<Receiver<(u64, Lookup)>>,
    results: &Mutex<Vec<(u64, LookupResult)>>,
    waker: &UnixStream,
) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, lookup)) = job else { return };
        let result = look_up(&lookup);
        results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        // A full socket wakes the loop as well.
        let _ = (&mut &*waker).write(&[0]);
    }
}

fn look_up(lookup: &Lookup) -> LookupResult {
    match lookup {
        Lookup::Host(host, port) => match (host.as_str(), *port).to_socket_addrs() {
            Ok(addresses) => {
                let addresses: Vec<_> = addresses.take(MAX_RECORDS).collect();
                some(addresses, LookupResult::Addresses, || format!("{host} has no address"))
            }
            Err(error) => LookupResult::Failed(format!("The address of {host} could not be found: {error}")),
        },
        Lookup::Service(name) => {
            some(records(name, SRV, service), LookupResult::Services, || format!("{name} has no SRV record"))
        }
        Lookup::Text(name) => {
            some(records(name, TXT, text), LookupResult::Texts, || format!("{name} has no TXT record"))
        }
    }
}

/// libpurple must not be given empty lists.
fn some<T>(found: Vec<T>, wrap: fn(Vec<T>) -> LookupResult, reason: impl Fn() -> String) -> LookupResult {
    if found.is_empty() { LookupResult::Failed(reason()) } else { wrap(found) }
}

/// The records of one type, as `read` makes them out of an answer and a [`Place`] in it.
fn records<T>(name: &str, kind: u16, read: fn(&[u8], Place) -> Option<T>) -> Vec<T> {
    let Some(answer) = resolver_ask(name, kind) else { return Vec::new() };
    let places = find_records(&answer, kind).unwrap_or_default();
    places.into_iter().filter_map(|place| read(&answer, place)).collect()
}

/// Start and length of a record's data.
type Place = (usize, usize);

/// Where the data of each record of one type stands in an answer (RFC 1035 §4.1).
fn find_records(answer: &[u8], kind: u16) -> Option<Vec<Place>> {
    let (questions, answers) = (number(answer, 4)?, number(answer, 6)?);
    let mut place = 12;
    for _ in 0..questions {
        place = skip_name(answer, place)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..usize::from(answers).min(MAX_RECORDS) {
        place = skip_name(answer, place)?;
        let length = usize::from(number(answer, place + 8)?);
        if number(answer, place)? == kind {
            found.push((place + 10, length));
        }
        place += 10 + length;
    }
    Some(found)
}

fn number(bytes: &[u8], place: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(place)?, *bytes.get(place + 1)?]))
}

/// The place behind a name.
fn skip_name(answer: &[u8], mut place: usize) -> Option<usize> {
    loop {
        match *answer.get(place)? {
            0 => return Some(place + 1),
            // RFC 1035 §4.1.4: two bits say that the rest of the name stands elsewhere.
            length if length >= 0xC0 => return Some(place + 2),
            length => place += 1 + usize::from(length),
        }
    }
}

/// A name, following its pointers.
fn read_name(answer: &[u8], mut place: usize) -> Option<String> {
    let mut labels = Vec::new();
    // 255 bytes have at most 127 labels; a name that points at itself ends here.
    for _ in 0..128 {
        match *answer.get(place)? {
            0 => return Some(labels.join(".")),
            length if length >= 0xC0 => place = usize::from(number(answer, place)? & 0x3FFF),
            length => {
                let label = answer.get(place + 1..place + 1 + usize::from(length))?;
                labels.push(String::from_utf8_lossy(label).into_owned());
                place += 1 + usize::from(length);
            }
        }
    }
    None
}

fn service(answer: &[u8], (start, length): Place) -> Option<ServiceRecord> {
    if length < 7 {
        return None;
    }
    let target = read_name(answer, start + 6)?;
    Some(ServiceRecord {
        priority: number(answer, start)?,
        weight: number(answer, start + 2)?,
        port: number(answer, start + 4)?,
        // RFC 2782: a target of "." means that the service is decidedly not available.
        target: if target.is_empty() { return None } else { target },
    })
}

fn text(answer: &[u8], (start, length): Place) -> Option<String> {
    let mut data = answer.get(start..start + length)?;
    let mut text = Vec::new();
    // RFC 1035 §3.3.14: one or more strings, each with its length in front.
    while let Some((length, rest)) = data.split_first() {
        text.extend_from_slice(rest.get(..usize::from(*length))?);
        data = rest.get(usize::from(*length)..)?;
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in text.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn answer(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        bytes.extend(name("_xmpp-client._tcp.example.net"));
        bytes.extend([0, 33, 0, 1]);
        bytes.extend([0xC0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn a_service_record_names_host_and_port() {
        let mut data = vec![0, 5, 0, 10, 0x14, 0x66];
        data.extend(name("xmpp.example.net"));
        let answer = answer(SRV, &data);
        let place = find_records(&answer, SRV).unwrap()[0];
        let record = service(&answer, place).unwrap();
        assert_eq!((record.priority, record.weight, record.port), (5, 10, 5222));
        assert_eq!(record.target, "xmpp.example.net");
    }

    #[test]
    fn a_service_that_is_not_there_is_no_record() {
        let answer = answer(SRV, &[0, 0, 0, 0, 0, 0, 0]);
        let place = find_records(&answer, SRV).unwrap()[0];
        assert_eq!(service(&answer, place), None);
    }

    #[test]
    fn the_strings_of_a_text_record_are_one_text() {
        let answer = answer(TXT, b"\x03abc\x02de");
        let place = find_records(&answer, TXT).unwrap()[0];
        assert_eq!(text(&answer, place).unwrap(), "abcde");
    }

    #[test]
    fn answers_that_are_cut_short_or_point_at_themselves_are_no_answers() {
        let mut data = vec![0, 5, 0, 10, 0x14, 0x66];
        data.extend(name("xmpp.example.net"));
        let whole = answer(SRV, &data);
        for length in 0..whole.len() {
            let short = &whole[..length];
            let found = find_records(short, SRV).unwrap_or_default();
            assert!(found.into_iter().all(|place| service(short, place).is_none()));
        }
        let circle = [0xC0, 0];
        assert_eq!(read_name(&circle, 0), None);
    }

    #[test]
    fn an_address_needs_no_name_server() {
        let result = look_up(&Lookup::Host("127.0.0.1".to_owned(), 6667));
        assert_eq!(result, LookupResult::Addresses(vec!["127.0.0.1:6667".parse().unwrap()]));
    }
}
