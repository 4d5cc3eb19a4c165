//! The way through a SOCKS proxy, which looks the far host's name up: versions 4a, with a user id if we have one, and 5 (RFC 1928), with
//! user and password (RFC 1929) where the proxy wants them.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::config::address::SocksVersion;
use crate::sasl::Secret;

/// Version 4: the commands and codes of its only exchange.
const V4: u8 = 4;
const V4_GRANTED: u8 = 0x5a;

/// An address that tells a version 4a proxy to look at the name behind the request.
const V4A_NAME: [u8; 4] = [0, 0, 0, 1];

/// Version 5.
const V5: u8 = 5;
const V5_NO_LOGIN: u8 = 0;
const V5_PASSWORD: u8 = 2;
const V5_IPV4: u8 = 1;
const V5_NAME: u8 = 3;
const V5_IPV6: u8 = 4;

/// The exchange of user and password has a version of its own.
const LOGIN: u8 = 1;

/// Longest user and password (RFC 1929 section 2).
const MAX_LOGIN: usize = u8::MAX as usize;

/// Both versions.
const CONNECT: u8 = 1;

/// Why there is no way through. The texts of E-MailRelay, and others that begin in the same way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// What the proxy says makes no sense.
    #[error("socks error: invalid response")]
    InvalidResponse,
    /// It does not want to, or cannot; with its reason if it gives one.
    #[error("socks error: request rejected{0}")]
    Rejected(&'static str),
    /// It wants a name and password, and we have none, or not the right ones.
    #[error("socks error: authentication failed")]
    Authentication,
    /// What we have cannot be sent: RFC 1929 has room for 1 to 255 bytes, and version 4a none for a NUL.
    #[error("socks error: unusable user or password")]
    Unusable,
    /// It has gone away.
    #[error("socks error: disconnected")]
    Disconnected,
    /// It cannot be read from.
    #[error("socks error: socket read error: {0}")]
    Read(String),
    /// It cannot be written to.
    #[error("socks error: socket write error: {0}")]
    Write(String),
    /// It says nothing.
    #[error("socks error: timed out after {0}s")]
    Timeout(u64),
}

/// Where to.
#[derive(Debug, Clone, Copy)]
pub struct Far<'a> {
    /// Name or address, as text.
    pub host: &'a str,
    /// The port.
    pub port: u16,
}

/// Who we are at the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name; the user id of version 4a.
    pub user: String,
    /// The password, of which version 4a knows nothing.
    pub password: Secret,
}

/// Asks the proxy at the other end of `stream` for a connection to `far`. Not a byte behind its answer is read.
///
/// # Errors
/// See [`SocksError`].
pub async fn connect<S>(
    stream: &mut S,
    version: SocksVersion,
    far: Far<'_>,
    login: Option<&Login>,
) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match version {
        SocksVersion::V4a => version4a(stream, far, login).await,
        SocksVersion::V5 => version5(stream, far, login).await,
    }
}

async fn version4a<S>(stream: &mut S, far: Far<'_>, login: Option<&Login>) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = vec![V4, CONNECT];
    request.extend_from_slice(&far.port.to_be_bytes());
    request.extend_from_slice(&V4A_NAME);
    let user = login.map_or(&b""[..], |login| login.user.as_bytes());
    if user.contains(&0) || user.len() > MAX_LOGIN {
        return Err(SocksError::Unusable);
    }
    request.extend_from_slice(user);
    request.push(0);
    request.extend_from_slice(far.host.as_bytes());
    request.push(0);
    write(stream, &request).await?;
    let reply: [u8; 8] = read(stream).await?;
    match reply {
        [0, V4_GRANTED, ..] => Ok(()),
        [0, ..] => Err(SocksError::Rejected("")),
        _ => Err(SocksError::InvalidResponse),
    }
}

