//! Cuts a stream of bytes into the stream header, stanzas and the stream's end.
//!
//! Guarantees: bytes may come in pieces of any size; memory is bounded by [`Limits`]; a stanza that is odd in itself never
//! ends the stream. It is reported, and the next one is read. Only what makes it impossible to tell where a stanza ends
//! is an error of the stream.

use crate::element::Element;
use crate::ns;
use crate::parse::{self, Bindings, Bounds, XmlError};

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest stream header with its XML declaration, in bytes.
    pub header: usize,
    /// The longest stanza, in bytes.
    pub stanza: usize,
    /// The deepest element; a stanza itself is at depth 1.
    pub depth: usize,
    /// The most attributes on one element.
    pub attributes: usize,
    /// The most elements in a stanza: a small one, such as `<a/>`, takes some 25 times its length in memory.
    pub elements: usize,
}

impl Limits {
    /// For a component's link to its server, which sends whole rosters and vCards.
    pub const COMPONENT: Self =
        Self { header: 4096, stanza: 4 << 20, depth: 64, attributes: 64, elements: 50_000 };
    /// For a client that has logged in; RFC 6120 §13.12 lets a server choose any limit from 10,000 bytes.
    pub const CLIENT: Self =
        Self { header: 4096, stanza: 256 << 10, depth: 64, attributes: 64, elements: 5_000 };
    /// For a client that has not logged in yet.
    pub const STRANGER: Self = Self { header: 4096, stanza: 10_000, depth: 8, attributes: 16, elements: 100 };
}

/// One part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The stream header, without children.
    Open(Element),
    /// A child of the stream: a stanza, a stream error, features, a handshake.
    Stanza(Element),
    /// A child of the stream that could not be read.
    BadStanza {
        /// Its start tag as an element, if that could be read; [`crate::stanza::error_reply`] takes it.
        head: Option<Element>,
        /// What is wrong with it.
        cause: XmlError,
    },
    /// A child of the stream that was longer than allowed and has been skipped.
    TooLarge {
        /// Its start tag as an element, if that could be read; [`crate::stanza::error_reply`] takes it.
        head: Option<Element>,
    },
    /// The end of the stream. Nothing comes after it.
    Close,
}

/// What makes it impossible to go on with a stream (RFC 6120 §4.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Text where only elements may be, or a first element that is no stream.
    #[error("The peer sent something that is not an XMPP stream")]
    BadFormat,
    /// A stream element in a wrong namespace.
    #[error("The peer's stream header has a wrong namespace")]
    InvalidNamespace,
    /// Tags that do not match.
    #[error("The peer sent XML that is not well-formed")]
    NotWellFormed,
    /// A header beyond [`Limits::header`].
    #[error("The peer's stream header is too long")]
    PolicyViolation,
    /// A comment, a processing instruction or a DTD.
    #[error("The peer sent XML that XMPP does not allow: a comment, processing instruction or DTD")]
    RestrictedXml,
    /// An encoding other than UTF-8.
    #[error("The peer's stream is not in UTF-8")]
    UnsupportedEncoding,
}

impl StreamError {
    /// The name of the condition's element.
    pub fn condition(self) -> &'static str {
        match self {
            Self::BadFormat => "bad-format",
            Self::InvalidNamespace => "invalid-namespace",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::RestrictedXml => "restricted-xml",
            Self::UnsupportedEncoding => "unsupported-encoding",
        }
    }

    /// The `<stream:error/>` that tells the peer.
    pub fn element(self) -> Element {
        Element::new("error", ns::STREAM).child(Element::new(self.condition(), ns::STREAMS))
    }
}

/// Cuts one stream. A restarted stream (RFC 6120 §4.3.3) takes a new one.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    /// What has come and was not handed out yet.
    buffer: Vec<u8>,
    /// Where the piece in work begins.
    start: usize,
    /// How far the buffer has been looked through; never before `start`.
    scanned: usize,
    at: At,
    /// Open elements: 0 before the header, 1 between stanzas.
    depth: usize,
    /// Length of the start tag of the stanza in work; 0 while it is not complete.
    head_len: usize,
    /// The start tag of a stanza that is too large and being skipped.
    skipping: Option<Option<Element>>,
    /// An XML declaration may only be the very first thing.
    may_declare: bool,
    header: Header,
    end: Option<Result<(), StreamError>>,
}

