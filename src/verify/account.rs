//! `account:`: the accounts of this machine as mailboxes.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{CANNOT_VERIFY, Query, refused};
use crate::config::verifier::AccountSpec;
use crate::os::account::{self, Account};
use crate::smtp::server::{Rejection, Verdict};

/// How long the user database may take.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// Lookups at a time in the whole process: each holds a thread for as long as the user database is silent.
pub(crate) const LOOKUPS: usize = 4;

/// The mailbox that every mail system has (RFC 5321 §4.5.1).
const POSTMASTER: &str = "postmaster";

/// Text for a client whose recipient is none of ours.
const REJECTED: &str = "rejected";

/// An address as far as it is looked at.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    user: &'a str,
    domain: &'a str,
}

/// What the address says before anybody is asked.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Done(Verdict),
    /// Look this account up.
    LookUp(String),
}

pub(super) async fn ask(spec: &AccountSpec, query: &Query) -> Verdict {
    let name = match first_step(spec, query) {
        Step::Done(verdict) => return verdict,
        Step::LookUp(name) => name,
    };
    match look_up(name.clone()).await {
        Ok(account) => judge(spec, query, &name, account.as_ref()),
        Err(error) => refused(Rejection::LocalFault, CANNOT_VERIFY, &crate::os::reason(&error)),
    }
}

fn first_step(spec: &AccountSpec, query: &Query) -> Step {
    let Parts { user, domain } = parts(&query.address);
    let ours = domain.eq_ignore_ascii_case(&query.domain);
    if user.eq_ignore_ascii_case(POSTMASTER) && (domain.is_empty() || ours) {
        return Step::Done(local(POSTMASTER));
    }
    if !ours {
        let reason = format!("[{domain}] does not match [{}]", query.domain);
        return Step::Done(otherwise(spec, query, &reason));
    }
    // An address that begins with the separator has nothing else for a name.
    let end = spec.detail.and_then(|detail| user.find(detail)).filter(|at| *at > 0);
    Step::LookUp(end.map_or(user, |end| user.get(..end).unwrap_or(user)).to_owned())
}

/// Account and address in one: a local part in quotes has the name between them.
fn parts(address: &str) -> Parts<'_> {
    let inner = address.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(address);
    let (user, domain) = inner.rsplit_once('@').unwrap_or((inner, ""));
    Parts { user: user.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(user), domain }
}

fn judge(spec: &AccountSpec, query: &Query, asked: &str, account: Option<&Account>) -> Verdict {
    let Some(account) = account else {
        return otherwise(spec, query, &format!("[{asked}] is not a valid account name"));
    };
    let Account { name, uid, .. } = account;
    if !(spec.low..=spec.high).contains(uid) {
        return otherwise(spec, query, &format!("uid {uid} is not in the range {}-{}", spec.low, spec.high));
    }
    if spec.shell && !account.login {
        return otherwise(spec, query, &format!("[{name}] has no login shell"));
    }
    if spec.remote {
        return Verdict::Remote { address: query.address.clone() };
    }
    if spec.lowercase { local(&name.to_lowercase()) } else { local(name) }
}

fn otherwise(spec: &AccountSpec, query: &Query, reason: &str) -> Verdict {
    if spec.check {
        Verdict::Remote { address: query.address.clone() }
    } else {
        refused(Rejection::Permanent, REJECTED, reason)
    }
}

fn local(mailbox: &str) -> Verdict {
    Verdict::Local { mailbox: mailbox.to_owned(), full_name: String::new() }
}