async fn version5<S>(stream: &mut S, far: Far<'_>, login: Option<&Login>) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let methods: &[u8] =
        if login.is_some() { &[V5, 2, V5_NO_LOGIN, V5_PASSWORD] } else { &[V5, 1, V5_NO_LOGIN] };
    write(stream, methods).await?;
    match (read(stream).await?, login) {
        ([V5, V5_NO_LOGIN], _) => {}
        ([V5, V5_PASSWORD], Some(login)) => log_in(stream, login).await?,
        // Only what was offered may be chosen; 255 is none of it.
        ([V5, 255 | V5_PASSWORD], _) => return Err(SocksError::Authentication),
        _ => return Err(SocksError::InvalidResponse),
    }
    write(stream, &request5(far)).await?;
    let [version, code, _, kind]: [u8; 4] = read(stream).await?;
    if version != V5 {
        return Err(SocksError::InvalidResponse);
    }
    if code != 0 {
        return Err(SocksError::Rejected(reason5(code)));
    }
    // The proxy's own end of the connection, which nobody wants to know.
    match kind {
        V5_IPV4 => read::<_, 6>(stream).await.map(drop),
        V5_IPV6 => read::<_, 18>(stream).await.map(drop),
        V5_NAME => {
            let [length] = read(stream).await?;
            let mut name = vec![0; usize::from(length) + 2];
            stream.read_exact(&mut name).await.map(drop).map_err(|error| read_error(&error))
        }
        _ => Err(SocksError::InvalidResponse),
    }
}

/// RFC 1929. The proxy closes after a refusal.
async fn log_in<S>(stream: &mut S, login: &Login) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Zeroizing::new(vec![LOGIN]);
    for word in [login.user.as_bytes(), login.password.expose()] {
        let length = u8::try_from(word.len()).ok().filter(|length| *length > 0);
        request.push(length.ok_or(SocksError::Unusable)?);
        request.extend_from_slice(word);
    }
    write(stream, &request).await?;
    match read(stream).await? {
        [LOGIN, 0] => Ok(()),
        [LOGIN, _] => Err(SocksError::Authentication),
        _ => Err(SocksError::InvalidResponse),
    }
}

fn request5(far: Far<'_>) -> Vec<u8> {
    let mut request = vec![V5, CONNECT, 0];
    match far.host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(V5_IPV4);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(V5_IPV6);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            // Host names have at most 253 bytes, which an address has been checked for.
            let name = far.host.as_bytes();
            request.push(V5_NAME);
            request.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            request.extend(name.iter().take(usize::from(u8::MAX)));
        }
    }
    request.extend_from_slice(&far.port.to_be_bytes());
    request
}

/// RFC 1928 section 6.
fn reason5(code: u8) -> &'static str {
    match code {
        2 => ": not allowed",
        3 => ": network unreachable",
        4 => ": host unreachable",
        5 => ": connection refused",
        6 => ": ttl expired",
        7 => ": command not supported",
        8 => ": address type not supported",
        _ => "",
    }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), SocksError> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    written.await.map_err(|error: io::Error| SocksError::Write(crate::os::reason(&error)))
}

async fn read<S: AsyncRead + Unpin, const N: usize>(stream: &mut S) -> Result<[u8; N], SocksError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(|error| read_error(&error))?;
    Ok(bytes)
}

