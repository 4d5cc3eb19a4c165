//! Integration tests: the real programs, real peers and a real systemd.
//!
//! One binary, one module per topic. A test binds port 0 only, waits for events instead of sleeping, and leaves nothing
//! behind. A test whose peer program (or root) is missing says so and passes; with `EMAILRELAY_CI=1` it fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop at the first surprise and say where"
)]

#[cfg(test)]
mod admin;
mod administrators;
mod alarms;
mod backoff;
mod bad_config;
mod bounds;
mod called;
mod chunking;
mod clients;
mod command_lines;
mod commit_order;
mod compat;
mod container;
mod container_admin;
mod container_check;
mod container_documents;
mod container_end_to_end;
mod container_filters;
mod container_forking;
mod container_immediate;
mod container_login;
mod container_package;
mod container_pop;
mod container_roles;
mod container_single;
mod container_takeover;
mod container_tls;
mod crash;
mod dnsbl;
mod documents;
mod fail2ban;
mod faults;
mod filter;
mod forward;
mod fuzz;
mod habits;
mod handover;
mod hostile;
mod immediate;
mod immediate_peers;
mod log_lines;
mod login;
mod login_forward;
mod login_pam;
mod login_slow;
mod login_tls;
mod mail_exchangers;
mod mailboxes;
mod notify;
mod openwrt;
mod passwd;
mod peers;
mod poke;
mod pop;
mod pop_bounds;
mod pop_peers;
mod power_cut;
mod process;
mod queue;
mod queue_load;
mod queue_local;
mod real_mail;
mod routes;
mod smtp;
mod start;
mod submit;
mod support;
mod sysv;
mod tidy;
mod tls_certificates;
mod tls_forward;
mod tls_pop;
mod tls_server;
mod tools;
mod trouble;
mod units;
mod verify;