#[derive(Debug, Default)]
struct Header {
    /// With prefix, as in the tag that closes the stream.
    qualified_name: String,
    bindings: Bindings,
    content_ns: String,
}

/// Where in the markup the scanner stands. All that it must remember is here, so the bytes before may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Text,
    /// After `<`.
    Less,
    /// After so many bytes of `<![CDATA[`.
    Section(usize),
    /// In a CDATA section, after so many `]`.
    CData(u8),
    /// In `<?xml … ?>`; whether the last byte was `?`.
    Declaration(bool),
    /// In a start tag; whether the last byte was `/`.
    Start(bool),
    /// In a quoted attribute value of a start tag.
    Quoted(u8),
    /// In an end tag.
    End,
}

/// What the scanner has come to the end of.
enum Markup {
    Declaration,
    Start,
    Empty,
    End,
}

/// What the buffer may keep for reads to come, in bytes.
const USUAL_CAPACITY: usize = 64 << 10;

const CDATA: &[u8] = b"<![CDATA[";

impl Framer {
    /// A framer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            at: At::Text,
            depth: 0,
            head_len: 0,
            skipping: None,
            may_declare: true,
            header: Header::default(),
            end: None,
        }
    }

    /// Changes what the peer may send from here on, as when a client has logged in.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The default namespace of the stream as the peer wrote it; empty before the header.
    pub fn content_ns(&self) -> &str {
        &self.header.content_ns
    }

    /// How many bytes wait for the rest of their stanza.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Takes bytes from the peer. Call [`Framer::next`] until it has no more before the next call, or the buffer grows.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.end.is_some() {
            return;
        }
        self.forget();
        self.buffer.extend_from_slice(bytes);
    }

    /// Gives back the memory for bytes that have been handed out: for streams that are idle most of the time.
    pub fn release(&mut self) {
        self.forget();
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }

    /// The next piece; none if it is not complete yet, or the stream has ended.
    ///
    /// # Errors
    /// If the stream cannot go on; then every further call says so.
    #[allow(clippy::should_implement_trait)] // it is not an iterator: it may go on after `None`
    pub fn next(&mut self) -> Result<Option<Piece>, StreamError> {
        if let Some(end) = self.end {
            return end.map(|()| None);
        }
        let piece = self.advance();
        match &piece {
            Err(error) => self.end = Some(Err(*error)),
            Ok(Some(Piece::Close)) => self.end = Some(Ok(())),
            Ok(_) => {}
        }
        if self.end.is_some() {
            self.buffer = Vec::new();
            (self.start, self.scanned) = (0, 0);
        }
        piece
    }

    fn advance(&mut self) -> Result<Option<Piece>, StreamError> {
        loop {
            if self.at == At::Text && self.depth < 2 {
                self.skip_space()?;
            }
            let Some(markup) = self.scan()? else {
                self.bound()?;
                return Ok(None);
            };
            self.at = At::Text;
            match (markup, self.depth) {
                (Markup::Declaration, _) => self.check_declaration()?,
                (Markup::Start, 0) => {
                    self.depth = 1;
                    return self.open().map(Some);
                }
                (Markup::Start, depth) => {
                    self.depth += 1;
                    if depth == 1 {
                        self.head_len = self.scanned - self.start;
                    }
                }
                (Markup::Empty, 1) => {
                    self.head_len = self.scanned - self.start;
                    return self.stanza().map(Some);
                }
                (Markup::Empty, 2..) => {}
                (Markup::End, 1) => return self.close().map(Some),
                (Markup::End, depth @ 2..) => {
                    self.depth = depth - 1;
                    if self.depth == 1 {
                        return self.stanza().map(Some);
                    }
                }
                // A stream that ends where it begins, or ends before it begins.
                (Markup::Empty | Markup::End, 0) => return Err(StreamError::BadFormat),
            }
        }
    }

    /// Skips white space between stanzas, which keeps links alive (RFC 6120 §4.6.1).
    fn skip_space(&mut self) -> Result<(), StreamError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        if blank > 0 {
            self.may_declare = false;
        }
        self.start += blank;
        self.scanned = self.start;
        match self.buffer.get(self.start) {
            None | Some(b'<') => Ok(()),
            Some(_) => Err(StreamError::BadFormat),
        }
    }

    /// Goes on to the end of the next tag or declaration; none if the bytes end before it.
    fn scan(&mut self) -> Result<Option<Markup>, StreamError> {
        while let Some(rest) = self.buffer.get(self.scanned..).filter(|rest| !rest.is_empty()) {
            let first = rest.first().copied().unwrap_or_default();
            // How many bytes are done with, and where that leads.
            let (done, at) = match self.at {
                At::Text => match memchr::memchr(b'<', rest) {
                    Some(n) => (n + 1, At::Less),
                    None => (rest.len(), At::Text),
                },
                At::Less => match first {
                    b'/' => (1, At::End),
                    b'!' => (1, At::Section(2)),
                    b'?' if self.may_declare && self.depth == 0 => (1, At::Declaration(false)),
                    // RFC 6120 §11.1.
                    b'?' => return Err(StreamError::RestrictedXml),
                    _ => (0, At::Start(false)),
                },
                At::Section(matched) => match CDATA.get(matched) {
                    Some(&expected) if expected != first => return Err(StreamError::RestrictedXml),
                    Some(_) if matched + 1 < CDATA.len() => (1, At::Section(matched + 1)),
                    _ if self.depth < 2 => return Err(StreamError::BadFormat),
                    _ => (1, At::CData(0)),
                },
                At::CData(brackets) => match first {
                    b']' => (1, At::CData(2.min(brackets + 1))),
                    b'>' if brackets == 2 => (1, At::Text),
                    _ => (memchr::memchr(b']', rest).unwrap_or(rest.len()), At::CData(0)),
                },
                At::Declaration(true) if first == b'>' => {
                    self.scanned += 1;
                    return Ok(Some(Markup::Declaration));
                }
                At::Declaration(_) => (1, At::Declaration(first == b'?')),
                At::Start(slash) => match memchr::memchr3(b'>', b'\'', b'"', rest) {
                    Some(n) => {
                        let slash = if n == 0 { slash } else { rest.get(n - 1) == Some(&b'/') };
                        match rest.get(n) {
                            Some(b'>') => {
                                self.scanned += n + 1;
                                return Ok(Some(if slash { Markup::Empty } else { Markup::Start }));
                            }
                            quote => (n + 1, At::Quoted(quote.copied().unwrap_or_default())),
                        }
                    }
                    None => (rest.len(), At::Start(rest.last() == Some(&b'/'))),
                },
                At::Quoted(quote) => match memchr::memchr(quote, rest) {
                    Some(n) => (n + 1, At::Start(false)),
                    None => (rest.len(), At::Quoted(quote)),
                },
                At::End => match memchr::memchr(b'>', rest) {
                    Some(n) => {
                        self.scanned += n + 1;
                        return Ok(Some(Markup::End));
                    }
                    None => (rest.len(), At::End),
                },
            };
            self.scanned += done;
            self.at = at;
        }
        Ok(None)
    }

    /// Keeps the piece in work within its limit: gives up on a header, begins or goes on to skip a stanza.
    fn bound(&mut self) -> Result<(), StreamError> {
        let len = self.scanned - self.start;
        if self.depth == 0 {
            return if len > self.limits.header { Err(StreamError::PolicyViolation) } else { Ok(()) };
        }
        if len > self.limits.stanza && self.skipping.is_none() {
            self.skipping = Some(self.head());
        }
        if self.skipping.is_some() {
            self.start = self.scanned;
            self.forget();
        }
        Ok(())
    }

    /// Drops what was handed out.
    fn forget(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
            // One large stanza must not cost its size for ever.
            self.buffer.shrink_to(USUAL_CAPACITY);
        }
    }

    fn check_declaration(&mut self) -> Result<(), StreamError> {
        self.may_declare = false;
        let declaration = self.take().ok_or(StreamError::UnsupportedEncoding)?.to_ascii_lowercase();
        // RFC 6120 §11.6: UTF-8 is the only encoding.
        match declaration.contains("encoding") && !declaration.contains("utf-8") {
            true => Err(StreamError::UnsupportedEncoding),
            false => Ok(()),
        }
    }

    fn open(&mut self) -> Result<Piece, StreamError> {
        if self.scanned - self.start > self.limits.header {
            return Err(StreamError::PolicyViolation);
        }
        let text = self.take().ok_or(StreamError::UnsupportedEncoding)?;
        let (element, bindings) = parse::stream_header(text).map_err(|_| StreamError::NotWellFormed)?;
        let name_end = text.find([' ', '\t', '\r', '\n', '>']).unwrap_or(text.len());
        let qualified_name = text.get(1..name_end).unwrap_or_default().to_owned();
        if element.name() != "stream" {
            return Err(StreamError::BadFormat);
        }
        // RFC 6120 §4.8.1.
        if element.ns() != ns::STREAM {
            return Err(StreamError::InvalidNamespace);
        }
        self.header.content_ns = bindings
            .iter()
            .find(|(prefix, _)| prefix.is_empty())
            .map(|(_, ns)| ns.to_string())
            .unwrap_or_default();
        self.header.bindings = parse::on_stream(bindings);
        self.header.qualified_name = qualified_name;
        Ok(Piece::Open(element))
    }

    fn stanza(&mut self) -> Result<Piece, StreamError> {
        if let Some(head) = self.skipping.take() {
            self.begin_next();
            return Ok(Piece::TooLarge { head });
        }
        if self.scanned - self.start > self.limits.stanza {
            let head = self.head();
            self.begin_next();
            return Ok(Piece::TooLarge { head });
        }
        let piece = match self.tree() {
            Ok(element) => Piece::Stanza(element),
            Err(XmlError::MismatchedTags) => return Err(StreamError::NotWellFormed),
            Err(cause) => Piece::BadStanza { head: self.head(), cause },
        };
        self.begin_next();
        Ok(piece)
    }

    fn tree(&self) -> Result<Element, XmlError> {
        let bytes = self.buffer.get(self.start..self.scanned).unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|_| XmlError::NotUtf8)?;
        parse::stream_child(text, &self.header.bindings, self.bounds()).map_err(|cause| {
            // The first fault hides others. If tags do not match, nobody knows where the stanza ended.
            if parse::tags_match(text) { cause } else { XmlError::MismatchedTags }
        })
    }

    /// The start tag of the stanza in work, as an element.
    fn head(&self) -> Option<Element> {
        // Independent of the size of reads: a tag that is too large by itself may be gone already.
        if self.head_len > self.limits.stanza {
            return None;
        }
        let bytes = self.buffer.get(self.start..self.start + self.head_len)?;
        let text = std::str::from_utf8(bytes).ok()?;
        parse::start_tag(text, &self.header.bindings, self.bounds()).ok()
    }

    fn close(&mut self) -> Result<Piece, StreamError> {
        let expected = std::mem::take(&mut self.header.qualified_name);
        let text = self.take().ok_or(StreamError::NotWellFormed)?;
        let name = text.strip_prefix("</").and_then(|text| text.strip_suffix('>')).map(str::trim_ascii_end);
        if name == Some(expected.as_str()) { Ok(Piece::Close) } else { Err(StreamError::NotWellFormed) }
    }

    fn bounds(&self) -> Bounds {
        let Limits { depth, attributes, elements, .. } = self.limits;
        Bounds { depth, attributes, elements }
    }

    fn begin_next(&mut self) {
        self.start = self.scanned;
        self.head_len = 0;
    }

    /// The text of the piece in work, which is thereby done; none if it is not UTF-8.
    fn take(&mut self) -> Option<&str> {
        let range = self.start..self.scanned;
        self.start = self.scanned;
        std::str::from_utf8(self.buffer.get(range)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
        xmlns:stream='http://etherx.jabber.org/streams' id='1'>";

    /// All pieces of `bytes` handed in `size` at a time, up to the first error.
    fn pieces_of(bytes: &[u8], size: usize, limits: Limits) -> (Vec<Piece>, Option<StreamError>) {
        let mut framer = Framer::new(limits);
        let mut pieces = Vec::new();
        for chunk in bytes.chunks(size) {
            framer.push(chunk);
            loop {
                match framer.next() {
                    Ok(Some(piece)) => pieces.push(piece),
                    Ok(None) => break,
                    Err(error) => return (pieces, Some(error)),
                }
            }
        }
        (pieces, None)
    }

    /// The same, after a header, and whatever the size of the chunks.
    fn read(content: &str) -> (Vec<Piece>, Option<StreamError>) {
        read_within(content.as_bytes(), Limits::COMPONENT)
    }

    fn read_within(content: &[u8], limits: Limits) -> (Vec<Piece>, Option<StreamError>) {
        let bytes = [HEADER.as_bytes(), content].concat();
        let (mut pieces, error) = pieces_of(&bytes, usize::MAX, limits);
        for size in [1, 2, 7, 64] {
            assert_eq!(pieces_of(&bytes, size, limits), (pieces.clone(), error), "in pieces of {size}");
        }
        assert!(matches!(pieces.remove(0), Piece::Open(_)));
        (pieces, error)
    }

    fn stream_error(content: &str) -> Option<StreamError> {
        read(content).1
    }

    fn presence(id: &str) -> Piece {
        Piece::Stanza(Element::new("presence", ns::CLIENT).with("id", id))
    }

    #[test]
    fn a_stream_from_beginning_to_end() {
        let (pieces, error) =
            pieces_of(format!("{HEADER} <iq/>\n</stream:stream >").as_bytes(), 5, Limits::CLIENT);
        assert_eq!(error, None);
        let Piece::Open(header) = &pieces[0] else { panic!("{pieces:?}") };
        assert!(header.is("stream", ns::STREAM));
        assert_eq!(header.attr("id"), Some("1"));
        assert_eq!(pieces[1..], [Piece::Stanza(Element::new("iq", ns::CLIENT)), Piece::Close]);
    }

    #[test]
    fn the_namespace_of_stanzas_is_always_that_of_clients() {
        let mut framer = Framer::new(Limits::COMPONENT);
        framer.push(HEADER.as_bytes());
        assert!(matches!(framer.next(), Ok(Some(Piece::Open(_)))));
        assert_eq!(framer.content_ns(), ns::COMPONENT);
        let (pieces, _) = read("<message><body>x</body><m xmlns='jabber:component:accept'/></message>");
        let body = Element::new("body", ns::CLIENT).text("x");
        let expected = Element::new("message", ns::CLIENT).child(body).child(Element::new("m", ns::CLIENT));
        assert_eq!(pieces, [Piece::Stanza(expected)]);
    }

    #[test]
    fn prefixes_of_the_header_hold_for_stanzas() {
        let header = "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' \
            xmlns:db='jabber:server:dialback'><s:error/><db:result a='>'/><x xmlns:db='urn:x'><db:y/></x>";
        let (pieces, _) = pieces_of(header.as_bytes(), 3, Limits::CLIENT);
        assert_eq!(pieces[1], Piece::Stanza(Element::new("error", ns::STREAM)));
        assert_eq!(pieces[2], Piece::Stanza(Element::new("result", "jabber:server:dialback").with("a", ">")));
        let inner = Element::new("x", ns::CLIENT).child(Element::new("y", "urn:x"));
        assert_eq!(pieces[3], Piece::Stanza(inner));
    }

    #[test]
    fn markup_characters_in_values_and_sections_are_no_markup() {
        let (pieces, error) = read(
            "<a b='</a>\">' c=\"/>'\"><![CDATA[</a> ]] ]> <!-- ]]]]><![CDATA[>]]></a><presence id='2'/>",
        );
        assert_eq!(error, None);
        let text = "</a> ]] ]> <!-- ]]>";
        let expected = Element::new("a", ns::CLIENT).with("b", "</a>\">").with("c", "/>'").text(text);
        // Quoted markup frames like any other text, but XML does not allow `<` in a value.
        assert!(matches!(&pieces[0], Piece::BadStanza { head: None, cause: XmlError::BadAttribute }));
        assert_eq!(pieces[1], presence("2"));
        let (pieces, _) = read("<a b='&lt;/a>\">' c=\"/>'\"><![CDATA[</a> ]] ]> <!-- ]]]]><![CDATA[>]]></a>");
        assert_eq!(pieces, [Piece::Stanza(expected)]);
    }

    #[test]
    fn an_odd_stanza_does_not_end_the_stream() {
        for (odd, cause) in [
            ("<iq id='1'><p:x/></iq>", XmlError::UnboundPrefix),
            ("<iq id='1'><x 1='1'/></iq>", XmlError::BadName),
            ("<iq id='1'>&nbsp;</iq>", XmlError::UnknownEntity),
            ("<iq id='1'>&</iq>", XmlError::Syntax),
            ("<iq id='1'>\u{1}</iq>", XmlError::ForbiddenChar),
            ("<iq id='1'><x a='1' a='2'/></iq>", XmlError::DuplicateAttribute),
            ("<iq id='1'><x a='1'b='2'/></iq>", XmlError::BadAttribute),
        ] {
            let (pieces, error) = read(&format!("{odd}<presence id='2'/>"));
            assert_eq!(error, None, "{odd}");
            let head = Some(Element::new("iq", ns::CLIENT).with("id", "1"));
            assert_eq!(pieces, [Piece::BadStanza { head, cause }, presence("2")], "{odd}");
        }
        let (pieces, error) = read_within(b"<iq>\xff\xfe</iq><presence id='2'/>", Limits::CLIENT);
        assert_eq!(error, None);
        assert!(matches!(&pieces[0], Piece::BadStanza { head: Some(_), cause: XmlError::NotUtf8 }));
        assert_eq!(pieces[1], presence("2"));
    }

    #[test]
    fn a_stanza_that_is_too_large_is_skipped() {
        let limits = Limits { stanza: 100, ..Limits::CLIENT };
        let body = "x".repeat(5000);
        let large = format!(
            "<message id='1'><body a='>'>{body}<![CDATA[</message>]]></body></message><presence id='2'/>"
        );
        let head = Some(Element::new("message", ns::CLIENT).with("id", "1"));
        let (pieces, error) = read_within(large.as_bytes(), limits);
        assert_eq!(error, None);
        assert_eq!(pieces, [Piece::TooLarge { head }, presence("2")]);
        let (pieces, _) = read_within(format!("<iq id='{body}'/><presence id='2'/>").as_bytes(), limits);
        assert!(matches!(&pieces[0], Piece::TooLarge { .. }));
        assert_eq!(pieces[1], presence("2"));
    }

    #[test]
    fn a_stanza_that_is_too_large_is_not_kept() {
        let limits = Limits { stanza: 1000, ..Limits::CLIENT };
        let mut framer = Framer::new(limits);
        framer.push(HEADER.as_bytes());
        framer.push(b"<message><body>");
        while framer.next().unwrap().is_some() {}
        for _ in 0..1000 {
            framer.push(&[b'x'; 100]);
            assert_eq!(framer.next(), Ok(None));
            assert!(framer.pending() <= limits.stanza + 100);
        }
        framer.push(b"</body></message>");
        assert!(matches!(framer.next(), Ok(Some(Piece::TooLarge { head: Some(_) }))));
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let limits = Limits { stanza: 30, depth: 3, attributes: 2, elements: 4, ..Limits::CLIENT };
        let read = |content: &str| read_within(content.as_bytes(), limits).0.remove(0);
        assert!(matches!(read("<a b='1' c='2'><b><c/></b></a>"), Piece::Stanza(_)));
        assert!(matches!(read("<a b='1' c='23'><b><c/></b></a>"), Piece::TooLarge { .. }));
        assert!(matches!(
            read("<a><b><c><d/></c></b></a>"),
            Piece::BadStanza { cause: XmlError::TooDeep, .. }
        ));
        assert!(matches!(read("<a><b/><b/><b/></a>"), Piece::Stanza(_)));
        assert!(matches!(
            read("<a><b/><b/><b/><b/></a>"),
            Piece::BadStanza { head: Some(_), cause: XmlError::TooManyElements }
        ));
        assert!(matches!(
            read("<a b='' c='' d=''/>"),
            Piece::BadStanza { head: None, cause: XmlError::TooManyAttributes }
        ));
    }

    #[test]
    fn broken_framing_ends_the_stream() {
        for (broken, error) in [
            ("<a></b>", StreamError::NotWellFormed),
            // Another fault before it does not hide that the tags do not match.
            ("<a><x 1=''/><b></a></b>", StreamError::NotWellFormed),
            ("</stream>", StreamError::NotWellFormed),
            ("text", StreamError::BadFormat),
            ("&amp;", StreamError::BadFormat),
            ("<![CDATA[x]]>", StreamError::BadFormat),
            ("<!-- c -->", StreamError::RestrictedXml),
            ("<a><!-- c --></a>", StreamError::RestrictedXml),
            ("<a><?pi?></a>", StreamError::RestrictedXml),
            ("<?xml version='1.0'?>", StreamError::RestrictedXml),
            ("<!DOCTYPE a>", StreamError::RestrictedXml),
            ("<a><!ENTITY", StreamError::RestrictedXml),
        ] {
            assert_eq!(stream_error(broken), Some(error), "{broken}");
        }
    }

    #[test]
    fn an_error_stays() {
        let mut framer = Framer::new(Limits::CLIENT);
        framer.push(b"x");
        assert_eq!(framer.next(), Err(StreamError::BadFormat));
        framer.push(HEADER.as_bytes());
        assert_eq!(framer.next(), Err(StreamError::BadFormat));
        assert_eq!(framer.pending(), 0);
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let (pieces, error) = read("</stream:stream><presence/>garbage");
        assert_eq!((pieces, error), (vec![Piece::Close], None));
    }

    #[test]
    fn odd_headers() {
        for (header, error) in [
            ("<stream xmlns='jabber:client'>", StreamError::InvalidNamespace),
            ("<stream>", StreamError::InvalidNamespace),
            ("<s:features xmlns:s='http://etherx.jabber.org/streams'>", StreamError::BadFormat),
            ("<s:stream>", StreamError::NotWellFormed),
            ("<s:stream xmlns:s='http://etherx.jabber.org/streams'/>", StreamError::BadFormat),
            ("</stream:stream>", StreamError::BadFormat),
            ("GET / HTTP/1.1\r\n", StreamError::BadFormat),
            ("<?xml version='1.0' encoding='ISO-8859-1'?>", StreamError::UnsupportedEncoding),
            (" <?xml version='1.0'?>", StreamError::RestrictedXml),
            ("<!DOCTYPE stream>", StreamError::RestrictedXml),
        ] {
            assert_eq!(pieces_of(header.as_bytes(), 1, Limits::CLIENT), (vec![], Some(error)), "{header}");
        }
        let endless = format!("<stream {}", "x".repeat(5000));
        assert_eq!(pieces_of(endless.as_bytes(), 100, Limits::CLIENT).1, Some(StreamError::PolicyViolation));
        let encoding = HEADER.replace("'1.0'?", "'1.0' encoding='UTF-8' ?");
        assert_eq!(pieces_of(encoding.as_bytes(), 1, Limits::CLIENT).0.len(), 1);
    }

    #[test]
    fn what_the_peer_is_told() {
        let mut out = String::new();
        StreamError::NotWellFormed.element().write(&mut out, ns::CLIENT);
        assert_eq!(
            out,
            "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        );
    }
}