fn read_error(error: &io::Error) -> SocksError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => SocksError::Disconnected,
        _ => SocksError::Read(crate::os::reason(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a proxy that says `answer`, what it was asked, and what is left in the stream.
    async fn asked(
        version: SocksVersion,
        host: &str,
        answer: &[u8],
    ) -> (Result<(), SocksError>, Vec<u8>, Vec<u8>) {
        asked_by(None, version, host, answer).await
    }

    /// The same for somebody with a name.
    async fn asked_by(
        login: Option<&Login>,
        version: SocksVersion,
        host: &str,
        answer: &[u8],
    ) -> (Result<(), SocksError>, Vec<u8>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        let result = connect(&mut ours, version, Far { host, port: 25 }, login).await;
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        drop(ours);
        let mut request = Vec::new();
        theirs.read_to_end(&mut request).await.unwrap();
        (result, request, rest)
    }

    #[tokio::test]
    async fn version_4a_is_one_exchange() {
        let granted = [b"\0\x5a\x01\x02\x03\x04\x05\x06", &b"220 hop\r\n"[..]].concat();
        let (result, request, rest) = asked(SocksVersion::V4a, "smtp.example.com", &granted).await;
        assert_eq!(result, Ok(()));
        assert_eq!(request, b"\x04\x01\0\x19\0\0\0\x01\0smtp.example.com\0");
        assert_eq!(rest, b"220 hop\r\n");
        for (answer, text) in [
            (&b"\0\x5b\0\0\0\0\0\0"[..], "socks error: request rejected"),
            (b"\x04\x5a\0\0\0\0\0\0", "socks error: invalid response"),
            (b"\0\x5a\0\0", "socks error: disconnected"),
            (b"", "socks error: disconnected"),
        ] {
            let (result, ..) = asked(SocksVersion::V4a, "h", answer).await;
            assert_eq!(result.unwrap_err().to_string(), text, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn version_5_takes_names_and_addresses() {
        let granted = [b"\x05\0\x05\0\0\x01\x01\x02\x03\x04\0\x19", &b"220 hop\r\n"[..]].concat();
        for (host, address) in [
            ("smtp.example.com", &b"\x03\x10smtp.example.com"[..]),
            ("192.0.2.1", b"\x01\xc0\0\x02\x01"),
            ("::1", b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
        ] {
            let (result, request, rest) = asked(SocksVersion::V5, host, &granted).await;
            assert_eq!(result, Ok(()));
            assert_eq!(request, [b"\x05\x01\0\x05\x01\0", address, b"\0\x19"].concat(), "{host}");
            assert_eq!(rest, b"220 hop\r\n");
        }
        let by_name = b"\x05\0\x05\0\0\x03\x02ab\0\x19";
        assert_eq!(asked(SocksVersion::V5, "h", by_name).await.0, Ok(()));
        for (answer, text) in [
            (&b"\x05\xff"[..], "socks error: authentication failed"),
            (b"\x05\x02", "socks error: authentication failed"),
            (b"\x04\0", "socks error: invalid response"),
            (b"\x05\0\x05\x05\0\x01", "socks error: request rejected: connection refused"),
            (b"\x05\0\x05\x63\0\x01", "socks error: request rejected"),
            (b"\x05\0\x05\0\0\x07", "socks error: invalid response"),
            (b"\x05\0\x05\0\0\x01\x01", "socks error: disconnected"),
        ] {
            let (result, ..) = asked(SocksVersion::V5, "h", answer).await;
            assert_eq!(result.unwrap_err().to_string(), text, "{answer:?}");
        }
    }

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.to_owned(), password: password.into() }
    }

    #[tokio::test]
    async fn a_user_logs_in_where_the_proxy_wants_it() {
        let bob = login("bob", "pa ss");
        let granted = b"\x05\0\0\x01\x01\x02\x03\x04\0\x19";
        let wanted = [&b"\x05\x02\x01\0"[..], granted].concat();
        let (result, request, _) = asked_by(Some(&bob), SocksVersion::V5, "h", &wanted).await;
        assert_eq!(result, Ok(()));
        assert_eq!(request, b"\x05\x02\0\x02\x01\x03bob\x05pa ss\x05\x01\0\x03\x01h\0\x19");
        // Nothing is said where it is not.
        let open = [&b"\x05\0"[..], granted].concat();
        let (result, request, _) = asked_by(Some(&bob), SocksVersion::V5, "h", &open).await;
        assert_eq!((result, request), (Ok(()), b"\x05\x02\0\x02\x05\x01\0\x03\x01h\0\x19".to_vec()));
        for (answer, text) in [
            (&b"\x05\x02\x01\x01"[..], "socks error: authentication failed"),
            (b"\x05\x02\x05\0", "socks error: invalid response"),
            (b"\x05\x02\x01", "socks error: disconnected"),
            (b"\x05\xff", "socks error: authentication failed"),
        ] {
            let (result, ..) = asked_by(Some(&bob), SocksVersion::V5, "h", answer).await;
            assert_eq!(result.unwrap_err().to_string(), text, "{answer:?}");
        }
        for (user, password, good) in [
            ("", "x", false),
            ("x", "", false),
            (&"x".repeat(256), "x", false),
            (&"x".repeat(255), "x", true),
        ] {
            let (result, ..) = asked_by(Some(&login(user, password)), SocksVersion::V5, "h", &wanted).await;
            assert_eq!(result.is_ok(), good, "{user} {password}");
        }
    }

    #[tokio::test]
    async fn a_user_id_goes_with_version_4a() {
        let granted = b"\0\x5a\0\0\0\0\0\0";
        let (result, request, _) =
            asked_by(Some(&login("bob", "secret")), SocksVersion::V4a, "h", granted).await;
        assert_eq!((result, request), (Ok(()), b"\x04\x01\0\x19\0\0\0\x01bob\0h\0".to_vec()));
        let (result, request, _) = asked_by(Some(&login("b\0b", "x")), SocksVersion::V4a, "h", granted).await;
        assert_eq!((result, request), (Err(SocksError::Unusable), vec![]));
    }
}