/// Asks the user database, which may ask the network: for the name as it is, then for it in lower case.
async fn look_up(name: String) -> io::Result<Option<Account>> {
    static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LOOKUPS)));
    let work = async {
        let turn = Arc::clone(&TURNS).acquire_owned().await.map_err(io::Error::other)?;
        let looking = spawn_blocking(move || {
            // Given back when the database has answered, however long nobody has been waiting any more.
            let _turn = turn;
            match account::lookup(&name)? {
                None => account::lookup(&name.to_lowercase()),
                found => Ok(found),
            }
        });
        looking.await.map_err(io::Error::other)?
    };
    timeout(LOOKUP_TIME, work).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::query;

    fn account(name: &str, uid: u32) -> Account {
        Account { name: name.to_owned(), uid, login: true }
    }

    fn rejected(reason: &str) -> Verdict {
        refused(Rejection::Permanent, "rejected", reason)
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (address, user, domain) in [
            ("bob@local.net", "bob", "local.net"),
            ("\"bob\"@local.net", "bob", "local.net"),
            ("\"bob@local.net\"", "bob", "local.net"),
            ("a@b@c", "a@b", "c"),
            ("\"a b\"@c", "a b", "c"),
            ("bob", "bob", ""),
            ("\"", "\"", ""),
        ] {
            assert_eq!(parts(address), Parts { user, domain }, "{address}");
        }
    }

    #[test]
    fn only_our_domain_is_looked_up() {
        let spec = AccountSpec::default();
        let step = |address: &str| first_step(&spec, &query(address));
        assert_eq!(step("bob@Local.Net"), Step::LookUp("bob".to_owned()));
        assert_eq!(step("bob+x@local.net"), Step::LookUp("bob+x".to_owned()));
        assert_eq!(step("postmaster"), Step::Done(local("postmaster")));
        assert_eq!(step("Postmaster@LOCAL.net"), Step::Done(local("postmaster")));
        assert_eq!(step("bob@other.net"), Step::Done(rejected("[other.net] does not match [local.net]")));
        assert_eq!(step("bob"), Step::Done(rejected("[] does not match [local.net]")));
        assert_eq!(
            step("postmaster@other.net"),
            Step::Done(rejected("[other.net] does not match [local.net]"))
        );
        let spec = AccountSpec { check: true, detail: Some('+'), ..spec };
        let step = |address: &str| first_step(&spec, &query(address));
        assert_eq!(step("x@other.net"), Step::Done(Verdict::Remote { address: "x@other.net".to_owned() }));
        assert_eq!(step("bob+x+y@local.net"), Step::LookUp("bob".to_owned()));
        assert_eq!(step("+x@local.net"), Step::LookUp("+x".to_owned()));
    }

    #[test]
    fn accounts_are_judged_by_range_shell_and_options() {
        let spec = AccountSpec::default();
        let ask = query("Bob@local.net");
        let remote = Verdict::Remote { address: "Bob@local.net".to_owned() };
        let judged =
            |spec: &AccountSpec, account: Option<Account>| judge(spec, &ask, "Bob", account.as_ref());
        assert_eq!(judged(&spec, None), rejected("[Bob] is not a valid account name"));
        assert_eq!(judged(&spec, Some(account("bob", 1000))), local("bob"));
        assert_eq!(judged(&spec, Some(account("bob", 32767))), local("bob"));
        let out = rejected("uid 32768 is not in the range 1000-32767");
        assert_eq!(judged(&spec, Some(account("bob", 32768))), out);
        assert_eq!(judged(&spec, Some(account("BOB", 1000))), local("BOB"));
        let lower = AccountSpec { lowercase: true, ..spec.clone() };
        assert_eq!(judged(&lower, Some(account("BOB", 1000))), local("bob"));
        let forwarding = AccountSpec { remote: true, ..spec.clone() };
        assert_eq!(judged(&forwarding, Some(account("bob", 1000))), remote);
        let check = AccountSpec { check: true, ..spec.clone() };
        assert_eq!(judged(&check, None), remote);
        assert_eq!(judged(&check, Some(account("bob", 1))), remote);
        let shell = AccountSpec { shell: true, ..spec };
        let nologin = Account { login: false, ..account("bob", 1000) };
        assert_eq!(judged(&shell, Some(nologin)), rejected("[bob] has no login shell"));
        assert_eq!(judged(&shell, Some(account("bob", 1000))), local("bob"));
    }

    #[tokio::test]
    async fn the_user_database_is_asked() {
        let all = AccountSpec { low: 0, ..AccountSpec::default() };
        assert_eq!(ask(&all, &query("ROOT@local.net")).await, local("root"));
        let verdict = ask(&all, &query("no-such-user-x@local.net")).await;
        assert_eq!(verdict, rejected("[no-such-user-x] is not a valid account name"));
    }
}
