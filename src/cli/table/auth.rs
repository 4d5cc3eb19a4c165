//! Accounts and encryption.

use super::{Kind, Opt, Roles, Section, opt};

const AUTH: Section = Section::Auth;
const TLS: Section = Section::Tls;
const CLIENT: Roles = super::forward::FORWARD;
const SMTP: Roles = Roles::SMTP.with(Roles::RELAY);
const POP: Roles = Roles::POP.with(Roles::RELAY);
const SERVER: Roles = SMTP.with(Roles::POP);

#[rustfmt::skip]
pub(super) const ROWS: &[Opt] = &[
    opt("client-auth", AUTH, 3, CLIENT,
        "Logs in at the next server with the account in this file, or with plain:<base64-id>:<base64-password>.")
        .short('C').value(Kind::Secret, "file").sample("/etc/private/emailrelay.auth"),
    opt("client-auth-config", AUTH, 3, CLIENT, "Mechanisms to prefer (m:, with TLS a:) and to avoid (x:, with TLS d:) as client.")
        .value(Kind::Text, "config").sample("m:cram-sha1,cram-md5"),
    opt("server-auth", AUTH, 3, SMTP, "Lets SMTP clients log in with the accounts in this file, or by pam:.")
        .short('S').value(Kind::Secret, "file").sample("/etc/private/emailrelay.auth"),
    opt("server-auth-config", AUTH, 3, SERVER,
        "Mechanisms to offer (m:, with TLS a:) and not to offer (x:, with TLS d:) as server.")
        .value(Kind::Text, "config").sample("m:cram-sha256,cram-sha1"),
    opt("pop-auth", AUTH, 4, POP, "Lets POP clients log in with the accounts in this file, or by pam:.")
        .short('F').value(Kind::Secret, "file").sample("/etc/private/emailrelay-pop.auth"),

    opt("client-tls", TLS, 3, CLIENT, "Encrypts connections to the next server with STARTTLS, if it is offered.").short('j'),
    opt("client-tls-certificate", TLS, 3, CLIENT, "Key and certificate to show as client; given twice, first the key's file.")
        .value(Kind::Path, "pem-file").list().sample("/etc/ssl/certs/emailrelay.pem"),
    opt("client-tls-connection", TLS, 3, CLIENT, "Encrypts connections to the next server from their start.").short('b'),
    opt("client-tls-required", TLS, 3, CLIENT, "Sends nothing to the next server without encryption."),
    opt("client-tls-server-name", TLS, 3, CLIENT, "Name of the next server in the TLS handshake.")
        .value(Kind::Text, "hostname").sample("smtp.example.com"),
    opt("client-tls-verify", TLS, 3, CLIENT, "Checks the next server's certificate against the authorities in this file or directory, \
         <default> for the system's, or <auto> for these and the server's name; <none> checks nothing.")
        .value(Kind::Path, "ca-list").sample("/etc/ssl/certs/ca-certificates.crt"),
    opt("client-tls-verify-name", TLS, 3, CLIENT, "Name that must be in the next server's certificate.")
        .value(Kind::Text, "cname").sample("smtp.example.com"),
    opt("server-tls", TLS, 3, SERVER, "Offers encryption with STARTTLS to SMTP clients and with STLS to POP clients.")
        .short('K').value_for("server-tls-certificate"),
    opt("server-tls-certificate", TLS, 3, SERVER, "Key and certificate of the server; given twice, first the key's file.")
        .value(Kind::Path, "pem-file").list().sample("/etc/ssl/certs/emailrelay.pem"),
    opt("server-tls-connection", TLS, 3, SERVER, "Encrypts connections of clients from their start."),
    opt("server-tls-required", TLS, 3, SERVER, "Takes neither logins nor messages without encryption."),
    opt("server-tls-verify", TLS, 3, SERVER, "Checks certificates of clients against the authorities in this file or directory.")
        .value(Kind::Path, "ca-list").sample("/etc/ssl/certs/ca-certificates.crt"),
    opt("tls-config", TLS, 3, SERVER.with(CLIENT), "Lowest (tlsv1.2) and highest (-tlsv1.3) protocol version, and other TLS settings.")
        .short('9').value(Kind::Text, "options").list().process_wide().sample("tlsv1.2"),
];
